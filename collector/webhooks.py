"""Twilio's callbacks, pointed here by a product: verified by Twilio's signature, recorded as the SDK records them.

The signature (https://www.twilio.com/docs/usage/security) is over the address as Twilio knows it, so the collector must know under
which address it is reached. ``?tenant=acme`` in that address names the tenant, and is signed with it; without, the number's owner.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.kit.problems import InvalidInput, UnreadableBody
from collector.bodies import read_body
from collector.problems import NotSetUp, UnsignedRequest, documented
from collector.state import shared
from usage_metering import webhooks
from usage_metering.events import InvalidEvent

router = APIRouter(prefix="/webhooks/twilio", tags=["Webhooks"], responses=documented(400, 403, 413, 415, 422, 503))

Form = Mapping[str, Sequence[str]]
EMPTY_TWIML = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'
MOST_FIELDS = 1_000


@router.post("/messages/inbound")
async def inbound_message(request: Request, tenant: str | None = Query(None, max_length=500)) -> Response:
    """A message came in: its segments, or one mms. Answers nothing to the sender."""
    await _recorded(request, tenant, webhooks.inbound_sms)
    return Response(EMPTY_TWIML, media_type="text/xml")


@router.post("/messages/status", status_code=204)
async def message_status(request: Request, tenant: str | None = Query(None, max_length=500)) -> Response:
    """A message's status callback: of interest is only that it was never sent."""
    await _recorded(request, tenant, webhooks.message_status)
    return Response(status_code=204)


@router.post("/calls/status", status_code=204)
async def call_status(request: Request, tenant: str | None = Query(None, max_length=500)) -> Response:
    """A call's status callback: a completed one has used the minutes that it began."""
    await _recorded(request, tenant, webhooks.call_status)
    return Response(status_code=204)


@router.post("/recordings/status", status_code=204)
async def recording_status(request: Request, tenant: str | None = Query(None, max_length=500)) -> Response:
    """A recording's status callback: a completed one has used the minutes that it began."""
    await _recorded(request, tenant, webhooks.recording_status)
    return Response(status_code=204)


async def _recorded(
    request: Request, tenant: str | None, read: Callable[[Any, webhooks.Number], webhooks.Fields | None]
) -> None:
    here = shared(request)
    if here.twilio_token is None or here.public_url is None:
        raise NotSetUp("Set TWILIO_AUTH_TOKEN and METERING_COLLECTOR_PUBLIC_URL to verify callbacks.")
    body = await read_body(request, here.largest_body)
    try:
        form = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise UnreadableBody("The body is not a form.") from None
    query = f"?{request.url.query}" if request.url.query else ""
    url = f"{here.public_url}{request.url.path}{query}"
    if not is_signed(url, form, request.headers.get("x-twilio-signature", ""), here.twilio_token):
        raise UnsignedRequest("X-Twilio-Signature does not match this account, address and form.")
    try:
        fields = read({name: values[-1] for name, values in form.items()}, here.intake.number)
    except InvalidEvent as error:
        raise InvalidInput("body", str(error)) from None
    if fields is not None and (wrong := await run_in_threadpool(here.intake.record, [(fields, tenant)])):
        raise InvalidInput("body", wrong[0])


def is_signed(url: str, form: Form, signature: str, token: str) -> bool:
    """Whether Twilio, who alone knows the token, signed this address and form."""
    signed_text = url + "".join(f"{name}{value}" for name in sorted(form) for value in sorted(set(form[name])))
    expected = base64.b64encode(hmac.new(token.encode(), signed_text.encode(), hashlib.sha1).digest())
    return hmac.compare_digest(expected, signature.encode())
