"""What the application holds for the length of its life, and how a request gets at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import cast

from fastapi import Request

from api.kit.database import Database
from api.kit.kept import KeptBodies


@dataclass(frozen=True, slots=True)
class Services:
    database: Database
    """Where figures are read: a replica, where there is one."""
    primary: Database
    """For what must not be older than now; the same as ``database`` without a replica."""
    now: Callable[[], datetime]
    lookback_days: int
    kept: KeptBodies = field(default_factory=KeptBodies)

    def today(self) -> date:
        """Return the as-of day (UTC)."""
        return self.now().date()


def services(request: Request) -> Services:
    """Return them as one request sees them: its clock stands still, so that what it reads and what its answer is kept under are of one
    day.
    """
    pinned = getattr(request.state, "services", None)
    if pinned is None:
        shared = cast(Services, request.app.state.services)
        instant = shared.now()
        pinned = request.state.services = replace(shared, now=lambda: instant)
    return cast(Services, pinned)
