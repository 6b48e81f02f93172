"""Twilio's own totals of an account's day (Usage Records) against what its messages and calls come to.

A check, never a second count. AMBIGUITY marks the readings of the words that were taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime

from tests.oracle.records import UNATTRIBUTED, Call, Directory, Message
from tests.oracle.rules import call_day, message_channel, message_day, started_minutes

SMS, VOICE = "twilio_sms_total", "twilio_voice_total"

Totals = Mapping[tuple[str, date, str], int]
"""(account, day, service) → units; both a provider's and a count of our own."""


def counted_totals(messages: Iterable[Message], calls: Iterable[Call]) -> dict[tuple[str, date, str], int]:
    """Segments and multimedia messages, and started minutes, of each account's day.

    It is also what a Twilio that counts as the contract does would say. AMBIGUITY: recordings are no part of
    the minutes of calls.
    """
    found: dict[tuple[str, date, str], int] = defaultdict(int)
    for m in messages:
        if (day := message_day(m)) is not None:
            found[m.account, day, SMS] += message_channel(m)[1]
    for c in calls:
        if (day := call_day(c)) is not None:
            found[c.account, day, VOICE] += started_minutes(c.duration)
    return dict(found)


def by_tenant(totals: Totals, directory: Directory) -> dict[tuple[str, date, str], dict[str, int]]:
    """(tenant, day, service) → account → units."""
    found: dict[tuple[str, date, str], dict[str, int]] = defaultdict(dict)
    for (account, day, service), units in totals.items():
        tenant = directory.owner("twilio", "subaccount", account, day) or UNATTRIBUTED
        found[tenant, day, service][account] = units
    return found


def is_reported(day: date, as_of: datetime, lookback: int) -> bool:
    """Only closed days are held against their totals."""
    return (as_of.date() - day).days > lookback
