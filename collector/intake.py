"""From envelopes to rows: each event is read by itself, all that can be read are committed together, and each has its result."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

import psycopg

from collector.auth import Writer
from collector.event_types import EventType, translated
from usage_metering.clock import as_of
from usage_metering.events import CLOUDEVENT_TYPE, LONGEST_TEXT, TEXTS, TOKENS, InvalidEvent, UsageEvent, storable
from usage_metering.importing import redacted
from usage_metering.redact import NUMBER_HASH, Redactor
from usage_metering.spool import Line
from usage_metering.store import LineResult, Store, event_line

Key = tuple[str, date]
"""A resource as the tenant directory has it, and the day of which its owner is wanted."""

ReportedUse = tuple[Mapping[str, Any], str | None]
"""The fields of an event that a callback reported, and its tenant."""

ResultStatus = Literal["accepted", "duplicate", "rejected"]
CONFLICT = "this source and id were recorded before with other data: send a changed event under an id of its own"
NOT_THE_CALLERS = "this token may not write for the reservation's tenant"
STATUS_OF: dict[LineResult, ResultStatus] = {
    "inserted": "accepted",
    "duplicate": "duplicate",
    "rejected": "rejected",
}
ENVELOPE = ("specversion", "id", "source", "type", "subject", "time", "data", "datacontenttype", "reservation")
NAMED = frozenset({*ENVELOPE, "units", "metadata", *TEXTS, *TOKENS})
UNKNOWN_FIELD = re.compile(r"unknown event field '(.+)'")
CALLED_HERE = {"occurred_at": "time", "tenant_id": "subject", "event_key": "id", "idempotency_key": "id"}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one event of a request; ``field`` and ``detail`` where it was rejected."""

    id: str | None
    status: ResultStatus
    field: str | None = None
    detail: str | None = None


