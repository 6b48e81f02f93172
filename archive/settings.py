"""What the environment says of the archive: where it is, and when a month's records leave the database."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pyarrow
from pyarrow import fs

from archive.store import Store
from usage_metering.failures import ConfigError

URL = "METERING_ARCHIVE_URL"
RETENTION = "METERING_RAW_RETENTION_MONTHS"
MOST_MONTHS = 1_200


def retention_months(environ: Mapping[str, str] = os.environ) -> int | None:
    """Return how many months before the current one stay in `raw`; None: all of them.

    Raises:
        ConfigError: no whole number of 1 to 1200.
    """
    text = environ.get(RETENTION, "").strip()
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= MOST_MONTHS:
        raise ConfigError(f"{RETENTION} must be a whole number of months from 1 to {MOST_MONTHS}, or empty: keep all")
    return int(text)


def archive_store(environ: Mapping[str, str] = os.environ) -> Store:
    """Return the store that METERING_ARCHIVE_URL names: a folder, or what pyarrow's file systems know by a URL.

    Raises:
        ConfigError: it is not set, or not such a URL, which is not shown: it may hold a key.
    """
    url = environ.get(URL, "").strip()
    if not url:
        raise ConfigError(f"{URL} is not set: name a folder, or s3://bucket/prefix")
    try:
        if "://" not in url:
            return Store(fs.LocalFileSystem(), str(Path(url).expanduser().resolve()))
        filesystem, path = fs.FileSystem.from_uri(url)
    except (ValueError, OSError, NotImplementedError, pyarrow.ArrowException):
        raise ConfigError(f"{URL} must be a folder, or a URL such as s3://bucket/prefix?region=eu-central-1") from None
    return Store(filesystem, path)
