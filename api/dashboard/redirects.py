"""Old addresses of pages (contract, section 7), and `/`, which leads by role."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse

from api.dashboard import paths
from api.dashboard.navigation import home
from api.dashboard.viewer import SignedIn

router = APIRouter(include_in_schema=False)

# What is under /admin is the owner's, the rest is the tenant's.
MOVED = {
    "/settings/billing": paths.TENANT_PAGE,
    "/billing/usage": paths.TENANT_PAGE,
    "/admin/billing-usage": paths.SYSTEM_USAGE,
    "/admin/billing-overview": paths.SYSTEM_USAGE,
}


@router.get("/")
async def lead_home(request: Request, viewer: SignedIn) -> RedirectResponse:
    return RedirectResponse(paths.root_path(request) + home(viewer), status_code=303)


async def _moved(request: Request) -> RedirectResponse:
    target = paths.link(MOVED[paths.local_path(request)], dict(request.query_params))
    return RedirectResponse(paths.root_path(request) + target, status_code=308)


for old in MOVED:
    router.add_api_route(old, _moved, methods=["GET"], name=f"moved-{old.strip('/').replace('/', '-')}")
