"""`UsageTracker`: takes what was used, makes it durable before it returns, and never gets in the caller's way."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg

from usage_metering import context, reserving, sdk_objects, settings, unnamed, webhooks
from usage_metering.clock import as_of
from usage_metering.events import InvalidEvent, UsageEvent
from usage_metering.failures import ConfigError
from usage_metering.flush import Flusher
from usage_metering.leasing import Leases
from usage_metering.metrics import Counters, TrackerStatus, new_registry
from usage_metering.places_sku import places_sku
from usage_metering.redact import Redactor
from usage_metering.spool import Line, Spool, SpoolRefused
from usage_metering.store import Store, decision_line, event_line, first_line, lease_end_line, refusal_line

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger("metering.tracking")

DIRECT_TIMEOUT = 2.0
AT_EXIT_SECONDS = 3.0

LossCallback = Callable[[dict[str, Any], Exception], None]


class UsageTracker:
    """Records usage events. One per process is enough; it is thread-safe, and usable after a fork on both sides.

    An event is on the local disk (fsynced) when `record` returns; a background thread brings it to PostgreSQL, exactly
    once. Where the disk refuses it, it is inserted directly, with a short timeout; where that fails as well, it is
    counted as lost, logged as an error, and handed to ``on_loss``. No method that records ever raises.

    Args:
        database_url: the tracker's or the owner's URL; default METERING_TRACKER_DATABASE_URL, else
            METERING_DATABASE_URL. Without any, events wait on disk for `metering events flush`.
        spool_dir: a folder on a local disk, for the events of this database; any number of processes may share it.
            Default METERING_SPOOL_DIR, else ``~/.local/state/usage-metering/spool/<hash of the database's place>``
            (``$XDG_STATE_HOME`` respected).
        on_loss: called with the event's row and the reason when neither disk nor database took it.
        flush_interval: seconds between two flushes.
        direct_timeout: seconds that a direct insert may take.
        require_tenant: refuse what names no tenant: a wrapped call raises `TenantRequired` before anything is sent, and a
            use that is recorded is rejected. Without it such use is ``unattributed``, and a warning names the call.

    Raises:
        ConfigError: the URL is not a PostgreSQL URL.
        ValueError: ``flush_interval`` or ``direct_timeout`` is not a number of seconds above 0.
    """

    def __init__(
        self,
        database_url: str | None = None,
        spool_dir: str | Path | None = None,
        *,
        on_loss: LossCallback | None = None,
        flush_interval: float = 0.5,
        direct_timeout: float = DIRECT_TIMEOUT,
        require_tenant: bool = False,
    ) -> None:
        self._url = settings.tracker_url(database_url)
        self._on_loss = on_loss
        self._direct_timeout = settings.seconds("direct_timeout", direct_timeout, settings.LONGEST_WAIT)
        flush_interval = settings.seconds("flush_interval", flush_interval, settings.LONGEST_WAIT)
        self.require_tenant = require_tenant
        self._redactor = Redactor()
        self._counters = Counters()
        self._spool = Spool(settings.spool_folder(self._url, spool_dir))
        self._flusher: Flusher | None = None
        self._direct: Store | None = None
        if self._url is None:
            log.warning(
                "no database is configured: events wait in %s until `metering events flush`", self._spool.folder
            )
        else:
            self._flusher = Flusher(
                self._spool, self._url, self._counters, interval=flush_interval, before=self._end_old_leases
            )
            self._direct = Store(self._url, connect_timeout=direct_timeout, statement_timeout=direct_timeout)
        self._registry: CollectorRegistry | None = None
        self._leases: weakref.WeakSet[Leases] = weakref.WeakSet()
        self._begin()
        _trackers.add(self)
        if self._flusher is not None:
            self._flusher.start()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._direct_lock = threading.Lock()
        self._direct_failed_at = float("-inf")
        self._is_closed = False
        self._reminder = unnamed.Reminder()  # its lock may have been held in the parent

    def _after_fork(self) -> None:
        """In the child: the parent's files, threads and connections stay the parent's."""
        was_closed = self._is_closed
        self._begin()
        self._is_closed = was_closed
        self._spool.forget()
        self._counters.forget()
        if self._flusher is not None:
            self._flusher.forget()
        if self._direct is not None:
            self._direct.forget()

    # Recording

    def record(
        self,
        tenant_id: str | None = None,
        service: str = "internal",
        operation: str | None = None,
        units: int | float | str | Decimal = 1,
        *,
        channel: str | None = None,
        direction: str | None = None,
        model: str | None = None,
        input_tokens: int | None = None,
        cached_input_tokens: int | None = None,
        cache_write_tokens: int | None = None,
        cache_write_1h_tokens: int | None = None,
        output_tokens: int | None = None,
        feature: str | None = None,
        activity: str | None = None,
        external_id: str | None = None,
        resource_id: str | None = None,
        idempotency_key: str | None = None,
        seen_by: str | None = None,
        lead_id: str | None = None,
        message_id: str | None = None,
        flow_execution_id: str | None = None,
        occurred_at: datetime | str | None = None,
        metadata: Mapping[str, Any] | None = None,
        reservation: str | None = None,
    ) -> str | None:
        """Record one use and return its key once it is durable; None where it is not (the reason is logged).

        What is not given is taken from `usage_context`, else from the provider's taxonomy; the tenant is
        ``unattributed`` where nobody names one. Never raises and does not wait for the database.

        Args:
            units: in the channel's unit (segments, minutes, emails, …); of AI: input + output tokens, when given.
            external_id: the provider's id, the same for whoever tells it. It is the event's key, else one made of
                ``idempotency_key`` is, else a made one.
            idempotency_key: your own; a second use under it, of the same tenant and service, is not counted again.
            seen_by: a gateway or observer (``litellm``) beside which the product may record the same use: its event has a key of its
                own, and by ``external_id`` both are one use.
            occurred_at: default now. A datetime without a zone is UTC.
            metadata: phone numbers and e-mail addresses in it are hashed, contents (body, prompt, …) dropped.
            reservation: the id of the guard's reservation that this use settles.
        """
        return self._record(
            {
                "tenant_id": tenant_id,
                "service": service,
                "operation": operation,
                "units": units,
                "channel": channel,
                "direction": direction,
                "model": model,
                "input_tokens": input_tokens,
                "cached_input_tokens": cached_input_tokens,
                "cache_write_tokens": cache_write_tokens,
                "cache_write_1h_tokens": cache_write_1h_tokens,
                "output_tokens": output_tokens,
                "feature": feature,
                "activity": activity,
                "external_id": external_id,
                "resource_id": resource_id,
                "idempotency_key": idempotency_key,
                "seen_by": seen_by,
                "lead_id": lead_id,
                "message_id": message_id,
                "flow_execution_id": flow_execution_id,
                "occurred_at": occurred_at,
                "metadata": metadata,
            },
            reservation=reservation,
        )

    def record_inbound_sms(self, form: Any, tenant_id: str | None = None) -> str | None:
        """Record an incoming message from the parameters of Twilio's webhook; key: its MessageSid.

        As its two sisters below it takes the message (call) of Twilio's SDK as well: ``client.messages(sid).fetch()``.
        Without a tenant, the one whose number was written to is found when the event is flushed.
        """
        return self._record_fields(tenant_id, lambda: webhooks.inbound_sms(form, self._redactor.number))

    def record_message_status(self, form: Any, tenant_id: str | None = None) -> str | None:
        """Note from Twilio's status callback that a message was never sent (failed, canceled); key: ``SM…:failed``.

        Returns None without recording anything for every other status.
        """
        return self._record_fields(tenant_id, lambda: webhooks.message_status(form, self._redactor.number))

    def record_call_status(self, form: Any, tenant_id: str | None = None) -> str | None:
        """Record the minutes of a completed call from Twilio's status callback; key: ``CA…:completed``.

        Returns None without recording anything for every other status, and for a call that nobody answered.
        """
        return self._record_fields(tenant_id, lambda: webhooks.call_status(form, self._redactor.number))

    def record_phone_number(
        self, number: Any, kind: str, action: str = "provisioned", tenant_id: str | None = None
    ) -> str | None:
        """Record that a number was ``provisioned`` (one number_day) or ``released``; once per number and day.

        Args:
            number: text, or an ``IncomingPhoneNumber`` of Twilio's SDK; only its hash is kept.
            kind: local, mobile, toll_free, …
        """
        day = self._now().date()
        return self._record_fields(
            tenant_id,
            lambda: webhooks.phone_number(self._redactor.number(sdk_objects.phone_number(number)), kind, action, day),
        )

    def record_stripe_fee(self, transaction: Any, tenant_id: str | None = None, account: Any = None) -> str | None:
        """Record a Stripe balance transaction as one transaction with its fee; key: its id.

        Args:
            transaction: the API's object as a mapping or as the SDK has it, or a charge with it expanded.
            account: the connected account, its id or the SDK's object.
        """
        return self._record_fields(tenant_id, lambda: webhooks.stripe_fee(transaction, account))

    def record_places(
        self,
        operation: str,
        requests: int = 1,
        tenant_id: str | None = None,
        *,
        field_mask: str | Iterable[str] | Any | None = None,
        session_token: str | None = None,
        status: str | int | Any | None = None,
        idempotency_key: str | None = None,
    ) -> str | None:
        """Record requests to Google Places of one SKU (``place_details_pro``, …). The session token is hashed.

        Returns None without recording anything for a ``status`` that says that the request failed (404, PERMISSION_DENIED).

        Args:
            operation: the SKU; with ``field_mask`` the method (place_details, text_search, nearby_search).
            field_mask: what was asked for, which decides the SKU: a method's dearest field (see `places_sku`).
        """

        def fields() -> webhooks.Fields | None:
            sku = operation if field_mask is None else places_sku(operation, sdk_objects.field_mask(field_mask))
            values = webhooks.places(sku, requests, self._redactor.number(session_token), status)
            return None if values is None else {**values, "idempotency_key": idempotency_key}

        return self._record_fields(tenant_id, fields)

    def record_r2(
        self,
        action: str,
        count: int = 1,
        tenant_id: str | None = None,
        *,
        bucket: str | None = None,
        idempotency_key: str | None = None,
    ) -> str | None:
        """Record R2 operations by their action (``PutObject``: class_a, ``GetObject``: class_b, ``DeleteObject``: free, …)."""

        def fields() -> webhooks.Fields:
            return {**webhooks.r2(action, count, bucket), "idempotency_key": idempotency_key}

        return self._record_fields(tenant_id, fields)

    def record_internal(
        self,
        operation: str,
        units: int | float | str | Decimal = 1,
        tenant_id: str | None = None,
        *,
        idempotency_key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Record whatever the product itself wants counted."""
        extra = {"idempotency_key": idempotency_key, "metadata": metadata}
        return self._record_fields(tenant_id, lambda: {**webhooks.internal(operation, units), **extra})

    def record_decision(self, decision: dict[str, Any]) -> None:
        """Keep an answer that the guard gave by its fail mode, for ops.access_decisions. Never raises."""
        try:
            self._counters.add(unavailable_decisions=1)
            self._keep(decision_line(decision, time.time()), lambda: decision)
        except Exception:
            log.exception("a decision could not be recorded")

    def end_lease(self, reservation_id: str) -> None:
        """Give a guard's lease back, once everything that was recorded before is in the database. Never raises."""
        try:
            self._spool.append(lease_end_line(reservation_id, time.time()))
        except SpoolRefused as refused:
            log.warning("a lease ends by itself only: %s", refused)
        except Exception:
            log.exception("a lease could not be ended")

    def tend(self, leases: Leases) -> None:
        """End leases that are past their time, with each flush; at the end, all."""
        self._leases.add(leases)

    def _end_old_leases(self) -> None:
        for leases in list(self._leases):
            leases.end_old()

    def _record_fields(self, tenant_id: str | None, fields: Callable[[], webhooks.Fields | None]) -> str | None:
        try:
            values = fields()
        except Exception as error:
            self._refuse({"tenant_id": tenant_id}, error)
            return None
        if values is None:
            return None
        # What names a number, an account or a bucket is its owner's, whom the directory knows.
        return self._record({**values, "tenant_id": tenant_id}, has_owner=bool(values.get("resource_id")))

    def _record(self, fields: dict[str, Any], reservation: str | None = None, has_owner: bool = False) -> str | None:
        try:
            if not (has_owner or fields.get("tenant_id") or context.current().tenant_id):
                self._miss_tenant(fields)
            event = self._event(fields)
        except Exception as error:
            self._refuse(fields, error)
            return None
        try:
            if not self._keep(event_line(event, time.time(), reservation), event.to_row):
                return None
            self._counters.add(recorded=1)
            reserving.note_use(event, self)
            return event.event_key
        except Exception:
            self._counters.add(lost=1)
            log.exception("an event was lost: this is a bug of the tracker")
            return None

    def _miss_tenant(self, fields: dict[str, Any]) -> None:
        if self.require_tenant:
            raise InvalidEvent(f"no tenant is named, and this tracker requires one: {unnamed.REMEDY}")
        named = [str(fields[name])[:50] for name in ("service", "operation") if fields.get(name)]
        self._reminder.warn(" ".join(named))

    def _event(self, fields: dict[str, Any]) -> UsageEvent:
        ambient = context.current()
        whole = {name: value for name, value in fields.items() if value is not None}
        metadata = fields.get("metadata")
        if metadata is not None and not isinstance(metadata, (dict, Mapping)):
            raise InvalidEvent(f"metadata is {type(metadata).__name__}, not a mapping")
        if ambient is not context.NOTHING:
            for name in context.NAMES:
                if name not in whole and (value := getattr(ambient, name)) is not None:
                    whole[name] = value
            whole["metadata"] = {**ambient.metadata, **(metadata or {})}
        return UsageEvent.make(now=self._now(), **self._redactor.fields(whole))

    @staticmethod
    def _now() -> datetime:
        try:
            return as_of()
        except ConfigError:
            return datetime.now(UTC)

    # Keeping

    def _keep(self, line: Line, row: Callable[[], dict[str, Any]]) -> bool:
        """Make the line durable: on disk, else in the database; return whether it is. ``row``: what is said if it is lost."""
        if os.getpid() != self._pid:
            self._after_fork()  # forked behind Python's back
        try:
            self._spool.append(line)
        except SpoolRefused as refused:
            return self._insert(line, row, refused)
        if self._flusher is not None:
            self._flusher.start()
        return True

    def _insert(self, line: Line, row: Callable[[], dict[str, Any]], refused: SpoolRefused) -> bool:
        reason: Exception = refused
        if self._direct is not None:
            started_at = time.monotonic()
            # One at a time; those who waited for an attempt that failed do not make another one.
            if self._direct_lock.acquire(timeout=self._direct_timeout):
                try:
                    if self._direct_failed_at < started_at:
                        loaded = self._direct.load([line], prefix="direct")
                        self._counters.add(inserted_directly=1, duplicates=loaded.duplicates, rejected=loaded.rejected)
                        log.warning("%s: inserted directly", refused)
                        return True
                except psycopg.Error as error:
                    self._direct_failed_at = time.monotonic()
                    reason = error
                finally:
                    self._direct_lock.release()
        self._lose(row(), refused, reason)
        return False

    def _lose(self, row: dict[str, Any], refused: SpoolRefused, reason: Exception) -> None:
        self._counters.add(lost=1)
        log.error(
            "an event is lost: key %s, %s; and the database: %s",
            row.get("event_key"),
            refused,
            first_line(reason) if reason is not refused else "no answer",
        )
        if self._on_loss is not None:
            try:
                self._on_loss(row, reason)
            except Exception:
                log.exception("the loss callback failed")

    def _refuse(self, fields: dict[str, Any], error: Exception) -> None:
        """Log and keep what was not an event; it goes to raw.rejected_records."""
        self._counters.add(refused=1)
        reason = (
            first_line(error) if isinstance(error, InvalidEvent) else f"{type(error).__name__}: {first_line(error)}"
        )
        log.error("usage was not recorded, %s", reason[:500])
        try:
            now = self._now()
            given = {name: value for name, value in fields.items() if value is not None}
            clean = self._redactor.metadata({**given, "said_on": now.date().isoformat()})
            key = given.get("external_id") or given.get("idempotency_key")
            line = refusal_line(
                tenant_id=str(given.get("tenant_id") or context.current().tenant_id or "unattributed"),
                usage_date=now.date(),
                record_key=self._redactor.identifier(key[:500]) if isinstance(key, str) else None,
                reason=reason,
                record=clean,
                at=time.time(),
            )
            self._keep(line, lambda: clean)
        except Exception:
            log.exception("a rejected event could not be stored")

    # The tracker itself

    @property
    def url(self) -> str | None:
        """The URL that events go to (it may hold a password)."""
        return self._url

    @property
    def registry(self) -> CollectorRegistry:
        """This tracker's Prometheus metrics, a registry of their own; for one that exists: ``register`` its collector."""
        if self._registry is None:
            self._registry = new_registry(self.status)
        return self._registry

    def status(self) -> TrackerStatus:
        """Return this process's figures; see `TrackerStatus`. `metering events status` tells the whole folder's."""
        oldest_at = self._spool.oldest_at()
        counts = self._counters.read()
        counts["lost"] += self._spool.vanished
        return TrackerStatus(
            spool_dir=self._spool.folder,
            depth=self._spool.depth,
            oldest_age_seconds=None if oldest_at is None else max(0.0, time.time() - oldest_at),
            database_error="no database is named" if self._flusher is None else self._flusher.error,
            **counts,
        )

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until the database has everything that was recorded before; return whether it has, in ``timeout`` s."""
        number = self._spool.appended
        if self._spool.settled >= number:
            return True
        return self._flusher is not None and self._flusher.wait(number, time.monotonic() + timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Flush for at most ``timeout`` seconds and let go of everything; return whether all was flushed.

        What was not stays on disk, for the next process or `metering events flush`. Events recorded later are inserted
        directly.
        """
        if self._is_closed:
            return self._spool.depth == 0
        self._is_closed = True
        _trackers.discard(self)
        for leases in list(self._leases):
            leases.stop()
        done = self.flush(timeout)
        if self._flusher is not None:
            self._flusher.stop(timeout=max(1.0, min(timeout, 5.0)))
        self._spool.close()
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_trackers: weakref.WeakSet[UsageTracker] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for tracker in list(_trackers):
        tracker._after_fork()


def _at_exit() -> None:
    """Bring what can be brought at once; what cannot is on disk."""
    for tracker in list(_trackers):
        is_away = tracker.status().database_error is not None
        tracker.close(0.0 if is_away else AT_EXIT_SECONDS)


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
