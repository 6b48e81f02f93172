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
SECRET_IS_FOR = "tokens are signed with it (METERING_JWKS_URL only checks them)"


def _checked(role: str, tenant: str | None, ttl: str) -> timedelta:
    from api.auth.tokens import RESERVED_TENANT_IDS

    if role not in ROLES:
        raise UsageError(f"--role takes {' or '.join(ROLES)} (a token also tracker), not {role}")
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
    return sign(role=role, tenant_id=tenant, ttl=lifetime, secret=require("METERING_JWT_SECRET", SECRET_IS_FOR))


def mint_tracker(tenants: str | None, services: str | None, ttl: str) -> str:
    """Return a bearer token for the collector, for the tenants and services of these comma-separated lists; None is all.

    Raises:
        UsageError: an unknown service, a reserved tenant, an empty name, or no secret.
    """
    from api.auth.tokens import RESERVED_TENANT_IDS
    from api.auth.tokens import mint_tracker as sign
    from usage_metering.taxonomy import SOURCES

    tenant_ids, service_names = _names(tenants, "--tenant"), _names(services, "--service")
    for tenant_id in tenant_ids:
        if tenant_id in RESERVED_TENANT_IDS:
            raise UsageError(f"{tenant_id} is a reserved id, not a tenant")
    for service in service_names:
        if service not in SOURCES:
            raise UsageError(f"unknown service {service}: use {', '.join(SOURCES)}")
    lifetime = parse_ttl(ttl)
    return sign(tenant_ids, service_names, lifetime, require("METERING_JWT_SECRET", SECRET_IS_FOR))


def _names(text: str | None, option: str) -> list[str]:
    if text is None:
        return []
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f"{option} takes names with commas between them, such as acme,globex")
    return names


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
