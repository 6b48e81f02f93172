"""What is live counts as the marts will count it."""

from __future__ import annotations

from decimal import Decimal

import psycopg
import pytest

from costs.services import COUNTED, OPENAI_OPERATIONS
from tests.warehouse.test_guard import Guarded, guarded
from warehouse.urls import as_role

__all__ = ["guarded"]

EVENT = (
    "insert into raw.usage_events (event_key, external_id, tenant_id, service, operation, channel, direction, units, occurred_at)"
    " values (%s, %s, %s, %s, %s, %s, 'outbound', %s, %s::timestamptz)"
)


def told(guarded: Guarded, *events: tuple[object, ...]) -> None:
    with psycopg.connect(as_role(guarded.url, "metering_tracker")) as connection:
        for number, (key, *rest) in enumerate(events):
            connection.execute(EVENT, (f"{key}:{number}", key, *rest, f"2026-11-20 10:00:0{number}+00"))
            connection.execute("select ops.add_live_usage('load', %s, '{}')", ([f"{key}:{number}"],))


@pytest.mark.parametrize(
    ("service", "operation", "channel", "units", "right"),
    [
        ("openai", "audio_speech", "ai", 5000, (0, 1, 0)),
        ("azure_openai", "vector_store", "ai", 5000, (0, 0, 0)),
        ("openai", "chat_completion", "ai", 5000, (5000, 1, 5000)),
        ("cloudflare_r2", "class_a", "storage_ops", 5000, (5000, 5000, None)),
        ("cloudflare_r2", "storage", "storage", 7, (7, 0, None)),
        ("google_places", "text_search_pro", "places", 3, (3, 3, None)),
        ("sendgrid", "send", "email", 3, (3, 3, None)),
        ("internal", "export", "internal", 3, (3, 1, None)),
    ],
)
def test_units_requests_and_cost(
    guarded: Guarded,
    service: str,
    operation: str,
    channel: str,
    units: int,
    right: tuple[int, int, Decimal | None],
) -> None:
    told(guarded, ("k", "acme", service, operation, channel, units))
    assert guarded.owner("select units, requests, cost_cents from ops.live_usage") == [right]


@pytest.mark.parametrize(
    ("tenants", "right"),
    [
        (("loose", "unattributed"), "loose"),
        (("unattributed", "loose"), "loose"),
        (("loose", "acme"), "loose"),
        (("ghost", "loose"), "loose"),
        (("unattributed", "ghost"), "ghost"),
        (("unattributed",), "unattributed"),
    ],
)
def test_a_record_is_the_earliest_known_tenants(guarded: Guarded, tenants: tuple[str, ...], right: str) -> None:
    told(guarded, *(("CA1", tenant, "twilio_voice", "outbound", "voice", 2) for tenant in tenants))
    assert guarded.owner("select tenant_id, units from ops.live_usage") == [(right, 2)]


def test_what_of_ai_is_no_token_is_the_same_list_everywhere(guarded: Guarded) -> None:
    tokens = guarded.owner(
        "select operation from unnest(%s::text[]) as operation where ops.is_in_channel_unit('ai', operation)",
        list(OPENAI_OPERATIONS),
    )
    assert {operation for (operation,) in tokens} == set(OPENAI_OPERATIONS) - set(COUNTED)
