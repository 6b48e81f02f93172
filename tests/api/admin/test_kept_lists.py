"""The owner's lists that a build keeps: the same answers as from the marts, at the cost of a page."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest

from api.admin import queries
from api.admin.service import CLIENT_SORT_KEYS, SORT_KEYS
from builds import ledger
from ingestion.windows import Window
from tests.api.conftest import AppStarter, Headers
from warehouse.urls import as_role

SYSTEM = "/api/admin/billing/usage/system-summary"
MONTHS = ("2026-09", "2026-10", "2026-11")
WINDOW = Window.of_days(date(2026, 11, 1), date(2026, 11, 20))
NO_FILTER = dict.fromkeys(
    ("plans", "statuses", "min_ai_share", "search", "after_tenant", "after_number", "after_text"),
)
LISTS = {"kept_tenants": "list_tenants", "kept_totals": "list_totals"}


@pytest.fixture
def owner(own_database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection as whoever builds."""
    with psycopg.connect(own_database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def reader(own_database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection as the API for the owner."""
    with psycopg.connect(as_role(own_database, "metering_api"), autocommit=True) as connection:
        connection.execute("set metering.role = 'root_admin'")
        yield connection


def build(connection: psycopg.Connection[Any], build_id: str, *, ok: bool = True, stands_on: str | None = None) -> None:
    ledger.begin_build(connection, build_id, WINDOW, datetime(2026, 11, 20, 12, tzinfo=UTC), [], stands_on=stands_on)
    ledger.end_build(connection, build_id, ok=ok)


def change(connection: psycopg.Connection[Any], chance: random.Random) -> None:
    """Change the marts as a build may: rows come, go and say something else, each with the time of its build."""

    def amount() -> str:
        return chance.choice(["null", "0", str(chance.randint(-(10**6), 10**9) / 10**4)])

    tenant, month = f"crowd-{chance.randrange(40)}", chance.choice(MONTHS)
    if chance.random() < 0.3:
        connection.execute(
            "insert into marts.tenants values (%(tenant)s, %(name)s, %(plan)s, %(label)s, %(price)s, 'active', false, clock_timestamp())"
            " on conflict (tenant_id) do update set name = excluded.name, plan = excluded.plan, plan_label = excluded.plan_label,"
            "   monthly_base_price_usd = excluded.monthly_base_price_usd, updated_at = excluded.updated_at",
            {
                "tenant": tenant,
                "name": chance.choice(["Ärger", "Crowd", "elm", "_x"]),
                "plan": (plan := chance.choice([None, "pro", "starter"])),
                "label": plan and plan.title(),
                "price": chance.choice([None, 99]),
            },
        )
    mart = chance.choice(["tenant_monthly", "usage_monthly", "tenant_margin_monthly"])
    connection.execute(f"delete from marts.{mart} where tenant_id = %s and month = %s".encode(), (tenant, month))
    if chance.random() < 0.2:
        return
    if mart == "usage_monthly":
        for channel in chance.sample(["sms", "mms", "voice", "email", "ai", "storage"], 3):
            connection.execute(
                "insert into marts.usage_monthly (tenant_id, month, channel, unit, unit_count, request_count, estimated_cost_cents,"
                f" unpriced_unit_count, updated_at) values (%s, %s, %s, 'u', %s, %s, {amount()}, 0, clock_timestamp())".encode(),
                (tenant, month, channel, chance.randint(0, 99) / 8, chance.randint(0, 9)),
            )
    elif mart == "tenant_monthly":
        connection.execute(
            "insert into marts.tenant_monthly (tenant_id, month, openai_cost_cents, twilio_sms_cost_cents, twilio_voice_cost_cents,"
            " twilio_phone_cost_cents, total_cost_cents, total_messages, total_ai_calls, total_voice_minutes, total_emails,"
            " cost_change_percent, projected_cost_cents, margin_cents, usage_status, unpriced_units, updated_at)"
            f" values (%s, %s, {', '.join(amount() for _ in range(5))}, %s, 0, 0, 0, {', '.join(amount() for _ in range(3))}, %s, %s,"
            " clock_timestamp())".encode(),
            (
                tenant,
                month,
                chance.choice([0, 7]),
                chance.choice(["ok", "warning", "over_cap"]),
                json.dumps(chance.choice([{}, {"tokens": 5}, {"tokens": 1, "images": 2}])),
            ),
        )
    else:
        connection.execute(
            "insert into marts.tenant_margin_monthly (tenant_id, month, own_cost_cents, billed_cost_cents, shared_cost_cents,"
            f" full_cost_cents, full_margin_cents, unpriced_unit_count, updated_at) values (%s, %s, {amount()}, 0, 1.5, {amount()},"
            f" {amount()}, 0, clock_timestamp())".encode(),
            (tenant, month),
        )


def questions(chance: random.Random) -> Iterator[dict[str, Any]]:
    for sort in chance.sample(sorted({*SORT_KEYS, *CLIENT_SORT_KEYS}), 6):
        yield {
            **NO_FILTER,
            "month": chance.choice((*MONTHS, "2020-01")),
            "sort": sort,
            "descending": chance.random() < 0.5,
            "limit": 7,
            **chance.choice(
                [
                    {},
                    {"plans": ["pro"]},
                    {"statuses": ["ok", "warning"], "plans": ["pro", "starter"]},
                    {"statuses": ["nothing"]},
                    {"search": "CROWD-1"},
                    {"search": "ärg", "plans": ["starter"]},
                    {"min_ai_share": 20},
                ]
            ),
        }


def pages(connection: psycopg.Connection[Any], statement: str, question: dict[str, Any]) -> list[Any]:
    """Return all pages of one list."""
    found: list[Any] = []
    after: dict[str, Any] = {}
    while True:
        row = connection.execute(statement.encode(), {**question, **after}, prepare=False).fetchone()
        found.append(row)
        if row is None or len(row[1]) <= question["limit"]:
            return found
        last = row[1][question["limit"] - 1]
        after = {
            "after_tenant": last["tenant_id"],
            "after_number": last["number_key"],
            "after_text": last["text_key"],
        }


def test_after_any_history_they_are_what_the_marts_say(
    owner: psycopg.Connection[Any], reader: psycopg.Connection[Any]
) -> None:
    chance = random.Random(15)
    for number in range(12):
        for _ in range(chance.randint(0, 25)):
            change(owner, chance)
        # A failed build keeps nothing: the lists stay those of the last good one, and so does what is asked of them.
        if chance.random() < 0.3:
            build(owner, f"failed-{number}", ok=False)
        build(owner, f"good-{number}")
        for question in questions(chance):
            is_searched = question["search"] is not None or question["min_ai_share"] is not None
            statement = queries.KEPT_TENANT_MONTHS_SEARCHED if is_searched else queries.KEPT_TENANT_MONTHS
            kept = pages(reader, statement, question)
            if question["month"] == "2020-01":
                assert kept == [None]
            else:
                assert kept == pages(reader, queries.TENANT_MONTHS, question), question


def test_they_answer_for_the_newest_good_build_and_for_no_other(
    owner: psycopg.Connection[Any], own_database: str, start_app: AppStarter, root: Headers
) -> None:
    with start_app(own_database) as client:

        def cost() -> str:
            items = client.get(SYSTEM, params={"period": "2026-11"}, headers=root).json()["items"]
            (found,) = [item["estimatedCostUsd"] for item in items if item["tenantId"] == "acme"]
            return str(found)

        def charge(cents: int) -> None:
            owner.execute(
                "update marts.tenant_monthly set total_cost_cents = %s, updated_at = clock_timestamp()"
                " where tenant_id = 'acme' and month = '2026-11'",
                (cents,),
            )

        # Before any build of this version: of the marts.
        charge(100)
        assert cost() == "1"
        build(owner, "one")
        # Half a build is nobody's answer.
        charge(200)
        build(owner, "two", ok=False)
        assert cost() == "1"
        build(owner, "three")
        assert cost() == "2"
        # A build that leaves the marts as they stand has the lists of the one that made them.
        build(owner, "four", stands_on="three")
        assert cost() == "2"
        assert owner.execute("select distinct build_id from ops.list_months").fetchall() == [("three",)]
        # A build of an older version keeps none.
        charge(300)
        owner.execute(
            "insert into ops.builds (build_id, window_start, window_end, as_of, started_at, finished_at, status, sources)"
            " values ('old', '2026-11-01', '2026-12-01', now(), now(), now(), 'ok', '{}')"
        )
        assert cost() == "3"


def test_a_month_whose_marts_stand_is_not_written_again(owner: psycopg.Connection[Any]) -> None:
    build(owner, "one")
    places = "select month, min(xmin::text::bigint) from ops.list_tenants group by month order by month"
    before = dict(owner.execute(places).fetchall())
    assert set(before) == {"2026-10", "2026-11"}
    owner.execute(
        "update marts.usage_monthly set unit_count = unit_count + 1, updated_at = clock_timestamp() where month = '2026-11'"
    )
    build(owner, "two")
    after = dict(owner.execute(places).fetchall())
    assert (after["2026-10"] == before["2026-10"], after["2026-11"] == before["2026-11"]) == (True, False)
    owner.execute("delete from marts.usage_monthly where month = '2026-10' and tenant_id = 'acme'")
    build(owner, "three")
    assert dict(owner.execute(places).fetchall())["2026-10"] != before["2026-10"]
    # What is no longer in any mart is no longer kept.
    for mart in ("usage_monthly", "tenant_monthly", "tenant_margin_monthly"):
        owner.execute(f"delete from marts.{mart} where month = '2026-10'".encode())
    build(owner, "four")
    assert owner.execute("select month from ops.list_months").fetchall() == [("2026-11",)]
    assert owner.execute("select distinct month from ops.list_tenants").fetchall() == [("2026-11",)]


def test_a_build_without_marts_keeps_nothing(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        build(connection, "one")
        assert connection.execute("select * from ops.kept_months").fetchall() == []


@pytest.mark.parametrize("view", LISTS)
def test_only_the_owner_sees_them(own_database: str, owner: psycopg.Connection[Any], view: str) -> None:
    build(owner, "one")
    seen = {}
    for name, role, tenant in (("nobody", "", ""), ("tenant", "tenant_admin", "acme"), ("owner", "root_admin", "")):
        with psycopg.connect(as_role(own_database, "metering_api")) as connection:
            connection.execute(
                "select set_config('metering.role', %s, true), set_config('metering.tenant_id', %s, true)",
                (role, tenant),
            )
            # A question that would give its rows away by failing at them is asked of none.
            if name != "owner":
                connection.execute(f"select * from ops.{view} where status::integer > 0".encode())
            seen[name] = len(connection.execute(f"select * from ops.{view}".encode()).fetchall())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select * from ops.{LISTS[view]}".encode())
    assert seen == {
        "nobody": 0,
        "tenant": 0,
        "owner": len(owner.execute(f"select * from ops.{LISTS[view]}".encode()).fetchall()),
    }
    assert seen["owner"] > 0


def test_a_page_of_many_tenants_reads_its_own(owner: psycopg.Connection[Any], reader: psycopg.Connection[Any]) -> None:
    owner.execute(
        "insert into marts.tenants select 'many-' || n, 'Many', 'pro', 'Pro', 1, 'active', false from generate_series(1, 10000) as n"
    )
    owner.execute(
        "insert into marts.tenant_monthly (tenant_id, month, total_cost_cents, total_messages, total_ai_calls, total_voice_minutes,"
        " total_emails, usage_status, unpriced_unit_count)"
        " select 'many-' || n, '2026-11', n % 97, 0, 0, 0, 0, 'ok', 0 from generate_series(1, 10000) as n"
    )
    build(owner, "one")
    owner.execute("analyze ops.list_tenants")
    question = {**NO_FILTER, "month": "2026-11", "sort": "estimatedCostCents", "descending": True, "limit": 50}
    (plan,) = reader.execute(
        b"explain (analyze, timing off, format json) " + queries.KEPT_TENANT_MONTHS.encode(), question, prepare=False
    ).fetchone() or ((),)

    def touched(node: dict[str, Any]) -> Iterator[tuple[str, float]]:
        if "Relation Name" in node:
            yield (
                node["Relation Name"],
                (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"],
            )
        for part in node.get("Plans", ()):
            yield from touched(part)

    rows = list(touched(plan[0]["Plan"]))
    assert {name for name, _ in rows} <= {"list_tenants", "list_totals", "list_months", "builds"}
    assert sum(count for name, count in rows if name == "list_tenants") <= 51 + 51
    assert sum(count for name, count in rows if name == "list_totals") <= 100
