"""The session cookie and the one-time sign-in links: signed, never stored, never longer than the token behind them.

Both are signed with METERING_SESSION_SECRET; where that is unset, with a key derived from METERING_JWT_SECRET, and
without either (tokens checked by JWKS) with a random one, so that sessions end with the process.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, cast

from itsdangerous import BadData, URLSafeSerializer

from api.auth.tokens import RESERVED_TENANT_IDS, ROLES, Principal, Role

COOKIE = "metering_session"
LONGEST_SESSION = timedelta(hours=12)
LONGEST_LINK = timedelta(days=7)
CLOCK_ERROR = timedelta(days=1).total_seconds()  # by which the machine's clock may jump

_SESSION_SALT = "metering session"
_LINK_SALT = "metering sign-in link"


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in. ``session_id`` is what CSRF tokens are bound to."""

    session_id: str
    principal: Principal
    expires_at: datetime


def signing_key(session_secret: str | None, jwt_secret: str | None) -> bytes:
    """Return the key of this installation: the same in every process that has the same secrets."""
    if session_secret:
        return session_secret.encode()
    if jwt_secret:
        return hmac.new(jwt_secret.encode(), b"usage-metering sessions", hashlib.sha256).digest()
    return secrets.token_bytes(32)


class Sessions:
    """Signs and reads cookies and links; remembers which links were used and which sessions ended in this process."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cookies = URLSafeSerializer(key, salt=_SESSION_SALT, signer_kwargs=_SIGNER)
        self._links = URLSafeSerializer(key, salt=_LINK_SALT, signer_kwargs=_SIGNER)
        self._spent: dict[str, float] = {}
        self._lock = Lock()

    def start(self, principal: Principal) -> Session:
        """Return a new session: as long as the principal's token is good, at most `LONGEST_SESSION`."""
        latest = datetime.now(UTC) + LONGEST_SESSION
        expires = min(principal.expires_at, latest) if principal.expires_at else latest
        return Session(secrets.token_urlsafe(16), principal, expires)

    def cookie(self, session: Session) -> str:
        """Return the cookie's value."""
        return _text(self._cookies.dumps({"id": session.session_id, **_claims(session.principal, session.expires_at)}))

    def read(self, cookie: str) -> Session | None:
        """Return whose cookie this is; None where it is forged, malformed or expired."""
        claims = _loaded(self._cookies, cookie)
        if claims is None or claims["id"] in self._spent:
            return None
        return Session(claims["id"], _principal(claims), _expiry(claims))

    def end(self, session: Session) -> None:
        """Make the session's cookie worthless, whoever has a copy of it."""
        self._spend(session.session_id, session.expires_at.timestamp())

    def link_code(self, principal: Principal, ttl: timedelta) -> str:
        """Return the code of a link that signs ``principal`` in once, within ``ttl``."""
        expires = datetime.now(UTC) + min(ttl, LONGEST_LINK)
        return _text(self._links.dumps({"id": secrets.token_urlsafe(16), **_claims(principal, expires)}))

    def find_link(self, code: str) -> Principal | None:
        """Return whom the link would sign in, without using it up; None as `use_link`."""
        claims = _loaded(self._links, code)
        return _principal(claims) if claims is not None and claims["id"] not in self._spent else None

    def use_link(self, code: str) -> Principal | None:
        """Return whom the link signs in; None where it is forged, expired or was used before."""
        claims = _loaded(self._links, code)
        if claims is None:
            return None
        # The link's time is for using it; the session then has its own.
        return _principal(claims) if self._spend(claims["id"], claims["exp"]) else None

    def _spend(self, name: str, until: float) -> bool:
        # By the monotonic clock and a day more: a clock that jumped ahead and back must not make good again what was spent.
        now = time.monotonic()
        with self._lock:
            self._spent = {known: end for known, end in self._spent.items() if end > now}
            fresh = name not in self._spent
            self._spent[name] = now + max(0.0, until - time.time()) + CLOCK_ERROR
            return fresh

    def csrf_secret(self, session_id: str) -> bytes:
        """Return what the CSRF tokens of a session are made of."""
        return hmac.new(self._key, f"csrf {session_id}".encode(), hashlib.sha256).digest()


_SIGNER = {"key_derivation": "hmac", "digest_method": hashlib.sha256}


def _claims(principal: Principal, expires: datetime) -> dict[str, Any]:
    return {
        "sub": principal.subject,
        "role": principal.role,
        "tenant": principal.tenant_id,
        "exp": int(expires.timestamp()),
    }


def _text(signed: str | bytes) -> str:
    return signed if isinstance(signed, str) else signed.decode()


def _loaded(serializer: Any, text: str) -> dict[str, Any] | None:
    try:
        claims = serializer.loads(text)
    except BadData:
        return None
    # Signed by us, but perhaps by another version of us.
    if not isinstance(claims, dict) or claims.get("role") not in ROLES or not isinstance(claims.get("exp"), int):
        return None
    tenant = claims.get("tenant")
    if (claims["role"] == "tenant_admin") != bool(tenant) or tenant in RESERVED_TENANT_IDS:
        return None
    return claims if claims["exp"] > time.time() else None


def _principal(claims: dict[str, Any]) -> Principal:
    return Principal(claims["sub"], cast(Role, claims["role"]), claims["tenant"])


def _expiry(claims: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(claims["exp"], UTC)
