"""The event: what one use of a provider was, checked, and the same whoever tells it again.

Pure: no clock but the one handed in, no environment, no database.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any

from usage_metering import taxonomy

SPEC_VERSION = "1.0"
CLOUDEVENT_TYPE = "usage-metering.usage.recorded"
LONGEST_TEXT = 500
LARGEST_METADATA = 32_768
LARGEST_UNITS = Decimal(10) ** 20
SMALLEST_UNITS = Decimal("1e-18")
LARGEST_TOKENS = 2**63 - 1
FIRST_YEAR, LAST_YEAR = 2000, 2200

TEXTS = (
    "tenant_id",
    "service",
    "operation",
    "channel",
    "direction",
    "source",
    "feature",
    "activity",
    "model",
    "external_id",
    "resource_id",
    "lead_id",
    "message_id",
    "flow_execution_id",
)
PARTS_OF_INPUT = ("cached_input_tokens", "cache_write_tokens", "cache_write_1h_tokens")
"""What of ``input_tokens`` was read from the cache, written to it, and written to it for an hour: no token is in two of them."""
TOKENS = ("input_tokens", *PARTS_OF_INPUT, "output_tokens")

# Each event is spelled and checked while its caller waits: what can be known beforehand is made here, once.
_PAYLOAD = tuple(sorted((*TEXTS, *TOKENS, "units", "occurred_at", "metadata")))
_PAYLOAD_NAMES = tuple(f'"{name}":' for name in _PAYLOAD)
_payload_of = attrgetter(*_PAYLOAD)
_TEXT_NAMES, _TOKEN_NAMES = frozenset(TEXTS), frozenset(TOKENS)
_EXACT = Context(prec=38)


class InvalidEvent(ValueError):
    """The input is not an event; the message names the field."""


@dataclass(frozen=True)
class UsageEvent:
    """One use, as raw.usage_events holds it. Made by `UsageEvent.make`, which fills in and checks.

    ``units`` are in the channel's unit (segments, minutes, tokens, emails, …); ``occurred_at`` is UTC.
    """

    event_key: str
    tenant_id: str
    service: str
    operation: str
    channel: str
    direction: str
    source: str
    units: Decimal
    occurred_at: datetime
    is_time_given: bool = True  # whether the caller gave the time; else the time is not part of the payload's hash
    feature: str | None = None
    activity: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    output_tokens: int | None = None
    external_id: str | None = None
    resource_id: str | None = None
    lead_id: str | None = None
    message_id: str | None = None
    flow_execution_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None  # the caller's own, where `event_key` was made of it: see `scoped_key`

    @classmethod
    def make(
        cls,
        *,
        service: str,
        now: datetime,
        event_key: str | None = None,
        tenant_id: str | None = None,
        operation: str | None = None,
        units: object = 1,
        channel: str | None = None,
        direction: str | None = None,
        source: str | None = None,
        occurred_at: datetime | str | None = None,
        idempotency_key: str | None = None,
        seen_by: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **details: Any,
    ) -> UsageEvent:
        """Return the event, with the provider's taxonomy filled in where the caller was silent.

        The key is ``event_key``, else ``external_id``, else made of ``idempotency_key`` (`scoped_key`), else made up. With ``seen_by``
        (span, litellm) it is made of ``external_id`` and that: what sees a use from outside knows less of it than the product,
        whose own event must not be refused as another one of the same key. Both are one record, by ``external_id``.
        ``units`` of the AI channel are input + output tokens where those are known.

        Raises:
            InvalidEvent: a value is missing, of the wrong kind or out of range.
        """
        if service not in taxonomy.SOURCES:
            raise InvalidEvent(f"unknown service {shown(service)}: use {', '.join(taxonomy.SOURCES)}")
        operation = operation or taxonomy.operation_of(service, channel, direction)
        channel = channel or taxonomy.channel_of(service, operation)
        if channel not in taxonomy.CHANNELS_OF[service]:
            raise InvalidEvent(
                f"channel {shown(channel)} does not belong to {service}: use {', '.join(taxonomy.CHANNELS_OF[service])}"
            )
        direction = direction or taxonomy.direction_of(channel, operation)
        if direction not in taxonomy.DIRECTIONS:
            raise InvalidEvent(f"unknown direction {shown(direction)}: use {', '.join(taxonomy.DIRECTIONS)}")
        tokens: dict[str, int | None] = {}
        if not _TOKEN_NAMES.isdisjoint(details):
            tokens = {name: _tokens(name, details.pop(name)) for name in TOKENS if name in details}
            units = _checked_together(tokens, units, channel)
        texts = {}
        for name, value in details.items():
            if name not in _TEXT_NAMES:
                raise InvalidEvent(f"unknown event field {shown(name)}")
            texts[name] = checked_text(name, value)
        tenant = checked_text("tenant_id", tenant_id) or taxonomy.UNATTRIBUTED
        external_id = texts.get("external_id")
        key = checked_text("event_key", event_key) or (
            _key_seen_by(seen_by, external_id) if external_id and seen_by else external_id
        )
        own = checked_text("idempotency_key", idempotency_key)
        kept, spelled = _metadata(metadata) if metadata else ({}, "")
        event = cls.__new__(cls)
        # As `cls(…)` would, which sets the fields of a frozen dataclass one by one: a fifth of what `record` takes.
        vars(event).update(
            texts,
            **tokens,
            event_key=key or (scoped_key(tenant, service, own) if own else str(uuid.uuid4())),
            idempotency_key=None if key else own,
            tenant_id=tenant,
            service=service,
            operation=checked_text("operation", operation) or "",
            channel=channel,
            direction=direction,
            source=checked_text("source", source) or taxonomy.SOURCES[service],
            units=checked_units(units),
            occurred_at=_moment(occurred_at) if occurred_at is not None else now,
            is_time_given=occurred_at is not None,
            metadata=kept,
            _metadata_json=spelled,
        )
        return event

    @property
    def record_key(self) -> str:
        """The one key of reservation, event and provider's record."""
        return self.external_id or self.event_key

    @property
    def payload_hash(self) -> str:
        """sha256, hexadecimal, of what the event says.

        Not of when it arrived, and of when it happened only where the caller gave the time: a webhook that is delivered
        twice says the same.
        """
        return hashlib.sha256(self._payload().encode()).hexdigest()

    def _payload(self) -> str:
        """Return everything but key and arrival as canonical JSON; what is unknown is left out."""
        pieces = []
        for name, value in zip(_PAYLOAD_NAMES, _payload_of(self), strict=True):
            if value is None:
                continue
            kind = type(value)
            if kind is str:
                pieces.append(name + encode_basestring(value))
            elif kind is int:
                pieces.append(f"{name}{value}")
            elif isinstance(value, Decimal):
                pieces.append(f'{name}"{plain(value)}"')
            elif isinstance(value, datetime):
                if self.is_time_given:
                    pieces.append(f'{name}"{value.isoformat()}"')
            elif not isinstance(value, (dict, Mapping)):
                pieces.append(name + _CANONICAL(value))
            elif value:
                pieces.append(name + (vars(self).get("_metadata_json") or _CANONICAL(dict(value))))
        return f"{{{','.join(pieces)}}}"

    def to_json(self, reservation: str | None = None) -> bytes:
        """Return the event as the spool keeps it, a JSON object: the columns of raw.usage_events, ``payload_hash``, the
        caller's own ``idempotency_key`` where there is one, and the ``reservation`` that it settles.
        """
        payload = self._payload().encode()
        head = (
            f'{{"event_key":{encode_basestring(self.event_key)},"payload_hash":"{hashlib.sha256(payload).hexdigest()}",'
        )
        if not self.is_time_given:
            head += f'"occurred_at":"{self.occurred_at.isoformat()}",'
        if self.idempotency_key:
            head += f'"idempotency_key":{encode_basestring(self.idempotency_key)},'
        if reservation:
            head += f'"reservation":{encode_basestring(reservation)},'
        return head.encode() + payload[1:]

    def to_row(self) -> dict[str, Any]:
        """Return what `to_json` says, read back."""
        row: dict[str, Any] = json.loads(self.to_json())
        return row

    def to_cloudevent(self) -> dict[str, Any]:
        """Return the event as a CloudEvent 1.0 in structured JSON mode.

        The extension attribute ``timegiven`` is false where ``time`` was not the caller's: read back, such an event is
        still the same one.
        """
        data = json.loads(self._payload())
        for name in ("tenant_id", "source", "occurred_at"):
            data.pop(name, None)
        envelope: dict[str, Any] = {
            "specversion": SPEC_VERSION,
            "type": CLOUDEVENT_TYPE,
            "source": f"/usage-metering/{self.source}",
            "id": self.event_key,
            "time": self.occurred_at.isoformat().replace("+00:00", "Z"),
            "subject": self.tenant_id,
            "datacontenttype": "application/json",
            "data": data,
        }
        return envelope if self.is_time_given else {**envelope, "timegiven": False}

    @classmethod
    def from_cloudevent(
        cls, envelope: Mapping[str, Any], *, now: datetime, is_id_global: bool = True, seen_by: str | None = None
    ) -> UsageEvent:
        """Read a CloudEvent 1.0 of any type whose ``data`` has the fields of an event.

        ``subject`` is the tenant, ``time`` when it happened; without one it happened ``now``. ``id`` is the event's key (whatever
        ``source`` says: a provider's id is unique without it); where it is not global, source and id are the sender's own
        key within tenant and service (`scoped_key`), also of a use with an ``external_id``; for ``seen_by`` see `make`. What is
        personal must be redacted before.

        Raises:
            InvalidEvent: it is not a CloudEvent 1.0, or its data are not an event.
        """
        if not isinstance(envelope, Mapping):
            raise InvalidEvent("a CloudEvent is a JSON object")
        if envelope.get("specversion") != SPEC_VERSION:
            raise InvalidEvent(f"specversion is {shown(envelope.get('specversion'))}, not '{SPEC_VERSION}'")
        for name in ("id", "source", "type"):
            if not isinstance(envelope.get(name), str) or not envelope[name]:
                raise InvalidEvent(f"{name} is missing or not text")
        if envelope.get("datacontenttype", "application/json") != "application/json":
            raise InvalidEvent(f"datacontenttype is {shown(envelope['datacontenttype'])}, not 'application/json'")
        data = envelope.get("data")
        if not isinstance(data, Mapping):
            raise InvalidEvent("data is missing or not an object")
        fields = {str(name): value for name, value in data.items() if value is not None}
        tenant_id = fields.pop("tenant_id", envelope.get("subject"))
        if tenant_id != envelope.get("subject", tenant_id):
            raise InvalidEvent("data.tenant_id is not the subject")
        for name in ("event_key", "occurred_at", "now", "idempotency_key"):
            if name in fields:
                raise InvalidEvent(f"data.{name} belongs in the envelope")
        if "seen_by" in fields:
            raise InvalidEvent("unknown event field 'seen_by'")  # it is who reads the events that knows
        if not isinstance(fields.get("service"), str):
            raise InvalidEvent("data.service is missing or not text")
        if not {"units", "input_tokens", "output_tokens"} & set(fields):
            raise InvalidEvent("data.units is missing")
        metadata = fields.get("metadata")
        if metadata is not None and not isinstance(metadata, Mapping):
            raise InvalidEvent("data.metadata is not an object")
        own = None if is_id_global else f"{envelope['source']} {envelope['id']}"
        key = {"event_key": envelope["id"]} if own is None else {"idempotency_key": own}
        event = cls.make(
            tenant_id=tenant_id, occurred_at=envelope.get("time"), now=now, seen_by=seen_by, **key, **fields
        )
        if own is not None and seen_by is None:
            # The provider's id makes it one record with what others say of the use, not one event with theirs.
            event = replace(event, event_key=scoped_key(event.tenant_id, event.service, own), idempotency_key=own)
        return event if envelope.get("timegiven", True) else replace(event, is_time_given=False)


