"""`metering token`: what the options say, checked, into a signed token."""

from __future__ import annotations

import re
from datetime import timedelta

from cli.environment import require
from cli.errors import UsageError

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
ROLES = ("tenant_admin", "root_admin")


def parse_ttl(text: str) -> timedelta:
    """Return the duration of ``90s``, ``30m``, ``1h`` or ``7d``.

    Raises:
        UsageError: anything else, or nothing at all.
    """
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if not found or int(found[1]) == 0:
        raise UsageError(f"--ttl takes a time such as 30m, 1h or 7d, not {text}")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def mint(role: str, tenant: str | None, ttl: str) -> str:
    """Return a bearer token signed with METERING_JWT_SECRET.

    Raises:
        UsageError: unknown role, a tenant_admin without tenant, or no secret.
    """
    from api.auth.tokens import mint as sign

    if role not in ROLES:
        raise UsageError(f"--role takes {' or '.join(ROLES)}, not {role}")
    if role == "tenant_admin" and not tenant:
        raise UsageError("a tenant_admin token needs --tenant")
    lifetime = parse_ttl(ttl)
    secret = require("METERING_JWT_SECRET", "tokens are signed with it (METERING_JWKS_URL only checks them)")
    return sign(role=role, tenant_id=tenant, ttl=lifetime, secret=secret)
