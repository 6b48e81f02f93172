"""What the pages hold for the length of the application's life, and how a request gets at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from fastapi import Request
from jinja2 import Environment

from api.dashboard.labels import Labels
from api.dashboard.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Dashboard:
    """``proxy_header`` names the header in which an auth proxy hands over a JWT; empty for none. ``labels`` are the features'."""

    templates: Environment
    sessions: Sessions
    product_name: str | None
    contact_url: str | None
    proxy_header: str
    dagster_url: str | None
    operations: bool
    labels: Labels


def dashboard(request: Request) -> Dashboard:
    return cast(Dashboard, request.app.state.dashboard)
