"""What is posted as JSON: to the owner's webhook, to Slack (or what takes its messages), and to a tenant's own webhook.

Signed as Standard Webhooks are (https://www.standardwebhooks.com): `webhook-id` is the message's idempotency id, the same at every
attempt; the signature is over id, time and body. The time is the attempt's, so that a receiver can refuse what is old.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from costs.alerts.public_addresses import PublicAdapter, refuse_private
from costs.alerts.requesting import Outgoing, SendFailed, ask, is_consent
from ingestion.hangup import CuttableAdapter

SECRET_PREFIX = "whsec_"
LEAST_SECRET = 24
SECRET_RULE = f"{SECRET_PREFIX} and the base64 of at least {LEAST_SECRET} bytes (`echo {SECRET_PREFIX}$(openssl rand -base64 32)`)"
# What a server says of itself; 502 and 504 are said of it by somebody in between.
PERHAPS_TAKEN = (502, 504)
ABOUT_THIS_MESSAGE = (400, 413, 422)


def secret_of(text: str) -> bytes | None:
    """Return the bytes of a secret as Standard Webhooks write it; None where it is not one."""
    if not text.startswith(SECRET_PREFIX):
        return None
    try:
        secret = b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        return None
    return secret if len(secret) >= LEAST_SECRET else None


def secret_of_tenant(key: bytes, tenant_id: str) -> str:
    """Return the secret that the notices to a tenant are signed by, as its receiver wants it. It is stored nowhere: the key gives it."""
    derived = hmac.new(key, b"tenant webhook\n" + tenant_id.encode(), hashlib.sha256).digest()
    return SECRET_PREFIX + b64encode(derived).decode()


def signature(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the header `webhook-signature`."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return f"v1,{b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()}"


class Webhook:
    """The owner's webhook. It cannot be asked what has arrived: the id goes along for whoever receives a second copy."""

    def __init__(self, url: str, secret: bytes) -> None:
        self._url = url
        self._secret = secret

    def send(self, message: Outgoing) -> str:
        _post(f"the webhook at {_host(self._url)}", self._url, message, message.payload or {}, self._secret)
        return ""

    def find(self, message: Outgoing, known: set[str]) -> str | None:
        return None


class Slack:
    """An incoming webhook of Slack's. Its address is its secret; errors name the host alone."""

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, message: Outgoing) -> str:
        text = html.escape(f"{message.body}\n{message.reference}", quote=False)
        _post(f"Slack at {_host(self._url)}", self._url, message, {"text": text}, None)
        return ""

    def find(self, message: Outgoing, known: set[str]) -> str | None:
        return None


class TenantWebhook:
    """A tenant's own webhook, from the tenant directory, each with a secret of its own. One that fails says nothing about the next."""

    def __init__(self, key: bytes, *, may_be_private: bool) -> None:
        self._key = key
        self._may_be_private = may_be_private

    def send(self, message: Outgoing) -> str:
        who, url = f"the webhook of tenant {message.tenant_id}", message.target
        secret = secret_of(secret_of_tenant(self._key, message.tenant_id))
        try:
            if not self._may_be_private:
                refuse_private(who, url)
            adapter = CuttableAdapter if self._may_be_private else PublicAdapter
            _post(who, url, message, message.payload or {}, secret, adapter)
        except SendFailed as failure:
            raise SendFailed(str(failure), in_doubt=failure.in_doubt, everything=False) from None
        return ""

    def find(self, message: Outgoing, known: set[str]) -> str | None:
        return None


def _post(
    who: str,
    url: str,
    message: Outgoing,
    payload: Mapping[str, Any],
    secret: bytes | None,
    adapter: type[CuttableAdapter] = CuttableAdapter,
) -> None:
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    now = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "usage-metering",
        "webhook-id": message.idempotency_id,
        "webhook-timestamp": str(now),
    }
    if secret is not None:
        headers["webhook-signature"] = signature(secret, message.idempotency_id, now, body)
    response = ask(who, "POST", url, adapter, data=body, headers=headers, auth=_nobody)
    if not is_consent(response):
        status = response.status_code
        raise SendFailed(
            f"{who} answered HTTP {status}",
            in_doubt=status in PERHAPS_TAKEN,
            everything=status not in ABOUT_THIS_MESSAGE,
        )


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Sign in as nobody: else `requests` would send a password that .netrc has for the host."""
    return request


def _host(url: str) -> str:
    return urlsplit(url).netloc
