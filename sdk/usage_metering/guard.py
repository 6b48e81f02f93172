"""`UsageGuard`: may this tenant use this channel for so much more, and room for it while the call is under way.

One function in PostgreSQL answers, atomically: `used + reserved + n <= cap` holds however many ask at once. Nothing is
cached here, but for room that was reserved ahead where `lease_seconds` says so (see `leasing`). Where the database cannot be asked, or does not answer within METERING_GUARD_TIMEOUT_MS, METERING_GUARD_FAIL_MODE says
per channel what the answer is. What a caller says wrongly is an error at once, and never an answer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from usage_metering import reserving, settings, taxonomy
from usage_metering.bounded import BoundedConnection, Silent
from usage_metering.clock import as_of
from usage_metering.context import current
from usage_metering.events import checked_text, checked_units, shown
from usage_metering.failures import ConfigError
from usage_metering.leasing import Lease, LeasedReservation, Leases, Seat, Subject
from usage_metering.redact import Redactor
from usage_metering.reserving import Reservation
from usage_metering.store import first_line
from usage_metering.tracker import UsageTracker

log = logging.getLogger("metering.tracking")

CAP_REACHED = "Usage cap reached for this channel. Please contact support or update your plan."
UNAVAILABLE = "the usage check is unavailable"
UNKNOWN_TENANT = "the tenant is not in the directory as of the last build: no cap is known"

RESERVATION_SECONDS = 600.0
POOL_SIZE = 8
LONGEST_RESERVATION = 366 * 86_400.0
LONGEST_LEASE = 60.0
AWAY_SECONDS = 1.0
# Of the time that a caller has, the part that the server may take for its statement.
SERVER_SHARE = 0.8
MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
WARN_EVERY = 30.0

CHECK = "select * from ops.guard_check(%s, %s, %s, %s)"
RESERVE = "select * from ops.reserve_usage(%s, %s, %s, %s, %s, %s, %s, %s)"
LEASE = "select * from ops.lease_usage(%s, %s, %s, %s, %s, %s, %s, %s, %s)"
SETTLE_LEASED = "select ops.settle_leased_usage(%s, %s, %s, %s)"
SETTLE = "select ops.settle_usage(%s, %s, %s)"
RELEASE = "select ops.release_usage(%s)"
TENANT = "select tenant_id from ops.tenants_of_reservations(array[%s])"
STATUS = "select * from ops.usage_status_of(%s, %s)"
BLOCKED = """
insert into ops.access_decisions (decision_id, tenant_id, channel, units, allowed, status, used, reserved, cap, reason, feature)
values (%s, %s, %s, %s, false, %s, %s, %s, %s, %s, %s)
on conflict do nothing
"""

Number = int | float | str | Decimal


@dataclass(frozen=True)
class Access:
    """The answer. ``status`` of the channel (ok, warning, over_cap; None: not known); ``used``, ``reserved`` and
    ``cap`` of the limit that decides, in its metric (cap None: no cap); ``reason`` says why not, or what is unusual.
    """

    allowed: bool
    status: str | None
    used: Decimal | None
    reserved: Decimal | None
    cap: Decimal | None
    reason: str | None


@dataclass(frozen=True)
class LimitStatus:
    """One limit of a tenant's month, as of the last build."""

    channel: str
    metric: str
    direction: str
    used: Decimal
    cap: Decimal | None
    warning_threshold_pct: Decimal | None
    percent_used: Decimal | None
    status: str


class UsageCapReached(Exception):
    """The call may not be made; nothing was sent. ``access`` has the figures, and the reason where it is another one."""

    def __init__(self, access: Access) -> None:
        super().__init__(CAP_REACHED)
        self.access = access


class GuardUnavailable(Exception):
    """The database did not answer: `UsageGuard.status`, `settle` and `release` raise it, the checks have their fail mode."""


