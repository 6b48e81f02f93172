"""Whether the demo that stands here is the one that `make demo` would build now: then it is served as it is.

The sandbox's data set depends on its days, so only a demo of the same days can go on with a sandbox of the same data.
"""

from __future__ import annotations

import hashlib
import os
from datetime import date
from pathlib import Path

import psycopg

from cli import folders
from cli.demo_state import DemoState, location_of
from cli.errors import CommandFailed

# What makes a demo's rows: whoever changes one of these wants to see what comes of it.
ROOMS = ("builds", "costs", "dbt_project", "ingestion", "orchestration", "sandbox", "sdk/usage_metering", "warehouse")
KINDS = (".py", ".sql", ".csv", ".yml")
MADE = ("__pycache__", "dbt_packages", "logs", "target")
NEVER = "there is none yet"


def code_digest(root: Path | None = None) -> str:
    """Return a digest of the code, migrations and seeds that a demo is built by."""
    root = root or folders.ROOT
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((root / room).rglob("*")):
            if path.suffix in KINDS and not set(MADE) & set(path.relative_to(root).parts):
                content = path.read_bytes()
                digest.update(f"\0{path.relative_to(root)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def why_not(database_url: str, *, days: int, today: date) -> str | None:
    """Return why a demo has to be built; None where the one of ``days`` days up to ``today`` stands in this database."""
    try:
        demo = DemoState.load()
    except CommandFailed:
        return NEVER
    if demo.database != location_of(database_url):
        return f"it is in another database, {demo.database}"
    if demo.days != days:
        return f"it has {demo.days} days, not {days}"
    if demo.last_day != today.isoformat():
        return f"it ends on {demo.last_day}"
    if demo.code != code_digest():
        return "code, migrations or seeds have changed since"
    if not Path(demo.environment["METERING_TENANT_DIRECTORY"]).is_dir():
        return "its tenant directory is gone"
    return None if _is_built(database_url, today) else "its database is empty"


def _is_built(database_url: str, today: date) -> bool:
    """Return whether the last day of the demo is built there: the database may have been dropped and made again."""
    with psycopg.connect(database_url) as connection:
        known = connection.execute("select to_regclass('ops.source_days')").fetchone()
        if known is None or known[0] is None:
            return False
        found = connection.execute(
            "select 1 from ops.source_days where usage_date = %s and built_at is not null limit 1", [today]
        ).fetchone()
    return found is not None and Path(os.environ.get("DAGSTER_HOME") or folders.local_folder() / "dagster").is_dir()
