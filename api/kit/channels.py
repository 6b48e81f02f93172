"""How channels are ordered."""

from __future__ import annotations

from costs.rules.services import CHANNELS

_CHANNEL_ORDER = {channel: position for position, channel in enumerate(CHANNELS)}


def channel_position(channel: str) -> tuple[int, str]:
    """Sort key: the contract's order of channels, then the name."""
    return _CHANNEL_ORDER.get(channel, len(CHANNELS)), channel
