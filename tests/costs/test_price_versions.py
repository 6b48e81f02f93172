"""Versions of the price book: the same in Python as in PostgreSQL, and which prices differ on which days."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import psycopg
import pytest

from costs.rules.price_versions import PriceRow, altered_prices, price_changes, read_rows, version_of
from tests.dbt.conftest import AS_OF, window
from tests.dbt.price_book import FIELDS, PriceBook, build_models

FIRST, LAST = date(2026, 10, 1), date(2026, 10, 31)
ODD = (
    'twilio_sms,outbound,,,unit,0.00830,1,2024-01-01,,"a ""quoted"", source"\n'
    "twilio_sms,inbound,null,NULL,unit,1e-3,1.0,,2026-01-01,Ünï — ☎\n"
    "openai,chat_completion,gpt-4.1,  ,input,2,1000000,2024-01-01,, spaces kept \n"
    "openai,chat_completion,4,pro,input,000.100,1000,2024-01-01,2030-12-31,tab\there\n"
    "openai,,back\\slash/,pro,output,0.0000000000000000015,1,,,\n"
    "sendgrid,send,,,unit,0,1,,,\n"
)


def row(price: str, begin: str = "", end: str = "", operation: str = "outbound", source: str = "") -> PriceRow:
    return PriceRow("twilio_sms", operation, "", "", "unit", price, "1", begin, end, source)


def test_python_and_postgresql_give_a_book_the_same_rows_and_version(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERING_DATABASE_URL", database)
    book = PriceBook(tmp_path, monkeypatch)
    book.path.write_text(book.path.read_text() + ODD)
    rows = read_rows(book.path.read_text())
    build_models(window("2026-03-01", "2026-03-01"), as_of=AS_OF, select="price_book")
    with psycopg.connect(database) as connection:
        connection.execute("set datestyle = 'German'")
        kept = connection.execute("select ops.keep_price_book('staging.price_book')").fetchone()
        assert kept == (version_of(rows),)
        assert connection.execute("select ops.keep_price_book('staging.price_book')").fetchone() == kept
        found = connection.execute(f"select {', '.join(FIELDS)} from ops.price_book_rows".encode()).fetchall()
    assert {PriceRow(*cells) for cells in found} == set(rows)
    assert len(found) == len(rows)
    assert rows[-1][5:9] == ("0", "1", "", "")
    assert rows[-2].unit_price_usd == "0.000000000000000002"


def test_the_order_of_the_rows_makes_no_other_version_and_any_cell_does() -> None:
    rows = [row("1"), row("2", operation="inbound")]
    assert version_of(rows) == version_of(reversed(rows))
    for name in PriceRow._fields:
        assert version_of([rows[0]._replace(**{name: "x"}), rows[1]]) != version_of(rows)
    assert version_of([]) != version_of(rows)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"{','.join(FIELDS)}\na,b,,,unit,cheap,1,,,\n", "line 2"),
        (f"{','.join(FIELDS)}\na,b,,,unit,1,1,,,\na,b,,,unit,1,,,,\n", "line 3"),
        ("service,operation\na,b\n", "line 2: KeyError"),
    ],
)
def test_what_is_no_price_is_named_by_its_line(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named) as error:
        read_rows(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("before", "now", "changes"),
    [
        # The same in other words: another source, a row cut in two, an end after the range.
        ([row("1")], [row("1", source="read again")], []),
        ([row("1")], [row("1", "", "2026-10-15"), row("1", "2026-10-15", "")], []),
        ([row("1")], [row("1", "2020-01-01", "2026-11-01")], []),
        # Another price from a day on; a price that came; one that went; a hole.
        ([row("1")], [row("1", "", "2026-10-30"), row("2", "2026-10-30", "")], [(30, 31)]),
        ([], [row("1", "2026-10-05", "2026-10-07")], [(5, 6)]),
        ([row("1", "", "2026-10-03")], [], [(1, 2)]),
        ([row("1")], [row("1", "", "2026-10-05"), row("1", "2026-10-07", "2026-10-20")], [(5, 6), (20, 31)]),
    ],
)
def test_which_prices_differ_on_which_days(
    before: list[PriceRow], now: list[PriceRow], changes: list[tuple[int, int]]
) -> None:
    found = price_changes(before, now, FIRST, LAST)
    assert [(change.first.day, change.last.day) for change in found] == changes
    assert {change[:5] for change in found} <= {("twilio_sms", "outbound", "", "", "unit")}
    assert bool(altered_prices(before, now, FIRST, LAST)) == (bool(changes) and bool(before))


def test_an_altered_price_is_named_with_both_figures_and_a_new_one_is_not() -> None:
    before = [row("0.0083")]
    now = [row("0.0083", "", "2026-10-10"), row("0.0090", "2026-10-10"), row("5", operation="inbound")]
    assert altered_prices(before, now, FIRST, LAST) == [
        "twilio_sms outbound unit was 0.0083 per 1 on 2026-10-10 and is 0.0090 per 1 now"
    ]
    assert altered_prices(before, [], FIRST, LAST) == [
        "twilio_sms outbound unit was 0.0083 per 1 on 2026-10-01 and is none now"
    ]
