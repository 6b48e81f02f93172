"""One metered call of a wrapped client: room under the cap before it, an event after it, and never in its way.

What belongs here: what the three providers' wrappers have in common. What a call has used is for each of them to say.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from typing import Any, Protocol, TypeVar

from usage_metering import unnamed
from usage_metering.context import current, freeze, usage_context

log = logging.getLogger("metering.tracking")

T = TypeVar("T")

METERING = ("tenant_id", "feature", "activity", "lead_id", "message_id", "flow_execution_id", "metadata")
"""What a call's own ``metering={…}`` may say: the names of `usage_context`, and ``operation`` for ``activity``."""


class Tracker(Protocol):
    """What the wrappers need of `UsageTracker`."""

    def record(self, *args: Any, **fields: Any) -> str | None: ...


class Reserved(Protocol):
    """What the wrappers need of `Reservation`."""

    @property
    def id(self) -> str | None: ...

    def settle_as(self, key: str, units: Any) -> None: ...


class Guard(Protocol):
    """What the wrappers need of `UsageGuard`."""

    def reserve(self, *args: Any, **options: Any) -> AbstractContextManager[Any]: ...


class NotMetered(RuntimeError):
    """What a guarded client was asked for costs money that it cannot meter; nothing was sent."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is not metered, so no cap holds for it: a client with a guard refuses it; use the client that you wrapped"
        )


def check_wrapping(
    wrapper: object, client: object, tracker: object, guard: object, sdk: tuple[str, str], hint: str = ""
) -> None:
    """See to it that a wrapper is given what it can wrap, before anything is sent and paid for with it.

    Args:
        sdk: module (imported, if ``client`` is of it) and name of the class that is wrapped; a subclass will do.
        hint: what to do where it is another class.

    Raises:
        TypeError: in one line, what was given instead.
    """
    us, (module, name) = type(wrapper).__name__, sdk
    expected = getattr(sys.modules.get(module), name, None)
    if not (isinstance(expected, type) and isinstance(client, expected)):
        raise TypeError(f"{us} wraps {module}.{name}, not {_what(client)}{hint and ': '}{hint}")
    if type(client).__module__.startswith(f"{__package__}."):
        raise TypeError(f"{us} was given a client that is tracked already: each call would count twice")
    if isinstance(tracker, type) or not callable(getattr(tracker, "record", None)):
        raise TypeError(f"{us} takes a UsageTracker as its second argument, not {_what(tracker)}")
    if guard is not None and (isinstance(guard, type) or not callable(getattr(guard, "reserve", None))):
        raise TypeError(f"{us} takes a UsageGuard, or None, as its third argument, not {_what(guard)}")


def _what(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"an object of {type(value).__name__}"


def metering_scope(metering: object) -> AbstractContextManager[object]:
    """Return the `usage_context` of a call's own words; what cannot be understood of them is logged and left out."""
    if metering is None:
        return nullcontext()
    if not isinstance(metering, Mapping):
        log.error("metering is a mapping of names to values, not %s: it was ignored", type(metering).__name__)
        return nullcontext()
    values = {name: value for name, value in metering.items() if value is not None}
    # The provider's taxonomy is ours to set: the caller's own word for what was done is the activity.
    if "operation" in values:
        values.setdefault("activity", values.pop("operation"))
        values.pop("operation", None)
    unknown = sorted(str(name) for name in values if name not in METERING)
    if unknown:
        log.error("unknown metering keys ignored: %s (known: %s)", ", ".join(unknown), ", ".join(METERING))
    known = {name: value for name, value in values.items() if name in METERING}
    if not isinstance(known.get("metadata", {}), Mapping):
        log.error("metering's metadata is a mapping, not %s: ignored", type(known.pop("metadata")).__name__)
    return usage_context(**known)


def measured(measure: Callable[[], int], otherwise: int) -> int:
    """What ``measure`` says of a request; a request that it cannot read is the provider's to refuse, not ours."""
    try:
        return measure()
    except Exception:
        log.exception("a request could not be measured: %s is assumed", otherwise)
        return otherwise


