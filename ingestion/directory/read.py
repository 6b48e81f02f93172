"""The directory as text: from a folder of CSV files, or from a database with tables of the same names."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from ingestion.failures import DirectoryError

COLUMNS: dict[str, tuple[str, ...]] = {
    "tenants": ("tenant_id", "name", "plan", "status", "usage_hard_stop_enabled"),
    "tenant_resources": ("tenant_id", "provider", "resource_type", "resource_id", "valid_from", "valid_to"),
    "tenant_limits": ("tenant_id", "channel", "metric", "monthly_cap", "warning_threshold_pct"),
}
OPTIONAL_COLUMNS: dict[str, tuple[str, ...]] = {"tenants": ("valid_from", "valid_to", "webhook_url")}
OPTIONAL_TABLES = frozenset({"tenant_limits"})


@dataclass(frozen=True)
class Row:
    """One row as text, stripped, and its place (``tenants.csv row 3``; a file's header is row 1)."""

    location: str
    values: dict[str, str]


Tables = dict[str, list[Row]]


def read(directory: str) -> Tables:
    """Return the rows of each table from a folder, or from a database where ``directory`` is a URL.

    Raises:
        DirectoryError: names the file, table or column that is missing or cannot be read; never a credential.
    """
    if "://" in directory:
        return _read_database(directory)
    folder = Path(directory.strip()).expanduser()
    if not folder.is_dir():
        raise DirectoryError(
            f"{folder} is not a folder: METERING_TENANT_DIRECTORY names one with tenants.csv, or a database URL"
        )
    return {table: _read_file(folder / f"{table}.csv", table) for table in COLUMNS}


def _read_file(path: Path, table: str) -> list[Row]:
    if not path.exists() and table in OPTIONAL_TABLES:
        return []
    try:
        # The signature at the start is what spreadsheets write.
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return _rows(path.name, table, enumerate(csv.reader(lines, strict=True), 1))
    except FileNotFoundError:
        raise DirectoryError(f"{path.name} is missing from {path.parent}") from None
    except OSError as error:
        raise DirectoryError(f"{path.name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DirectoryError(f"{path.name} is not UTF-8: save it as UTF-8") from None
    except csv.Error as error:
        raise DirectoryError(f"{path.name} is not CSV: {error}") from None


def _rows(source: str, table: str, records: Iterable[tuple[int, Sequence[str]]]) -> list[Row]:
    """Return the rows under a header; the first record that is not blank is the header."""
    header: list[str] | None = None
    rows = []
    for number, record in records:
        cells = [cell.strip() for cell in record]
        if not any(cells):
            continue
        location = f"{source} row {number}"
        if any("\x00" in cell for cell in cells):
            raise DirectoryError(f"{location}: holds a NUL character")
        if header is None:
            header = [cell.lower() for cell in cells]
            _check_header(source, table, header)
            continue
        if any(cells[len(header) :]):
            raise DirectoryError(
                f"{location}: {len(cells)} cells under {len(header)} columns (quote a value with a comma)"
            )
        cells += [""] * (len(header) - len(cells))
        cell_of = dict(zip(header, cells, strict=False))
        columns = (*COLUMNS[table], *OPTIONAL_COLUMNS.get(table, ()))
        rows.append(Row(location, {column: cell_of.get(column, "") for column in columns}))
    if header is None:
        raise DirectoryError(f"{source} is empty: it starts with the columns {', '.join(COLUMNS[table])}")
    return rows


def _check_header(source: str, table: str, header: list[str]) -> None:
    missing = [column for column in COLUMNS[table] if column not in header]
    if missing:
        raise DirectoryError(f"{source} has no column {', '.join(missing)}")
    known = (*COLUMNS[table], *OPTIONAL_COLUMNS.get(table, ()))
    twice = [column for column in known if header.count(column) > 1]
    if twice:
        raise DirectoryError(f"{source} has the column {', '.join(twice)} twice")


def _read_database(directory: str) -> Tables:
    try:
        url = _database_url(directory.strip())
        engine = sa.create_engine(url, poolclass=NullPool)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError, TypeError) as error:
        scheme = directory.strip().split("://")[0]
        why = f"install its driver {error.name}" if isinstance(error, ModuleNotFoundError) else "write a SQLAlchemy URL"
        raise DirectoryError(f"METERING_TENANT_DIRECTORY is a {scheme}:// URL that cannot be used: {why}") from None
    try:
        with closing(engine.connect()) as connection:
            if engine.dialect.name in ("postgresql", "mysql", "mariadb"):
                # The three tables as of one moment.
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            return {table: _read_table(connection, table) for table in COLUMNS}
    except SQLAlchemyError as error:
        name = f"{url.get_backend_name()}://{url.host or ''}/{url.database or ''}"
        raise DirectoryError(f"the tenant directory's database {name} cannot be read: {_reason(error, url)}") from None
    finally:
        engine.dispose()


def _database_url(text: str) -> sa.URL:
    """Return the URL as SQLAlchemy takes it, with libpq's spellings of PostgreSQL and of a socket."""
    url = sa.make_url(f"postgresql://{text[11:]}" if text.startswith("postgres://") else text)
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.host and url.host.lower().startswith("%2f"):
        folder = url.host.replace("%2F", "/").replace("%2f", "/")
        url = url.set(host=None).update_query_dict({"host": folder})
    return url


def _reason(error: SQLAlchemyError, url: sa.URL) -> str:
    """Return the driver's first line, unless it repeats who we are."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    first = lines[0] if lines else ""
    values = [value for part in url.query.values() for value in ([part] if isinstance(part, str) else part)]
    secrets = [str(secret) for secret in (url.username, url.password, *values) if secret]
    if not first or any(secret in first for secret in secrets):
        return "it refused the connection, or did not answer; check METERING_TENANT_DIRECTORY"
    return first


def _read_table(connection: sa.Connection, table: str) -> list[Row]:
    if not sa.inspect(connection).has_table(table):
        if table in OPTIONAL_TABLES:
            return []
        raise DirectoryError(f"the tenant directory's database has no table {table}")
    result = connection.execute(sa.select(sa.text("*")).select_from(sa.table(table)))
    header = [str(key) for key in result.keys()]  # noqa: SIM118
    # An order of our own, so that an error names the same row each time.
    records = sorted([_text(value) for value in record] for record in result)
    return _rows(table, table, enumerate([header, *records]))


def _text(value: object) -> str:
    """Return a column's value as a CSV file would hold it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC)
        return moment.date().isoformat() if moment.time() == time() else moment.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
