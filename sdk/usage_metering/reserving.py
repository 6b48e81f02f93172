"""Reservations: room under the cap that is held while a call is under way, and what becomes of it."""

from __future__ import annotations

from contextvars import ContextVar
from decimal import Decimal

from usage_metering.events import UsageEvent, checked_text, checked_units


class Reservation:
    """What `UsageGuard.reserve` yields. ``id`` is None where nothing can be reserved: the database was not asked, or gave up."""

    def __init__(self, reservation_id: str | None, tenant_id: str, channel: str, units: Decimal) -> None:
        self.id = reservation_id
        self.tenant_id = tenant_id
        self.channel = channel
        self.units = units
        self._key: str | None = None
        self._used: Decimal | None = None
        self._is_explicit = False
        self._stored_as: dict[str, str] = {}  # callers' own keys of the events recorded inside

    def settle_as(self, key: str, units: object) -> None:
        """Say what was really used, under which record's key; the end of the reservation settles to it.

        The key is the provider's id, or what `UsageTracker.record` returned; for what was recorded inside, the
        ``idempotency_key`` will do.

        Raises:
            ValueError: the key is not text, or units are not a number from 0.
        """
        self._key, self._used = checked_text("key", key), checked_units(units)
        self._is_explicit = True

    def note(self, event: UsageEvent, recorder: object) -> None:
        """``recorder`` has kept an event inside: unless the caller settles by itself, it (and the next ones) is what was used."""
        if event.idempotency_key and event.tenant_id == self.tenant_id:
            self._stored_as[event.idempotency_key] = event.event_key
        if self._is_explicit or event.tenant_id != self.tenant_id or event.channel != self.channel:
            return
        self._key = self._key or event.record_key
        self._used = (self._used or Decimal(0)) + event.units

    @property
    def is_used(self) -> bool:
        """Whether something was used, also if the caller then failed."""
        return self._used is not None

    @property
    def settlement(self) -> tuple[str | None, Decimal]:
        """Key and units to settle to; without a word, all that was reserved, under its own id."""
        key = self._key or self.id
        units = self.units if self._used is None else self._used
        return (key if key is None else self._stored_as.get(key, key)), units


_open: ContextVar[Reservation | None] = ContextVar("reservation", default=None)


def enter(reservation: Reservation) -> Reservation | None:
    """Make it the one that events recorded from here on belong to; return the one before."""
    before = _open.get()
    _open.set(reservation)
    return before


def leave(before: Reservation | None) -> None:
    """End that."""
    _open.set(before)


def note_use(event: UsageEvent, recorder: object) -> None:
    """Tell the reservation that is open here of an event that ``recorder`` (a tracker) has kept."""
    reservation = _open.get()
    if reservation is not None:
        reservation.note(event, recorder)
