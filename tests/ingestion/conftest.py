"""Providers to read from: the sandbox, with little data."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import pytest

from sandbox import Dataset, running
from tests.ingestion.ingesting import AS_OF, FIRST, LAST, Ingest


@pytest.fixture(scope="session")
def small() -> Dataset:
    """A few hundred records over five days; the directory's resources are not loaded unless a test does."""
    return Dataset.generate(first=FIRST, last=LAST, scale=0.1)


@pytest.fixture
def ingest(small: Dataset, database: str) -> Iterator[Ingest]:
    """A sandbox of one's own, and an empty database."""
    with running(deepcopy(small), now=AS_OF) as sandbox:
        yield Ingest(sandbox, database)
