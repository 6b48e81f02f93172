"""Phone numbers: from what Twilio listed at each reading to the days that a number was held.

A list says since when a number is held, never until when; so a release is seen by the first list without it.
AMBIGUITY marks the readings of the words that were taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from tests.oracle.records import UNATTRIBUTED, Directory, ListedNumber
from tests.oracle.rules import Line

TOLL_FREE = ("800", "833", "844", "855", "866", "877", "888")


@dataclass
class Held:
    """A number in an account: `since` its first day, to the day before `released`, else as far as it was `seen`."""

    listed: ListedNumber
    since: date
    seen: date
    released: date | None = None

    def days(self) -> Iterator[date]:
        """The day of a release does not count, unless it is the first one as well."""
        last = self.seen if self.released is None else max(self.since, self.released - timedelta(days=1))
        for offset in range((last - self.since).days + 1):
            yield self.since + timedelta(days=offset)


def held(listings: Iterable[tuple[date, Sequence[ListedNumber]]]) -> list[Held]:
    """What complete lists of all accounts, in the order of their days, come to.

    A number that comes to another account is held there from the day it is seen there. AMBIGUITY: one that
    comes back to an account is held again from its new day of provisioning.
    """
    current: dict[tuple[str, str], Held] = {}
    past: list[Held] = []
    for day, numbers in listings:
        there = {(listed.account, listed.number): listed for listed in numbers}
        before = [(h.listed, h.seen) for h in (*current.values(), *past)]
        for key in [key for key in current if key not in there]:
            current[key].released = day
            past.append(current.pop(key))
        for key, listed in there.items():
            if key in current:
                current[key].seen = day
                continue
            moved = any(
                other.number == listed.number and other.account != listed.account and listed.date_created <= seen
                for other, seen in before
            )
            current[key] = Held(listed, day if moved else listed.date_created, day)
    return [*past, *current.values()]


def kind_of(listed: ListedNumber) -> str:
    """Twilio's word, else what the numbering plan says (as far as the numbers of the tests go)."""
    if listed.kind:
        return listed.kind
    if listed.number.startswith("+1") and listed.number[2:5] in TOLL_FREE:
        return "toll_free"
    return "mobile" if listed.number.startswith("+447") else "local"


def number_tenant(listed: ListedNumber, day: date, directory: Directory) -> str:
    return (
        directory.owner("twilio", "subaccount", listed.account, day)
        or directory.owner("twilio", "phone_number", listed.number, day)
        or UNATTRIBUTED
    )


def number_lines(listings: Iterable[tuple[date, Sequence[ListedNumber]]], directory: Directory) -> list[Line]:
    """A line for each number and day; a day has one holder, the newest."""
    holders: dict[tuple[str, date], Held] = {}
    for one in sorted(held(listings), key=lambda h: h.since):
        for day in one.days():
            holders[one.listed.number, day] = one
    lines: list[Line] = []
    for (number, day), one in sorted(holders.items(), key=lambda item: (item[0][1], item[0][0])):
        tenant = number_tenant(one.listed, day, directory)
        lines.append(
            Line(
                tenant_id=tenant,
                owner=tenant,
                # What a tracked event of it would have as its id, but for the hash.
                record=f"phone:{number}:{day}",
                day=day,
                channel="phone",
                service="twilio_phone",
                operation=kind_of(one.listed),
                direction="none",
                source="twilio",
                evidence="provider",
                units=1,
                requests=1,
            )
        )
    return lines