# Made once: `json.dumps` with options makes an encoder for every call.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical(value: object) -> bytes:
    """Return JSON that is the same bytes for the same value."""
    return _CANONICAL(value).encode()


def plain(number: Decimal) -> str:
    """Return a decimal without exponent and trailing zeros: 1, 1.0 and 1E0 are one quantity."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def scoped_key(tenant_id: str, service: str, key: str) -> str:
    """Return the key of an event that its caller calls ``key``: unique for ever within tenant and service.

    ``service:tenant:key``, with ``%`` and ``:`` of the tenant written as %25 and %3A; a digest of it where that is longer
    than a key may be. `usage_metering.store` says the same in SQL.
    """
    whole = f"{service}:{tenant_id.replace('%', '%25').replace(':', '%3A')}:{key}"
    if len(whole) <= LONGEST_TEXT:
        return whole
    return f"{service}::{hashlib.sha256(whole.encode()).hexdigest()}"


def _key_seen_by(seen_by: str, external_id: str) -> str:
    whole = f"{external_id}:{seen_by}"
    return whole if len(whole) <= LONGEST_TEXT else f"{hashlib.sha256(external_id.encode()).hexdigest()}:{seen_by}"


def storable(text: str) -> str:
    """Return the text as PostgreSQL can hold it: it takes neither NUL nor half a surrogate pair."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


