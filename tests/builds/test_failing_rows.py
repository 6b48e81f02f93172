"""What a failed test may show, and how."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import psycopg
import pytest

from builds.failing_rows import HIDDEN, Sample, read_sample, shown_row


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("tenant_id", "acme", "acme"),
        ("tenant_id", None, "null"),
        ("cost_usd", Decimal("0.007900000000000000"), "0.0079"),
        ("cost_usd", Decimal("1200"), "1200"),
        ("date", date(2026, 11, 2), "2026-11-02"),
        ("month", "2026-11", "2026-11"),
        ("sent_at", datetime(2026, 11, 2, 3, tzinfo=UTC), "2026-11-02 03:00:00+00:00"),
        ("sid", "SM0123456789abcdef0123456789abcdef", "SM0123456789abcdef0123456789abcdef"),
        ("from_number_hash", "1a2b:0123456789012345", "1a2b:0123456789012345"),
        ("unit_count", 14155550100, "14155550100"),
        ("from_number", "+14155550100", HIDDEN),
        ("phone", "client:anna", HIDDEN),
        ("resource_id", "+14155550100", HIDDEN),
        ("resource_id", "(415) 555-0100", HIDDEN),
        ("note", "call +14155550100 or anna@example.com", f"call {HIDDEN} or {HIDDEN}"),
        ("meta", {"to": "+14155550100"}, f"{{'to': '{HIDDEN}'}}"),
        ("name", "sk-proj-abcdefgh12345678", HIDDEN),
        ("name", "x" * 200, "x" * 119 + "…"),
    ],
)
def test_personal_data_and_secrets_are_hidden_and_figures_are_not(column: str, value: object, shown: str) -> None:
    assert shown_row([column], [value]) == (shown,)


def test_a_cell_cannot_break_the_table() -> None:
    sample = Sample(("na|me",), (("a|b\n<script>`",), ("",)), more=True)
    assert sample.markdown().splitlines() == [
        r"| na\|me |",
        "| --- |",
        r"| a\|b \<script\>\` |",
        "| '' |",
        "",
        "The first 2 rows; the query has them all.",
    ]


def test_a_wide_row_is_cut_and_says_so() -> None:
    names = tuple(f"c{number}" for number in range(18))
    lines = Sample(names, (names,), more=False).markdown().splitlines()
    assert {line.count("|") for line in lines[:3]} == {17}
    assert lines[-1] == "Columns not shown: c16, c17."


def test_a_sample_is_bounded_and_reads_only(database: str) -> None:
    sample = read_sample(database, "select n, 100 % n as rest from generate_series(1, 9) as n -- a last comment", 3)
    assert (sample.columns, len(sample.rows), sample.more) == (("n", "rest"), 3, True)
    assert not read_sample(database, "select 1 as one", 1).more
    with pytest.raises(psycopg.Error):
        read_sample(database, "delete from raw.tenants returning tenant_id", 3)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):  # the builder's rights, not the owner's
        read_sample(database, "select nextval(pg_get_serial_sequence('raw.rejected_records', 'id'))", 3)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "create function public.writes() returns int language sql as 'create table staging.t (a int); select 1'"
        )
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        read_sample(database, "select public.writes()", 3)
