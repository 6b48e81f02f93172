"""Explanations over marts that dbt has built: every line can be recomputed from what the API says of it, and from nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from rich.console import Console

from api.auth.tokens import mint
from api.main import create_app
from api.settings import Settings
from cli.explain import explained, show
from costs.closing import close_month
from costs.rules.explain import problems, recompute
from tests.dbt.conftest import ALL, AS_OF, Project
from warehouse.urls import as_role

SECRET = "a secret of the tests that is long enough for HS256"
Line = dict[str, Any]


@pytest.fixture
def client(tracked: Project) -> Iterator[TestClient]:
    settings = {
        "METERING_DATABASE_URL": tracked.url,
        "METERING_JWT_SECRET": SECRET,
        "METERING_AS_OF": AS_OF.isoformat(),
    }
    with TestClient(create_app(Settings.model_validate(settings)), raise_server_exceptions=False) as found:
        found.headers["Authorization"] = f"Bearer {mint('root_admin', None, timedelta(hours=1), SECRET)}"
        yield found


def ask(client: TestClient, tenant: str, day: str, **parameters: Any) -> Any:
    answer = client.get(f"/api/admin/usage/{tenant}/explain", params={"date": day, "records": 500, **parameters})
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text, parse_float=Decimal)


def days_of(project: Project) -> list[tuple[str, str]]:
    return [
        (t, str(d)) for t, d in project.execute("select distinct tenant_id, date from marts.usage_daily order by 1, 2")
    ]


def test_every_line_is_recomputed_from_its_explanation_alone(tracked: Project, client: TestClient) -> None:
    kinds = set()
    for tenant, day in days_of(tracked):
        body = ask(client, tenant, day)
        for line in body["lines"]:
            assert problems(line, day) == [], (tenant, day, line)
            stated = line["estimatedCostUsd"]
            assert recompute(line) == (None if stated is None else Decimal(stated))
            kinds.add((line["service"], line["evidence"], line["settlement"] is not None, stated is None))
        for channel in body["channels"]:
            parts = [line for line in body["lines"] if line["channel"] == channel["channel"]]
            priced = [Decimal(line["estimatedCostUsd"]) for line in parts if line["estimatedCostUsd"] is not None]
            assert (sum(priced) if priced else None) == (
                None if channel["estimatedCostUsd"] is None else Decimal(channel["estimatedCostUsd"])
            )
            assert sum(line["unitCount"] for line in parts) == channel["unitCount"]
    # The data has every kind of line, or this proves less than it says.
    assert kinds >= {
        ("twilio_sms", "provider", False, False),
        ("twilio_sms", "tracked", False, False),
        ("twilio_voice", "provider", False, False),
        ("openai", "provider", False, False),
        ("openai", "provider", False, True),
        ("openai", "tracked", False, False),
        ("openai", "residual", False, False),
        ("openai", "residual", False, True),
        ("openai", "residual", True, False),
        ("sendgrid", "provider", False, False),
        ("sendgrid", "residual", False, False),
        ("sendgrid", "residual", True, False),
        ("google_places", "tracked", False, True),
        ("cloudflare_r2", "tracked", False, True),
    }


def test_records_behind_a_line_are_those_of_the_raw_tables(tracked: Project, client: TestClient) -> None:
    (line,) = [x for x in ask(client, "a", "2026-03-01", channel="sms")["lines"] if x["feature"] == "broadcast"]
    assert [(item["table"], item["id"], item["attribution"]) for item in line["records"]["items"]] == [
        ("raw.twilio_messages", "SM2026-03-01a", "event")
    ]
    (line,) = [x for x in ask(client, "a", "2026-03-01", channel="ai")["lines"] if x["activity"] == "scoring"]
    assert [item["id"] for item in line["records"]["items"]] == ["part 0", "part 1", "part 2"]
    # Who names a tenant that nobody knows is of the resource's owner, and stands behind the owner's line.
    lines = ask(client, "a", "2026-02-27", channel="ai")["lines"]
    assert [i["id"] for x in lines for i in x["records"]["items"] if i["table"] == "raw.usage_events"] == ["of nobody"]


def test_a_residual_says_both_sums(client: TestClient) -> None:
    residuals = [x for x in ask(client, "a", "2026-03-01", channel="ai")["lines"] if x["settlement"]]
    (line,) = residuals
    assert line["settlement"]["isExact"] is True
    assert (line["settlement"]["provider"]["inputTokens"], line["settlement"]["tracked"]["inputTokens"]) == (1001, 703)
    assert line["inputTokens"] == 298
    (line,) = [x for x in ask(client, "b", "2026-03-02", channel="ai")["lines"] if x["settlement"]]
    assert (line["inputTokens"], Decimal(line["estimatedCostUsd"]) < 0) == (-3999, True)


def test_a_cost_without_usage_is_a_line_of_its_own(client: TestClient) -> None:
    (line,) = ask(client, "a", "2026-03-10")["lines"]
    assert (line["estimatedCostUsd"], line["billedCostUsd"], line["formula"]) == ("0", "1.25", "0")
    assert [item["id"] for item in line["records"]["items"]] == ["2026-03-10/org/proj_a/fine-tuning/usd"]


def test_a_later_price_changes_no_line_that_is_not_rebuilt(tracked: Project, client: TestClient) -> None:
    before = ask(client, "a", "2026-03-01")
    tracked.execute("update staging.price_book set unit_price_usd = unit_price_usd * 2")
    assert ask(client, "a", "2026-03-01") == before


def test_a_price_row_keeps_its_name_when_another_succeeds_it(tracked: Project) -> None:
    name = (
        "select prices -> 0 ->> 'price_id', price_version from marts.price_sets"
        " where date = '2026-03-01' and service = 'sendgrid'"
    )
    ((before, version),) = tracked.execute(name)
    assert tracked.execute("select version from ops.price_books") == [(version,)]
    tracked.build("2026-03-01", "2026-03-01")
    assert tracked.execute(name) == [(before, version)]
    assert before.startswith("sendgrid/send///unit/2024-01-01#")


def test_the_records_view_shows_a_caller_its_own_only(tracked: Project) -> None:
    seen = "select distinct tenant_id from marts.usage_line_records order by 1"
    with psycopg.connect(as_role(tracked.url, "metering_api")) as connection:
        assert connection.execute(seen).fetchall() == []
        connection.execute("select set_config('metering.tenant_id', 'a', false)")
        assert connection.execute(seen).fetchall() == [("a",)]
        connection.execute(
            "select set_config('metering.tenant_id', '', false), set_config('metering.role', 'root_admin', false)"
        )
        assert connection.execute(seen).fetchall() == [("a",), ("b",), ("unattributed",)]
        # No function of a query runs before the view has decided what is visible.
        connection.execute(
            "select set_config('metering.role', '', false), set_config('metering.tenant_id', 'a', false)"
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select * from intermediate.int_settled_records")
    ((options,),) = tracked.execute(
        "select reloptions::text from pg_class where oid = 'marts.usage_line_records'::regclass"
    )
    assert "security_barrier=true" in options


def test_the_view_keeps_its_barrier_and_grant_when_it_is_made_anew(tracked: Project) -> None:
    # With the view that stands on it, as a build does where the columns have changed.
    tracked.execute("drop view marts.usage_line_records cascade")
    tracked.build(*ALL)
    ((options, may),) = tracked.execute(
        "select reloptions::text, has_table_privilege('metering_api', oid, 'select') from pg_class"
        " where oid = 'marts.usage_line_records'::regclass"
    )
    assert ("security_barrier=true" in options, may) == (True, True)


def test_a_closed_day_s_explanation_names_what_was_booked_since(
    built: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERING_JWT_SECRET", SECRET)
    built.trust()
    close_month(
        built.url, "2026-02", as_of=AS_OF, start_date=date(2026, 2, 1), lookback_days=3, closed_by="the accountant"
    )
    built.message("SMlate", "2026-02-28 10:00:00")
    built.build(*ALL)
    day = date(2026, 2, 28)
    lines, adjustments = explained("a", day, "sms", None)
    (booked,) = adjustments
    assert (booked["reason"], booked["unitCount"], booked["costUsd"], booked["bookedMonth"]) == (
        "usage",
        1,
        "0.0083",
        "2026-03",
    )
    assert "SMlate" in {record["id"] for line in lines for record in line["records"]["items"]}
    console = Console(record=True, width=200)
    assert show(console, lines, adjustments, check=True, day=day) == 0
    assert "since the month was closed (usage): sms +1 units, 0.0083 USD estimated" in console.export_text()
    # Without the adjustment the records contradict the line.
    assert show(Console(quiet=True), lines, [], check=True, day=day) == 1
