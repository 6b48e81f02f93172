"""What is live counts as the next build will count it: by the marts' own rule, whatever the events say."""

from __future__ import annotations

import csv
import itertools
import random
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from builds.scratch import scratch
from costs.rules.services import CHANNELS, SERVICES, UNITS
from tests.dbt.conftest import ALL, AS_OF, Project, window
from tests.dbt.price_book import PriceBook, build_models
from usage_metering.taxonomy import channel_of
from warehouse.urls import as_role

LIVE = "select tenant_id, units, requests, trim_scale(cost_cents) from ops.live_usage"
FUNCTION = "intermediate.usage_as_built(text[])"


def flush(project: Project, *events: dict[str, Any]) -> None:
    """Bring events as a tracker does, all in one flush."""
    with psycopg.connect(as_role(project.url, "metering_tracker"), autocommit=True) as connection:
        flush_over(connection, *events)


def flush_over(connection: psycopg.Connection, *events: dict[str, Any]) -> None:
    """As `flush`, over the connection of a tracker that brings many."""
    columns = list(dict.fromkeys(itertools.chain.from_iterable(events)))
    with connection.transaction():
        connection.cursor().executemany(
            f"insert into raw.usage_events ({', '.join(columns)}) values ({', '.join(['%s'] * len(columns))})".encode(),
            [[event[column] for column in columns] for event in events],
        )
        connection.execute("select ops.add_live_usage('load', %s, '{}')", ([event["event_key"] for event in events],))


def event(key: str, number: int = 0, **columns: Any) -> dict[str, Any]:
    return {
        "event_key": f"{key}:{number}",
        "external_id": key,
        "tenant_id": "a",
        "direction": "outbound",
        "occurred_at": f"2026-03-19 10:00:{number:02}+00",
        **columns,
    }


def test_units_requests_and_cost(built: Project) -> None:
    cases: list[tuple[str, str, str, int, tuple[int, int, str | None] | None]] = [
        ("openai", "audio_speech", "", 5000, (0, 1, None)),
        ("azure_openai", "vector_store", "", 5000, (0, 0, None)),
        # Tokens that nobody split are input.
        ("openai", "chat_completion", "gpt-4o-mini", 5000, (5000, 1, "0.075")),
        ("openai", "chat_completion", "house-model", 5000, (5000, 1, None)),
        ("cloudflare_r2", "class_a", "", 5000, (5000, 5000, "2.25")),
        ("cloudflare_r2", "storage", "", 60, (60, 0, "3")),
        ("google_places", "text_search_pro", "", 3, (3, 3, "9.6")),
        ("sendgrid", "send", "", 3, (3, 3, "0.27")),
        ("internal", "export", "", 3, (3, 1, None)),
        # A call that has only begun is none yet, and what has failed never was.
        ("twilio_voice", "outbound", "", 0, None),
        ("twilio_sms", "failed", "", 2, None),
    ]
    for service, operation, model, units, _ in cases:
        fields: dict[str, Any] = {"metadata": Jsonb({"status": operation})}
        about: dict[str, Any] = {
            "service": service,
            "operation": operation,
            "channel": channel_of(service, operation),
            "model": model,
        }
        flush(built, event(f"{service} {operation} {model}", units=units, **about, **fields))
    live = {key: rest for key, *rest in built.execute(LIVE.replace("tenant_id", "key"))}
    assert live == {
        f"{service} {operation} {model}": [right[0], right[1], None if right[2] is None else Decimal(right[2])]
        for service, operation, model, _, right in cases
        if right is not None
    }


@pytest.mark.parametrize(
    ("tenants", "right"),
    [
        (("b", "unattributed"), "b"),
        (("unattributed", "b"), "b"),
        (("b", "a"), "b"),
        (("ghost", "b"), "b"),
        # Whom the directory does not know nobody can be billed for.
        (("unattributed", "ghost"), "unattributed"),
        (("unattributed",), "unattributed"),
    ],
)
def test_a_record_is_the_earliest_known_tenants(built: Project, tenants: Sequence[str], right: str) -> None:
    call: dict[str, Any] = {"service": "twilio_voice", "operation": "outbound", "channel": "voice", "units": 2}
    for number, tenant in enumerate(tenants):
        flush(built, event("CA1", number, tenant_id=tenant, **call))
    assert built.execute(LIVE) == [(right, 2, 1, Decimal("2.6"))]


