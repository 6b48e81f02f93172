"""The providers' taxonomy: services, their channels and sources, and what follows from them where a caller is silent.

Services and channels are those of the meter catalogue, of which the SDK ships a copy (meters.csv); so are R2's actions (r2_actions.csv).
"""

from __future__ import annotations

import csv
from importlib.resources import files


def _rows(name: str) -> tuple[dict[str, str], ...]:
    return tuple(csv.DictReader((files(__package__) / name).read_text(encoding="utf-8").splitlines()))


METERS = _rows("meters.csv")
"""The catalogue's rows; a service's usual meter is its first."""

R2_CLASSES = {row["action"]: row["class"] for row in _rows("r2_actions.csv")}
"""Action of R2 -> the class that it is billed as; one that R2's price list does not have is not here."""

SOURCES = {row["service"]: row["source"] for row in METERS}
CHANNELS_OF = {
    service: tuple(dict.fromkeys(row["channel"] for row in METERS if row["service"] == service)) for service in SOURCES
}
"""Service -> its channels, the usual one first."""

CHANNELS = tuple(dict.fromkeys(row["channel"] for row in METERS))

NEVER_SENT = tuple(next(row["unused_statuses"] for row in METERS if row["service"] == "twilio_sms").split())
"""A message's statuses that say that nothing is to be paid: failed, canceled. One that is `undelivered` was sent and counts."""

DEFAULT_OPERATIONS: dict[str, str] = {
    "openai": "chat_completion",
    "azure_openai": "chat_completion",
    "openai_compatible": "chat_completion",
    "twilio_sms": "outbound",
    "twilio_voice": "outbound",
    "sendgrid": "send",
}

BY_OPERATION = "by_operation"
DIRECTIONS = ("outbound", "inbound", "none")
NUMBER_SERVICES = ("twilio_sms", "twilio_voice", "twilio_phone")
"""Services whose resource may be a phone number, by its hash."""

UNATTRIBUTED = "unattributed"

# Asked at each event: looked up, not searched for.
_CHANNEL_OF = {
    (row["service"], operation): row["channel"] for row in reversed(METERS) for operation in row["operations"].split()
}
_DIRECTION_OF = {row["channel"]: row["direction"] for row in reversed(METERS)}


def channel_of(service: str, operation: str) -> str:
    """Return the channel of what was done."""
    if service == "twilio_sms" and operation.startswith("mms"):
        return "mms"
    if service == "twilio_voice" and operation.startswith("record"):
        return "recording"
    return _CHANNEL_OF.get((service, operation)) or CHANNELS_OF[service][0]


def operation_of(service: str, channel: str | None, direction: str | None) -> str:
    """Return the operation of a caller who named none."""
    if service == "twilio_sms":
        way = "inbound" if direction == "inbound" else "outbound"
        return f"mms_{way}" if channel == "mms" else way
    if service == "twilio_voice":
        return "recording" if channel == "recording" else "inbound" if direction == "inbound" else "outbound"
    return DEFAULT_OPERATIONS.get(service, "")


def direction_of(channel: str, operation: str) -> str:
    """Return the direction of what was done: email and ai go out; where there is none, ``none``."""
    direction = _DIRECTION_OF.get(channel, "none")
    if direction == BY_OPERATION:
        return "inbound" if operation.endswith("inbound") else "outbound"
    return direction
