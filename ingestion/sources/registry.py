"""The providers that are asked: what is fixed about each, what it has to know beforehand, and how it is read. One entry each."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import date
from typing import Any

from ingestion.config import IngestSettings
from ingestion.sources import anthropic, cloudflare, openai, sendgrid, stripe, twilio
from ingestion.sources.reading import Reading, SourceSpec
from ingestion.windows import Window
from usage_metering.pii import Hasher


@dataclass(frozen=True)
class ReadRequest:
    """What a reader is made of. ``known``: what `Source.known` found in the database; ``today``: the as-of day."""

    settings: IngestSettings
    window: Window
    reading: Reading
    hasher: Hasher
    known: set[str]
    today: date


@dataclass(frozen=True)
class Source:
    """A provider.

    Attributes:
        spec: what is fixed about it.
        reader: makes the reader of one window; it has an ``api`` that can be closed.
        parts: a reader's dlt sources, to be loaded one after the other.
        known: a query of texts that a reader is to know; ``%(start)s`` and ``%(end)s`` are the window's days. Empty: nothing.
    """

    spec: SourceSpec
    reader: Callable[[ReadRequest], Any]
    parts: Callable[[Any], Generator[Any]]
    known: str = ""


def _in_one_part(source: Callable[[Any], Any]) -> Callable[[Any], Generator[Any]]:
    """Days of usage are few rows, and one part."""

    def parts(reader: Any) -> Generator[Any]:
        yield source(reader)

    return parts


def _twilio(request: ReadRequest) -> twilio.TwilioReader:
    return twilio.TwilioReader(
        request.settings,
        request.window,
        request.reading,
        hasher=request.hasher,
        known_hashes={value for value in request.known if not value.startswith("account:")},
        other_accounts={value.removeprefix("account:") for value in request.known if value.startswith("account:")},
    )


def _openai(request: ReadRequest) -> openai.OpenAIReader:
    return openai.OpenAIReader(request.settings, request.window, request.reading)


def _anthropic(request: ReadRequest) -> anthropic.AnthropicReader:
    return anthropic.AnthropicReader(request.settings, request.window, request.reading, today=request.today)


def _sendgrid(request: ReadRequest) -> sendgrid.SendGridReader:
    return sendgrid.SendGridReader(
        request.settings,
        request.window,
        request.reading,
        known_subusers={value for value in request.known if not value.startswith("category:")},
        categories={value.removeprefix("category:") for value in request.known if value.startswith("category:")},
        today=request.today,
    )


def _stripe(request: ReadRequest) -> stripe.StripeReader:
    return stripe.StripeReader(
        request.settings,
        request.window,
        request.reading,
        hasher=request.hasher,
        other_accounts={value for value in request.known if not value.startswith("tenant:")},
        tenants={value.removeprefix("tenant:") for value in request.known if value.startswith("tenant:")},
    )


def _cloudflare(request: ReadRequest) -> cloudflare.CloudflareReader:
    return cloudflare.CloudflareReader(request.settings, request.window, request.reading)


SOURCES: dict[str, Source] = {
    "twilio": Source(
        twilio.SPEC,
        _twilio,
        twilio.build_twilio_sources,
        # Numbers that may stand in clear (their hashes), and accounts to read beside those that Twilio lists.
        known="""
        select resource_hash from raw.tenant_resources where provider = 'twilio' and resource_type = 'phone_number'
        union select phone_number_hash from raw.twilio_phone_numbers
        union select 'account:' || resource_id from raw.tenant_resources
        where provider = 'twilio' and resource_type = 'subaccount'
        """,
    ),
    "openai": Source(openai.SPEC, _openai, _in_one_part(openai.build_openai_source)),
    "anthropic": Source(anthropic.SPEC, _anthropic, _in_one_part(anthropic.build_anthropic_source)),
    "sendgrid": Source(
        sendgrid.SPEC,
        _sendgrid,
        _in_one_part(sendgrid.build_sendgrid_source),
        # Subusers to ask for beside those that SendGrid lists, and the categories that are tenants'.
        known="""
        select resource_id from raw.tenant_resources where provider = 'sendgrid' and resource_type = 'subuser'
        union select 'category:' || resource_id from raw.tenant_resources
        where provider = 'sendgrid' and resource_type = 'category'
            and coalesce(valid_from, '-infinity') < %(end)s and coalesce(valid_to, 'infinity') > %(start)s
        union select account_id from raw.sendgrid_subuser_stats
        where usage_date >= %(start)s and usage_date < %(end)s
        """,
    ),
    "stripe": Source(
        stripe.SPEC,
        _stripe,
        _in_one_part(stripe.build_stripe_source),
        # Connected accounts to read beside those that Stripe lists, and tenants that metadata may name, though they look like a number.
        known="""
        select resource_id from raw.tenant_resources where provider = 'stripe' and resource_type = 'account'
        union select 'tenant:' || tenant_id from raw.tenants
        """,
    ),
    "cloudflare": Source(cloudflare.SPEC, _cloudflare, _in_one_part(cloudflare.build_cloudflare_source)),
}
