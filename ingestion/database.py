"""The one way into the database: as the owner's URL says, in the loader's role."""

from __future__ import annotations

import os
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg

ROLE_OPTION = "-crole=metering_loader"
# On Citus as the owner, as whom functions note what a swap has changed: workers show one role nothing of what another has written in the same
# transaction. What a load stages is the coordinator's alone: a schema of the workers' could not be dropped in a swap's transaction.
SPREAD_OPTION = "-ccitus.enable_ddl_propagation=off"


def loader_url(url: str) -> str:
    """Return the owner's ``url`` with sessions that start as `metering_loader`, other options kept."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    query["options"] = f"{query.get('options', '')} {SPREAD_OPTION if is_spread() else ROLE_OPTION}".strip()
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def connect(url: str) -> psycopg.Connection:
    """Connect as `metering_loader`; as a context manager, the connection is one transaction."""
    return psycopg.connect(loader_url(url))


def is_spread() -> bool:
    """Return whether records are spread over the workers of a Citus cluster (`METERING_DISTRIBUTION`, warehouse/distribution.py)."""
    return os.environ.get("METERING_DISTRIBUTION", "").strip() == "citus"
