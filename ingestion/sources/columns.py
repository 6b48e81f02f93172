"""Provider records to typed Arrow columns, and malformed records to one side.

A batch is converted column by column (200,000 records take a second, not a minute). If that fails, the batch is halved until
the malformed records stand alone: the rule that judges one record is the very one that converted the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any, TypeGuard

import pyarrow as pa
import pyarrow.compute as pc

MONEY = pa.decimal128(38, 18)
SMALLEST = Decimal("1e-18")
LARGEST = Decimal("1e20")
EXACT = Context(prec=60)
TIMESTAMP = pa.timestamp("us", tz="UTC")
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
RFC_2822_LENGTH = len("Thu, 19 Nov 2026 08:00:00 +0000")
RFC_2822_TIME = slice(len("Thu, 19 Nov 2026 "), len("Thu, 19 Nov 2026 08:00:00"))

INT32 = 2**31 - 1
INT64 = 2**63 - 1
"""The largest values of PostgreSQL's integer and bigint."""

LONGEST_TEXT = 500
"""Bytes of a text that we keep: the five that may make up a key still fit into an entry of PostgreSQL's indexes (2,704)."""

Record = dict[str, Any]


class MalformedRecord(ValueError):
    """A value is not what its field holds; the message names the field, never the value (it may be a number or a body)."""


UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError, pa.ArrowException)
"""What reading one odd value may raise, whichever library it meets; MalformedRecord is a ValueError."""


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
    except UNREADABLE as error:
        if len(records) == 1:
            odd = isinstance(records[0], dict)
            return [], [Rejected(records[0], f"cannot be read ({type(error).__name__})" if odd else "not an object")]
    middle = len(records) // 2
    first, first_rejected = convert(records[:middle], to_table)
    second, second_rejected = convert(records[middle:], to_table)
    return first + second, first_rejected + second_rejected


def exact(number: str) -> Decimal:
    """Return a JSON number exactly; one that no Decimal can hold is infinite, which no field of ours takes."""
    try:
        return Decimal(number)
    except InvalidOperation:
        return Decimal("Infinity")


