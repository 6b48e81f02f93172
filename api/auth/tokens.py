"""JSON Web Tokens: minting for `metering token`, and verification.

One key source at a time, and each admits only its own algorithms: with METERING_JWKS_URL RS256 and ES256 by
the keys of that document, otherwise HS256 by METERING_JWT_SECRET. So no token chooses how it is checked.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, cast, get_args

import jwt
from anyio import to_thread
from fastapi import Request

from api.kit.problems import InvalidToken, SigningKeysUnavailable
from api.settings import Settings, SettingsError

Role = Literal["tenant_admin", "root_admin"]
ROLES: tuple[str, ...] = get_args(Role)
TRACKER = "tracker"
"""The role of who may write usage through the collector, and read nothing."""

# Ids that no tenant can have (contract, section 3): the pseudo-tenant, and words of the API's paths.
RESERVED_TENANT_IDS = frozenset({"unattributed", "summary", "daily", "alerts", "reconciliation", "rebuild", "explain"})

DEFAULT_AUDIENCE = "usage-api"
JWKS_LIFESPAN_SECONDS = 300
LATEST_EXPIRY = 253_402_300_799  # the end of year 9999: what Python can still write as a time
JWKS_TIMEOUT_SECONDS = 5
MOST_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token is good. ``tenant_id`` is None for a root admin; ``expires_at`` is the token's."""

    subject: str
    role: Role
    tenant_id: str | None
    expires_at: datetime | None = field(default=None, compare=False)


def mint(
    role: str,
    tenant_id: str | None,
    ttl: timedelta,
    secret: str,
    *,
    audience: str = DEFAULT_AUDIENCE,
    issuer: str | None = None,
    subject: str | None = None,
    now: datetime | None = None,
) -> str:
    """Return an HS256 bearer token.

    Args:
        role: ``tenant_admin`` or ``root_admin``.
        tenant_id: the tenant of a tenant admin; None for a root admin.
        ttl: how long it is good, from ``now`` (default: the clock; never METERING_AS_OF).
        secret: METERING_JWT_SECRET.

    Raises:
        ValueError: an unknown role, a tenant that is missing, reserved or too much, or a ttl that is not
        positive.
    """
    if role not in ROLES:
        raise ValueError(f"unknown role {role!r}: use {' or '.join(ROLES)}")
    if role == "tenant_admin" and not tenant_id:
        raise ValueError("a tenant_admin token needs a tenant")
    if role == "root_admin" and tenant_id:
        raise ValueError("a root_admin token is for all tenants: leave the tenant out")
    if tenant_id in RESERVED_TENANT_IDS:
        raise ValueError(f"{tenant_id!r} is a reserved id, not a tenant")
    if ttl <= timedelta():
        raise ValueError("the time to live must be positive")
    claims = {"sub": subject or (f"{tenant_id}-admin" if tenant_id else "root"), "role": role}
    if tenant_id:
        claims["tenant_id"] = tenant_id
    return _signed(claims, ttl, secret, audience, issuer, now)


def mint_tracker(
    tenants: Sequence[str],
    services: Sequence[str],
    ttl: timedelta,
    secret: str,
    *,
    audience: str = DEFAULT_AUDIENCE,
    issuer: str | None = None,
    subject: str = "tracker",
    now: datetime | None = None,
) -> str:
    """Return an HS256 bearer token for the collector, for these tenants and services; none stands for all.

    Raises:
        ValueError: a reserved tenant, or a ttl that is not positive.
    """
    for tenant_id in tenants:
        if tenant_id in RESERVED_TENANT_IDS:
            raise ValueError(f"{tenant_id!r} is a reserved id, not a tenant")
    if ttl <= timedelta():
        raise ValueError("the time to live must be positive")
    claims: dict[str, Any] = {"sub": subject, "role": TRACKER}
    if tenants:
        claims["tenants"] = list(tenants)
    if services:
        claims["services"] = list(services)
    return _signed(claims, ttl, secret, audience, issuer, now)


def _signed(
    claims: dict[str, Any], ttl: timedelta, secret: str, audience: str, issuer: str | None, now: datetime | None
) -> str:
    issued = now or datetime.now(UTC)
    claims = {**claims, "aud": audience, "iat": issued, "exp": issued + ttl}
    if issuer:
        claims["iss"] = issuer
    with _any_key_length():
        return jwt.encode(claims, secret, algorithm="HS256")


