"""From a template to a response: the one Jinja2 environment, and what every template knows.

Templates escape everything (autoescape) and know no default: a name that is not there is an error, not an empty text.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from heroicons.jinja import heroicon_mini, heroicon_outline, heroicon_solid
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from starlette.responses import HTMLResponse

from api.dashboard import csrf, formats, paths
from api.dashboard.labels import feature_label
from api.dashboard.navigation import home, navigation
from api.dashboard.state import dashboard
from api.dashboard.viewer import Viewer

STATIC_FOLDER = Path(__file__).parent / "static"


@cache
def build_environment() -> Environment:
    """Return the environment of all templates: one per process, for it compiles each of them once."""
    environment = Environment(
        loader=PackageLoader("api.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(formats.FILTERS)
    environment.globals.update(
        heroicon_mini=cache(heroicon_mini),
        heroicon_outline=cache(heroicon_outline),
        heroicon_solid=cache(heroicon_solid),
        channel_icons=formats.CHANNEL_ICONS,
        feature_label=feature_label,
        paths=paths,
        csrf_name=csrf.FIELD,
        url=_url,
        static=_static,
    )
    return environment


@pass_context
def _url(context: Context, path: str, **query: Any) -> str:
    """In templates: the address of a page, e.g. ``url('/admin/usage', month='2026-10')``; empty parameters are left out."""
    return str(context["root_path"]) + paths.link(path, query)


@pass_context
def _static(context: Context, name: str) -> str:
    """In templates: the address of one of our static files, which changes with its content."""
    return f"{context['root_path']}{paths.STATIC}/{name}?v={_version(name)}"


@cache
def _version(name: str) -> str:
    return hashlib.sha256((STATIC_FOLDER / name).read_bytes()).hexdigest()[:12]


def render(
    request: Request, viewer: Viewer | None, template: str, *, status_code: int = 200, **context: Any
) -> HTMLResponse:
    """Return a page.

    Args:
        viewer: who looks at it; None on the pages of those who are not signed in.
        template: its name below ``templates/``; it extends ``layout.html`` and gets ``title`` from the context.
        context: what it shows; names here win.
    """
    state = dashboard(request)
    path = paths.local_path(request)
    known: dict[str, Any] = {
        "viewer": viewer,
        "path": path,
        "root_path": paths.root_path(request),
        "sections": navigation(viewer, path) if viewer else [],
        "home": home(viewer) if viewer else paths.SIGN_IN,
        "product_name": state.product_name,
        "contact_url": state.contact_url,
        "dagster_url": state.dagster_url,
        "labels": state.labels,
        "csrf_token": viewer.csrf_token if viewer else "",
        **context,
    }
    return HTMLResponse(state.templates.get_template(template).render(known), status_code=status_code)
