"""Protection of the forms that change something: a token bound to the session, and where the request came from.

The token in a page is masked anew each time: the page is compressed, and a constant secret beside text that somebody
else chooses (a search, say) could be guessed from its length.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from urllib.parse import urlsplit

from fastapi import Request

from api.kit.problems import WrongRole

FIELD = "csrf_token"
_LENGTH = 32


class ForgedRequest(WrongRole):
    """A form that does not come from one of our pages."""

    title = "This form was not sent from its page"


def masked(secret: bytes) -> str:
    """Return a token for a form, made of the session's secret (32 bytes)."""
    mask = secrets.token_bytes(_LENGTH)
    return base64.urlsafe_b64encode(mask + _xor(mask, secret)).decode()


def matches(token: str, secret: bytes) -> bool:
    """Whether a form's token was made of this secret."""
    try:
        raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(raw) == 2 * _LENGTH and hmac.compare_digest(_xor(raw[:_LENGTH], raw[_LENGTH:]), secret)


def check_origin(request: Request) -> None:
    """Refuse a request that a page of somebody else has sent.

    Raises:
        ForgedRequest: the browser says that it comes from elsewhere. A client that sends no such header passes.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        raise ForgedRequest("It came from another site. Open the page here and send the form again.")
    origin = request.headers.get("origin")
    # Only the host: behind a proxy that ends TLS, we do not know the scheme. No page of another site can set a proxy's header.
    ours = (request.headers.get("host"), request.headers.get("x-forwarded-host"))
    if origin is not None and urlsplit(origin).netloc not in ours:
        raise ForgedRequest("It came from another site. Open the page here and send the form again.")


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(left, right, strict=True))
