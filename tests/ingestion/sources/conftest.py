"""What a source makes of its provider's answers is staged without dlt, but where a stored row is looked at column by column."""

from __future__ import annotations

import pytest


@pytest.fixture
def by_dlt() -> None:
    """For tests of what a stored row says in each of its columns: they load as a run does."""


@pytest.fixture(autouse=True)
def _stage(request: pytest.FixtureRequest) -> None:
    if "by_dlt" not in request.fixturenames:
        request.getfixturevalue("without_dlt")
