"""Connection URLs: one canonical form in, the forms that drivers want out.

A URL here is a libpq URI. A unix socket is written as a percent-encoded folder in the host position
(``postgresql://postgres:-@%2Ftmp%2Fpg/metering``): that is the one form psycopg, SQLAlchemy, dlt, ADBC and
dbt's profile all take, and dlt insists on a password even where none is checked.
"""

from __future__ import annotations

import os
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from warehouse.errors import WarehouseConfigError

OWNER_VARIABLE = "METERING_DATABASE_URL"

ROLES = (
    "metering_loader",
    "metering_transformer",
    "metering_api",
    "metering_tracker",
    "metering_operator",
    "metering_analyst",
)


def check(url: str, variable: str = OWNER_VARIABLE) -> str:
    """Return ``url`` if it is a PostgreSQL URL with a database name; else raise, naming the variable, not the value.

    Raises:
        WarehouseConfigError: not a PostgreSQL URL, or without a database name.
    """
    try:
        parts = urlsplit(url.strip())
        hosts = parts.netloc.rpartition("@")[2].split(",")
        ports = [urlsplit(f"//{host}").port for host in hosts]
        port_ok = all(port is None or 0 < port < 65536 for port in ports)
    except ValueError:
        port_ok, parts = False, urlsplit("")
    if parts.scheme not in ("postgresql", "postgres") or not port_ok:
        raise WarehouseConfigError(
            f"{variable} is not a PostgreSQL URL: write postgresql://user:password@host:5432/database"
        )
    # libpq reads hosts in the query, too.
    also = [value for name, value in parse_qsl(parts.query) if name in ("host", "hostaddr")]
    if variable == OWNER_VARIABLE and any("," in value for value in [",".join(hosts), *also]):
        raise WarehouseConfigError(
            f"{variable} names several hosts: name the primary alone; METERING_API_DATABASE_URL may name replicas, too"
        )
    if len(parts.path) < 2:
        raise WarehouseConfigError(
            f"{variable} is without a database name: write postgresql://user:password@host:5432/database"
        )
    return urlunsplit(parts._replace(scheme="postgresql"))


def with_options(url: str, **settings: str) -> str:
    """Return ``url`` with ``-c name=value`` server settings added to its ``options`` parameter."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    options = " ".join(f"-c{name}={value}" for name, value in settings.items())
    query["options"] = f"{query['options']} {options}" if query.get("options") else options
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def as_role(url: str, role: str) -> str:
    """Return the owner's ``url`` so that every session starts as ``role`` (which the owner is a member of)."""
    return with_options(url, role=role)


def with_database(url: str, database: str) -> str:
    """Return ``url`` for another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path="/" + quote(database, safe="")))


def database_name(url: str) -> str:
    """Return the database's name, decoded."""
    return unquote(urlsplit(url).path[1:])


def sqlalchemy_url(url: str, driver: str) -> str:
    """Return ``url`` as SQLAlchemy reads it: with a driver (``psycopg2``), and a socket folder in the query, not the host."""
    parts = urlsplit(url)
    netloc, query = parts.netloc, parts.query
    userinfo, _, hostport = netloc.rpartition("@")
    host, _, port = hostport.partition(":")
    if unquote(host).startswith("/"):
        netloc = userinfo + "@" + (f":{port}" if port else "")
        query = "&".join(filter(None, (query, f"host={host}")))
    return urlunsplit(parts._replace(scheme=f"postgresql+{driver}", netloc=netloc, query=query))


def dagster_storage_url(url: str) -> str:
    """Return the URL under which Dagster keeps runs, events and schedules: schema ``dagster`` of the same database."""
    return sqlalchemy_url(with_options(url, search_path="dagster"), "psycopg2")


def role_url(role: str, owner_url: str, variable: str) -> str:
    """Return the URL for ``role``: its own variable where set, else derived from the owner's."""
    explicit = os.environ.get(variable)
    return check(explicit, variable) if explicit else as_role(owner_url, role)
