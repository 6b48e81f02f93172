"""Events from a file of CloudEvents, one JSON object a line: those that can be read are taken, each once for ever."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, BinaryIO

from usage_metering.clock import as_of
from usage_metering.events import InvalidEvent, UsageEvent
from usage_metering.redact import Redactor
from usage_metering.spool import Line
from usage_metering.store import EVENT, REFUSAL, Loaded, Store, chunks, clipped, event_line, refusal_line
from usage_metering.taxonomy import UNATTRIBUTED

BATCH_LINES = 5_000
LONGEST_LINE = 1024 * 1024  # bytes; an event has at most a tenth of it
COMPLAINTS_KEPT = 20


@dataclass
class Imported:
    """What became of a file: its lines are inserted, duplicates, or rejected (in raw.rejected_records).

    ``unreadable`` ones are not events, the other rejected ones had a key that was recorded before with other data. ``loaded`` tells
    of the readable ones. ``complaints`` are the first about the unreadable ones, with their line numbers.
    """

    lines: int = 0
    unreadable: int = 0
    loaded: Loaded = field(default_factory=Loaded)
    complaints: list[tuple[int, str]] = field(default_factory=list)


def import_events(lines: Iterable[bytes], store: Store, redactor: Redactor) -> Imported:
    """Read CloudEvents and bring them to the database in batches. Empty lines are skipped.

    Raises:
        psycopg.Error: the database is away; what was brought before is in it, and may be brought again.
    """
    result = Imported()
    for chunk in chunks(_read(lines, redactor, result), BATCH_LINES):
        store.load([line for line in chunk if line.kind == REFUSAL], prefix="import")
        result.loaded += store.load([line for line in chunk if line.kind == EVENT], prefix="import")
    return result


def whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file; of one that is too long only its beginning, so that memory holds no more of it."""
    while raw := file.readline(LONGEST_LINE + 1):
        yield raw
        while not raw.endswith(b"\n") and (raw := file.readline(LONGEST_LINE + 1)):
            pass


def _read(lines: Iterable[bytes], redactor: Redactor, result: Imported) -> Iterator[Line]:
    now = as_of()
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        result.lines += 1
        envelope: Any = None
        try:
            envelope = parse(raw)
            event = UsageEvent.from_cloudevent(redacted(envelope, redactor), now=now)
        except Exception as error:
            # Whatever is wrong with a line is that line's: the good ones behind it are taken.
            reason = clipped(str(error) if isinstance(error, InvalidEvent) else f"no event: {type(error).__name__}")
            result.unreadable += 1
            if len(result.complaints) < COMPLAINTS_KEPT:
                result.complaints.append((number, reason))
            yield _refusal(envelope, reason, redactor, now)
        else:
            yield event_line(event, time.time())


def parse(raw: bytes, longest: int | None = LONGEST_LINE) -> Any:
    """Return the value of one JSON document; fractions are decimals.

    Raises:
        InvalidEvent: it is not JSON, nested too deep, or longer than ``longest`` bytes.
    """
    if longest is not None and len(raw) > longest:
        raise InvalidEvent(f"a line of more than {longest} bytes")
    try:
        # A quantity is a decimal, never a float.
        return json.loads(raw, parse_float=Decimal, parse_constant=_no_number)
    except RecursionError:
        raise InvalidEvent("not JSON: nested too deep") from None
    except ArithmeticError:
        raise InvalidEvent("not JSON: a number's exponent is too large") from None
    except ValueError as error:
        raise InvalidEvent(f"not JSON: {str(error) or type(error).__name__}") from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def redacted(envelope: Any, redactor: Redactor) -> Any:
    """Return a CloudEvent without what may not be stored; anything else as it is."""
    if not isinstance(envelope, Mapping) or not isinstance(envelope.get("data"), Mapping):
        return envelope
    data = dict(envelope["data"])
    if "metadata" in data:
        data["metadata"] = _as_recorded(data["metadata"])
    data = redactor.fields(data)
    key = redactor.fields({"event_key": envelope.get("id")})["event_key"]
    return {**envelope, "id": key, "data": data}


def _as_recorded(value: Any) -> Any:
    """Return metadata with fractions as `record` keeps them, so that an exported event reads back as itself."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: _as_recorded(item) for key, item in value.items()}
    return [_as_recorded(item) for item in value] if isinstance(value, list) else value


def _refusal(parsed: Any, reason: str, redactor: Redactor, now: datetime) -> Line:
    """Keep of an unreadable line what is not personal; of one that is not JSON nothing but the reason."""
    envelope = parsed if isinstance(parsed, Mapping) else {}
    key, tenant = envelope.get("id"), envelope.get("subject")
    return refusal_line(
        tenant_id=tenant if isinstance(tenant, str) and tenant else UNATTRIBUTED,
        usage_date=now.date(),
        record_key=redactor.identifier(key[:500]) if isinstance(key, str) else None,
        reason=reason,
        record=redactor.metadata(envelope),
        at=time.time(),
    )
