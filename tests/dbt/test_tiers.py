"""Batch, flex, priority, long contexts and writes to the cache: from bucket and event through to marts, explanations and FOCUS."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from fastapi.testclient import TestClient

from api.auth.tokens import mint
from api.main import create_app
from api.settings import Settings
from costs.rules.explain import problems
from tests.dbt.conftest import ALL, AS_OF, Project, built_world, copy_of
from tests.dbt.test_settlement import OLD, answered

SECRET = "a secret of the tests that is long enough for HS256"
TERRA, SOL = "gpt-6.1-terra", "gpt-6-sol"
TOTAL = Decimal("2.4028")
WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


def bucket(
    project: Project, model: str, tier: str, tokens: int, cached: int = 0, written: int = 0, output: int = 0
) -> None:
    project.insert(
        "openai_usage_completions",
        [
            {
                "usage_date": OLD,
                "account_id": "org",
                "project_id": "proj_a",
                "model": model,
                "tier": tier,
                "input_tokens": tokens,
                "cached_input_tokens": cached,
                "cache_write_tokens": written,
                "output_tokens": output,
                "num_model_requests": 1,
                "load_id": "test",
            }
        ],
    )


def use_every_way(project: Project) -> None:
    """A closed day on which one model was used in every way, and what was tracked of it."""
    answered(project, "openai_usage_completions", "org", OLD)
    bucket(project, TERRA, "", 1_000_000)
    bucket(project, TERRA, "batch", 1_000_000)
    bucket(project, TERRA, "flex", 500_000)
    bucket(project, SOL, "", 2_600, 2_000, 400, 100)
    at = f"{OLD} 10:00:00"
    project.completion("long", at, 400_000, model=TERRA)
    project.completion("short", at, 100_000, model=TERRA)
    project.completion("at the limit", at, 272_000, model=TERRA, feature="limit")
    project.completion("flex", at, 500_000, model=TERRA, metadata=json.dumps({"service_tier": "flex"}))
    project.completion(
        "written",
        at,
        2_600,
        model=SOL,
        units=2_700,
        cached_input_tokens=2_000,
        cache_write_tokens=400,
        output_tokens=100,
    )


@pytest.fixture(scope="session")
def tiers_template(server: str, standing_template: str) -> str:
    """Name of the database that `tiers` copies."""
    return built_world(server, "tiers", standing_template, use_every_way)


@pytest.fixture
def tiers(server: str, tiers_template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The world of `use_every_way`, built."""
    yield from copy_of(server, tiers_template, monkeypatch)


def test_each_way_of_use_has_its_own_price(tiers: Project) -> None:
    found = {
        tuple(name): (units, cost)
        for *name, units, cost in tiers.execute(
            "select model, feature, tier, evidence, unit_count, estimated_cost_usd from marts.usage_lines"
        )
    }
    assert found == {
        # 2 dollars a million above 272,000 tokens of input, 1 below: a call of 272,000 is not above.
        (TERRA, "(untracked)", "long_context", "provider"): (400_000, Decimal("0.8")),
        (TERRA, "(untracked)", "", "provider"): (100_000, Decimal("0.1")),
        (TERRA, "limit", "", "provider"): (272_000, Decimal("0.272")),
        (TERRA, "(untracked)", "", "residual"): (228_000, Decimal("0.228")),
        # Half of that; of flex all was tracked, by one long call.
        (TERRA, "(untracked)", "batch", "residual"): (1_000_000, Decimal("0.5")),
        (TERRA, "(untracked)", "flex_long_context", "provider"): (500_000, Decimal("0.5")),
        # 200 × 2 + 2,000 × 0.2 + 400 × 2.5 + 100 × 10, by the million.
        (SOL, "(untracked)", "", "provider"): (2_700, Decimal("0.0028")),
    }
    assert tiers.execute("select sum(estimated_cost_usd) from marts.usage_daily") == [(TOTAL,)]


def test_what_was_billed_as_if_no_call_were_long_says_so(tiers: Project) -> None:
    flagged = {
        (row["tier"], row["evidence"])
        for row in tiers.mart("usage_lines")
        if (row["basis"] or {}).get("long_context_unknown")
    }
    assert flagged == {("", "residual"), ("batch", "residual")}


def test_explanations_and_focus_say_the_same(tiers: Project) -> None:
    settings = {
        "METERING_DATABASE_URL": tiers.url,
        "METERING_JWT_SECRET": SECRET,
        "METERING_AS_OF": AS_OF.isoformat(),
    }
    with TestClient(create_app(Settings.model_validate(settings))) as client:
        client.headers["Authorization"] = f"Bearer {mint('root_admin', None, timedelta(hours=1), SECRET)}"
        body = json.loads(
            client.get("/api/admin/usage/a/explain", params={"date": OLD, "records": 500}).text, parse_float=Decimal
        )
    assert len(body["lines"]) == 7
    for line in body["lines"]:
        assert problems(line, OLD) == []
    sets = {line["tier"]: line["priceSet"]["tier"] for line in body["lines"] if line["model"] == TERRA}
    assert sets == {name: name for name in ("", "batch", "long_context", "flex_long_context")}
    charges = tiers.mart("focus_cost_and_usage")
    assert tiers.execute('select sum("ListCost") from marts.focus_cost_and_usage') == [(TOTAL,)]
    assert {row["SkuId"] for row in charges if row["x_Model"] == TERRA} == {
        f"openai/chat_completion/{TERRA}/input",
        *(f"openai/chat_completion/{TERRA}/{tier}/input" for tier in ("batch", "long_context", "flex_long_context")),
    }
    assert {row["x_Component"] for row in charges if row["x_Model"] == SOL} == {
        "input",
        "cached_input",
        "cache_write",
        "output",
    }


def test_marts_and_a_book_from_before_tiers_get_the_column(project: Project) -> None:
    bucket(project, SOL, "", 1_000_000)
    project.build(*ALL)
    for relation in ("marts.usage_lines", "intermediate.int_usage_lines_estimated"):
        project.execute(f"alter table {relation} drop column tier cascade, drop column price_tier cascade")
    project.execute(
        "alter table marts.price_sets drop column tier, add primary key (date, service, operation, model, plan)"
    )
    for table in ("int_settled_records", "int_tracked_aggregates"):
        project.execute(f"alter table intermediate.{table} drop column tier cascade")
    project.execute("alter table intermediate.int_tracked_aggregates drop column price_tier cascade")
    project.execute("alter table staging.price_book drop column tier")
    bucket(project, SOL, "batch", 1_000_000)
    with psycopg.connect(project.url) as reader, ThreadPoolExecutor() as pool:
        # Who reads lines and then their prices meanwhile waits for the build, or it for them: not each for the other.
        reader.execute("select from marts.usage_lines")
        building = pool.submit(project.build, *ALL)
        while not building.done() and project.execute(WAITING) == [(0,)]:
            time.sleep(0.05)
        reader.execute("select from marts.price_sets")
        reader.rollback()
        building.result()
    assert project.execute("select tier, count(*) from marts.usage_lines group by 1 order by 1") == [
        ("", 1),
        ("batch", 1),
    ]
