"""A small generated data set for the session, and HTTP clients that sign in as each provider wants."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest
import requests

from sandbox import Dataset, Sandbox, running

FIRST, LAST = date(2026, 9, 20), date(2026, 10, 31)
SETTLED = datetime(2026, 11, 10, tzinfo=UTC)  # everything of the data has come, changed and gone by then


@pytest.fixture(scope="session")
def generated() -> Dataset:
    return Dataset.generate(first=FIRST, last=LAST, scale=0.2)


@pytest.fixture(scope="session")
def shared(generated: Dataset) -> Iterator[Sandbox]:
    """One sandbox for the tests that only read."""
    with running(generated, now=SETTLED) as sandbox:
        yield sandbox


@pytest.fixture
def own(generated: Dataset) -> Iterator[Sandbox]:
    """A sandbox that a test may change."""
    with running(deepcopy(generated), now=SETTLED) as sandbox:
        yield sandbox


@dataclass
class Http:
    """Requests to one sandbox with the right credentials; answers as `requests.Response`."""

    sandbox: Sandbox

    def __post_init__(self) -> None:
        self.environment = self.sandbox.environment()
        self.account = self.environment["TWILIO_ACCOUNT_SID"]

    def twilio(self, path: str, **params: Any) -> requests.Response:
        if not path.startswith("/"):
            path = f"/2010-04-01/Accounts/{self.account}/{path}"
        auth = (self.account, self.environment["TWILIO_AUTH_TOKEN"])
        return requests.get(self.sandbox.url + path, params=params, auth=auth, timeout=10)

    def openai(self, path: str, **params: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.environment['OPENAI_ADMIN_KEY']}"}
        return requests.get(f"{self.environment['OPENAI_BASE_URL']}{path}", params=params, headers=headers, timeout=10)

    def sendgrid(self, path: str, headers: dict[str, str] | None = None, **params: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.environment['SENDGRID_API_KEY']}", **(headers or {})}
        return requests.get(self.sandbox.url + path, params=params, headers=headers, timeout=10)

    def all_of(self, path: str, key: str, **params: Any) -> list[dict[str, Any]]:
        """Every record of a Twilio list, by following next_page_uri."""
        answer = self.twilio(path, **params).json()
        records: list[dict[str, Any]] = answer[key]
        while answer["next_page_uri"]:
            answer = self.twilio(answer["next_page_uri"]).json()
            records += answer[key]
        return records


@pytest.fixture
def http(shared: Sandbox) -> Http:
    return Http(shared)


@pytest.fixture
def own_http(own: Sandbox) -> Http:
    return Http(own)
