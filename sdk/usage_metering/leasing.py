"""Leases: room for several calls that is reserved in one question and handed out in this process.

Pure: no database and no clock but the one handed in. `UsageGuard` asks the database, and says here what it answered.

A lease is a reservation like any other: whatever it holds is reserved for everybody else, so the cap holds to the unit
however many processes lease. It errs on the other side only: what one process holds and does not use, others are refused,
for as long as a lease lives, and only near the cap, where the database grants no more than the call at hand asks for.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from usage_metering.events import UsageEvent
from usage_metering.reserving import Reservation

MOST_CALLS = 1024
"""Calls that a lease is asked for at most; it begins with one, and doubles as long as leases are used up in their time."""
FORGET_AFTER = 60.0
"""Seconds after which a tenant's channel that nobody asked about begins with one call again."""


class Subject(NamedTuple):
    """What a lease is for."""

    tenant_id: str
    channel: str
    direction: str
    month: str


@dataclass
class Lease:
    """What is left of one reservation. ``until`` is when handing out ends, by the monotonic clock."""

    reservation_id: str
    calls: int
    units: Decimal
    until: float
    granted: int
    open_calls: int = 0
    is_over: bool = False

    @property
    def can_end(self) -> bool:
        return self.is_over and self.open_calls == 0


@dataclass
class Seat:
    """A subject's lease, if there is one, and how many calls the next is asked for. Its lock is held while the database is asked."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    lease: Lease | None = None
    calls: int = 1
    requested_at: float = float("-inf")


class Leases:
    """The leases of one process. Thread-safe.

    Args:
        seconds: for how long a lease is handed out.
        end: gives a lease's reservation back, once everything that was recorded under it is durable. Never raises.
    """

    def __init__(self, seconds: float, end: Callable[[str], None], clock: Callable[[], float]) -> None:
        self.seconds = seconds
        self._end = end
        self._clock = clock
        self._pid = os.getpid()
        self._is_stopped = False
        self._lock = threading.Lock()
        self._seats: dict[Subject, Seat] = {}

    def seat(self, subject: Subject) -> Seat:
        """Return the place of a subject's lease; take its lock before `take` and `granted`."""
        seat = self._seats.get(subject)
        if seat is None:
            with self._lock:
                seat = self._seats.setdefault(subject, Seat())
        return seat

    def take(self, seat: Seat, units: Decimal) -> Lease | None:
        """Return the lease that has room for one call of ``units``, less that; None where the database is to be asked."""
        now = self._clock()
        before, seat.requested_at = seat.requested_at, now
        lease = seat.lease
        if lease is None:
            grows = now - before < self.seconds and not self._is_stopped
            seat.calls = min(2 * seat.calls, MOST_CALLS) if grows else 1
            return None
        if now < lease.until and not self._is_stopped and lease.calls >= 1 and lease.units >= units:
            self._hand_out(lease, units)
            return lease
        # Used up before its time: the next one is twice as large. Else as large as what was used.
        used = max(1, lease.granted - lease.calls)
        seat.calls = 1 if self._is_stopped else used if now >= lease.until else min(2 * lease.granted, MOST_CALLS)
        self._over(seat, lease)
        return None

    def granted(self, seat: Seat, reservation_id: str, calls: int, units: Decimal, requested_at: float) -> Lease:
        """Note what the database has reserved: ``calls`` (2 at least) of ``units`` each, of which one is handed out now.

        Args:
            requested_at: when it was requested, by the monotonic clock.
        """
        lease = Lease(reservation_id, calls, calls * units, requested_at + self.seconds, calls)
        seat.lease = lease
        self._hand_out(lease, units)
        return lease

    def done(self, lease: Lease, unused: Decimal, *, is_call_unused: bool) -> None:
        """A call has ended, and of the units that were handed out for it ``unused`` can be handed out again.

        In a forked child nothing happens, here and in `end_old`: the lease is the parent's.
        """
        if os.getpid() != self._pid:
            return
        with self._lock:
            lease.open_calls -= 1
            lease.units += unused
            lease.calls += is_call_unused
            can_end = lease.can_end
        if can_end:
            self._end(lease.reservation_id)

    def stop(self) -> None:
        """End all leases, and grant no more: nobody could end them."""
        self._is_stopped = True
        self.end_old()

    def end_old(self) -> None:
        """End what is past its time; a lease with calls under way ends with the last one."""
        if os.getpid() != self._pid:
            return
        now = self._clock()
        with self._lock:
            seats = list(self._seats.items())
        for subject, seat in seats:
            # Not waited for: whoever has it is asking the database, and `take` looks at the clock as well.
            if not seat.lock.acquire(blocking=False):
                continue
            try:
                lease = seat.lease
                if lease is not None and (now >= lease.until or self._is_stopped):
                    seat.calls = max(1, lease.granted - lease.calls)
                    self._over(seat, lease)
                if seat.lease is None and now - seat.requested_at > FORGET_AFTER:
                    with self._lock:
                        self._seats.pop(subject, None)
            finally:
                seat.lock.release()

    def _hand_out(self, lease: Lease, units: Decimal) -> None:
        with self._lock:
            lease.calls -= 1
            lease.units -= units
            lease.open_calls += 1

    def _over(self, seat: Seat, lease: Lease) -> None:
        seat.lease = None
        with self._lock:
            lease.is_over = True
            can_end = lease.can_end
        if can_end:
            self._end(lease.reservation_id)


class LeasedReservation(Reservation):
    """Room that was handed out of a lease. It has no id: nobody but its lease can settle it."""

    def __init__(
        self, leases: Leases, lease: Lease, recorder: object, tenant_id: str, channel: str, units: Decimal
    ) -> None:
        super().__init__(None, tenant_id, channel, units)
        self.leases = leases
        self.lease = lease
        self._recorder = recorder
        self.recorded = Decimal(0)
        """Units of the events that the lease's own tracker has kept: they reach the database before the lease ends."""

    def note(self, event: UsageEvent, recorder: object) -> None:
        super().note(event, recorder)
        if recorder is self._recorder and event.tenant_id == self.tenant_id and event.channel == self.channel:
            self.recorded += event.units
