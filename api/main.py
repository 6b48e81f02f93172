"""The application: wiring only. `uvicorn api.main:app` builds it when the server asks for it, not on
import.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api import document, health, logs, metrics
from api.admin import alerts, daily, reconciliation, unattributed
from api.admin import endpoints as admin
from api.auth.tokens import TokenVerifier
from api.dashboard import install as dashboard
from api.explain import endpoints as explain
from api.exports import endpoints as exports
from api.forecast import endpoints as forecast
from api.kit import problems, responses
from api.kit.database import Database
from api.kit.head import HeadAsGet
from api.kit.services import Services
from api.operations import endpoints as operations
from api.settings import Settings, SettingsError
from api.usage import endpoints as usage
from api.warehouse_metrics import WarehouseMetrics

DESCRIPTION = """What each tenant used, what it cost, and how near its caps it is.

Read-only, but for the operator commands where they are mounted. Money comes twice: `…CostCents`, rounded
half-even for people, and `…CostUsd`, exact, as a decimal string; both are null where nothing is priced. Days and months are UTC. Every body says in `dataAsOf` how
fresh it is, and has an `ETag` that changes with the next build. Errors are `application/problem+json` (RFC
9457).
"""

TAGS = [
    {"name": "Tenant usage", "description": "One tenant: the token's, or for a root admin `?tenantId=`."},
    {"name": "All tenants", "description": "Root admins only."},
    {"name": "Health", "description": "For machines; open."},
]


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application. It connects when it starts, and starts without a database too.

    Args:
        settings: default: from the environment.

    Raises:
        SettingsError: the environment does not allow it to run.
    """
    settings = settings or Settings.model_validate({})
    database = Database(settings.database_url())
    has_replica = settings.primary_url() != settings.database_url()
    shared = Services(
        database=database,
        primary=Database(settings.primary_url(), least=0) if has_replica else database,
        now=settings.clock(),
        lookback_days=settings.lookback(),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await shared.database.open()
        if has_replica:
            await shared.primary.open()
        yield
        await shared.database.close()
        if has_replica:
            await shared.primary.close()

    # FastAPI's own page loads Swagger UI from a content delivery network; this one serves it from the installed package.
    app = FastAPIOffline(
        title="usage-metering",
        version=_version(),
        description=DESCRIPTION,
        openapi_tags=list(TAGS),
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs/assets",
        # Starlette would lead to the address in the Host header, which anybody can send.
        redirect_slashes=False,
        lifespan=lifespan,
        generate_unique_id_function=document.operation_id,
    )
    app.state.services = shared
    app.state.verifier = TokenVerifier(settings)
    problems.install(app)
    responses.install(app, settings.allowed_origins())
    metrics.install(app).register(WarehouseMetrics(lambda: shared.database.metrics(shared.now(), shared.lookback_days)))
    app.include_router(health.router)
    # Before the owner's: `/api/admin/usage/summary` and `/daily` are the tenant's,
    # `/api/admin/usage/{tenantId}` comes last.
    app.include_router(usage.router)
    app.include_router(exports.tenant_router)
    app.include_router(forecast.router)
    app.include_router(alerts.router)
    app.include_router(daily.router)
    app.include_router(unattributed.router)
    app.include_router(reconciliation.router)
    app.include_router(explain.tenant_router)
    app.include_router(explain.root_router)
    app.include_router(exports.root_router)
    if settings.operations:
        operations.install(app, settings)
    app.include_router(admin.router)
    document.install(app)
    dashboard.install(app, settings)
    app.add_middleware(HeadAsGet)  # the outermost: all others see a GET
    return app


def _version() -> str:
    try:
        return version("usage-metering")
    except PackageNotFoundError:
        return "0"


@cache
def _served_app() -> FastAPI:
    try:
        logs.configure()
        app = create_app()
        # What stays until the end need not be looked through again with each full collection: a tenth of a request's time.
        gc.collect()
        gc.freeze()
        return app
    except (SettingsError, logs.UnknownFormat) as error:
        print(f"api: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def __getattr__(name: str) -> FastAPI:
    # `app` exists once somebody asks for it: importing this module needs no environment.
    if name == "app":
        return _served_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
