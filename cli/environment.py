"""The environment of a process: what the user set, plus what the repository can supply.

Without METERING_DATABASE_URL everything that is missing is supplied: an embedded PostgreSQL under `.local/` and secrets
generated beside it. With an external database nothing is invented: a secret made up here would silently disagree with
the one that the next host makes up.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cli import folders
from cli.demo_state import KEPT, DemoState, location_of
from cli.errors import CommandFailed, UsageError
from warehouse.urls import OWNER_VARIABLE, as_role, check, dagster_storage_url

GENERATED_SECRETS = ("METERING_PII_KEY", "METERING_JWT_SECRET", "METERING_SESSION_SECRET")

# Quiet, and fit for many partitions; the user's own settings win.
TOOL_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "DAGSTER_EVENT_BATCH_SIZE": "1000",
}


def is_embedded() -> bool:
    """Whether the embedded PostgreSQL is (to be) used."""
    return not os.environ.get(OWNER_VARIABLE) or os.environ.get("METERING_EMBEDDED") == "1"


def supply_secrets() -> None:
    """Set the generated secrets that the environment lacks; only for the embedded default."""
    if not is_embedded():
        return
    for name in GENERATED_SECRETS:
        if not os.environ.get(name):
            os.environ[name] = kept_secret(name)


def kept_secret(name: str) -> str:
    """Return the secret of this name that is kept under `.local/`; made where there is none."""
    folder = folders.local_folder() / "secrets"
    path = folder / name.lower()
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Written beside and linked in, so that two first starts agree on one secret.
        fresh = folder / f".{name.lower()}.{os.getpid()}"
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_hex(32))
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text().strip()


def database_url() -> str:
    """Return the owner's URL, starting the embedded server where none is named.

    Raises:
        WarehouseConfigError, WarehouseUnavailable: see `warehouse.errors`.
    """
    url = os.environ.get(OWNER_VARIABLE)
    if url:
        return check(url)
    from warehouse import embedded

    return embedded.start(folders.local_folder() / "pg")


def prepare() -> dict[str, str]:
    """Complete ``os.environ`` for every tool of the repository and return what `metering env` exports.

    Starts the embedded server where METERING_DATABASE_URL is unset.
    """
    embedded = is_embedded()
    supply_secrets()
    url = database_url()
    exports = {
        OWNER_VARIABLE: url,
        "METERING_API_DATABASE_URL": as_role(url, "metering_api"),
        "METERING_TRACKER_DATABASE_URL": as_role(url, "metering_tracker"),
        "METERING_OPERATOR_DATABASE_URL": as_role(url, "metering_operator"),
        "METERING_DAGSTER_STORAGE_URL": dagster_storage_url(url),
        "DAGSTER_HOME": str(folders.local_folder() / "dagster"),
        "DBT_PROJECT_DIR": str(folders.ROOT / "dbt_project"),
        "DBT_PROFILES_DIR": str(folders.ROOT / "dbt_project"),
        **TOOL_DEFAULTS,
    }
    if embedded:
        exports |= _of_the_demo(url)
        # Remembered, so that a shell which took these exports still gets the generated secrets.
        exports["METERING_EMBEDDED"] = "1"
        exports |= {name: os.environ[name] for name in GENERATED_SECRETS}
    for name, value in exports.items():
        if not os.environ.get(name) or name == OWNER_VARIABLE:
            os.environ[name] = value
    os.environ["DAGSTER_HOME"] = str(Path(os.environ["DAGSTER_HOME"]).expanduser().resolve())
    return {name: os.environ[name] for name in exports}


def _of_the_demo(url: str) -> dict[str, str]:
    """Return the tenant directory and first day of the demo that filled this database; nothing where none did."""
    try:
        demo = DemoState.load()
    except CommandFailed:
        return {}
    if demo.database != location_of(url):
        return {}
    return {name: value for name, value in demo.environment.items() if name in KEPT}


def require(name: str, why: str) -> str:
    """Return the variable's value.

    Raises:
        UsageError: it is unset; the message names it and says what it is for.
    """
    value = os.environ.get(name)
    if not value:
        raise UsageError(f"{name} is not set: {why}")
    return value
