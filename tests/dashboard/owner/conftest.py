"""What the owner's pages are tested on: the small world, and a crowd of a thousand tenants; a page's figures against a route's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from api.dashboard import formats
from tests.api.conftest import AppStarter, clone, seed
from tests.dashboard.conftest import Page, sign_in

CROWD = Path(__file__).parent / "crowd.sql"


@pytest.fixture(scope="session")
def crowded(server: str, template: str) -> Iterator[str]:
    """URL of a database with a thousand tenants over twelve months, as its owner. Read it only."""
    with clone(server, template) as url:
        seed(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(CROWD.read_bytes())
            connection.execute("analyze")
        yield url


@pytest.fixture(scope="session")
def crowded_app(crowded: str, start_app: AppStarter) -> Iterator[TestClient]:
    with start_app(crowded) as client:
        yield sign_in(client, "root_admin")


def page_of(browser: TestClient, path: str, **parameters: Any) -> Page:
    """Return a page that must be there."""
    # Without parameters, those of a link that is followed stay.
    answer = browser.get(path, params=parameters or None)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Page(answer.text)


def json_of(browser: TestClient, headers: dict[str, str], path: str, **parameters: Any) -> dict[str, Any]:
    answer = browser.get(path, params=parameters, headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def _found(body: Any, path: str) -> Any:
    for step in path.split("."):
        # A state that no row has is not in the totals by state.
        body = body[int(step)] if isinstance(body, list) else body.get(step, 0)
    return body


def _written(name: str, value: Any) -> str:
    if name.endswith("Cents"):
        return formats.cents(value)
    if name in ("costChangePercent", "changePercent"):
        return formats.change(value)
    if "percent" in name.lower():
        return formats.percent(value)
    return formats.number(value) if isinstance(value, int | float) or value is None else str(value)


def check_figures(
    page: Page, body: dict[str, Any], *, only: str = "", besides: str | tuple[str, ...] = "\0"
) -> set[str]:
    """Hold every figure of a page that is marked with a field against the body of a JSON route; return the fields.

    Args:
        only: check the fields that begin so, which the page has in front of the body's path.
        besides: leave fields that begin so to another body.
    """
    seen = set()
    for field, (text, value) in page.fields.items():
        if not field.startswith(only) or field.startswith(besides):
            continue
        path = field.removeprefix(only)
        wanted = _found(body, path)
        name = path.rsplit(".", 1)[-1]
        if value and name.endswith("Cents"):
            assert value == _found(body, path.removesuffix("Cents") + "Usd"), field
        elif value:
            same = value == str(wanted)
            assert same or datetime.fromisoformat(value) == datetime.fromisoformat(wanted), field
            seen.add(path)
            continue
        assert text == _written(name, wanted), field
        seen.add(path)
    assert seen, "no figure of the page is marked"
    return seen


@contextmanager
def as_owner(start_app: AppStarter, url: str, **variables: str) -> Iterator[TestClient]:
    """Start an application with the owner signed in."""
    with start_app(url, **variables) as client:
        yield sign_in(client, "root_admin")
