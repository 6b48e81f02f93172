"""`/openapi.json`: FastAPI's document, with the problems that our errors are in place of FastAPI's own."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.kit.problems import PROBLEM_SCHEMA


def operation_id(route: APIRoute) -> str:
    """Return the operation's name in generated clients, made of method and path alone: `getBillingUsageSummary`,
    `getAdminUsageByTenantId`. It changes only where the route does.
    """
    words = re.sub(r"\{(\w+)\}", r"by/\1", route.path_format).removeprefix("/api").split("/")
    method = min(route.methods or ("GET",)).lower()
    return method + "".join(word[:1].upper() + word[1:] for part in words for word in re.split(r"\W", part))


def install(app: FastAPI) -> None:
    """Make it the application's document."""
    written = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schemas = written()["components"]["schemas"]
            schemas["Problem"] = PROBLEM_SCHEMA
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
        return written()

    app.openapi = openapi  # type: ignore[method-assign]
