"""What every medium has in common: a message, how it fails, and one HTTP request that ends in time.

An error says who answered and with which status, and nothing else: what a server answers may quote a number.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import requests
from urllib3.exceptions import HTTPError as TransportError
from urllib3.exceptions import LocationParseError, NewConnectionError

from ingestion.hangup import CuttableAdapter, Hangup

SECONDS = 10.0
# No provider answers a message with more.
LARGEST_ANSWER = 2**24
NEVER_LEFT = (
    requests.ConnectTimeout,
    requests.exceptions.InvalidURL,
    requests.exceptions.ProxyError,
    LocationParseError,
    NewConnectionError,
    ssl.SSLCertVerificationError,
)


@dataclass(frozen=True)
class Outgoing:
    """A message of the outbox.

    Attributes:
        reference: which alert it is about, for the mail's second paragraph.
        in_doubt_since: when an attempt began whose end is not known; None: there is none.
        payload: what a webhook is sent; None: the medium sends text.
        tenant_id: of a notice to a tenant; else empty.
        target: of such a notice, the tenant's own webhook.
    """

    idempotency_id: str
    body: str
    reference: str
    in_doubt_since: datetime | None = None
    payload: Mapping[str, Any] | None = None
    tenant_id: str = ""
    target: str = ""


class SendFailed(Exception):
    """A message was not sent, or nobody knows.

    Attributes:
        in_doubt: the provider may have taken it all the same.
        everything: the next message would fail as well.
    """

    def __init__(self, message: str, *, in_doubt: bool, everything: bool) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt
        self.everything = everything


class Sender(Protocol):
    """One medium."""

    def send(self, message: Outgoing) -> str:
        """Send it and return the provider's id.

        Raises:
            SendFailed: with one line that may be stored.
        """
        ...

    def find(self, message: Outgoing, known: set[str]) -> str | None:
        """Return the provider's id of a message in doubt that went out after all; None: it did not, or cannot be known.

        Args:
            known: ids that belong to other messages.

        Raises:
            SendFailed: the provider did not say.
        """
        ...


def ask(
    provider: str, method: str, url: str, adapter: type[CuttableAdapter] = CuttableAdapter, **content: Any
) -> requests.Response:
    """Ask once and return what the provider says. A redirection is not followed: its target would be sent the credentials.

    Args:
        adapter: what connects.

    Raises:
        SendFailed: it did not answer, or not within `SECONDS`.
    """
    hangup = Hangup(SECONDS)
    late = SendFailed(f"{provider} did not answer within {SECONDS:.0f} s", in_doubt=True, everything=True)
    try:
        with hangup, requests.Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, adapter())
            response = session.request(method, url, timeout=SECONDS, allow_redirects=False, stream=True, **content)
            response._content = response.raw.read(LARGEST_ANSWER, decode_content=True)
    except (TransportError, OSError, AttributeError, ValueError) as error:
        # What a connection raises that is cut while it is read depends on where it was.
        if hangup.done:
            raise late from None
        if isinstance(error, (TransportError, OSError)):
            raise _unreachable(provider, error) from None
        raise
    if hangup.done:
        raise late
    return response


def is_consent(response: requests.Response) -> bool:
    """Whether the message was taken."""
    return 200 <= response.status_code < 300


def refused(text: str, response: requests.Response) -> SendFailed:
    """Return what a provider's refusal means: after a 5xx nobody knows whether it took the message."""
    status = response.status_code
    return SendFailed(text, in_doubt=status >= 500, everything=status in (401, 403, 429) or status >= 500)


def _unreachable(provider: str, error: Exception) -> SendFailed:
    *_, innermost = errors = list(_wrapped(error))
    # No such name, no route, refused, no connection in time, a proxy that leads nowhere, or a certificate that is not the
    # provider's: there was no connection to the provider, so it can have taken nothing.
    if any(isinstance(one, NEVER_LEFT) for one in errors):
        # Only its class: its text may hold addresses.
        text = f"{provider} could not be reached ({type(innermost).__name__})"
        return SendFailed(text, in_doubt=False, everything=True)
    return SendFailed(f"{provider} did not answer ({type(error).__name__})", in_doubt=True, everything=True)


def _wrapped(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, and what it wraps: `requests` wraps what urllib3 wraps, each in a way of its own."""
    yield error
    for inner in (getattr(error, "reason", None), error.__cause__, *error.args[:1]):
        if isinstance(inner, BaseException):
            yield from _wrapped(inner)
            return
