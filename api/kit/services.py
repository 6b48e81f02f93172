"""What the application holds for the length of its life, and how a request gets at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import cast

from fastapi import Request

from api.kit.database import Database


@dataclass(frozen=True, slots=True)
class Services:
    database: Database
    now: Callable[[], datetime]
    lookback_days: int

    def today(self) -> date:
        """Return the as-of day (UTC)."""
        return self.now().date()


def services(request: Request) -> Services:
    return cast(Services, request.app.state.services)
