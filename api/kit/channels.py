"""How channels and the statuses of their limits are ordered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from costs.rules.services import CHANNELS

Status = Literal["ok", "warning", "over_cap"]

SEVERITY: Mapping[str, int] = {"ok": 0, "warning": 1, "over_cap": 2}

_CHANNEL_ORDER = {channel: position for position, channel in enumerate(CHANNELS)}


def channel_position(channel: str) -> tuple[int, str]:
    """Sort key: the contract's order of channels, then the name."""
    return _CHANNEL_ORDER.get(channel, len(CHANNELS)), channel
