"""What a CloudEvent's ``type`` means here: ``<service>.<operation>``, or what a file of types says.

The file (default: event_types.json beside this; else METERING_COLLECTOR_TYPES) is JSON: ``version`` 1 and ``types``, of which the first
that fits counts. Each has ``type``, ``service`` and ``operation``; may ask ``when`` for values of the event's data; and says by
``fields`` which of our fields takes which of the data's, or ``units`` where an event is a fixed number of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usage_metering import taxonomy
from usage_metering.events import CLOUDEVENT_TYPE, TEXTS, TOKENS, InvalidEvent, shown

DEFAULT_FILE = Path(__file__).with_name("event_types.json")
VERSION = 1
FIELDS = frozenset({*TEXTS, *TOKENS, "units"}) - {"tenant_id", "service", "operation"}


class UnusableTypes(Exception):
    """A file of types cannot be used; the message names the file and the entry."""


@dataclass(frozen=True, slots=True)
class EventType:
    """One entry of the file."""

    type: str
    service: str
    operation: str
    when: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    units: int | str | None = None

    def fits(self, data: Mapping[str, Any]) -> bool:
        """Whether the data have the values that are asked for."""
        return all(data.get(name) == value for name, value in self.when.items())

    def translate(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the data as an event has them; what no field takes is metadata."""
        mapped = {name: _plain(name, data[key]) for name, key in self.fields.items() if key in data}
        if self.units is not None:
            mapped["units"] = self.units
        rest = {name: value for name, value in data.items() if name not in self.fields.values()}
        return {"service": self.service, "operation": self.operation, **mapped, "metadata": rest}


def read_types(path: Path | None = None) -> list[EventType]:
    """Return the entries of a file of types.

    Raises:
        UnusableTypes: it cannot be read, is of another version, or an entry is not one.
    """
    path = path or DEFAULT_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnusableTypes(f"{path}: cannot be read as JSON ({type(error).__name__})") from None
    if not isinstance(content, dict) or content.get("version") != VERSION or not isinstance(content.get("types"), list):
        raise UnusableTypes(f'{path}: not {{"version": {VERSION}, "types": […]}}')
    return [_entry(entry, f"{path}: types[{index}]") for index, entry in enumerate(content["types"])]


def _entry(entry: Any, location: str) -> EventType:
    try:
        read = EventType(**entry)
    except TypeError:
        raise UnusableTypes(f"{location}: needs type, service and operation; may have when, fields and units") from None
    if read.service not in taxonomy.SOURCES:
        raise UnusableTypes(f"{location}: unknown service {read.service!r}: use {', '.join(taxonomy.SOURCES)}")
    unknown = sorted(set(read.fields) - FIELDS)
    if unknown:
        raise UnusableTypes(f"{location}: unknown field {unknown[0]!r}: use {', '.join(sorted(FIELDS))}")
    return read


def translated(envelope: Mapping[str, Any], types: Sequence[EventType]) -> Mapping[str, Any]:
    """Return the CloudEvent with ``data`` as an event has them. One of the SDK's own, or whose data name a service, is that already.

    Raises:
        InvalidEvent: nothing says what its type means.
    """
    kind, data = envelope.get("type"), envelope.get("data")
    if kind == CLOUDEVENT_TYPE or not isinstance(kind, str):
        return envelope
    fields: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    for entry in types:
        if entry.type == kind and entry.fits(fields):
            return {**envelope, "data": entry.translate(fields)}
    if "service" in fields:
        return envelope
    service, dot, operation = kind.partition(".")
    if not dot or not operation or service not in taxonomy.SOURCES:
        raise InvalidEvent(
            f"type {shown(kind)} is unknown: use <service>.<operation>, or name it in METERING_COLLECTOR_TYPES"
        )
    if data is not None and not isinstance(data, Mapping):
        return envelope  # refused for what it is by whoever reads it
    return {**envelope, "data": {"service": service, "operation": operation, **fields}}


def _plain(name: str, value: Any) -> Any:
    """Other clients send quantities as text."""
    return int(value) if name in TOKENS and isinstance(value, str) and value.isascii() and value.isdigit() else value
