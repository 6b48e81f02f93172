"""The statuses of limits, from good to bad. SQL has the same order in ops.severity (`warehouse/objects/limits.sql`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

Status = Literal["ok", "warning", "over_cap"]

STATUSES: tuple[Status, ...] = get_args(Status)


def severity(status: Status) -> int:
    """Return 0 for the best status; the higher, the worse."""
    return STATUSES.index(status)


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst status; ok where there is none."""
    return max(statuses, key=severity, default="ok")
