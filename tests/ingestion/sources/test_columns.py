"""Values become exact, typed columns, or their record is set aside; the rest of the batch is not touched."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from ingestion.sources.columns import (
    INT32,
    MalformedRecord,
    Record,
    convert,
    decimals,
    integers,
    text,
    timestamps,
)

D = Decimal


def one(array: pa.Array) -> Any:
    (value,) = array.to_pylist()
    return value


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, None),
        ("", None),
        ("-0.00750", D("-0.0075")),
        (D("3.75e-8"), D("0.0000000375")),
        ("3.75E-8", D("0.0000000375")),
        (7, D(7)),
        ("0.8958740000000000", D("0.895874")),
        (D("0.123456789012345678"), D("0.123456789012345678")),
        (D("0.30000000000000004"), D("0.30000000000000004")),
        ("0.1234567890123456785", D("0.123456789012345679")),
        ("-0.1234567890123456785", D("-0.123456789012345679")),
        ("1e-19", D(0)),
        ("12345678901234567890.5", D("12345678901234567890.5")),
    ],
)
def test_decimals_are_exact(value: object, wanted: Decimal | None) -> None:
    array = decimals([{"price": value}], "price")
    assert array.type == pa.decimal128(38, 18)
    assert one(array) == wanted


@pytest.mark.parametrize("value", ["free", "NaN", "Infinity", "1e21", True, {"value": 1}, "1,5", "0x10", "1_000"])
def test_what_is_no_number_is_malformed(value: object) -> None:
    with pytest.raises(MalformedRecord, match=r"^price: "):
        decimals([{"price": value}], "price")


@pytest.mark.parametrize(
    ("value", "wanted"), [(None, None), ("", None), ("3", 3), (3, 3), ("0", 0), (2**63 - 1, 2**63 - 1)]
)
def test_integers(value: object, wanted: int | None) -> None:
    assert one(integers([{"n": value}], "n")) == wanted


@pytest.mark.parametrize("value", ["three", "1.5", D("1.5"), True, -1, "-1", 2**63, [1]])
def test_what_is_no_whole_number_is_malformed(value: object) -> None:
    with pytest.raises(MalformedRecord, match=r"^n: "):
        integers([{"n": value}], "n")


def test_a_number_too_large_for_its_column_is_malformed() -> None:
    assert one(integers([{"n": INT32}], "n", largest=INT32)) == INT32
    with pytest.raises(MalformedRecord, match=r"^n: above"):
        integers([{"n": INT32 + 1}], "n", largest=INT32)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, None),
        ("", None),
        ("Thu, 19 Nov 2026 08:00:01 +0000", datetime(2026, 11, 19, 8, 0, 1, tzinfo=UTC)),
        ("Sun, 29 Feb 2032 23:59:59 +0000", datetime(2032, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("Thu, 19 Nov 2026 23:30:00 -0500", datetime(2026, 11, 20, 4, 30, tzinfo=UTC)),
        ("Thu, 19 Nov 2026 08:00:01 GMT", datetime(2026, 11, 19, 8, 0, 1, tzinfo=UTC)),
        ("Thu, 5 Nov 2026 08:00:01 +0000", datetime(2026, 11, 5, 8, 0, 1, tzinfo=UTC)),
        ("2026-11-19T08:00:01Z", datetime(2026, 11, 19, 8, 0, 1, tzinfo=UTC)),
        ("2026-11-19T08:00:01.250+01:00", datetime(2026, 11, 19, 7, 0, 1, 250000, tzinfo=UTC)),
        ("2026-11-19 08:00:01", datetime(2026, 11, 19, 8, 0, 1, tzinfo=UTC)),
    ],
)
def test_timestamps_are_instants(value: object, wanted: datetime | None) -> None:
    ours = timestamps([{"at": value}, {"at": "Mon, 02 Nov 2026 00:00:00 +0000"}, {"at": None}], "at")
    assert ours.type == pa.timestamp("us", tz="UTC")
    assert ours.to_pylist() == [wanted, datetime(2026, 11, 2, tzinfo=UTC), None]


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "Sat, 31 Feb 2026 08:00:00 +0000",
        "Thu, 19 Nov 2026 25:00:00 +0000",
        "Mon, 01 Jan 0026 00:00:00 +0000",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-10:00",
        1763539200,
        ["2026-11-19"],
    ],
)
def test_what_is_no_time_is_malformed_and_not_repeated(value: object) -> None:
    with pytest.raises(MalformedRecord, match=r"^at: ") as failure:
        timestamps([{"at": value}], "at")
    assert str(value) not in str(failure.value)


@pytest.mark.parametrize("value", [5, ["x"], {"a": 1}, True, "a\x00b", "cut \ud83d"])
def test_what_postgresql_cannot_hold_as_text_is_malformed(value: object) -> None:
    with pytest.raises(MalformedRecord, match=r"^sid: "):
        text([{"sid": value}, {"sid": "ok"}], "sid")


@pytest.mark.parametrize("record", [{}, {"sid": None}, {"sid": ""}])
def test_required_text_is_there(record: Record) -> None:
    with pytest.raises(MalformedRecord, match="sid: missing"):
        text([record], "sid", required=True)
    assert one(text([{"sid": None}], "sid", default="")) == ""


def as_table(records: Any) -> pa.Table:
    return pa.table({"sid": text(records, "sid", required=True), "n": integers(records, "n")})


@pytest.mark.parametrize("bad", [[0], [999], [3, 500, 501, 998], list(range(0, 1000, 2)), list(range(1000))])
def test_malformed_records_are_set_aside_and_the_rest_is_kept_in_order(bad: list[int]) -> None:
    records: list[Any] = [{"sid": f"SM{number}", "n": str(number)} for number in range(1000)]
    for number in bad:
        records[number] = {"sid": f"SM{number}", "n": "many"}
    tables, rejected = convert(records, as_table)
    kept = [sid for table in tables for sid in table["sid"].to_pylist()]
    assert kept == [f"SM{number}" for number in range(1000) if number not in set(bad)]
    assert [entry.record["sid"] for entry in rejected] == [f"SM{number}" for number in bad]
    assert {entry.reason for entry in rejected} == {"n: not a whole number"}


@pytest.mark.parametrize("value", [None, "text", 5, ["a"]])
def test_a_record_that_is_no_object_is_set_aside(value: object) -> None:
    tables, rejected = convert([{"sid": "SM1", "n": 1}, value], as_table)
    assert sum(table.num_rows for table in tables) == 1
    assert [(entry.record, entry.reason) for entry in rejected] == [(value, "not an object")]


def test_no_records_are_no_table() -> None:
    assert convert([], as_table) == ([], [])