def test_a_record_that_nobody_named_is_its_resource_s_owner_s(built: Project) -> None:
    flush(
        built,
        event("x", tenant_id="", service="sendgrid", channel="email", operation="send", units=1, resource_id="sub_b"),
    )
    assert built.execute("select tenant_id from ops.live_usage") == [("b",)]


def test_one_key_at_two_services_is_the_record_that_has_more(built: Project) -> None:
    sms: dict[str, Any] = {"service": "twilio_sms", "operation": "outbound", "channel": "sms"}
    flush(
        built,
        event("one", 1, **sms, units=2),
        event("one", 2, service="internal", operation="x", channel="internal", units=5),
    )
    assert built.execute("select channel, units from ops.live_usage") == [("internal", 5)]


def test_where_no_build_has_made_the_rule_events_count_by_their_dearest_price(built: Project) -> None:
    chat: dict[str, Any] = {
        "service": "openai",
        "operation": "chat_completion",
        "channel": "ai",
        "model": "gpt-4o-mini",
    }
    dearest = built.execute(
        "select unit_price_usd * 100 from marts.channel_prices where channel = 'ai' and plan = 'starter'"
    )
    # A build of another version is on its way to the function, or none has come to it.
    for gone in ("alter view staging.stg_directory__resources rename to elsewhere", f"drop function {FUNCTION}"):
        built.execute(gone)
        built.execute("delete from ops.live_usage")
        flush(built, event(gone, units=1000, **chat))
        assert built.execute(LIVE) == [("a", 1000, 1, (dearest[0][0] * 1000).normalize())], gone


def test_only_the_cap_may_ask(built: Project) -> None:
    assert built.execute(
        "select rolname from pg_roles where rolname like 'metering_%%'"
        " and has_function_privilege(oid, %s, 'execute') order by 1",
        FUNCTION,
    ) == [("metering_transformer",)]
    assert built.execute(
        "select proowner::regrole::text, prosecdef, proconfig from pg_proc where oid = %s::regprocedure", FUNCTION
    ) == [("metering_transformer", True, ["search_path=pg_catalog, pg_temp"])]


def test_a_build_that_changes_nothing_leaves_it_and_a_scratch_build_has_its_own(built: Project) -> None:
    kept = "select xmin::text, prosrc from pg_proc where oid = 'intermediate.usage_as_built(text[])'::regprocedure"
    before = built.execute(kept)
    built.build("2026-03-19", "2026-03-19")
    assert built.execute(kept) == before
    with scratch(built.url) as made:
        made.build(window(*ALL), as_of=AS_OF, select=["*"])
        schema = made.schema("intermediate")
        ((own,),) = built.execute(
            "select prosrc from pg_proc where pronamespace = %s::regnamespace and proname = 'usage_as_built'", schema
        )
        assert f'"{made.schema("staging")}"."stg_tracking__events"' in own
        assert '"staging".' not in own
        assert built.execute(kept) == before
    assert built.execute("select count(*) from pg_proc where proname = 'usage_as_built'") == [(1,)]


# --- random worlds ------------------------------------------------------------------------------------------------------------

TENANTS = ("ann", "bob", "cy", "dee")
PLANS = ("starter", "pro", "elite", "agency")
METRICS = ("units", "requests", "cost_cents")
MODELS = ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", "gpt-5", "text-embedding-3-small", "house-model", "")
OTHER_OPERATIONS = {
    "twilio_phone": ("local", "toll_free", "release", ""),
    "stripe": ("charge", "refund", "payout", "stripe_fee", "adjustment", "odd"),
    "google_places": ("text_search_pro", "place_details_ids_only", "odd"),
    "internal": ("export", ""),
}
DAYS = ("2026-02-26", "2026-02-28", "2026-03-01", "2026-03-15", "2026-03-18", "2026-03-19", "2026-03-20")
COUNTED = """
select tenant_id, to_char(date, 'YYYY-MM'), channel, direction,
    coalesce(sum(unit_count) filter (where unit = %s::jsonb ->> channel), 0), sum(request_count), sum(estimated_cost_usd) * 100
from marts.usage_daily group by 1, 2, 3, 4
"""
PENDING = """
select tenant_id, month, channel, direction, sum(units), sum(requests), sum(cost_cents) from ops.live_usage group by 1, 2, 3, 4
"""
Counts = dict[tuple[str, str, str, str], list[Decimal]]


