"""The providers' taxonomy: services, their channels and sources, and what follows from them where a caller is silent."""

from __future__ import annotations

SERVICES: dict[str, tuple[str, tuple[str, ...]]] = {
    "openai": ("openai", ("ai",)),
    "azure_openai": ("azure_openai", ("ai",)),
    "openai_compatible": ("openai_compatible", ("ai",)),
    "twilio_sms": ("twilio", ("sms", "mms")),
    "twilio_voice": ("twilio", ("voice", "recording")),
    "twilio_phone": ("twilio", ("phone",)),
    "sendgrid": ("sendgrid", ("email",)),
    "stripe": ("stripe", ("payments",)),
    "google_places": ("google_places", ("places",)),
    "cloudflare_r2": ("cloudflare_r2", ("storage_ops", "storage")),
    "internal": ("internal", ("internal",)),
}
"""Service -> the provider behind it, and its channels, the usual one first."""

SOURCES = {service: source for service, (source, _) in SERVICES.items()}
CHANNELS_OF = {service: channels for service, (_, channels) in SERVICES.items()}
CHANNELS: tuple[str, ...] = tuple(dict.fromkeys(channel for channels in CHANNELS_OF.values() for channel in channels))

DEFAULT_OPERATIONS: dict[str, str] = {
    "openai": "chat_completion",
    "azure_openai": "chat_completion",
    "openai_compatible": "chat_completion",
    "twilio_sms": "outbound",
    "twilio_voice": "outbound",
    "sendgrid": "send",
}

DIRECTIONS = ("outbound", "inbound", "none")
NUMBER_SERVICES = ("twilio_sms", "twilio_voice", "twilio_phone")
"""Services whose resource may be a phone number, by its hash."""

UNATTRIBUTED = "unattributed"


def channel_of(service: str, operation: str) -> str:
    """Return the channel of what was done."""
    if service == "twilio_sms" and operation.startswith("mms"):
        return "mms"
    if service == "twilio_voice" and operation.startswith("record"):
        return "recording"
    if service == "cloudflare_r2" and operation == "storage":
        return "storage"
    return CHANNELS_OF[service][0]


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
    if channel in ("sms", "mms", "voice"):
        return "inbound" if operation.endswith("inbound") else "outbound"
    return "outbound" if channel in ("email", "ai") else "none"
