"""How one record looks at a moment: not there yet, unsettled, settled, gone.

Rules: a Twilio record exists from its `date_created` (or `_sandbox.visible_from`) until
`_sandbox.vanishes_at`. Its price is null before `_sandbox.price_from`. `_sandbox.status_history` ([[moment,
status], ...]) gives the status of a moment; the record's own status is the last word after the history. A
Stripe transaction exists from `created`, else as a Twilio record does, and is pending until its `available_on`; an R2
measurement from its `datetime`. An aggregate exists from the start of its day; with `_sandbox.grows` the bucket of the current day holds the elapsed share of it, and
`_sandbox.sent` is what has been sent through the sandbox on top of that.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from sandbox.times import ALWAYS, DAY, NEVER, day_start, parse_moment, parse_rfc2822

Record = dict[str, Any]

NOT_SENT = frozenset({"accepted", "scheduled", "queued"})
NOT_STARTED = frozenset({"queued", "ringing"})
NOT_ENDED = frozenset({"queued", "ringing", "in-progress"})
NOT_RECORDED = frozenset({"in-progress", "paused"})


def plain(record: Record) -> Record:
    """The record as it is served in the end: without the `_sandbox` key."""
    if "_sandbox" not in record:
        return record
    return {key: value for key, value in record.items() if key != "_sandbox"}


def lifetime(record: Record) -> tuple[float, float, float]:
    """(appears, settled, vanishes) of a Twilio record, in epoch seconds; from `settled` on it is served as it
    is.
    """
    created = parse_rfc2822(record.get("date_created"))
    appears = ALWAYS if created is None else float(created)
    notes = record.get("_sandbox")
    if not notes:
        return appears, appears, NEVER
    if "visible_from" in notes:
        appears = max(appears, parse_moment(notes["visible_from"]))
    settled = appears
    if "price_from" in notes:
        settled = max(settled, parse_moment(notes["price_from"]))
    if notes.get("status_history"):
        settled = max(settled, parse_moment(notes["status_history"][-1][0]))
    vanishes = parse_moment(notes["vanishes_at"]) if "vanishes_at" in notes else NEVER
    return appears, settled, vanishes


def _unsettled(record: Record, now: float) -> Record | None:
    appears, settled, vanishes = lifetime(record)
    if not appears <= now < vanishes:
        return None
    shown = plain(record)
    if now >= settled:
        return shown
    shown = dict(shown)
    notes = record["_sandbox"]
    if "price_from" in notes and now < parse_moment(notes["price_from"]):
        shown["price"] = None
    history = notes.get("status_history") or []
    if history and now < parse_moment(history[-1][0]):
        past = [status for moment, status in history if parse_moment(moment) <= now]
        shown["status"] = past[-1] if past else history[0][1]
        shown["price"] = None
    return shown


def message_at(record: Record, now: float) -> Record | None:
    """The message as listed at `now`, or None. While it waits to be sent it has no date_sent, price or
    segments.
    """
    shown = _unsettled(record, now)
    if shown is not None and shown.get("status") in NOT_SENT and "_sandbox" in record:
        shown = {**shown, "date_sent": None, "price": None, "price_unit": None}
        if shown.get("messaging_service_sid"):
            # "initially 0, since a sender hasn't yet been assigned" (Twilio, num_segments)
            shown.update({"num_segments": "0", "from": None})
    return shown


def call_at(record: Record, now: float) -> Record | None:
    """The call as listed at `now`, or None. Before it ends it has no end_time, duration or price."""
    shown = _unsettled(record, now)
    if shown is not None and shown.get("status") in NOT_ENDED and "_sandbox" in record:
        shown = {**shown, "end_time": None, "duration": None, "price": None}
        if shown["status"] in NOT_STARTED:
            shown["start_time"] = None
    return shown


def recording_at(record: Record, now: float) -> Record | None:
    """The recording as listed at `now`, or None. Before it ends it has no length."""
    shown = _unsettled(record, now)
    if shown is not None and shown.get("status") in NOT_RECORDED and "_sandbox" in record:
        shown = {**shown, "duration": "-1", "price": None}
    return shown


def transaction_at(record: Record, now: float) -> Record | None:
    """A Stripe balance transaction as listed at `now`, or None. Before its `available_on` it is pending."""
    notes = record.get("_sandbox") or {}
    appears = parse_moment(notes["visible_from"]) if "visible_from" in notes else record.get("created") or 0
    if now < appears or ("vanishes_at" in notes and now >= parse_moment(notes["vanishes_at"])):
        return None
    shown = plain(record)
    if now < (record.get("available_on") or 0):
        return {**shown, "status": "pending"}
    return shown


def measured_at(record: Record, now: float) -> Record | None:
    """An R2 measurement as answered at `now`, or None before its `datetime` (or `visible_from`)."""
    notes = record.get("_sandbox") or {}
    appears = parse_moment(notes.get("visible_from") or record["datetime"])
    if now < appears or ("vanishes_at" in notes and now >= parse_moment(notes["vanishes_at"])):
        return None
    return plain(record)


def bucket_at(record: Record, now: float) -> Record | None:
    """An aggregate as answered at `now` (with its `date`), or None before its day or its `visible_from`."""
    try:
        start = day_start(date.fromisoformat(str(record.get("date"))))
    except ValueError:
        start = 0
    notes = record.get("_sandbox") or {}
    if now < start or ("visible_from" in notes and now < parse_moment(notes["visible_from"])):
        return None
    shown = plain(record)
    if notes.get("grows") and now < start + DAY:
        shown = _share(shown, int(now - start))
    if notes.get("sent"):
        sent = notes["sent"]
        shown = {**shown, "metrics": {name: count + sent.get(name, 0) for name, count in shown["metrics"].items()}}
    return shown


def _share(value: Any, elapsed: int) -> Any:
    """Every quantity times elapsed seconds / 86,400, whole numbers rounded down."""
    if isinstance(value, dict):
        shown = {key: _share(part, elapsed) for key, part in value.items()}
        if "input_uncached_tokens" in shown:  # a whole is the sum of its parts, also when each is rounded down
            rest = shown["input_tokens"] - shown["input_cached_tokens"] - shown["input_cache_write_tokens"]
            shown["input_uncached_tokens"] = shown["input_text_tokens"] = rest
        return shown
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value * elapsed // DAY
    if isinstance(value, Decimal):
        return (value * elapsed / DAY).quantize(Decimal("1e-10"))
    return value
