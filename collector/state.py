"""What the requests of one collector share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from fastapi import Request
from prometheus_client import Counter

from collector.intake import Intake
from collector.spans import Attribution
from usage_metering import UsageGuard


@dataclass(frozen=True)
class Shared:
    """``largest_body`` in bytes; ``spans`` counts calls by what became of them, ``cut_spans`` those that lost attributes."""

    intake: Intake
    guard: UsageGuard
    largest_body: int
    attribution: Attribution
    spans: Counter
    cut_spans: Counter
    twilio_token: str | None
    public_url: str | None
    sendgrid_key: EllipticCurvePublicKey | None
    stripe_secret: str | None


def shared(request: Request) -> Shared:
    """Return what the application was made with."""
    return cast(Shared, request.app.state.shared)
