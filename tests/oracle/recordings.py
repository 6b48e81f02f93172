"""Twilio's recordings: started minutes of what was recorded, and whose they are.

AMBIGUITY marks the readings of the words that were taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType

from tests.oracle.records import UNATTRIBUTED, Call, Directory, Recording
from tests.oracle.rules import Line, call_tenant, started_minutes, twilio_billed

# Deleting a recording takes nothing back.
MADE = ("completed", "deleted")


def recording_tenant(
    recording: Recording,
    directory: Directory,
    calls: Mapping[str, Call],
    named: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Its event's, its call's, else its account's tenant. AMBIGUITY: the call's as of the call's own day, whether
    the call counts or not.
    """
    if recording.sid in named:
        return named[recording.sid]
    made, call = recording.date_created.date(), calls.get(recording.call)
    of_call = UNATTRIBUTED
    if call is not None:
        day = call.start_time.date() if call.start_time else made
        of_call = call_tenant(call, day, directory, calls, named)
    if of_call != UNATTRIBUTED:
        return of_call
    return directory.owner("twilio", "subaccount", recording.account, made) or UNATTRIBUTED


def recording_lines(
    recordings: Iterable[Recording],
    calls: Iterable[Call],
    directory: Directory,
    as_of: datetime,
    named: Mapping[str, str] = MappingProxyType({}),
) -> list[Line]:
    """A line for each recording that was made and lasted, on the UTC day that it was made."""
    by_sid = {c.sid: c for c in calls}
    return [
        Line(
            tenant_id=recording_tenant(r, directory, by_sid, named),
            owner=recording_tenant(r, directory, by_sid),
            record=r.sid,
            day=r.date_created.date(),
            channel="recording",
            service="twilio_voice",
            operation="recording",
            direction="none",
            source="twilio",
            evidence="provider",
            units=started_minutes(r.duration),
            requests=1,
            billed=twilio_billed(r.price, r.price_unit, r.date_created, as_of),
        )
        for r in recordings
        if r.status in MADE and r.duration > 0
    ]
