"""The tenant directory: read, checked whole, and stored with its history in one transaction or not at all."""

from __future__ import annotations

from datetime import UTC, datetime

from ingestion.config import IngestSettings
from ingestion.directory.parse import parse
from ingestion.directory.read import read
from ingestion.directory.store import DirectoryResult, store
from usage_metering.pii import Hasher

__all__ = ["DirectoryResult", "load_directory"]


def load_directory(
    *, settings: IngestSettings, database_url: str, as_of: datetime, known_plans: set[str]
) -> DirectoryResult:
    """Replace `raw.tenants`, `raw.tenant_resources` and `raw.tenant_limits` by the directory as it is now.

    Raises:
        DirectoryError: the directory cannot be read or is wrong; nothing was stored.
        psycopg.Error: the database.
    """
    directory = parse(read(settings.tenant_directory), known_plans, Hasher(settings.pii_key.get_secret_value()))
    return store(database_url, directory, as_of.astimezone(UTC).date())
