"""The one name of a tier of service, whoever says it: prices go by these names."""

from __future__ import annotations


def tier_of(name: str) -> str:
    """Return a service tier's one name: the standard one has none, `fast` is another name of `priority`."""
    name = name.strip().lower()
    return {"auto": "", "default": "", "standard": "", "fast": "priority"}.get(name, name)


def long_tier(tier: str) -> str:
    """Return the name of ``tier`` for long calls, which may have prices of their own: `long_context`, `batch_long_context`."""
    return "_".join(part for part in (tier, "long_context") if part)
