"""Makes up a data set: who the tenants are (`cast.py`), how much they use on each day (`volume.py`), and the
providers' records of it (one module each). All randomness comes from generators seeded with the arguments, so
the same arguments give the same bytes.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sandbox.generate import anthropic, cloudflare, openai, sendgrid, stripe, twilio
from sandbox.generate.cast import Cast, make_cast
from sandbox.generate.volume import Volume
from sandbox.lists import without_collector

FEWEST_TENANTS = 6


def generate(*, seed: int, tenants: int, first: date, last: date, scale: float) -> dict[str, Any]:
    """Return the lists of `Dataset.generate` by name. Raises ValueError for arguments that make no data set."""
    if tenants < FEWEST_TENANTS:
        raise ValueError(f"tenants: at least {FEWEST_TENANTS} (each shows something of its own), not {tenants}")
    if last < first:
        raise ValueError(f"last ({last}) is before first ({first})")
    if scale < 0:
        raise ValueError(f"scale must not be negative, not {scale}")
    cast = make_cast(seed=seed, tenants=tenants, first=first, last=last)
    volume = Volume(first=first, last=last, scale=scale)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    with without_collector():
        return _assembled(cast, volume, days, seed, scale)


def _assembled(cast: Cast, volume: Volume, days: list[date], seed: int, scale: float) -> dict[str, Any]:
    return {
        **twilio.records(cast, volume, days, seed),
        **openai.records(cast, volume, days, seed),
        **anthropic.records(cast, volume, days, seed),
        **sendgrid.records(cast, volume, days, seed),
        **stripe.records(cast, days, scale, seed),
        **cloudflare.records(cast, days, scale, seed),
        **cast.directory(),
    }
