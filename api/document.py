"""`/openapi.json`: FastAPI's document, with the problems that our errors are in place of FastAPI's own."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from api.kit.problems import PROBLEM_SCHEMA


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
