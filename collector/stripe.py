"""Stripe's webhooks, verified by their signature: which balance transaction a charge, refund or dispute has made, and whose it is.

The signature (https://docs.stripe.com/webhooks#verify-manually) is an HMAC over time and body. A charge names its transaction by its id
only: the fee comes with the provider's list. A dispute brings its transactions whole.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.kit.problems import InvalidInput
from collector.bodies import parse_json, read_body
from collector.intake import Intake, ReportedUse
from collector.problems import NotSetUp, UnsignedRequest, documented
from collector.spans import Attribution
from collector.state import shared
from usage_metering import webhooks
from usage_metering.events import InvalidEvent

router = APIRouter(prefix="/webhooks/stripe", tags=["Webhooks"], responses=documented(400, 403, 413, 415, 422, 503))

VARIABLE = "STRIPE_WEBHOOK_SECRET"
TOLERANCE = 300
"""Seconds that a signature may be old or early; Stripe signs each delivery anew."""

WITH_TRANSACTIONS = ("charge", "refund", "dispute")


@router.post("/events", status_code=204)
async def take_event(request: Request) -> Response:
    """An event of Stripe: the transactions of a charge, refund or dispute are recorded once, any other event is not usage."""
    here = shared(request)
    if here.stripe_secret is None:
        raise NotSetUp(f"Set {VARIABLE} to the signing secret of Stripe's webhook endpoint.")
    body = await read_body(request, here.largest_body)
    if not is_signed(body, request.headers.get("stripe-signature", ""), here.stripe_secret, time.time()):
        raise UnsignedRequest(
            f"Stripe-Signature does not match this endpoint and body, or is more than {TOLERANCE} seconds old."
        )
    wrong = await run_in_threadpool(_recorded, here.intake, parse_json(body), here.attribution)
    if wrong:
        raise InvalidInput("body", wrong[0])
    return Response(status_code=204)


def _recorded(intake: Intake, event: Any, attribution: Attribution) -> list[str]:
    try:
        reported = list(read_event(event, attribution))
    except InvalidEvent as error:
        return [str(error)]
    now = datetime.now(UTC)
    keys = {
        (str(fields["resource_id"]), (fields["occurred_at"] or now).date())
        for fields, _ in reported
        if fields["resource_id"]
    }
    owners = {account: tenant_id for (account, _), tenant_id in intake.owners(keys).items()}
    return intake.record([(fields, tenant_id or owners.get(fields["resource_id"])) for fields, tenant_id in reported])


def read_event(event: Any, attribution: Attribution) -> Iterator[ReportedUse]:
    """Yield the balance transactions that an event names, each with the tenant that the object's metadata names.

    Raises:
        InvalidEvent: it is no event of Stripe.
    """
    if not isinstance(event, Mapping) or not isinstance(event.get("id"), str) or not event["id"]:
        raise InvalidEvent("id is missing")
    data = event.get("data")
    about = data.get("object") if isinstance(data, Mapping) else None
    if not isinstance(about, Mapping) or about.get("object") not in WITH_TRANSACTIONS:
        return
    metadata = about.get("metadata")
    named = metadata if isinstance(metadata, Mapping) else {}
    transactions = (
        about.get("balance_transactions") if about["object"] == "dispute" else [about.get("balance_transaction")]
    )
    for transaction in transactions if isinstance(transactions, list) else []:
        if not transaction:
            continue  # not made yet: a later event of the charge names it
        whole = {"id": transaction, "type": about["object"], "created": about.get("created")}
        fields = webhooks.stripe_fee(whole if isinstance(transaction, str) else transaction, event.get("account"))
        key = {"event_key": f"{event['id']}:{fields['external_id']}"}
        yield {**fields, **key, "feature": attribution.feature_of(named)}, attribution.tenant_of(named)


def is_signed(body: bytes, header: str, secret: str, now: float) -> bool:
    """Whether Stripe, who alone knows the secret, signed this body a moment ago; one of several signatures is enough."""
    parts = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) < 16):
        return False
    if abs(now - int(times[0])) > TOLERANCE:
        return False
    expected = hmac.new(secret.encode(), f"{times[0]}.".encode() + body, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(expected.encode(), value.encode()) for name, _, value in parts if name == "v1")
