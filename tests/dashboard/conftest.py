"""Fixtures of the pages' tests: the applications and the hand-made marts of `tests.api`, and people who sign in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient

from api.auth.tokens import mint
from tests.api.conftest import (
    SECRET,
    AppStarter,
    acme,
    bolt,
    client,
    own_database,
    root,
    seed,
    seeded,
    seeded_template,
    session_client,
    start_app,
)

__all__ = ["acme", "bolt", "client", "own_database", "root", "seeded", "seeded_template", "session_client", "start_app"]

ORIGIN = "http://testserver"
WORLD = Path(__file__).parent / "world.sql"

Browser = Callable[..., TestClient]


def populate(url: str) -> None:
    """Fill a migrated database with the small world of tests/api and the lively tenants of the pages."""
    seed(url)
    with psycopg.connect(url) as connection:
        connection.execute("set local role metering_transformer")
        connection.execute(WORLD.read_bytes())


def sign_in(client: TestClient, role: str, tenant_id: str | None = None) -> TestClient:
    """Sign somebody in with a pasted token; the client then follows no redirect by itself."""
    client.cookies.clear()
    client.follow_redirects = False
    token = mint(role, tenant_id, timedelta(hours=1), SECRET)
    answer = client.post("/sign-in", data={"token": token}, headers={"Origin": ORIGIN})
    assert answer.status_code == 303, answer.text
    return client


@pytest.fixture
def anonymous(client: TestClient) -> Iterator[TestClient]:
    """A browser on the seeded database, nobody signed in."""
    yield from _fresh(client)


def _fresh(client: TestClient) -> Iterator[TestClient]:
    client.cookies.clear()
    client.follow_redirects = False
    yield client
    client.cookies.clear()
    client.follow_redirects = True


@pytest.fixture
def as_acme(client: TestClient) -> Iterator[TestClient]:
    """A browser in which acme's admin is signed in."""
    for fresh in _fresh(client):
        yield sign_in(fresh, "tenant_admin", "acme")


@pytest.fixture
def as_root(client: TestClient) -> Iterator[TestClient]:
    """A browser in which the owner is signed in."""
    for fresh in _fresh(client):
        yield sign_in(fresh, "root_admin")


@contextmanager
def signed_in_app(
    start_app: AppStarter, url: str, role: str, tenant_id: str | None = None, **variables: str
) -> Iterator[TestClient]:
    """Start an application on a database of the test's own, with somebody signed in."""
    with start_app(url, **variables) as client:
        yield sign_in(client, role, tenant_id)


class Page(HTMLParser):
    """A page, read for what tests ask of it.

    `fields`: what carries ``data-field``, as (text, value) by field; value is the exact figure where the page has one.
    `links`: every href; `text`: all visible text with single spaces.
    """

    _INLINE = frozenset({"a", "b", "code", "data", "small", "span", "strong", "time"})
    _EMPTY = frozenset({"br", "hr", "img", "input", "link", "meta", "path", "rect", "circle"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.fields: dict[str, tuple[str, str | None]] = {}
        self.links: list[str] = []
        self.inputs: dict[str, str] = {}
        self._open: list[tuple[str, str | None]] = []
        self._texts: list[str] = []
        self._parts: dict[str, list[str]] = {}
        self._values: dict[str, str | None] = {}
        self.feed(html)
        self.text = " ".join("".join(self._texts).split())
        self.fields = {
            name: (" ".join("".join(parts).split()), self._values[name]) for name, parts in self._parts.items()
        }

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._texts.append("" if tag in self._INLINE else " ")
        if found.get("href"):
            self.links.append(found["href"] or "")
        if tag == "input" and found.get("name"):
            self.inputs[found["name"] or ""] = found.get("value") or ""
        field = found.get("data-field")
        if field:
            assert field not in self._parts, f"two elements have data-field={field!r}"
            self._parts[field] = []
            self._values[field] = found.get("value") or found.get("data-value") or found.get("datetime")
        if tag not in self._EMPTY:
            self._open.append((tag, field))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # The shape of an icon, say: it closes itself and nothing around it.
        self.handle_starttag(tag, attrs)
        if tag not in self._EMPTY:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        self._texts.append("" if tag in self._INLINE else " ")
        while self._open:
            closed, _ = self._open.pop()
            if closed == tag:
                break

    def handle_data(self, data: str) -> None:
        tags = {tag for tag, _ in self._open}
        if tags & {"script", "style", "title", "desc"}:
            return
        self._texts.append(data)
        for _, field in self._open:
            if field:
                self._parts[field].append(data)
