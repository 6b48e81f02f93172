"""`metering token` and `metering sign-in-link`: what the options say, checked, into something signed."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from cli.environment import require
from cli.errors import UsageError
from cli.options import parse_ttl

if TYPE_CHECKING:
    from api.auth.tokens import Role

ROLES = ("tenant_admin", "root_admin")


def _checked(role: str, tenant: str | None, ttl: str) -> timedelta:
    from api.auth.tokens import RESERVED_TENANT_IDS

    if role not in ROLES:
        raise UsageError(f"--role takes {' or '.join(ROLES)}, not {role}")
    if role == "tenant_admin" and not tenant:
        raise UsageError("a tenant_admin needs --tenant")
    if role == "root_admin" and tenant:
        raise UsageError("a root_admin is for all tenants: leave --tenant out")
    if tenant in RESERVED_TENANT_IDS:
        raise UsageError(f"{tenant} is a reserved id, not a tenant")
    return parse_ttl(ttl)


def mint(role: str, tenant: str | None, ttl: str) -> str:
    """Return a bearer token signed with METERING_JWT_SECRET.

    Raises:
        UsageError: unknown role, a tenant_admin without tenant, or no secret.
    """
    from api.auth.tokens import mint as sign

    lifetime = _checked(role, tenant, ttl)
    secret = require("METERING_JWT_SECRET", "tokens are signed with it (METERING_JWKS_URL only checks them)")
    return sign(role=role, tenant_id=tenant, ttl=lifetime, secret=secret)


def sign_in_link(role: str, tenant: str | None, ttl: str, url: str) -> str:
    """Return an address that signs somebody in to the pages, once, within ``ttl``.

    Raises:
        UsageError: unknown role, a tenant_admin without tenant, no web address, or no secret that the server has too.
    """
    from api.auth.tokens import Principal
    from api.dashboard.paths import SIGN_IN
    from api.dashboard.sessions import Sessions, signing_key

    lifetime = _checked(role, tenant, ttl)
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--url takes the address of the pages, such as https://usage.example.com, not {url}")
    session_secret, jwt_secret = os.environ.get("METERING_SESSION_SECRET"), os.environ.get("METERING_JWT_SECRET")
    if not session_secret and not jwt_secret:
        raise UsageError("METERING_SESSION_SECRET is not set: links are signed with it, here and where the pages run")
    principal = Principal(f"{tenant}-admin" if tenant else "root", cast("Role", role), tenant)
    code = Sessions(signing_key(session_secret, jwt_secret)).link_code(principal, lifetime)
    return f"{url.rstrip('/')}{SIGN_IN}/link/{code}"
