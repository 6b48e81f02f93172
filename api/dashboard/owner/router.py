"""All routes of the owner's pages, in the order in which they are tried."""

from __future__ import annotations

from fastapi import APIRouter

from api.dashboard.owner import (
    alerts,
    costs,
    explanation,
    freshness,
    reconciliation,
    system_usage,
    tenant_details,
    unattributed,
)

PAGES = (system_usage, costs, explanation, tenant_details, unattributed, alerts, reconciliation, freshness)

router = APIRouter(include_in_schema=False)
for page in PAGES:
    router.include_router(page.router)