class Rejected(Exception):
    """An event is not taken; nothing of it is kept."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class Intake:
    """Takes events, on a few connections. Thread-safe; every wait has an end.

    Args:
        url: the database, as the role metering_tracker.
        connections: requests that are written at once; others wait their turn.
        patience: seconds that a request waits for a connection, and that a statement may take.
    """

    def __init__(
        self, url: str, types: Sequence[EventType], redactor: Redactor, *, connections: int, patience: float = 10
    ) -> None:
        self._types = types
        self.connections = connections
        self._waiting = 0
        self._results: dict[ResultStatus, int] = dict.fromkeys(get_args(ResultStatus), 0)
        self._counting = threading.Lock()
        self._redactor = redactor
        self._patience = patience
        self._stores: queue.LifoQueue[Store] = queue.LifoQueue()
        for _ in range(connections):
            self._stores.put(Store(url, connect_timeout=3, statement_timeout=patience))

    def take(self, envelopes: Sequence[Any], caller: Writer, *, seen_by: str | None = None) -> list[Result]:
        """Commit all events that can be read, in one transaction; return what became of each, in their order.

        Args:
            seen_by: who saw these uses, beside which the product may tell of the same ones (`UsageEvent.make`).

        Raises:
            psycopg.Error: the database is away or takes nothing: none of them is in it, and all may be sent again.
        """
        now = as_of()
        results: dict[int, Result] = {}
        keys = self._keys(envelopes, now)
        owners = self.owners({key for key in keys if key is not None})
        lines: dict[int, Line] = {}
        for index, (envelope, key) in enumerate(zip(envelopes, keys, strict=True)):
            try:
                lines[index] = self._line(_of_its_owner(envelope, key, owners), caller, now, seen_by)
            except Rejected as reason:
                results[index] = Result(_id(envelope), "rejected", reason.field, str(reason))
        for index in self._others(envelopes, lines, caller):
            del lines[index]
            results[index] = Result(_id(envelopes[index]), "rejected", "reservation", NOT_THE_CALLERS)
        for index, status in zip(lines, self._stored(list(lines.values())), strict=True):
            taken = STATUS_OF[status]
            why = ("id", CONFLICT) if taken == "rejected" else (None, None)
            results[index] = Result(_id(envelopes[index]), taken, *why)
        with self._counting:
            for result in results.values():
                self._results[result.status] += 1
        return [results[index] for index in range(len(envelopes))]

    def record(self, reported: Iterable[ReportedUse]) -> list[str]:
        """Commit what a provider's callback reported, in one transaction; return the errors of those that are not events.

        Raises:
            psycopg.Error: see `take`.
        """
        lines, wrong, now = [], [], as_of()
        for fields, tenant_id in reported:
            try:
                event = UsageEvent.make(now=now, **self._redactor.fields({**fields, "tenant_id": tenant_id}))
            except InvalidEvent as error:
                wrong.append(str(error))
            else:
                lines.append(event_line(event, time.time()))
        self._stored(lines)
        return wrong

    def recorded(self, keys: Collection[str]) -> set[str]:
        """Return those of these record keys (a provider's ids) of which an event is stored.

        Raises:
            psycopg.Error: see `take`.
        """
        if not keys:
            return set()
        with self._store() as store:
            return store.recorded(keys)

    def number(self, value: object) -> str | None:
        """Return the hash of a phone number, as events keep it."""
        return self._redactor.number(value)

    def answers(self) -> None:
        """Ask the database whether it would take events.

        Raises:
            psycopg.Error: it would not.
        """
        with self._store() as store:
            store.ask("select 1 from raw.usage_event_keys limit 1")

    @property
    def busy(self) -> int:
        """How many of the connections are in use."""
        return self.connections - self._stores.qsize()

    @property
    def waiting(self) -> int:
        """How many requests wait for one."""
        return self._waiting

    def results(self) -> Mapping[ResultStatus, int]:
        """Return how many events have been accepted, duplicate and rejected so far."""
        with self._counting:
            return dict(self._results)

    def close(self) -> None:
        """Disconnect."""
        while not self._stores.empty():
            self._stores.get_nowait().close()

    def owners(self, keys: Collection[Key]) -> Mapping[Key, str]:
        """Return the tenants of those that are keys of the tenant directory.

        Raises:
            psycopg.Error: see `take`.
        """
        if not keys:
            return {}
        with self._store() as store:
            return store.tenants_of_keys(keys)

    def _keys(self, envelopes: Sequence[Any], now: datetime) -> list[Key | None]:
        """Return each event's subject as the directory has it (a number is hashed there), and the event's day."""
        subjects = [envelope.get("subject") if isinstance(envelope, Mapping) else None for envelope in envelopes]
        return [
            (key, _day(envelope.get("time"), now))
            if isinstance(subject, str)
            and 0 < len(subject) <= LONGEST_TEXT
            and (key := self._redactor.identifier(storable(subject)))
            else None
            for envelope, subject in zip(envelopes, subjects, strict=True)
        ]

    def _line(self, envelope: Any, caller: Writer, now: datetime, seen_by: str | None) -> Line:
        try:
            clean = redacted(envelope, self._redactor)
            event_data = (
                translated(_of_the_only_tenant(clean, caller), self._types) if isinstance(clean, Mapping) else clean
            )
            reservation = _reservation(event_data)
            # An event that the SDK exported has its own key as id; whoever may write for one tenant names no other's keys.
            is_exported = isinstance(event_data, Mapping) and event_data.get("type") == CLOUDEVENT_TYPE
            event = UsageEvent.from_cloudevent(
                event_data, now=now, is_id_global=is_exported and caller.tenants is None, seen_by=seen_by
            )
            if not is_exported:
                # Clients fill in the time when they send: sent again, the event is the same one.
                event = replace(event, is_time_given=False)
        except InvalidEvent as error:
            raise Rejected(_field_of(str(error)), str(error)) from None
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
            raise Rejected("data", f"cannot be read as an event ({type(error).__name__})") from None
        if not caller.may_write_for(event.tenant_id):
            raise Rejected("subject", "this token may not write for the tenant")
        if not caller.may_write_of(event.service):
            raise Rejected("type", f"this token may not write for the service {event.service}")
        return event_line(event, time.time(), reservation)

    def _others(self, envelopes: Sequence[Any], indexes: Iterable[int], caller: Writer) -> list[int]:
        """Return where an event would take the place of a reservation of a tenant that the token is not for."""
        named = {index: reservation for index in indexes if (reservation := _reservation(envelopes[index])) is not None}
        if caller.tenants is None or not named:
            return []
        with self._store() as store:
            holders = store.tenants_of(list(named.values()))
        return [
            index
            for index, reservation in named.items()
            if (holder := holders.get(reservation)) is not None and not caller.may_write_for(holder)
        ]

    def _stored(self, lines: list[Line]) -> Sequence[LineResult]:
        if not lines:
            return ()
        with self._store() as store:
            return store.load(lines, prefix="collect").by_line

    @contextmanager
    def _store(self) -> Iterator[Store]:
        try:
            store = self._stores.get_nowait()
        except queue.Empty:
            store = self._patiently()
        try:
            yield store
        finally:
            self._stores.put(store)

    def _patiently(self) -> Store:
        self._count_waiting(1)
        try:
            return self._stores.get(timeout=self._patience)
        except queue.Empty:
            raise psycopg.OperationalError("all connections of the collector are busy") from None
        finally:
            self._count_waiting(-1)

    def _count_waiting(self, more: int) -> None:
        with self._counting:
            self._waiting += more


def _of_its_owner(envelope: Any, key: Key | None, owners: Mapping[Key, str]) -> Any:
    """Return the event with its tenant, where its subject is a key of the directory. No number becomes a tenant's id."""
    if key is None:
        return envelope
    if key in owners:
        return {**envelope, "subject": owners[key]}
    if NUMBER_HASH.fullmatch(key[0]) and "@" not in envelope["subject"]:
        raise Rejected("subject", "this number is not in the tenant directory")
    return envelope


def _day(time_: object, now: datetime) -> date:
    try:
        return datetime.fromisoformat(str(time_)).astimezone(UTC).date() if time_ is not None else now.date()
    except (ValueError, OverflowError):
        return now.date()  # the event is refused for it by whoever reads it


def _of_the_only_tenant(envelope: Mapping[str, Any], caller: Writer) -> Mapping[str, Any]:
    """Return the event with its tenant, where it names none and the token is for one."""
    data = envelope.get("data")
    names_one = envelope.get("subject") is not None or (isinstance(data, Mapping) and data.get("tenant_id") is not None)
    if names_one or caller.tenants is None or len(caller.tenants) != 1:
        return envelope
    return {**envelope, "subject": next(iter(caller.tenants))}


def _reservation(envelope: Any) -> str | None:
    reservation = envelope.get("reservation") if isinstance(envelope, Mapping) else None
    if reservation is None:
        return None
    if not isinstance(reservation, str) or not 0 < len(reservation) <= 100:
        raise InvalidEvent("reservation is not the id of a reservation")
    return reservation


def _id(envelope: Any) -> str | None:
    value = envelope.get("id") if isinstance(envelope, Mapping) else None
    return value[:200] if isinstance(value, str) else None


def _field_of(message: str) -> str:
    """Return the field that a refusal is about: its text names one, first of all."""
    unknown = UNKNOWN_FIELD.match(message)
    if unknown:
        return unknown[1]
    word = message.removeprefix("unknown ").removeprefix("data.").partition(" ")[0].strip(",:")
    return CALLED_HERE.get(word, word if word in NAMED else "data")
