"""Provider records to typed Arrow columns, and records that are none to one side.

A batch is converted column by column (200,000 records take a second, not a minute). If that fails, the batch is halved until
the malformed records stand alone: the rule that judges one record is the very one that converted the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MONEY = pa.decimal128(38, 18)
SMALLEST = Decimal("1e-18")
LARGEST = Decimal("1e20")
EXACT = Context(prec=60)
TIMESTAMP = pa.timestamp("us", tz="UTC")

Record = dict[str, Any]


class MalformedRecord(ValueError):
    """A value is not what its field holds; the message names the field."""


@dataclass(frozen=True)
class Rejected:
    """A record that could not be read, and why."""

    record: Any
    reason: str


def convert(
    records: Sequence[Any], to_table: Callable[[Sequence[Record]], pa.Table]
) -> tuple[list[pa.Table], list[Rejected]]:
    """Return the tables of the well-formed records, in order, and the others with their reasons."""
    if not records:
        return [], []
    try:
        return [to_table(records)], []
    except MalformedRecord as error:
        if len(records) == 1:
            return [], [Rejected(records[0], str(error))]
    except (AttributeError, TypeError):
        if len(records) == 1:
            return [], [Rejected(records[0], "not an object")]
    middle = len(records) // 2
    first, first_rejected = convert(records[:middle], to_table)
    second, second_rejected = convert(records[middle:], to_table)
    return first + second, first_rejected + second_rejected


def text(records: Sequence[Record], field: str, *, required: bool = False, default: str | None = None) -> pa.Array:
    """Return a string column. `required`: null and '' are malformed. `default` stands for null."""
    values = [record.get(field) for record in records]
    array = _array(field, values, pa.string())
    if required and (array.null_count or pc.any(pc.equal(array, "")).as_py()):
        raise MalformedRecord(f"{field}: missing")
    return array if default is None else array.fill_null(default)


def integers(records: Sequence[Record], field: str, *, default: int | None = None, required: bool = False) -> pa.Array:
    """Return an int64 column from numbers or their text; '' is null. Negative ones are malformed."""
    array = _cast(field, _texts(records, field), pa.int64())
    if required and array.null_count:
        raise MalformedRecord(f"{field}: missing")
    if pc.any(pc.less(array, 0)).as_py():
        raise MalformedRecord(f"{field}: negative")
    return array if default is None else array.fill_null(default)


def decimals(records: Sequence[Record], field: str, *, required: bool = False) -> pa.Array:
    """Return an exact numeric(38,18) column from numbers or their text; '' is null.

    What has more than 18 decimals (the tail of somebody's binary float) is rounded half up, as PostgreSQL would.
    """
    texts = _texts(records, field)
    try:
        array = pa.array(texts, pa.string()).cast(MONEY)
    except pa.ArrowInvalid:
        array = pa.array([_decimal(field, value) for value in texts], MONEY)
    if required and array.null_count:
        raise MalformedRecord(f"{field}: missing")
    return array


def timestamps(records: Sequence[Record], field: str) -> pa.Array:
    """Return a UTC timestamp column from RFC 2822 (what Twilio writes) or ISO 8601 text; '' is null."""
    array = _array(field, [record.get(field) or None for record in records], pa.string())
    try:
        parsed = pc.strptime(array, format="%a, %d %b %Y %H:%M:%S +0000", unit="us")
    except pa.ArrowInvalid:
        return pa.array([_instant(field, value) for value in array.to_pylist()], TIMESTAMP)
    return parsed.cast(TIMESTAMP)


def _instant(field: str, value: str | None) -> datetime | None:
    if value is None:
        return None
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = parse(value)
        except ValueError:
            continue
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    raise MalformedRecord(f"{field}: not a time: {value[:40]!r}")


def _decimal(field: str, value: str | None) -> Decimal | None:
    if value is None:
        return None
    try:
        found = Decimal(value)
        if found.is_finite() and abs(found) < LARGEST:
            return found.quantize(SMALLEST, rounding=ROUND_HALF_UP, context=EXACT)
    except InvalidOperation:
        pass
    raise MalformedRecord(f"{field}: not a number with up to 20 digits before the point")


def _texts(records: Sequence[Record], field: str) -> list[str | None]:
    values = [record.get(field) for record in records]
    return [None if value is None or value == "" else value if type(value) is str else str(value) for value in values]


def _array(field: str, values: list[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        bad = next(value for value in values if value is not None and not isinstance(value, str))
        raise MalformedRecord(f"{field}: not text but {type(bad).__name__}") from None


def _cast(field: str, values: list[str | None], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, pa.string()).cast(kind)
    except pa.ArrowInvalid as error:
        raise MalformedRecord(f"{field}: {str(error).splitlines()[0][:120]}") from None
