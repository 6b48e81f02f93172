"""The one way into the database: as the owner's URL says, in the loader's role."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg

ROLE_OPTION = "-crole=metering_loader"


def loader_url(url: str) -> str:
    """Return the owner's ``url`` with sessions that start as `metering_loader`, other options kept."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    query["options"] = f"{query.get('options', '')} {ROLE_OPTION}".strip()
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def connect(url: str) -> psycopg.Connection:
    """Connect as `metering_loader`; as a context manager, the connection is one transaction."""
    return psycopg.connect(loader_url(url))