class UsageGuard:
    """Asks about caps before something is sent. Thread-safe; usable after a fork on both sides.

    Args:
        database_url: as for `UsageTracker`.
        tracker: keeps the decisions that were made without the database; default: one of the guard's own, made when
            it is first needed.
        fail_modes: what to answer without the database; default METERING_GUARD_FAIL_MODE.
        ttl: seconds after which a reservation whose holder died gives its room back; longer than the longest call.
        lease_seconds: of a tenant's channel that is well below its cap, room for the calls of so many seconds is reserved in
            one question, and `reserve` hands it out without another. The cap holds to the unit all the same; near it, what one
            process has leased and does not use is refused to others for so long. Default: each call asks.
        pool_size: connections at most.
        timeout: seconds within which the database answers, all waits together, or else the fail mode does; default
            METERING_GUARD_TIMEOUT_MS, else 0.25.

    Raises:
        ConfigError: no database is named, or METERING_GUARD_FAIL_MODE or METERING_GUARD_TIMEOUT_MS cannot be read.
        ValueError: ``ttl``, ``timeout`` or ``lease_seconds`` is not a number of seconds above 0 (of the latter two, up to 60),
            ``pool_size`` not a number from 1, or there is no ``tracker`` to lease with: what is recorded with another one counts
            only when it arrives.
    """

    def __init__(
        self,
        database_url: str | None = None,
        *,
        tracker: UsageTracker | None = None,
        fail_modes: settings.FailModes | None = None,
        ttl: float = RESERVATION_SECONDS,
        lease_seconds: float | None = None,
        pool_size: int = POOL_SIZE,
        timeout: float | None = None,
    ) -> None:
        url = settings.tracker_url(database_url)
        if url is None:
            raise ConfigError(
                f"{settings.TRACKER_VARIABLE} and {settings.OWNER_VARIABLE} not set: the guard reads caps from that database"
            )
        self._url = url
        self._tracker = tracker
        self._own_tracker: UsageTracker | None = None
        self._fail_modes = fail_modes or settings.FailModes.from_environment()
        self._ttl = _ttl(ttl)
        self._lease_seconds = (
            None if lease_seconds is None else settings.seconds("lease_seconds", lease_seconds, LONGEST_LEASE)
        )
        if lease_seconds is not None and tracker is None:
            raise ValueError("lease_seconds needs the tracker that records the calls: UsageGuard(tracker=…)")
        self._pool_size = _pool_size(pool_size)
        self._timeout = settings.guard_timeout() if timeout is None else _timeout(timeout)
        self._redactor = Redactor()
        self._begin()
        _guards.add(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._pool: ConnectionPool[BoundedConnection] | None = None
        self._answered_at = float("-inf")
        self._away_until = float("-inf")
        self._warned_at = float("-inf")
        self._leases: Leases | None = None
        if self._lease_seconds is not None and self._tracker is not None:
            self._leases = Leases(self._lease_seconds, self._tracker.end_lease, time.monotonic)
            self._tracker.tend(self._leases)

    def _after_fork(self) -> None:
        if self._pool is not None:
            _parents_pools.append(self._pool)  # never closed here: its sockets are the parent's
        self._begin()

    # Asking

    def check(self, tenant_id: str, channel: str, units: Number = 1) -> Access:
        """Return whether the channel may be used for ``units`` more. Sends nothing, reserves nothing, records nothing.

        Raises:
            ValueError: an unknown channel, units that are not a number from 0 to 10^20, a tenant or feature that is not text of
                at most 500 characters. Characters that no database holds are replaced, as the tracker does it.
        """
        tenant_id, amount = _tenant(tenant_id), _amount(channel, units)
        try:
            return _access(self._query(CHECK, lambda: (tenant_id, channel, amount, self._month())))
        except psycopg.Error as error:
            return self._unanswered(tenant_id, channel, amount, None, error, record=False)

    def require(self, tenant_id: str, channel: str, units: Number = 1) -> Access:
        """As `check`, for a caller who goes on only if it may; a refusal is recorded.

        Raises:
            UsageCapReached: it may not.
            ValueError: see `check`.
        """
        tenant_id, amount, feature = _tenant(tenant_id), _amount(channel, units), self._feature(None)
        until = self._deadline()
        try:
            access = _access(self._query(CHECK, lambda: (tenant_id, channel, amount, self._month()), until))
        except psycopg.Error as error:
            access = self._unanswered(tenant_id, channel, amount, feature, error)
        else:
            if not access.allowed:
                self._record_blocked(tenant_id, channel, amount, access, feature, until)
        if not access.allowed:
            raise UsageCapReached(access)
        return access

    def reserve(
        self,
        tenant_id: str,
        channel: str,
        units: Number = 1,
        *,
        direction: str = "outbound",
        feature: str | None = None,
        ttl: float | None = None,
    ) -> Reserving:
        """Return a context (for `with` and `async with`) that holds room for ``units`` while the call is made.

        Entering it raises UsageCapReached where the cap leaves no room, before anything is sent. Leaving it settles to what
        was used (see `Reservation.settle_as`; by itself, to the events that were recorded inside), an exception gives
        the room back, and if the process dies the room returns after ``ttl`` seconds.

        Raises:
            ValueError: see `check`; or an unknown direction, or a ``ttl`` that is not a number of seconds.
        """
        if direction not in taxonomy.DIRECTIONS:
            raise ValueError(f"unknown direction {shown(direction)}: use {', '.join(taxonomy.DIRECTIONS)}")
        seconds = self._ttl if ttl is None else _ttl(ttl)
        amount = _amount(channel, units)
        return Reserving(
            *(self, _tenant(tenant_id), channel, amount, direction, self._feature(feature), seconds),
            may_lease=ttl is None,
        )

    def status(self, tenant_id: str, month: str | None = None) -> list[LimitStatus]:
        """Return the limits of a tenant's month (``2026-10``; default: the current one) as of the last build.

        Raises:
            GuardUnavailable: the database did not answer.
            ValueError: a tenant that is not text, or not a month.
        """
        tenant_id = _tenant(tenant_id)
        if month and not (isinstance(month, str) and MONTH.fullmatch(month)):
            raise ValueError(f"month is not written as 2026-10: {shown(month)}")
        try:
            rows = self._query(STATUS, lambda: (tenant_id, month or self._month()))
        except psycopg.Error as error:
            raise GuardUnavailable(f"{UNAVAILABLE}: {first_line(error)}") from error
        return [LimitStatus(*row) for row in rows]

    # Holding room across requests or processes, where no `with` block spans the call

    def hold(
        self,
        tenant_id: str,
        channel: str,
        units: Number = 1,
        *,
        direction: str = "outbound",
        feature: str | None = None,
        ttl: float | None = None,
    ) -> tuple[Access, str | None]:
        """As `reserve`, without a block: return the answer and the reservation's id, None where nothing is held.

        `settle` or `release` ends it, from any process, or an event that names it; else it expires.

        Raises:
            ValueError: see `reserve`.
        """
        return self._held(self.reserve(tenant_id, channel, units, direction=direction, feature=feature, ttl=ttl))

    def settle(self, reservation_id: str, key: str, units: Number) -> None:
        """Make what is held into what was used, under its record's key; of a reservation that is gone, nothing.

        Raises:
            GuardUnavailable: the database did not answer; to say it again does no harm.
            ValueError: an id or key that is not text, or units that are not a number from 0.
        """
        key, amount = checked_text("key", key) or reservation_id, checked_units(units)
        self._surely(SETTLE, lambda: (reservation_id, key, amount))

    def release(self, reservation_id: str) -> None:
        """Give the room of a reservation back: nothing was used.

        Raises:
            GuardUnavailable: see `settle`.
        """
        self._surely(RELEASE, lambda: (reservation_id,))

    def tenant_of(self, reservation_id: str) -> str | None:
        """Return the tenant of a reservation; None where it is gone.

        Raises:
            GuardUnavailable: the database did not answer.
        """
        rows = self._surely(TENANT, lambda: (reservation_id,))
        return rows[0][0] if rows else None

    def _surely(self, statement: str, parameters: Callable[[], tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        try:
            return self._query(statement, parameters)
        except psycopg.Error as error:
            raise GuardUnavailable(f"{UNAVAILABLE}: {first_line(error)}") from error

    def close(self) -> None:
        """Disconnect."""
        _guards.discard(self)
        if self._leases is not None:
            self._leases.stop()
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
        if self._own_tracker is not None:
            self._own_tracker.close()

    # Reserving, for `Reserving`

    def _reserve(self, reserving: Reserving) -> Reservation:
        if os.getpid() != self._pid:
            self._after_fork()
        leases, until = self._leases, self._deadline()
        if leases is not None and reserving.may_lease:
            subject = Subject(reserving.tenant_id, reserving.channel, reserving.direction, self._month())
            seat = leases.seat(subject)
            # One caller asks for all who wait; who has waited for half of his time asks for himself.
            if seat.lock.acquire(timeout=self._timeout / 2):
                try:
                    lease = leases.take(seat, reserving.units)
                    if lease is not None:
                        return self._leased(leases, lease, reserving)
                    return self._lease(leases, seat, reserving, until)
                finally:
                    seat.lock.release()
        access, reservation_id, _ = self._granted(reserving, 1, until)
        if not access.allowed:
            raise UsageCapReached(access)
        return Reservation(reservation_id, reserving.tenant_id, reserving.channel, reserving.units)

    def _lease(self, leases: Leases, seat: Seat, reserving: Reserving, until: float) -> Reservation:
        requested_at = time.monotonic()
        access, reservation_id, calls = self._granted(reserving, seat.calls, until)
        if calls < seat.calls:
            seat.calls = 1  # near the cap
        if not access.allowed:
            raise UsageCapReached(access)
        if reservation_id is None or calls == 1:
            # An unknown tenant, no certain answer, or nothing to spare: as without leases.
            return Reservation(reservation_id, reserving.tenant_id, reserving.channel, reserving.units)
        lease = leases.granted(seat, reservation_id, calls, reserving.units, requested_at)
        return self._leased(leases, lease, reserving)

    def _leased(self, leases: Leases, lease: Lease, reserving: Reserving) -> Reservation:
        seat = (reserving.tenant_id, reserving.channel, reserving.units)
        return LeasedReservation(leases, lease, self._tracker, *seat)

    def _held(self, reserving: Reserving) -> tuple[Access, str | None]:
        access, reservation_id, _ = self._granted(reserving, 1, self._deadline())
        return access, reservation_id

    def _granted(self, reserving: Reserving, calls: int, until: float) -> tuple[Access, str | None, int]:
        """Ask for room for so many calls; return the answer, the id of what is held, and for how many calls that is.

        Where the answer is lost, that is 1: the caller's own, whatever is held.
        """
        # An attempt that broke off may have reserved: the next one, under the same id, takes its place.
        key = f"reservation-{uuid.uuid4()}"
        attempts = 0

        def parameters() -> tuple[Any, ...]:
            nonlocal attempts
            attempts += 1
            subject = (key, reserving.tenant_id, reserving.channel, reserving.direction, reserving.units)
            # A call that begins at a lease's end may take as long as any.
            seconds = Decimal(str(reserving.ttl + (self._lease_seconds or 0 if calls > 1 else 0)))
            how = (self._month(), seconds, reserving.feature)
            return (*subject, *how) if calls == 1 else (*subject, calls, *how)

        leased = 1
        try:
            rows = self._query(RESERVE if calls == 1 else LEASE, parameters, until)
            if rows and calls > 1:
                *row, leased = rows[0]
                rows = [tuple(row)]
            access = _access(rows)
            reservation_id = key if rows else None
        except psycopg.Error as error:
            if isinstance(error, psycopg.errors.UndefinedFunction) and calls > 1 and self._leases is not None:
                # The database is of an older version, which knows the cap all the same.
                self._leases.stop()
                log.warning("no leases until the database is migrated: %s", first_line(error))
                return self._granted(reserving, 1, until)
            access = self._unanswered(
                reserving.tenant_id, reserving.channel, reserving.units, reserving.feature, error, decision_id=key
            )
            # Of what was sent only the answer may be lost: room that is held is settled with the call, and does not wait to expire.
            # Where the server says that it gave the only attempt up, nothing is held.
            is_given_up = attempts == 1 and isinstance(error, psycopg.errors.QueryCanceled)
            reservation_id = key if attempts and not is_given_up else None
        return access, reservation_id if access.allowed else None, leased

    def _settle(self, reservation: Reservation, *, failed: bool) -> None:
        """Best effort: what is not settled expires, and the event itself counts when it arrives."""
        if isinstance(reservation, LeasedReservation):
            self._settle_leased(reservation, failed=failed)
            return
        if reservation.id is None:
            return
        key, units = reservation.settlement
        try:
            if failed and not reservation.is_used:
                self._query(RELEASE, lambda: (reservation.id,))
            else:
                self._query(SETTLE, lambda: (reservation.id, key, units))
        except (psycopg.Error, ValueError) as error:
            log.warning("a reservation could not be settled and will expire: %s", first_line(error))

    def _settle_leased(self, reservation: LeasedReservation, *, failed: bool) -> None:
        """Give back to the lease what was not used, and settle what no event of the tracker's tells of."""
        is_unused = failed and not reservation.is_used
        unused = reservation.units
        try:
            if not is_unused:
                key, used = reservation.settlement
                if reservation.recorded >= used:
                    # On its way, and in the database before the lease ends.
                    unused = max(reservation.units - reservation.recorded, Decimal(0))
                else:
                    unused = Decimal(0)
                    key = key or f"reservation-{uuid.uuid4()}"
                    self._query(SETTLE_LEASED, lambda: (reservation.lease.reservation_id, reservation.units, key, used))
        except (psycopg.Error, ValueError) as error:
            log.warning("a reservation could not be settled and will expire: %s", first_line(error))
        finally:
            reservation.leases.done(reservation.lease, unused, is_call_unused=is_unused)

    # The database

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout

    def _query(
        self, statement: str, parameters: Callable[[], tuple[Any, ...]], until: float | None = None
    ) -> list[tuple[Any, ...]]:
        """Return the rows of an answer that comes before ``until`` (default: the timeout from now).

        Raises:
            psycopg.Error: the database is away, or does not know the function.
            ValueError: the database does not take the values.
        """
        until = self._deadline() if until is None else until
        if os.getpid() != self._pid:
            self._after_fork()
        self._gate()
        try:
            rows = self._try(statement, parameters, until)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise ValueError(f"the database rejected the request: {first_line(error)}") from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self._away_until = float("-inf") if self._is_busy(error) else time.monotonic() + AWAY_SECONDS
            raise
        self._answered_at, self._away_until = time.monotonic(), float("-inf")
        return rows

    def _is_busy(self, error: psycopg.Error) -> bool:
        """Whether the database is there, but this question had to wait too long: for its tenant's lock (the server said so), or while
        others were answered. One tenant's rush must not open or close the gate for all.
        """
        if isinstance(error, psycopg.errors.QueryCanceled):
            return True
        others_got_answers = self._answered_at > time.monotonic() - self._timeout
        return isinstance(error, PoolTimeout | Silent) and others_got_answers

    def _gate(self) -> None:
        """While the database is away, one caller at a time finds out whether it still is; the others need not wait."""
        with self._lock:
            now = time.monotonic()
            if now < self._away_until:
                raise psycopg.OperationalError("it did not answer a moment ago")
            if self._away_until > float("-inf"):
                self._away_until = now + 2 * self._timeout

    def _try(self, statement: str, parameters: Callable[[], tuple[Any, ...]], until: float) -> list[tuple[Any, ...]]:
        pool = self._connections()
        broken = 0
        while True:
            try:
                with pool.connection(timeout=max(0.001, until - time.monotonic())) as connection:
                    connection.until = until
                    cursor = connection.execute(statement.encode(), parameters())
                    rows = cursor.fetchall() if cursor.description else []
                    connection.until = float("inf")  # the pool's own waits have their patience
                    return rows
            except (PoolTimeout, Silent, psycopg.errors.QueryCanceled):
                raise
            except (psycopg.OperationalError, psycopg.InterfaceError):
                # A server that was restarted breaks every connection that the pool holds: once through all of them.
                broken += 1
                if broken > self._pool_size or time.monotonic() >= until:
                    raise

    def _connections(self) -> ConnectionPool[BoundedConnection]:
        with self._lock:
            if self._pool is None:
                self._pool = ConnectionPool(
                    self._url,
                    connection_class=BoundedConnection,
                    min_size=0,
                    max_size=self._pool_size,
                    timeout=self._timeout,
                    reconnect_timeout=0.5,
                    max_idle=300,
                    configure=self._configure,
                    kwargs={
                        "autocommit": True,
                        "connect_timeout": 2,
                        "tcp_user_timeout": max(1, round(self._timeout * 1000)),
                        "application_name": "usage-metering guard",
                    },
                    open=True,
                    name="usage-metering guard",
                )
            return self._pool

    def _configure(self, connection: BoundedConnection) -> None:
        connection.patience = 2.0
        # What was given up here is given up there: nothing is reserved for a caller who has gone. Given up there a little earlier, so
        # that a server that is only busy says so itself.
        connection.execute(f"set statement_timeout = {max(1, round(self._timeout * 1000 * SERVER_SHARE))}".encode())

    def _feature(self, feature: object) -> str | None:
        """Return it as the tracker would keep it; the context's where none is named."""
        named = checked_text("feature", feature) or checked_text("feature", current().feature)
        return self._redactor.identifier(named)

    # Without an answer

    def _unanswered(
        self,
        tenant_id: str,
        channel: str,
        units: Decimal,
        feature: str | None,
        error: psycopg.Error,
        *,
        record: bool = True,
        decision_id: str | None = None,
    ) -> Access:
        allowed = self._fail_modes.of(channel) == "allow"
        if time.monotonic() - self._warned_at >= WARN_EVERY:
            self._warned_at = time.monotonic()
            log.warning(
                "%s, %s is answered %s: %s", UNAVAILABLE, channel, "yes" if allowed else "no", first_line(error)
            )
        if record:
            self._recorder().record_decision(
                {
                    # The database may have refused it as well, which is one refusal; that it was allowed here is another answer.
                    "decision_id": None if allowed else decision_id,
                    "tenant_id": tenant_id,
                    "channel": channel,
                    "units": str(units),
                    "allowed": allowed,
                    "status": None,
                    "reason": UNAVAILABLE,
                    "feature": feature,
                    "decided_at": datetime.now(UTC).isoformat(),
                }
            )
        return Access(allowed, None, None, None, None, UNAVAILABLE)

    def _recorder(self) -> UsageTracker:
        if self._tracker is not None:
            return self._tracker
        with self._lock:
            if self._own_tracker is None:
                self._own_tracker = UsageTracker(self._url)
            return self._own_tracker

    def _record_blocked(
        self, tenant_id: str, channel: str, units: Decimal, access: Access, feature: str | None, until: float
    ) -> None:
        decision_id = f"refusal-{uuid.uuid4()}"
        try:
            figures = (access.status, access.used, access.reserved, access.cap, access.reason)
            self._query(BLOCKED, lambda: (decision_id, tenant_id, channel, units, *figures, feature), until)
        except (psycopg.Error, ValueError) as error:
            log.warning("a refusal could not be recorded: %s", first_line(error))

    @staticmethod
    def _month() -> str:
        return as_of().strftime("%Y-%m")


class Reserving:
    """The context of a reservation. It may be entered in another thread than the one that the call is made in."""

    def __init__(
        self,
        guard: UsageGuard,
        tenant_id: str,
        channel: str,
        units: Decimal,
        direction: str,
        feature: str | None,
        ttl: float,
        *,
        may_lease: bool = False,
    ) -> None:
        self.may_lease = may_lease
        self._guard = guard
        self.tenant_id = tenant_id
        self.channel = channel
        self.units = units
        self.direction = direction
        self.feature = feature
        self.ttl = ttl
        self._reservation: Reservation | None = None
        self._before: Reservation | None = None

    def __enter__(self) -> Reservation:
        self._reservation = self._guard._reserve(self)
        self._before = reserving.enter(self._reservation)
        return self._reservation

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        reserving.leave(self._before)
        if self._reservation is not None:
            self._guard._settle(self._reservation, failed=kind is not None)

    async def __aenter__(self) -> Reservation:
        self._reservation = await asyncio.to_thread(self._guard._reserve, self)
        self._before = reserving.enter(self._reservation)
        return self._reservation

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        reserving.leave(self._before)
        if self._reservation is not None:
            # Shielded: a cancelled task still gives back what it holds.
            await asyncio.shield(asyncio.to_thread(self._guard._settle, self._reservation, failed=kind is not None))


def _access(rows: list[tuple[Any, ...]]) -> Access:
    return Access(*rows[0]) if rows else Access(True, None, None, None, None, UNKNOWN_TENANT)


def _tenant(tenant_id: object) -> str:
    return checked_text("tenant_id", tenant_id) or taxonomy.UNATTRIBUTED


def _amount(channel: object, units: object) -> Decimal:
    if channel not in taxonomy.CHANNELS:
        raise ValueError(f"unknown channel {shown(channel)}: use {', '.join(taxonomy.CHANNELS)}")
    return checked_units(units)


def _ttl(given: object) -> float:
    return settings.seconds("ttl", given, LONGEST_RESERVATION)


def _timeout(given: object) -> float:
    return settings.seconds("timeout", given, settings.LONGEST_GUARD_TIMEOUT_MS / 1000)


def _pool_size(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ValueError("pool_size is not a whole number of at least 1")
    return given


_guards: weakref.WeakSet[UsageGuard] = weakref.WeakSet()
_parents_pools: list[Any] = []
_default: UsageGuard | None = None
_default_lock = threading.Lock()


def _default_guard() -> UsageGuard:
    global _default
    with _default_lock:
        if _default is None:
            _default = UsageGuard()
        return _default


def can_tenant_use_channel(tenant_id: str, channel: str, units: Number = 1) -> bool:
    """Return whether the tenant may use the channel for ``units`` more; asks, and reserves nothing.

    Raises:
        ValueError: see `UsageGuard.check`.
        ConfigError: no database is named.
    """
    return _default_guard().check(tenant_id, channel, units).allowed


def get_tenant_usage_status(tenant_id: str, month: str | None = None) -> list[LimitStatus]:
    """Return the tenant's limits in a month (``2026-10``), and what is used of them as of the last build.

    Raises:
        GuardUnavailable: the database did not answer.
        ConfigError: no database is named.
    """
    return _default_guard().status(tenant_id, month)


def _after_fork_in_child() -> None:
    global _default_lock
    _default_lock = threading.Lock()
    for guard in list(_guards):
        guard._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
