"""The rows that a failed dbt test found, as a small table for its check: pure, but for one bounded query.

What leaves the database here is stored in the event log and shown to everybody who may open the UI. So numbers of people,
addresses and keys do not: a column named for one is hidden whole, and any text that looks like one is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from usage_metering.pii import NOT_A_PHONE, PHONE, sub_inside

ROLE = "metering_transformer"
SECONDS = 10
LONGEST = 120
WIDEST = 16
HIDDEN = "(hidden)"
# Hashes and ids of numbers are what we join by; they say nothing of anybody.
HIDDEN_COLUMN = re.compile(
    r"(^|_)(from|to|caller|called|phone|number|email|mail|secret|token|password)(_number|_address)?$"
)
SECRET = re.compile(r"\b(?:sk|SG|rk|pk|whsec)[-_.][A-Za-z0-9_.-]{8,}")


@dataclass(frozen=True)
class Sample:
    """The first rows of a failed test, as they may be shown; ``more`` where there are others."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: bool

    def markdown(self) -> str:
        """Return a Markdown table of the first columns, and what it leaves out."""
        columns = self.columns[:WIDEST]
        lines = [_line(columns), _line(["---"] * len(columns)), *(_line(row[:WIDEST]) for row in self.rows)]
        if self.more:
            lines += ["", f"The first {len(self.rows)} rows; the query has them all."]
        if hidden := self.columns[WIDEST:]:
            lines += ["", f"Columns not shown: {', '.join(_cell(column) for column in hidden)}."]
        return "\n".join(lines)


def read_sample(database_url: str, query: str, limit: int) -> Sample:
    """Run a test's query again and return at most ``limit`` of its rows. It may read, and for ten seconds.

    Raises:
        psycopg.Error: it does not run, or not in time.
    """
    with psycopg.connect(database_url) as connection:
        connection.execute("set transaction read only")
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(ROLE)))
        connection.execute(f"set local statement_timeout = '{SECONDS}s'".encode())
        # The query ends on a line of its own: a test may end with a comment.
        cursor = connection.execute(f"select * from (\n{query}\n) as failing limit {int(limit) + 1}".encode())
        columns = tuple(column.name for column in cursor.description or ())
        rows = cursor.fetchall()
    return Sample(columns, tuple(shown_row(columns, row) for row in rows[:limit]), more=len(rows) > limit)


def shown_row(columns: Sequence[str], row: Sequence[Any]) -> tuple[str, ...]:
    """Return a row's values as they may be shown."""
    return tuple(_shown(column, value) for column, value in zip(columns, row, strict=True))


def _shown(column: str, value: Any) -> str:
    if value is None:
        return "null"
    if HIDDEN_COLUMN.search(column.lower()) and isinstance(value, str):
        return HIDDEN
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value.is_finite() else str(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    text = _without_secrets(str(value)) if isinstance(value, (str, dict, list)) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _without_secrets(text: str) -> str:
    bare = text.strip()
    if (
        sum(character.isdigit() for character in bare) >= 7
        and PHONE.fullmatch(bare)
        and not NOT_A_PHONE.fullmatch(bare)
    ):
        return HIDDEN
    return SECRET.sub(HIDDEN, sub_inside(text, lambda _: HIDDEN))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    """Return ``text`` as Markdown that renders as itself, on one line."""
    if text == "---":
        return text
    return re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", " ".join(text.split())) or "''"
