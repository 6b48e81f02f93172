"""Twilio's usage records: totals per category and day, counted from the messages, calls and recordings of the same data.

Categories nest (sms > sms-outbound > sms-outbound-longcode; totalprice is everything), so only leaves may be
summed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation

from sandbox.lists import Record
from sandbox.state import State
from sandbox.times import DAY, day_of, day_start, iso
from usage_metering.taxonomy import NEVER_SENT

# category -> (description, usage unit, count unit); listed from the whole to the part.
CATEGORIES: dict[str, tuple[str, str, str]] = {
    "totalprice": ("Total Price", "usd", ""),
    "sms": ("SMS", "segments", "messages"),
    "sms-inbound": ("Inbound SMS", "segments", "messages"),
    "sms-inbound-longcode": ("Longcode Inbound SMS", "segments", "messages"),
    "sms-outbound": ("Outbound SMS", "segments", "messages"),
    "sms-outbound-longcode": ("Longcode Outbound SMS", "segments", "messages"),
    "mms": ("MMS", "messages", "messages"),
    "mms-inbound": ("Inbound MMS", "messages", "messages"),
    "mms-inbound-longcode": ("Longcode Inbound MMS", "messages", "messages"),
    "mms-outbound": ("Outbound MMS", "messages", "messages"),
    "mms-outbound-longcode": ("Longcode Outbound MMS", "messages", "messages"),
    "calls": ("Voice Minutes", "minutes", "calls"),
    "calls-inbound": ("Inbound Voice Minutes", "minutes", "calls"),
    "calls-inbound-local": ("Inbound Local Calls", "minutes", "calls"),
    "calls-outbound": ("Outbound Voice Minutes", "minutes", "calls"),
    "recordings": ("Recordings", "minutes", "recordings"),
}


@dataclass
class Total:
    count: int = 0
    usage: int = 0
    price: Decimal = Decimal(0)


def day_parameter(text: str | None, today: date) -> date | None:
    """`2026-10-01`, or an offset such as `-30days`. Raises ValueError."""
    if not text:
        return None
    offset = re.fullmatch(r"([+-]\d+)days?", text.strip())
    return today + timedelta(days=int(offset[1])) if offset else date.fromisoformat(text)


def usage_records(
    state: State,
    account: Record,
    *,
    first: date | None,
    last: date | None,
    category: str | None,
    include_subaccounts: bool,
    daily: bool,
) -> list[Record]:
    """UsageRecord resources of [first, last], both included; daily ones newest day first."""
    sids = [account["sid"]]
    if include_subaccounts:
        sids += [a["sid"] for a in state.accounts() if a.get("owner_account_sid") == account["sid"] != a["sid"]]
    now = state.now.timestamp()
    oldest = [index.keys[0] for name in COUNTED for sid in sids if (index := state.index(name, sid)).keys]
    last = min(last or day_of(now), day_of(now))
    first = first or day_of(min(oldest, default=now))
    days = [last - timedelta(days=back) for back in range((last - first).days + 1)]
    wanted = [name for name in CATEGORIES if category in (None, name)]
    totals = {day: _totals(state, sids, day, now) for day in days}
    if daily:
        return [_record(account, name, totals[day][name], day, day, now) for day in days for name in wanted]
    whole = {name: Total() for name in wanted}
    for per_category in totals.values():
        for name, total in whole.items():
            total.count += per_category[name].count
            total.usage += per_category[name].usage
            total.price += per_category[name].price
    return [_record(account, name, total, first, last, now) for name, total in whole.items()]


def _totals(state: State, sids: list[str], day: date, now: float) -> dict[str, Total]:
    totals = {name: Total() for name in CATEGORIES}
    start = day_start(day)
    for name, leaf_of in COUNTED.items():
        for sid in sids:
            index = state.index(name, sid)
            for position in index.newest_first(*index.bounds(start, start + DAY)):
                record = index.seen(position, now)
                leaf_usage = None if record is None else leaf_of(record)
                if record is None or leaf_usage is None:
                    continue
                leaf, usage = leaf_usage
                price = _price(record)
                for category in _with_parents(leaf):
                    totals[category].count += 1
                    totals[category].usage += usage
                    totals[category].price += price
    return totals


def _with_parents(leaf: str) -> Iterator[str]:
    parts = leaf.split("-")
    yield "totalprice"
    for length in range(1, len(parts) + 1):
        yield "-".join(parts[:length])


def _message(record: Record) -> tuple[str, int] | None:
    """(leaf category, usage) of a message that counts."""
    if not record.get("date_sent") or record.get("status") in NEVER_SENT:
        return None
    side = "inbound" if record.get("direction") == "inbound" else "outbound"
    try:
        if int(record.get("num_media") or 0) > 0:
            return f"mms-{side}-longcode", 1
        return f"sms-{side}-longcode", max(int(record.get("num_segments") or 1), 1)
    except (TypeError, ValueError):
        return None


def _call(record: Record) -> tuple[str, int] | None:
    """(leaf category, started minutes) of a call that is billed."""
    try:
        seconds = int(record.get("duration") or 0)
    except (TypeError, ValueError):
        return None
    if record.get("status") != "completed" or seconds <= 0:
        return None
    inbound = record.get("direction") in ("inbound", "trunking-originating")
    return "calls-inbound-local" if inbound else "calls-outbound", -(-seconds // 60)


def _recording(record: Record) -> tuple[str, int] | None:
    """(category, started minutes) of a recording that has been made; deleting it afterwards takes nothing back."""
    try:
        seconds = int(record.get("duration") or 0)
    except (TypeError, ValueError):
        return None
    if record.get("status") not in ("completed", "deleted") or seconds <= 0:
        return None
    return "recordings", -(-seconds // 60)


COUNTED: dict[str, Callable[[Record], tuple[str, int] | None]] = {
    "twilio_messages": _message,
    "twilio_calls": _call,
    "twilio_recordings": _recording,
}


def _price(record: Record) -> Decimal:
    try:
        return abs(Decimal(str(record.get("price") or 0)))
    except InvalidOperation:
        return Decimal(0)


def _record(account: Record, category: str, total: Total, first: date, last: date, now: float) -> Record:
    description, usage_unit, count_unit = CATEGORIES[category]
    root = f"/2010-04-01/Accounts/{account['sid']}/Usage/Records"
    total_only = category == "totalprice"
    span = f"Category={category}&StartDate={first}&EndDate={last}"
    return {
        "account_sid": account["sid"],
        "api_version": "2010-04-01",
        "as_of": iso(now).replace("Z", "+00:00"),
        "category": category,
        "count": "" if total_only else str(total.count),
        "count_unit": count_unit,
        "description": description,
        "end_date": last.isoformat(),
        "price": total.price,
        "price_unit": "usd",
        "start_date": first.isoformat(),
        "subresource_uris": {
            "daily": f"{root}/Daily.json?Category={category}",
            "monthly": f"{root}/Monthly.json?Category={category}",
        },
        "uri": f"{root}.json?{span}",
        "usage": str(total.price) if total_only else str(total.usage),
        "usage_unit": usage_unit,
    }
