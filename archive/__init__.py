"""Closed months in files: `metering archive` moves a month's records from `raw` to Parquet, `metering restore` brings them back.

Marts, ledgers and explanations stay in the database. Who asks whether a month is archived asks `ingestion.archived`.
"""

from __future__ import annotations

from archive.month import Archived, archive_month, months_due
from archive.restore import Restored, lost_manifests, restore_month, waiting_months
from archive.settings import archive_store, retention_months
from archive.store import ArchiveError

__all__ = [
    "ArchiveError",
    "Archived",
    "Restored",
    "archive_month",
    "archive_store",
    "lost_manifests",
    "months_due",
    "restore_month",
    "retention_months",
    "waiting_months",
]