class Call:
    """One call, from before it is sent until what it used is known. It ends once, with `finish` or `fail`.

    It belongs to the `usage_context` that it began in, also when a stream of it is read to its end much later.

    Raises:
        TenantRequired: no tenant is named, and the tracker requires one; nothing may be sent.
    """

    def __init__(self, tracker: Tracker, guard: Guard | None) -> None:
        self._tracker = tracker
        self._guard = guard
        self._context = copy_context()
        if not self._context.run(freeze).tenant_id and getattr(tracker, "require_tenant", False):
            raise unnamed.TenantRequired(f"no tenant is named, and the tracker requires one: {unnamed.REMEDY}")
        self._holding: AbstractContextManager[Any] | None = None
        self._reservation: Reserved | None = None
        self._lock = threading.Lock()
        self._has_ended = False

    @property
    def is_guarded(self) -> bool:
        return self._guard is not None

    @property
    def has_ended(self) -> bool:
        return self._has_ended

    def reserve(self, channel: str, units: int, feature: str | None = None) -> None:
        """Hold room for ``units``, if there is a guard and a tenant to ask about.

        Raises:
            UsageCapReached: the cap leaves no room; nothing may be sent.
            ValueError: the tenant is not text, or the units are not a number: nothing may be sent.
        """
        if self._guard is not None:
            self._context.run(self._reserve, self._guard, channel, units, feature)

    def _reserve(self, guard: Guard, channel: str, units: int, feature: str | None) -> None:
        from usage_metering.guard import UsageCapReached

        context = current()
        if not context.tenant_id:
            return  # logged when it is recorded
        try:
            holding = guard.reserve(
                context.tenant_id, channel, units, direction="outbound", feature=context.feature or feature
            )
            reservation = holding.__enter__()
        except (UsageCapReached, ValueError):
            raise  # a tenant or an amount that nobody can be asked about must not go through uncapped
        except Exception:
            log.exception("the guard failed: the call is made without it")
            return
        with self._lock:
            self._holding, self._reservation = holding, reservation
            given_up = self._has_ended
        if given_up:  # the caller was cancelled while this was on its way
            self._let_go(None)

    def again(self) -> Call:
        """Another call of the same tenant and context, without a reservation: of what one request asked for, each part is one."""
        return self._context.copy().run(Call, self._tracker, None)

    def finish(self, *, units: int, beside: Sequence[Mapping[str, Any]] = (), **fields: Any) -> None:
        """Record what was used and settle the reservation to it. Never raises; nothing happens the second time.

        Args:
            beside: events of what the same call used in other units, each with its ``units``; no reservation is for them.
        """
        if self._end():
            try:
                self._context.copy().run(self._record, units, fields)
                for more in beside:
                    self._context.copy().run(self._tracker.record, **more)
            except Exception:
                log.exception("usage could not be recorded")

    def fail(self, error: BaseException | None = None) -> None:
        """The call used nothing: give the room back. Never raises."""
        if self._end() and self._holding is not None:
            try:
                self._context.copy().run(self._let_go, error)
            except Exception:
                log.exception("a reservation could not be given back and will expire")

    def _end(self) -> bool:
        with self._lock:
            first, self._has_ended = not self._has_ended, True
        return first

    def _record(self, units: int, fields: dict[str, Any]) -> None:
        reservation = self._reservation
        key = None
        try:
            key = self._tracker.record(
                units=units, reservation=None if reservation is None else reservation.id, **fields
            )
        except Exception:
            log.exception("usage could not be recorded")
        if reservation is None or self._holding is None:
            return
        key = fields.get("external_id") or key or reservation.id
        if key is not None:
            try:
                reservation.settle_as(key, units)
            except ValueError as error:
                log.error("a reservation is settled at its reserved units: %s", error)
        self._holding.__exit__(None, None, None)

    def _let_go(self, error: BaseException | None) -> None:
        if self._holding is None:
            return
        error = error or RuntimeError("the call used nothing")
        try:
            self._holding.__exit__(type(error), error, error.__traceback__)
        except BaseException as raised:
            if raised is not error:
                raise


async def off_loop(work: Callable[[], T]) -> T:
    """Do ``work`` in a thread, so that the event loop does not wait for a disk or a database.

    It is done to its end also when the caller is cancelled. Without an asyncio loop (trio, or one that is shutting
    down) it is done here.
    """
    try:
        asyncio.get_running_loop()
        task = asyncio.ensure_future(asyncio.to_thread(work))
    except RuntimeError:
        return work()
    return await asyncio.shield(task)
