"""How providers say that a list goes on, and that it has ended: one rule each, read strictly.

A rule takes a page's body and returns where the next page is: a link, the parameters that ask for it, or None where the body
says that it was the last. It raises ValueError, saying what is wrong, where the body says neither: such a list is not answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Rule = Callable[[Any], str | dict[str, Any] | None]

LONGEST_CURSOR = 4096


def single(_body: Any) -> None:
    """The list is one page."""


def link(field: str) -> Rule:
    """Each page holds the address of the next in ``field``, null on the last."""

    def rule(body: Any) -> str | None:
        if not isinstance(body, dict) or field not in body:
            raise ValueError(f"a page does not say in `{field}` whether another follows")
        return None if body[field] in (None, "") else _cursor(body[field], field)

    return rule


def cursor(parameter: str, of_body: Callable[[dict[str, Any]], Any]) -> Rule:
    """Each page says in ``has_more`` whether another follows; ``of_body`` returns what ``parameter`` asks for it with."""

    def rule(body: Any) -> dict[str, Any] | None:
        more = body.get("has_more") if isinstance(body, dict) else None
        if not isinstance(more, bool):
            raise ValueError("a page does not say in `has_more` whether another follows")
        return {parameter: _cursor(of_body(body), parameter)} if more else None

    return rule


def token(field: str, parameter: str) -> Rule:
    """Each page holds in ``field`` what ``parameter`` asks for the next with, null on the last."""
    address = link(field)

    def rule(body: Any) -> dict[str, Any] | None:
        following = address(body)
        return None if following is None else {parameter: following}

    return rule


def last_id(body: dict[str, Any]) -> Any:
    """Return the id of the last record of a page's ``data``, which Stripe goes on after."""
    data = body.get("data")
    last = data[-1] if isinstance(data, list) and data else None
    return last.get("id") if isinstance(last, dict) else None


def next_page(body: dict[str, Any]) -> Any:
    """Return what a page says to ask for the next with, as OpenAI does."""
    return body.get("next_page")


def _cursor(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value or len(value) > LONGEST_CURSOR or not value.isprintable():
        raise ValueError(f"a page has a next one, but its `{name}` is not usable text")
    return value