def is_id(value: object) -> TypeGuard[str]:
    """Whether a value can be an account's name: a text of one line that fits into a key."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT // 4 and value.isprintable()


def text(records: Sequence[Record], field: str, *, required: bool = False, default: str | None = None) -> pa.Array:
    """Return a string column. `required`: null and '' are malformed. `default` stands for null."""
    array = _array(field, [record.get(field) for record in records])
    if required and (array.null_count or pc.any(pc.equal(array, "")).as_py()):
        raise MalformedRecord(f"{field}: missing")
    return array if default is None else array.fill_null(default)


def integers(
    records: Sequence[Record],
    field: str,
    *,
    default: int | None = None,
    required: bool = False,
    largest: int = INT64,
    signed: bool = False,
) -> pa.Array:
    """Return an int64 column from numbers or their text; '' is null. Those outside 0 … ``largest`` are malformed.

    ``signed`` lets numbers below 0 through.
    """
    try:
        array = _texts(records, field).cast(pa.int64())
    except pa.ArrowInvalid:
        raise MalformedRecord(f"{field}: not a whole number") from None
    if required and array.null_count:
        raise MalformedRecord(f"{field}: missing")
    if not signed and pc.any(pc.less(array, 0)).as_py():
        raise MalformedRecord(f"{field}: negative")
    if largest < INT64 and pc.any(pc.greater(array, largest)).as_py():
        raise MalformedRecord(f"{field}: above {largest}")
    return array if default is None else array.fill_null(default)


def decimals(records: Sequence[Record], field: str, *, required: bool = False) -> pa.Array:
    """Return an exact numeric(38,18) column from numbers or their text; '' is null.

    What has more than 18 decimals (the tail of somebody's binary float) is rounded half up, as PostgreSQL would.
    """
    texts = _texts(records, field)
    try:
        array = texts.cast(MONEY)
    except pa.ArrowInvalid:
        array = pa.array([_decimal(field, value) for value in texts.to_pylist()], MONEY)
    if required and array.null_count:
        raise MalformedRecord(f"{field}: missing")
    return array


def timestamps(records: Sequence[Record], field: str) -> pa.Array:
    """Return a UTC timestamp column from RFC 2822 (what Twilio writes) or ISO 8601 text; '' is null."""
    # Where there is much, much happens in the same second: each text is parsed once.
    encoded = _array(field, [record.get(field) or None for record in records]).dictionary_encode()
    try:
        parsed = _rfc_2822(encoded.dictionary)
    except pa.ArrowInvalid:
        parsed = pa.array([_instant(field, value) for value in encoded.dictionary.to_pylist()], TIMESTAMP)
    span = pc.min_max(parsed).as_py()
    if span["min"] is not None and not EARLIEST <= span["min"] <= span["max"] < LATEST:
        raise MalformedRecord(f"{field}: a time out of range")
    return parsed.take(encoded.indices)


def epochs(records: Sequence[Record], field: str, *, required: bool = False) -> pa.Array:
    """Return a UTC timestamp column from unix seconds; '' is null."""
    seconds = integers(records, field, required=required, largest=int(LATEST.timestamp()) - 1)
    return seconds.cast(pa.timestamp("s", tz="UTC")).cast(TIMESTAMP)


def _rfc_2822(array: pa.Array) -> pa.Array:
    """Return the instants of texts that are all written as Twilio does, in UTC. Raises ArrowInvalid where one is not.

    Records of a day share its date: each date is parsed once, the time of day as the end of an ISO 8601 text, which takes
    a fifth of what strptime does.
    """
    lengths = pc.min_max(pc.binary_length(array)).as_py()
    if lengths["min"] is None:
        return array.cast(TIMESTAMP)
    zone = pc.utf8_slice_codeunits(array, RFC_2822_TIME.stop)
    if not lengths["min"] == lengths["max"] == RFC_2822_LENGTH or not pc.all(pc.equal(zone, " +0000")).as_py():
        raise pa.ArrowInvalid("not as Twilio writes it")
    dates = pc.utf8_slice_codeunits(array, 0, RFC_2822_TIME.start).dictionary_encode()
    midnights = pc.strptime(dates.dictionary, format="%a, %d %b %Y ", unit="us")
    # It also takes 31 Feb, for 3 March.
    days = pc.utf8_slice_codeunits(dates.dictionary, 5, 7).cast(pa.int64())
    if not pc.all(pc.equal(days, pc.day(midnights))).as_py():
        raise pa.ArrowInvalid("not a day of its month")
    times = pc.utf8_slice_codeunits(array, RFC_2822_TIME.start, RFC_2822_TIME.stop)
    since_midnight = pc.binary_replace_slice(times, 0, 0, "1970-01-01 ").cast(pa.timestamp("us")).view(pa.int64())
    return pc.add(midnights.take(dates.indices), since_midnight.view(pa.duration("us"))).view(TIMESTAMP)


def _instant(field: str, value: str | None) -> datetime | None:
    if value is None:
        return None
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            parsed = parse(value)
            return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    raise MalformedRecord(f"{field}: not a time")


def _decimal(field: str, value: str | None) -> Decimal | None:
    if value is None:
        return None
    try:
        parsed = Decimal(value)
        if "_" not in value and parsed.is_finite() and abs(parsed) < LARGEST:
            return parsed.quantize(SMALLEST, rounding=ROUND_HALF_UP, context=EXACT)
    except ArithmeticError:
        pass
    raise MalformedRecord(f"{field}: not a number with up to 20 digits before the point")


def _texts(records: Sequence[Record], field: str) -> pa.Array:
    """Return numbers as text, whichever way they came; '' is null."""
    values = [record.get(field) for record in records]
    try:
        array = pa.array(values, pa.string())
        if not pc.any(pc.equal(array, "")).as_py():
            return array
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
        pass
    texts = [None if value is None or value == "" else value if type(value) is str else str(value) for value in values]
    return _array(field, texts)


def _array(field: str, values: list[Any]) -> pa.Array:
    """Return a string column of what PostgreSQL can hold: no NUL, no half of a surrogate pair."""
    try:
        array = pa.array(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        bad = [value for value in values if value is not None and not isinstance(value, str)]
        raise MalformedRecord(f"{field}: not text but {type(bad[0]).__name__ if bad else '?'}") from None
    except UnicodeEncodeError:
        raise MalformedRecord(f"{field}: not Unicode") from None
    if (longest := pc.max(pc.binary_length(array)).as_py()) and longest > LONGEST_TEXT:
        raise MalformedRecord(f"{field}: longer than {LONGEST_TEXT} bytes")
    content = array.buffers()[2]
    if content is not None and b"\x00" in content.to_pybytes():
        raise MalformedRecord(f"{field}: holds a NUL character")
    return array
