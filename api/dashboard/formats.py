"""How figures are written for people: English, US dollars, UTC. Pure functions, also the templates' filters.

Nothing here computes: what is shown as money was rounded where the JSON routes round it (`api.kit.money`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal

from api.kit.periods import MONTH_NAMES
from api.kit.unpriced import UnpricedUnits
from costs.rules.services import METERS

MISSING = "—"
# Not the process's locale's.
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

WIDE = Context(prec=90, rounding=ROUND_HALF_EVEN)

CHANNEL_NAMES = {row["channel"]: row["channel_label"] for row in METERS}
CHANNEL_ICONS = {
    "sms": "chat-bubble-left-right",
    "mms": "photo",
    "voice": "phone",
    "email": "envelope",
    "ai": "sparkles",
    "recording": "microphone",
    "phone": "device-phone-mobile",
    "payments": "credit-card",
    "places": "map-pin",
    "storage": "circle-stack",
    "storage_ops": "server-stack",
    "internal": "cube",
}
SERVICE_NAMES = {row["service"]: row["service_label"] for row in METERS} | {
    "storage": "Storage",
    "other": "Other",
    "twilio_sms_total": "Twilio’s total of SMS",
    "twilio_voice_total": "Twilio’s total of voice",
}
SOURCE_NAMES = {row["source"]: row["source_label"] for row in METERS}
PROVIDER_NAMES = {row["provider"]: row["focus_provider"] for row in METERS}
# What a channel's units are called after a number: the marts' unit names are for machines.
_UNIT_NAMES = {
    "segments": ("SMS", "SMS"),
    "messages": ("message", "messages"),
    "minutes": ("minute", "minutes"),
    "emails": ("email", "emails"),
    "tokens": ("token", "tokens"),
    "number_days": ("number-day", "number-days"),
    "transactions": ("transaction", "transactions"),
    "requests": ("request", "requests"),
    "gb_days": ("GB-day", "GB-days"),
    "operations": ("operation", "operations"),
    "units": ("unit", "units"),
    "calls": ("call", "calls"),
    "images": ("image", "images"),
    "characters": ("character", "characters"),
    "seconds": ("second", "seconds"),
    "bytes": ("byte", "bytes"),
    "sessions": ("session", "sessions"),
}
# Of a channel's own unit only: what OpenAI counts beside tokens keeps its word.
_CHANNEL_UNIT_NAMES = {
    ("mms", "messages"): ("MMS", "MMS"),
    ("voice", "minutes"): ("voice minute", "voice minutes"),
    ("recording", "minutes"): ("recorded minute", "recorded minutes"),
    ("ai", "tokens"): ("AI token", "AI tokens"),
}
_REQUEST_NAMES = {
    "sms": ("message", "messages"),
    "mms": ("message", "messages"),
    "voice": ("call", "calls"),
    "email": ("email", "emails"),
    "ai": ("AI request", "AI requests"),
}
# Channels whose requests people know by a name; the others' are bookkeeping.
COUNTED_CHANNELS = frozenset(_REQUEST_NAMES)


def cents(amount: int | None) -> str:
    """Return whole cents as ``$1,234.56``; None (unpriced) as a dash."""
    if amount is None:
        return MISSING
    dollars, rest = divmod(abs(amount), 100)
    return f"{'-' if amount < 0 else ''}${dollars:,}.{rest:02}"


def usd(exact: str | None) -> str:
    """Return an exact decimal string with all of its digits, at least two of them behind the point."""
    if exact is None:
        return MISSING
    whole, _, fraction = exact.lstrip("-").partition(".")
    return f"{'-' if exact.startswith('-') else ''}${int(whole):,}.{fraction.ljust(2, '0')}"


def rounded_usd(exact: str | None) -> str:
    """Return an exact decimal string rounded half-even to cents, as ``$1,234.56``."""
    return MISSING if exact is None else cents(round(Decimal(exact).scaleb(2, WIDE)))


def _rounded(value: float | Decimal, digits: int) -> Decimal:
    """Return a number to that many decimals, half-even; of a float what it is written as."""
    return Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), context=WIDE)


def number(value: float | Decimal | None) -> str:
    """Return a quantity with thousands separators and at most two decimals."""
    if isinstance(value, int):
        return f"{value:,}"
    return MISSING if value is None else f"{_rounded(value, 2):,f}".rstrip("0").rstrip(".")


def estimate(value: float | Decimal | None) -> str:
    """Return an expected quantity: no more digits than it can mean, so whole from 10 on."""
    if value is None or abs(float(value)) < 10:
        return number(value)
    return f"{_rounded(value, 0):,f}"


def percent(value: float | None) -> str:
    """Return a percentage with one decimal: ``65.0%``."""
    return MISSING if value is None else f"{_rounded(value, 1):,f}%"


def change(value: float | None) -> str:
    """Return a change in percent with its sign: ``+12.5%``."""
    if value is None:
        return MISSING
    shown = _rounded(value, 1)
    return f"{'−' if shown.is_signed() else '+'}{shown.copy_abs():,f}%"


def _as_date(value: date | str) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


def day(value: date | str | None) -> str:
    """Return ``Nov 20, 2026``."""
    return MISSING if value is None else f"{short_day(value)}, {_as_date(value).year}"


def short_day(value: date | str | None) -> str:
    """Return ``Nov 20``."""
    if value is None:
        return MISSING
    shown = _as_date(value)
    return f"{MONTH_NAMES[shown.month - 1][:3]} {shown.day}"


def weekday(value: date) -> str:
    """Return ``Fri, Nov 20, 2026``."""
    return f"{WEEKDAYS[value.weekday()]}, {day(value)}"


def month(value: str | date | None) -> str:
    """Return a month (``2026-11`` or a day in it) as ``November 2026``."""
    if value is None:
        return MISSING
    shown = _as_date(f"{value}-01" if isinstance(value, str) else value)
    return f"{MONTH_NAMES[shown.month - 1]} {shown.year}"


def instant(value: datetime | None) -> str:
    """Return ``Nov 20, 2026, 11:45 UTC``."""
    if value is None:
        return MISSING
    shown = value.astimezone(UTC)
    return f"{day(shown)}, {shown:%H:%M} UTC"


def period(first: date, last: date) -> str:
    """Return the days of a billing period: ``November 1–30, 2026``."""
    begin, end = (f"{MONTH_NAMES[shown.month - 1]} {shown.day}" for shown in (first, last))
    if (first.year, first.month) == (last.year, last.month):
        return f"{begin}–{last.day}, {last.year}"
    return f"{begin}, {first.year} – {end}, {last.year}"


def channel_name(channel: str) -> str:
    return CHANNEL_NAMES.get(channel, channel.replace("_", " ").capitalize())


def service_name(service: str) -> str:
    """Return a service's name; of a part of one (``openai_image``, in reconciliation) the service's and its own word."""
    whole = next((name for name in SERVICE_NAMES if service.startswith(f"{name}_")), "")
    if whole and service not in SERVICE_NAMES:
        return f"{SERVICE_NAMES[whole]} {service.removeprefix(whole)[1:].replace('_', ' ')}"
    return SERVICE_NAMES.get(service, service.replace("_", " ").capitalize())


def source_name(source: str) -> str:
    return SOURCE_NAMES.get(source, source.replace("_", " ").capitalize())


def provider_name(provider: str) -> str:
    return PROVIDER_NAMES.get(provider, provider.replace("_", " ").capitalize())


def unit_name(unit: str, channel: str = "", count: float = 2) -> str:
    """Return what units are called beside their number: ``SMS``, ``voice minutes``, ``AI tokens``."""
    singular, plural = _CHANNEL_UNIT_NAMES.get((channel, unit)) or _UNIT_NAMES.get(unit, (unit, unit))
    return singular if count == 1 else plural


def unit_label(unit: str, count: float = 2) -> str:
    """Return the marts' own word for a unit, as it is written beside its number: ``segments``, ``GB-days``."""
    written = unit.replace("_", " ")
    singular, plural = ("segment", "segments") if unit == "segments" else _UNIT_NAMES.get(unit, (written, written))
    return singular if count == 1 else plural


