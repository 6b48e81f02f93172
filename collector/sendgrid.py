"""SendGrid's Event Webhook, verified by its signature: an email is used once, whichever of its events arrive.

The signature (https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features) is
ECDSA over timestamp and body, not over the address: the tenant is named by a custom argument of the mail, or by the category's owner.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.kit.problems import InvalidInput, UnreadableBody
from collector.bodies import parse_json, read_body
from collector.intake import Intake, ReportedUse
from collector.problems import NotSetUp, UnsignedRequest, documented
from collector.spans import Attribution
from collector.state import shared
from usage_metering.events import InvalidEvent

router = APIRouter(prefix="/webhooks/sendgrid", tags=["Webhooks"], responses=documented(400, 403, 413, 415, 422, 503))

VARIABLE = "SENDGRID_WEBHOOK_PUBLIC_KEY"
OF_A_MAIL = frozenset({"processed", "deferred", "delivered", "bounce", "dropped"})
"""What becomes of a mail that was asked for, which is what SendGrid counts. Opens, clicks and complaints are not usage."""

PublicKey = ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Mail:
    """What is looked at of one event; addresses and contents are not."""

    event_id: str
    message_id: str
    status: str
    occurred_at: datetime
    categories: Sequence[str]
    tenant_id: str | None
    feature: str | None

    @property
    def day(self) -> date:
        """The day of which its category's owner is wanted."""
        return self.occurred_at.date()

    def sent_as(self) -> list[str]:
        """Return what X-Message-Id may have been: the message's id begins with it, up to one of its dots."""
        parts = self.message_id.split(".")
        return [".".join(parts[:count]) for count in range(1, len(parts))]


@router.post("/events", status_code=204)
async def take_events(request: Request) -> Response:
    """What became of emails. One email is one use, however many of its events arrive, and however often."""
    here = shared(request)
    if here.sendgrid_key is None:
        raise NotSetUp(f"Set {VARIABLE} to the verification key of SendGrid's Event Webhook.")
    body = await read_body(request, here.largest_body)
    header = request.headers.get
    timestamp = header("x-twilio-email-event-webhook-timestamp", "")
    if not is_signed(body, timestamp, header("x-twilio-email-event-webhook-signature", ""), here.sendgrid_key):
        raise UnsignedRequest("X-Twilio-Email-Event-Webhook-Signature does not match this account and body.")
    events = parse_json(body)
    if not isinstance(events, list):
        raise UnreadableBody("SendGrid sends an array of events.")
    wrong = await run_in_threadpool(_recorded, here.intake, events, here.attribution)
    if wrong:
        raise InvalidInput("body", f"{wrong[0]}; the other events are recorded")
    return Response(status_code=204)


def _recorded(intake: Intake, events: Sequence[Any], attribution: Attribution) -> list[str]:
    mails, wrong = [], []
    for index, event in enumerate(events):
        try:
            mail = read_mail(event, attribution)
        except InvalidEvent as error:
            wrong.append(f"[{index}]: {error}")
            continue
        if mail is not None:
            mails.append(mail)
    owners = intake.owners({(f"category:{name}", mail.day) for mail in mails for name in mail.categories})
    # A mail that the wrapped client recorded is one event of all its recipients already.
    by_client = intake.recorded({key for mail in mails for key in mail.sent_as()})
    reported: list[ReportedUse] = []
    for mail in mails:
        if by_client.isdisjoint(mail.sent_as()):
            owned = [key for name in mail.categories if (key := (f"category:{name}", mail.day)) in owners]
            # Without an owned category the email has no resource: it is part of the account's own sum.
            fields = {
                "service": "sendgrid",
                "operation": "send",
                "units": 1,
                "event_key": mail.event_id,
                "external_id": mail.message_id,
                "occurred_at": mail.occurred_at,
                "resource_id": owned[0][0] if owned else None,
                "feature": mail.feature,
                "metadata": {"status": mail.status},
            }
            reported.append((fields, mail.tenant_id or (owners[owned[0]] if owned else None)))
    return wrong + intake.record(reported)


def read_mail(event: Any, attribution: Attribution) -> Mail | None:
    """Return what an event says of an email; None where it is not usage.

    Raises:
        InvalidEvent: an id or the time is missing.
    """
    if not isinstance(event, Mapping):
        raise InvalidEvent("an event is a JSON object")
    status = event.get("event")
    if status not in OF_A_MAIL:
        return None
    event_id, message_id, seconds = (event.get(name) for name in ("sg_event_id", "sg_message_id", "timestamp"))
    if not isinstance(event_id, str) or not event_id:
        raise InvalidEvent("sg_event_id is missing")
    if not isinstance(message_id, str) or not message_id:
        raise InvalidEvent("sg_message_id is missing")
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 < seconds < 2**35:
        raise InvalidEvent("timestamp is not a number of seconds")
    category = event.get("category")
    names = category if isinstance(category, list) else [category]
    return Mail(
        event_id,
        message_id,
        status,
        datetime.fromtimestamp(seconds, UTC),
        [name for name in names if isinstance(name, str) and 0 < len(name) <= 255],
        attribution.tenant_of(event),
        attribution.feature_of(event),
    )


def public_key(text: str) -> PublicKey:
    """Return the key, as SendGrid's settings show it.

    Raises:
        ValueError: the text is not such a key; the message says what it must be.
    """
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, PublicKey):
        raise ValueError("the verification key of SendGrid's Event Webhook, as its settings show it")
    return key


def is_signed(body: bytes, timestamp: str, signature: str, key: PublicKey) -> bool:
    """Whether SendGrid, who alone has the other half of the key, signed this body."""
    try:
        key.verify(base64.b64decode(signature, validate=True), timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