def world(project: Project, book: PriceBook, rng: random.Random) -> None:
    """Tenants with resources, limits of every plan on every channel, metric and direction, and limits of their own."""
    project.execute("delete from raw.tenant_resources")
    project.execute("delete from raw.tenants")
    # Each plan has its tenant, for one of them has prices of its own.
    for tenant, plan in zip(TENANTS, rng.sample(PLANS, len(PLANS)), strict=True):
        project.execute(
            "insert into raw.tenants (tenant_id, name, plan, status, usage_hard_stop_enabled) values (%s, %s, %s, 'active', %s)",
            tenant, tenant, plan, rng.random() < 0.5,
        )  # fmt: skip
        for provider, kind, key in (
            ("openai", "project", "proj"),
            ("sendgrid", "subuser", "sub"),
            ("twilio", "subaccount", "AC"),
        ):
            project.execute(
                "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id) values (%s, %s, %s, %s)",
                tenant, provider, kind, f"{key}_{tenant}",
            )  # fmt: skip
        for channel, metric in itertools.product(CHANNELS, METRICS):
            if rng.random() < 0.3:
                project.execute(
                    "insert into raw.tenant_limits (tenant_id, channel, metric, monthly_cap) values (%s, %s, %s, %s)",
                    tenant, channel, metric, rng.choice((None, 0, 1, 50, 4000)),
                )  # fmt: skip
    limits = [
        f"{plan},{channel},{metric},{rng.choice(('any', 'any', 'outbound', 'inbound'))},{rng.choice(('', 0, 3, 100, 5000))},80"
        for plan, channel, metric in itertools.product(PLANS, CHANNELS, METRICS)
    ]
    header = "plan,channel,metric,direction,monthly_cap,warning_threshold_pct"
    (book.path.parent / "plan_limits.csv").write_text("\n".join([header, *limits, ""]))
    # A contract: until its last days one plan has half of every price.
    with book.path.open() as file:
        prices = list(csv.DictReader(file))
    contract = {"plan": "pro", "effective_from": "2024-01-01", "effective_to": "2026-03-19", "source": "a contract"}
    halved = {
        (price["service"], price["operation"], price["model"], price["tier"], price["component"]): {
            **price,
            **contract,
            "unit_price_usd": str(Decimal(price["unit_price_usd"]) / 2),
        }
        for price in prices
        if price["plan"] == ""
    }
    book.write([*prices, *halved.values()])


def random_event(rng: random.Random, key: str, number: int, service: str) -> dict[str, Any]:
    """One event of a service; it may be odd in every column that a tracker may fill."""
    operations = SERVICES[service].operations or OTHER_OPERATIONS[service]
    operation = rng.choice((*operations, "odd"))
    split = service.endswith(("openai", "compatible")) and rng.random() < 0.7
    tokens = rng.choice((0, 1, 900, 300_000))
    cached = rng.randrange(tokens + 1) if split and rng.random() < 0.5 else None
    written = rng.randrange(tokens + 1 - (cached or 0)) if split and rng.random() < 0.5 else None
    metadata: dict[str, Any] = {}
    if rng.random() < 0.3:
        metadata["status"] = rng.choice(("failed", "canceled", "delivered", "FAILED"))
    if service == "stripe" and rng.random() < 0.8:
        metadata |= {
            "amount_minor": rng.choice(("12345", "-300", "0", "1.5")),
            "currency": rng.choice(("usd", "USD", "eur")),
        }
    return {
        "event_key": f"{key}:{number}",
        "external_id": key if number or rng.random() < 0.7 else rng.choice(("", None)),
        "tenant_id": rng.choice((*TENANTS, *TENANTS, "", "unattributed", "ghost")),
        "service": service,
        "operation": operation,
        "channel": channel_of(service, operation),
        "direction": rng.choice(("outbound", "inbound", "none", "", "sideways")),
        "source": rng.choice(("openai", "twilio", "x")),
        "model": rng.choice(MODELS) if split else rng.choice(("", None, "gpt-5")),
        "units": Decimal(rng.choice((0, 1, 2, 7, 5000))) + (Decimal("0.123456789") if rng.random() < 0.2 else 0),
        "input_tokens": tokens if split else None,
        "cached_input_tokens": cached,
        "cache_write_tokens": written,
        "output_tokens": rng.choice((None, 0, 5, 70_000)) if split else None,
        "resource_id": rng.choice((None, "", *(f"{kind}_{rng.choice(TENANTS)}" for kind in ("proj", "sub", "AC")), "of nobody")),
        "metadata": Jsonb(metadata),
        "occurred_at": f"{rng.choice(DAYS)} {rng.randrange(12):02}:00:{rng.randrange(60):02}+00",
    }  # fmt: skip