_PLAIN_WORD = re.compile(r"(?!(?:.*\d){7})[\w./ -]{0,40}", re.ASCII)


def shown(value: object) -> str:
    """Return a caller's word as a message may name it: anything but a plain word may be somebody's number or address."""
    if value is None or (isinstance(value, str) and _PLAIN_WORD.fullmatch(value)):
        return repr(value)
    return f"({len(value)} characters)" if isinstance(value, str) else f"({type(value).__name__})"


def checked_text(name: str, value: object) -> str | None:
    """Return a text as an event keeps it; None for none.

    Raises:
        InvalidEvent: it is not text, or longer than `LONGEST_TEXT` characters.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidEvent(f"{name} is {type(value).__name__}, not text")
    if len(value) > LONGEST_TEXT:
        raise InvalidEvent(f"{name} is longer than {LONGEST_TEXT} characters")
    return value if value.isascii() and "\x00" not in value else storable(value)


def checked_units(value: object) -> Decimal:
    """Return a quantity as an event keeps it.

    Raises:
        InvalidEvent: it is not a number from 0 to below 10^20.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise InvalidEvent(f"units is {type(value).__name__}, not a number")
    if type(value) is int:
        if 0 <= value < LARGEST_UNITS:
            return Decimal(value)
        raise InvalidEvent("units is not between 0 and 10^20")
    try:
        units = Decimal(str(value))
    except (InvalidOperation, ValueError):  # ValueError: a whole number of thousands of digits
        raise InvalidEvent("units is not a number") from None
    if not units.is_finite() or not 0 <= units < LARGEST_UNITS:
        raise InvalidEvent("units is not between 0 and 10^20")
    return units.quantize(SMALLEST_UNITS, context=_EXACT)


