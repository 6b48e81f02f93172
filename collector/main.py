"""The application: wiring only. `uvicorn collector.main:app` builds it when the server asks for it, not on import."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import Counter

from api import document, logs, metrics
from api import settings as api_settings
from api.auth.tokens import TokenVerifier
from api.kit.head import HeadAsGet
from collector import access, events, health, problems, sendgrid, stripe, traces, webhooks
from collector.event_types import EventType, UnusableTypes, read_types
from collector.intake import Intake
from collector.limits import Limiter, RateLimitHeaders
from collector.metrics import IntakeMetrics
from collector.settings import Settings, SettingsError
from collector.spans import Attribution
from collector.state import Shared
from usage_metering import ConfigError, UsageGuard
from usage_metering import settings as sdk_settings
from usage_metering.redact import Redactor

DESCRIPTION = """Usage from any language, and answers about caps.

A 2xx means that the database has committed it; send again whatever was answered with 429 or 503: an event counts once. Tokens:
`metering token --role tracker`. Errors are `application/problem+json` (RFC 9457).
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application. It starts without a database too.

    Raises:
        SettingsError: the environment does not allow it to run.
    """
    settings = settings or Settings.from_environment()
    try:
        verifier = TokenVerifier(api_settings.Settings.model_validate({}))
        url = sdk_settings.tracker_url()
        if url is None:
            raise SettingsError(f"{sdk_settings.OWNER_VARIABLE} (or {sdk_settings.TRACKER_VARIABLE}) is not set")
        guard = UsageGuard(url)
    except (api_settings.SettingsError, ConfigError) as error:
        raise SettingsError(str(error)) from None
    verification_key = sendgrid_key(settings)
    intake = Intake(url, event_types(settings), Redactor(), connections=settings.connections)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        intake.close()
        guard.close()

    app = FastAPIOffline(
        title="usage-metering collector",
        version="1",
        description=DESCRIPTION,
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs/assets",
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.verifier = verifier
    app.state.limiter = Limiter(settings.requests_per_second)
    problems.install(app)
    registry = metrics.install(app)
    spans = Counter("metering_collector_spans", "Calls of models seen as spans.", ["result"], registry=registry)
    cut_spans = Counter(
        "metering_collector_spans_cut", "Of these, calls that lost attributes to their SDK's limit.", registry=registry
    )
    registry.register(IntakeMetrics(intake, sdk_settings.spool_folder(url)))
    attribution = Attribution(_names(settings.tenant_attributes), _names(settings.feature_attributes))
    token = settings.twilio_token.get_secret_value() if settings.twilio_token else None
    app.state.shared = Shared(
        intake,
        guard,
        settings.largest_body,
        attribution,
        spans,
        cut_spans,
        twilio_token=token,
        public_url=settings.public_url,
        sendgrid_key=verification_key,
        stripe_secret=settings.stripe_secret.get_secret_value() if settings.stripe_secret else None,
    )
    for router in (
        health.router,
        events.router,
        traces.router,
        access.router,
        webhooks.router,
        sendgrid.router,
        stripe.router,
    ):
        app.include_router(router)
    document.install(app)
    app.add_middleware(RateLimitHeaders)
    app.add_middleware(HeadAsGet)
    return app


def event_types(settings: Settings) -> list[EventType]:
    """Return the entries of the file of types.

    Raises:
        SettingsError: METERING_COLLECTOR_TYPES names a file that cannot be used.
    """
    try:
        return read_types(settings.types_file)
    except UnusableTypes as error:
        raise SettingsError(f"METERING_COLLECTOR_TYPES: {error}") from None


def sendgrid_key(settings: Settings) -> sendgrid.PublicKey | None:
    """Return SendGrid's verification key; None where none is set.

    Raises:
        SettingsError: SENDGRID_WEBHOOK_PUBLIC_KEY is not such a key.
    """
    try:
        return sendgrid.public_key(settings.sendgrid_key) if settings.sendgrid_key else None
    except ValueError as error:
        raise SettingsError(f"{sendgrid.VARIABLE} must be {error}") from None


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@cache
def _served_app() -> FastAPI:
    try:
        logs.configure()
        return create_app()
    except (SettingsError, logs.UnknownFormat) as error:
        print(f"collector: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def __getattr__(name: str) -> FastAPI:
    # `app` exists once somebody asks for it: importing this module needs no environment.
    if name == "app":
        return _served_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
