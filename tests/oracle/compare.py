"""Holds a real database's marts against the oracle's answer, exact to the digit."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import psycopg
from psycopg import sql

from tests.oracle.marts import COLUMNS, GRAIN, Expected, Key, Row, month_of, months, next_month
from tests.oracle.records import EXACT

# The shares of a divided cost sum exactly, but each one's last digit hangs on the order of the division,
# which no contract gives: only shares may differ, by less than this (USD or cents); their sum by day is
# compared exactly.
SHARE_TOLERANCE = Decimal("1e-14")
BILLED = ("billed_cost_usd", "billed_cost_cents")

Window = tuple[date, date]


def compare(
    conn_url: str, expected: Expected, window: Window | None = None, *, marts: tuple[str, ...] = tuple(GRAIN)
) -> list[str]:
    """Readable differences between the database's marts and the expected ones; empty when they are equal.

    `window` (first, last: both included) looks only at its days, and at its months from the first to the last
    + 1; without it every row of every mart must be expected. `marts` chooses among those of GRAIN.
    updated_at, id and meta are ignored.
    """
    differences: list[str] = []
    with psycopg.connect(conn_url) as connection:
        for mart in marts:
            actual = _read(connection, mart)
            wanted = expected.marts[mart]
            keys = sorted((k for k in actual.keys() | wanted.keys() if _inside(mart, k, window)), key=str)
            for key in keys:
                name = f"{mart} {_named(mart, key)}"
                if key not in actual:
                    differences.append(f"{name}: missing; expected {_shown(wanted[key])}")
                elif key not in wanted:
                    differences.append(f"{name}: not expected; found {_shown(actual[key])}")
                else:
                    for column in COLUMNS[mart]:
                        want, found = wanted[key][column], actual[key][column]
                        loose = column in BILLED and (mart, key) in expected.spread
                        if not _equal(want, found, loose):
                            differences.append(f"{name}: {column} expected {_text(want)}, found {_text(found)}")
            if mart == "usage_daily":
                differences += _billed_days(actual, expected, window)
    return differences


def _read(connection: psycopg.Connection, mart: str) -> dict[Key, Row]:
    grain, columns = GRAIN[mart], COLUMNS[mart]
    query = sql.SQL("select {} from {}").format(
        sql.SQL(", ").join(map(sql.Identifier, (*grain, *columns))), sql.Identifier("marts", mart)
    )
    return {
        tuple(row[: len(grain)]): dict(zip(columns, row[len(grain) :], strict=True))
        for row in connection.execute(query)
    }


def _inside(mart: str, key: Key, window: Window | None) -> bool:
    if window is None:
        return True
    at = dict(zip(GRAIN[mart], key, strict=True))
    if isinstance(day := at.get("date"), date):
        return window[0] <= day <= window[1]
    if "month" in at:
        return at["month"] in list(months(month_of(window[0]), next_month(month_of(window[1]))))
    return True


def _billed_days(actual: dict[Key, Row], expected: Expected, window: Window | None) -> list[str]:
    found: dict[date, Decimal] = {}
    partial: set[date] = set()
    for key, row in actual.items():
        if key[3] != "openai" or not isinstance(key[1], date):
            continue
        if isinstance(row["billed_cost_usd"], Decimal):
            found[key[1]] = EXACT.add(found.get(key[1], Decimal(0)), row["billed_cost_usd"])
        else:
            # A cost shared with a cell that is not known yet is cut in two, and where it is rounded is nobody's rule.
            partial.add(key[1])
    return [
        f"usage_daily: OpenAI's billed total of {day} expected {_text(want)}, found {_text(found.get(day))}"
        for day, want in sorted(expected.billed_by_day.items())
        if _inside("usage_daily", ("", day, *[""] * 8), window)
        and not _equal(want, found.get(day), loose=day in partial)
    ]


def _equal(want: object, found: object, loose: bool) -> bool:
    if isinstance(want, bool) or not isinstance(want, int | Decimal) or not isinstance(found, int | Decimal):
        return want == found
    if loose:
        return abs(EXACT.subtract(Decimal(want), Decimal(found))) < SHARE_TOLERANCE
    return Decimal(want) == Decimal(found)


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return "null" if value is None else repr(value) if isinstance(value, str) else str(value)


def _named(mart: str, key: Key) -> str:
    return " ".join(f"{n}={k}" for n, k in zip(GRAIN[mart], key, strict=True) if k != "")


def _shown(row: Row) -> str:
    return ", ".join(f"{k}={_text(v)}" for k, v in row.items() if v not in (None, 0))