def request_name(channel: str, count: float = 2) -> str:
    """Return what a channel's requests are called: ``messages``, ``calls``, ``emails``."""
    singular, plural = _REQUEST_NAMES.get(channel, ("request", "requests"))
    return singular if count == 1 else plural


def listed(names: list[str]) -> str:
    """Return names as a sentence has them: ``SMS``, ``SMS and AI``, ``SMS, Email and AI``."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1] if names else "") if part)


def quantities(kinds: Iterable[UnpricedUnits]) -> str:
    """Return quantities of several kinds as a sentence has them: ``2,453 images, 1,200 seconds and 3 calls``."""
    return listed(
        [
            f"{number(kind.quantity)} {_UNIT_NAMES.get(kind.unit, (kind.unit,) * 2)[kind.quantity != 1]}"
            for kind in kinds
        ]
    )


FILTERS = {
    "quantities": quantities,
    "cents": cents,
    "usd": usd,
    "rounded_usd": rounded_usd,
    "estimate": estimate,
    "number": number,
    "percent": percent,
    "change": change,
    "day": day,
    "short_day": short_day,
    "month": month,
    "instant": instant,
    "channel_name": channel_name,
    "service_name": service_name,
    "source_name": source_name,
    "unit_name": unit_name,
    "unit_label": unit_label,
    "request_name": request_name,
}