def counts(project: Project, *statements: tuple[str, tuple[object, ...]]) -> Counts:
    found: Counts = defaultdict(lambda: [Decimal(0)] * 3)
    for statement, arguments in statements:
        for tenant, month, channel, direction, *amounts in project.execute(statement, *arguments):
            key = (tenant, month, channel, direction)
            found[key] = [had + (amount or 0) for had, amount in zip(found[key], amounts, strict=True)]
    return {key: amounts for key, amounts in found.items() if any(amounts)}


def answers(project: Project) -> dict[tuple[str, str, str], tuple[Any, ...]]:
    """What the guard says of every tenant, channel and month."""
    rows = project.execute(
        "select tenant, channel, month, said.* from unnest(%s::text[]) as tenant, unnest(%s::text[]) as channel,"
        " unnest(%s::text[]) as month, ops.guard_check(tenant, channel, 0, month) as said",
        list(TENANTS), list(CHANNELS), ["2026-02", "2026-03"],
    )  # fmt: skip
    return {(tenant, channel, month): tuple(rest) for tenant, channel, month, *rest in rows}


def near(one: Any, other: Any) -> bool:
    return one == other or (
        isinstance(one, Decimal) and isinstance(other, Decimal) and abs(one - other) < Decimal("1e-9")
    )


def test_the_guard_says_before_a_build_what_the_marts_say_after_it(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = 13
    rng = random.Random(seed)
    world(project, PriceBook(tmp_path, monkeypatch), rng)
    days = window("2026-02-26", "2026-03-20")
    build_models(days, as_of=AS_OF)
    built = (COUNTED, (Jsonb(UNITS),))
    for round_ in range(2):
        with psycopg.connect(as_role(project.url, "metering_tracker"), autocommit=True) as tracker:
            for number in range(150):
                service = rng.choice(tuple(SERVICES))
                events = [
                    random_event(rng, f"{round_}-{number}", part, service) for part in range(rng.choice((1, 1, 2, 4)))
                ]
                # One flush may bring all of them, or each its own.
                for batch in [events] if rng.random() < 0.5 else [[one] for one in events]:
                    flush_over(tracker, *batch)
        before, answered = counts(project, built, (PENDING, ())), answers(project)
        build_models(days, as_of=AS_OF)
        assert project.execute("select count(*) from ops.live_usage") == [(0,)]
        after = counts(project, built)
        wrong = {
            key: (before.get(key), after.get(key))
            for key in before.keys() | after.keys()
            if not all(map(near, before.get(key, [None] * 3), after.get(key, [None] * 3)))
        }
        assert wrong == {}, (seed, round_)
        assert len(after) > 40
        now = answers(project)
        assert {key for key in answered if not all(map(near, answered[key], now[key]))} == set(), (seed, round_)
        assert len({answer[:2] for answer in now.values()}) > 2
        used = {
            (tenant, channel, metric, month): used
            for tenant, channel, metric, month, used in project.execute(
                "select tenant_id, channel, metric, month, used from marts.tenant_usage_status"
            )
        }
        assert len(used) == len(TENANTS) * len(CHANNELS) * len(METRICS) * 2