def _checked_together(tokens: Mapping[str, int | None], units: object, channel: str) -> object:
    """Return the units of an event with these tokens: of the AI channel input + output, where those are known.

    Raises:
        InvalidEvent: the parts of the input are more than it.
    """
    sent, received = tokens.get("input_tokens"), tokens.get("output_tokens")
    if (tokens.get("cached_input_tokens") or 0) > (sent or 0):
        raise InvalidEvent("cached_input_tokens are part of input_tokens and cannot be more")
    if sum(tokens.get(name) or 0 for name in PARTS_OF_INPUT) > (sent or 0):
        raise InvalidEvent(f"{', '.join(PARTS_OF_INPUT)} are parts of input_tokens and cannot be more")
    if channel == "ai" and (sent is not None or received is not None):
        return (sent or 0) + (received or 0)
    return units


def _tokens(name: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_TOKENS:
        raise InvalidEvent(f"{name} is not a whole number from 0")
    return value


def _moment(value: object) -> datetime:
    """Return ``value`` in UTC; a time without an offset is UTC already, as everywhere in this system."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidEvent("occurred_at is not an ISO timestamp") from None
    if not isinstance(value, datetime):
        raise InvalidEvent(f"occurred_at is {type(value).__name__}, not a datetime")
    try:
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise InvalidEvent("occurred_at is out of range") from None
    if not FIRST_YEAR <= moment.year < LAST_YEAR:
        raise InvalidEvent(f"occurred_at is not between {FIRST_YEAR} and {LAST_YEAR}")
    return moment


def _metadata(value: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return a copy of metadata, and its canonical JSON."""
    if not isinstance(value, (dict, Mapping)):
        raise InvalidEvent(f"metadata is {type(value).__name__}, not a mapping")
    copy = dict(value)
    try:
        text = _CANONICAL(copy)
        size = len(text) if text.isascii() else len(text.encode())
    except (TypeError, ValueError):
        raise InvalidEvent("metadata has values that JSON cannot represent") from None
    if size > LARGEST_METADATA:
        raise InvalidEvent(f"metadata is larger than {LARGEST_METADATA} bytes")
    return copy, text