class TokenVerifier:
    """Checks signature and claims of bearer tokens.

    Raises (on creation):
        SettingsError: no key source is set, or its URL is not http(s).
    """

    def __init__(self, settings: Settings) -> None:
        self._audience = settings.jwt_audience
        self._issuer = settings.jwt_issuer
        self._secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
        # What a key has signed stays signed: only the time goes on. Which key counts is asked with every request, and a
        # token that is refused is not remembered.
        self._remembered = lru_cache(MOST_REMEMBERED)(self._decode)
        self._jwks: jwt.PyJWKClient | None = None
        if settings.jwks_url:
            try:
                self._jwks = jwt.PyJWKClient(
                    settings.jwks_url, lifespan=JWKS_LIFESPAN_SECONDS, timeout=JWKS_TIMEOUT_SECONDS
                )
            except jwt.PyJWKClientError as error:
                raise SettingsError("METERING_JWKS_URL must be an http(s) URL") from error
        elif self._secret is None:
            raise SettingsError("METERING_JWT_SECRET (or METERING_JWKS_URL) is not set: the API cannot check tokens")

    async def verify(self, token: str) -> Principal:
        """Return who the token says is asking.

        Raises:
            InvalidToken, SigningKeysUnavailable: see `claims`; or the API has no such role or tenant id.
        """
        return _principal(await self.claims(token))

    async def claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that is good for this audience; ``sub`` is text.

        Raises:
            InvalidToken: signature, time, audience, issuer or a claim is wrong.
            SigningKeysUnavailable: the JWKS document cannot be read.
        """
        try:
            if self._jwks is not None:
                # The client may fetch the document, and blocks while it does.
                key = await to_thread.run_sync(self._jwks.get_signing_key_from_jwt, token)
                claims = self._remembered(token, key, ("RS256", "ES256"))
            else:
                claims = self._remembered(token, cast(str, self._secret), ("HS256",))
            if int(claims["exp"]) <= datetime.now(UTC).timestamp():
                raise jwt.ExpiredSignatureError
        except jwt.PyJWKClientConnectionError as error:
            raise SigningKeysUnavailable("The signing keys cannot be read.") from error
        except jwt.ExpiredSignatureError as error:
            raise InvalidToken("The token has expired.") from error
        except jwt.MissingRequiredClaimError as error:
            raise InvalidToken(f"The claim {error.claim} is missing.") from error
        except jwt.InvalidAudienceError as error:
            raise InvalidToken("The token is for another audience.") from error
        except jwt.InvalidIssuerError as error:
            raise InvalidToken("The token is from another issuer.") from error
        except (jwt.PyJWTError, ValueError) as error:
            raise InvalidToken("It is malformed, or its signature does not match.") from error
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise InvalidToken("The claim sub is empty.")
        return claims

    def _decode(self, token: str, key: jwt.PyJWK | str, algorithms: tuple[str, ...]) -> dict[str, Any]:
        with _any_key_length():
            return jwt.decode(
                token,
                key,
                algorithms=algorithms,
                audience=self._audience,
                issuer=self._issuer,
                # iat says nothing about validity, and a minting host's clock may be a second ahead.
                options={"require": ["exp", "sub", "aud"], "verify_iat": False},
            )


def verifier(request: Request) -> TokenVerifier:
    """Return the application's verifier."""
    return cast(TokenVerifier, request.app.state.verifier)


def _any_key_length() -> warnings.catch_warnings[None]:
    # How long the secret is, is its owner's choice; PyJWT would say so again with every request.
    return warnings.catch_warnings(action="ignore", category=jwt.InsecureKeyLengthWarning)


def _principal(claims: dict[str, Any]) -> Principal:
    subject, role, tenant_id = claims["sub"], claims.get("role"), claims.get("tenant_id")
    expires = datetime.fromtimestamp(min(int(claims["exp"]), LATEST_EXPIRY), UTC)
    if role == "root_admin":
        return Principal(subject, "root_admin", None, expires)
    if role != "tenant_admin":
        raise InvalidToken("The claim role is neither tenant_admin nor root_admin.")
    if not isinstance(tenant_id, str) or not tenant_id or "\0" in tenant_id:
        raise InvalidToken("The claim tenant_id is missing.")
    if tenant_id in RESERVED_TENANT_IDS:
        raise InvalidToken("The claim tenant_id is not a tenant id.")
    return Principal(subject, "tenant_admin", tenant_id, expires)
