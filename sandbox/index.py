"""One Twilio account's messages, calls or recordings, ordered by time, with their JSON kept once it cannot change any
more.

This is what makes a page of 1,000 records cost a few milliseconds: the window is found by bisection, and a
settled record is encoded once for the life of the server.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from operator import itemgetter

from sandbox import views
from sandbox.dataset import ENCODER, SEEN
from sandbox.lists import Record
from sandbox.times import parse_rfc2822

TIME_FIELD = {"twilio_messages": "date_sent", "twilio_calls": "start_time", "twilio_recordings": "date_created"}


class Index:
    def __init__(self, name: str, records: list[Record]) -> None:
        self._view = SEEN[name]
        self.time_field = TIME_FIELD[name]
        ordered = sorted(
            (((self._key(record), str(record.get("sid"))), record) for record in records), key=itemgetter(0)
        )
        self.records = [record for _, record in ordered]
        self.keys = [key for (key, _), _ in ordered]
        lifetimes = [views.lifetime(record) for record in self.records]
        self._appears = [appears for appears, _, _ in lifetimes]
        self._settled = [settled for _, settled, _ in lifetimes]
        self._vanishes = [vanishes for _, _, vanishes in lifetimes]
        self._encoded: list[bytes | None] = [None] * len(self.records)
        self._shown: list[Record | None] = [None] * len(self.records)
        self.position = {sid: position for position, ((_, sid), _) in enumerate(ordered)}

    def _key(self, record: Record) -> int:
        """Epoch second of the record's own time, else of its creation, else 0."""
        moment = parse_rfc2822(record.get(self.time_field))
        return moment if moment is not None else parse_rfc2822(record.get("date_created")) or 0

    def bounds(self, since: float, until: float) -> tuple[int, int]:
        """Positions [low, high) of the records with since <= time < until."""
        return bisect_left(self.keys, since), bisect_left(self.keys, until)

    def bounds_through(self, until: float) -> int:
        """The position after the last record with time <= until."""
        return bisect_right(self.keys, until)

    def seen(self, position: int, now: float) -> Record | None:
        """The record as it is at `now` (without `_sandbox`), or None where it is not there."""
        if not self._appears[position] <= now < self._vanishes[position]:
            return None
        if now < self._settled[position]:
            return self._view(self.records[position], now)
        settled = self._shown[position]
        if settled is None:
            settled = self._shown[position] = self._view(self.records[position], now)
        return settled

    def json(self, position: int, now: float) -> bytes | None:
        """The record's JSON at `now`, or None where it is not there."""
        if not self._appears[position] <= now < self._vanishes[position]:
            return None
        if now < self._settled[position]:
            shown = self._view(self.records[position], now)
            return None if shown is None else ENCODER.encode(shown)
        encoded = self._encoded[position]
        if encoded is None:
            shown = self._view(self.records[position], now)
            encoded = self._encoded[position] = ENCODER.encode(shown)
        return encoded

    def newest_first(self, low: int, high: int) -> Iterator[int]:
        return iter(range(high - 1, low - 1, -1))
