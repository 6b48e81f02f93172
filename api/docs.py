"""`/openapi.json` and `/docs`, with Swagger UI's files from an installed package: no content delivery
network.

The packaged Swagger UI (4.15) reads OpenAPI 3.0, FastAPI writes 3.1; so the one document that we serve is
3.0.3.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.staticfiles import StaticFiles
from starlette.requests import Request
from starlette.responses import HTMLResponse

from api.problems import PROBLEM_SCHEMA

ASSETS = "/docs/assets"


def swagger_ui_folder() -> Path:
    """Return where the installed package keeps Swagger UI's files."""
    vendor = Path(str(files("swagger_ui_bundle"))) / "vendor"
    return next(vendor.glob("swagger-ui-*"))


def install(app: FastAPI) -> None:
    """Serve the document and its page."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            document["components"]["schemas"]["Problem"] = PROBLEM_SCHEMA
            for unused in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(unused, None)
            app.openapi_schema = as_3_0(document)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    app.mount(ASSETS, StaticFiles(directory=swagger_ui_folder()), name="docs-assets")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "").rstrip("/")
        return get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title=app.title,
            swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{root}{ASSETS}/favicon-32x32.png",
        )


def as_3_0(document: dict[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document as 3.0.3: what the two spell differently, of what FastAPI writes."""
    return {**_as_3_0(document), "openapi": "3.0.3"}


def _as_3_0(node: Any) -> Any:
    if isinstance(node, list):
        return [_as_3_0(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: _as_3_0(value) for key, value in node.items()}
    options = result.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        others = [option for option in options if option != {"type": "null"}]
        del result["anyOf"]
        if len(others) > 1:
            result["anyOf"] = others
            result["nullable"] = True
        elif "$ref" in others[0]:
            # `nullable` beside a reference says nothing: what is referred to allows no null.
            result["anyOf"] = [*others, {"type": "object", "nullable": True, "enum": [None]}]
        else:
            result = {**others[0], **result, "nullable": True}
    examples = result.get("examples")
    if isinstance(examples, list):
        del result["examples"]
        result.setdefault("example", examples[0])
    if "const" in result:
        result["enum"] = [result.pop("const")]
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(result.get(bound), int | float) and not isinstance(result[bound], bool):
            result[limit] = result[bound]
            result[bound] = True
    return result
