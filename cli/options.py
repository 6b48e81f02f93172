"""What the values of options mean: days, months and durations as people write them. Each refusal names the option."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated

import typer

from cli.errors import UsageError

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
# A signed token that outlives the secret's rotation is a key nobody can take back; and a date must remain one after adding it.
MAX_TTL = timedelta(days=3660)
# No provider existed before; arithmetic on days near year 1 leaves the calendar.
FIRST_YEAR = 1970

Port = Annotated[int, typer.Option("--port", min=1, max=65_535)]


def parse_day(text: str, option: str) -> date:
    """Return the day that ``2026-10-01`` names.

    Raises:
        UsageError: it is not a day from 1970 on.
    """
    try:
        day = date.fromisoformat(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else None
    except ValueError:
        day = None
    if day is None or not FIRST_YEAR <= day.year < date.max.year:
        raise UsageError(f"{option} takes a date such as 2026-10-01, not {text}")
    return day


def parse_month(text: str, option: str) -> str:
    """Return ``2026-10`` as it is written.

    Raises:
        UsageError: it is not a month from 1970 on.
    """
    valid = re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text)
    if not valid or not FIRST_YEAR <= int(text[:4]) < date.max.year:
        raise UsageError(f"{option} takes a month such as 2026-10, not {text}")
    return text


def parse_ttl(text: str) -> timedelta:
    """Return the duration of ``90s``, ``30m``, ``1h`` or ``7d``.

    Raises:
        UsageError: anything else, nothing at all, or more than ten years.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    ttl = timedelta(**{UNITS[match[2]]: int(match[1])}) if match else timedelta()
    if not timedelta() < ttl <= MAX_TTL:
        raise UsageError(f"--ttl takes a time such as 30m, 1h or 7d, at most {MAX_TTL.days}d, not {text}")
    return ttl
