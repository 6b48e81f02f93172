"""What-if and the price diff over built marts: exact where nothing is proposed, right where something is."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

import cli.prices
import cli.what_if
from cli.errors import UsageError
from costs.proposals import Proposals, parse_proposals
from orchestration.dbt_manifest import PROJECT
from orchestration.scenarios import Comparison, Month, ScenarioError, compare, month_of, plans_now, what_if
from tests.dbt.conftest import AS_OF, Project, window

SEEDS = PROJECT / "seeds"


def month(project: Project, name: str = "2026-03") -> Month:
    with psycopg.connect(project.url) as connection:
        return month_of(connection, name)


def ask(project: Project, text: str, name: str = "2026-03") -> Comparison:
    wanted = month(project, name)
    proposals = parse_proposals(
        text, "p.csv", tenants={"a", "b"}, plans={"starter", "pro"}, first=wanted.window.start, end=wanted.end
    )
    return what_if(project.url, wanted, proposals)


def test_todays_plans_give_todays_figures_to_the_last_digit(built: Project) -> None:
    # A plan of the past does not matter: tenant a was on elite until this month, and its history stands.
    built.execute("update raw.tenants set valid_from = '2026-03-02' where tenant_id = 'a'")
    built.execute(
        "insert into raw.tenants (tenant_id, name, plan, status, usage_hard_stop_enabled, valid_to)"
        " values ('a', 'Tenant a', 'elite', 'active', false, '2026-03-02')"
    )
    built.build("2026-02-01", "2026-03-20")
    for name in ("2026-02", "2026-03"):
        with psycopg.connect(built.url) as connection:
            now = plans_now(connection, month(built, name))
        found = what_if(built.url, month(built, name), Proposals({t: plan for t, plan in now.items() if plan}))
        assert found.then == found.now
        assert not found.moved_on
        assert {"a", "b", "unattributed"} <= set(found.now)
        assert all(figure.cost_usd for figure in found.now.values())
        stored = built.execute(
            "select tenant_id, total_cost_cents, margin_cents from marts.tenant_monthly where month = %s", name
        )
        assert {t: (f.cost_usd, f.margin_usd) for t, f in found.then.items()} == {
            t: (cost / 100, None if margin is None else margin / 100) for t, cost, margin in stored
        }


def test_a_plan_changes_revenue_margin_and_caps(built: Project) -> None:
    found = what_if(built.url, month(built), Proposals({"a": "pro"}))
    now, then = found.now["a"], found.then["a"]
    assert (now.plan, then.plan) == ("starter", "pro")
    assert (now.revenue_usd, then.revenue_usd) == (Decimal(49), Decimal(149))
    assert then.cost_usd == now.cost_usd
    assert then.margin_usd is not None
    assert now.margin_usd is not None
    assert then.margin_usd - now.margin_usd == 100
    assert {limit.cap for limit in now.limits if limit.channel == "sms"} == {Decimal(1000)}
    assert {limit.cap for limit in then.limits if limit.channel == "sms"} == {Decimal(5000)}
    assert found.then["b"] == found.now["b"]
    # Nothing of it has reached production.
    assert built.execute("select plan from raw.tenants where tenant_id = 'a'") == [("starter",)]


def test_proposed_caps_prices_and_base_prices(built: Project) -> None:
    found = ask(
        built,
        "kind,tenant_id,plan,channel,metric,monthly_cap,service,operation,model,component,unit_price_usd,per,monthly_base_price_usd\n"
        "cap,a,,sms,units,5,,,,,,,\n"
        "cap,,pro,sms,units,4,,,,,,,\n"
        "cap,b,,mms,units,,,,,,,,\n"
        "price,,,,,,twilio_sms,outbound,,unit,0.0183,1,\n"
        "base,,pro,,,,,,,,,,199\n",
    )
    sms = {
        tenant: next(limit for limit in found.then[tenant].limits if (limit.channel, limit.metric) == ("sms", "units"))
        for tenant in "ab"
    }
    # March has three messages of three segments each, per tenant.
    assert {tenant: (limit.used, limit.cap, limit.status) for tenant, limit in sms.items()} == {
        "a": (Decimal(9), Decimal(5), "over_cap"),
        "b": (Decimal(9), Decimal(4), "over_cap"),
    }
    assert next(limit.cap for limit in found.then["b"].limits if limit.channel == "mms") is None
    for tenant in ("a", "b", "unattributed"):
        then, now = found.then[tenant].cost_usd, found.now[tenant].cost_usd
        assert then is not None
        assert now is not None
        assert then - now == Decimal("0.09")  # 9 segments, a cent each
    assert (found.now["b"].revenue_usd, found.then["b"].revenue_usd) == (Decimal(149), Decimal(199))


def test_a_price_proposed_for_a_month_leaves_other_months_alone(built: Project) -> None:
    text = "kind,service,operation,component,unit_price_usd,effective_from,effective_to\nprice,twilio_sms,outbound,unit,1,2026-03-02,2026-03-03\n"
    february, march = ask(built, text, "2026-02"), ask(built, text)
    assert february.then == february.now
    then, now = march.then["a"].cost_usd, march.now["a"].cost_usd
    assert then is not None
    assert now is not None
    assert then - now == 3 * (1 - Decimal("0.0083"))


def test_the_diff_of_a_price_book(built: Project) -> None:
    text = (SEEDS / "price_book.csv").read_text()
    same = compare(built.url, month(built, "2026-02"), seeds={"price_book.csv": text})
    assert same.then == same.now
    dearer = text.replace("sendgrid,send,,,unit,0.0009,", "sendgrid,send,,,unit,0.0019,")
    found = compare(built.url, month(built, "2026-02"), seeds={"price_book.csv": dearer})
    differing = {
        tenant: (then.cost_usd or 0) - (found.now[tenant].cost_usd or 0) for tenant, then in found.then.items()
    }
    # Two days of 11 emails each; the parent's 40 - 33 others are nobody's.
    assert differing == {
        "a": Decimal("0.022"),
        "b": Decimal("0.022"),
        "unattributed": Decimal("0.036"),
    }


def test_usage_that_came_since_the_build_is_told(built: Project) -> None:
    built.message("SMlate", "2026-03-18 10:00:00")
    found = what_if(built.url, month(built), Proposals({"a": "pro"}))
    assert found.moved_on


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("2026-3", "--month takes a month such as 2026-10, not 2026-3"),
        ("2026-04", "2026-04 has not begun: the last build is as of 2026-03-20"),
        ("2025-12", "2025-12 has no usage in the marts"),
    ],
)
def test_a_month_that_cannot_be_asked_about(built: Project, name: str, says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        month(built, name)


def test_the_command_prints_every_digit_and_refuses_what_it_does_not_know(
    built: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(cli.what_if, "prepared_database", lambda: built.url)
    cli.what_if.run_what_if(plan="starter", tenant="a", file=None, month=None, as_json=True)
    body = json.loads(capsys.readouterr().out)
    assert body["month"] == "2026-03"
    (entry,) = body["tenants"]
    assert entry["now"] == entry["then"]
    cost = built.execute(
        "select trim_scale(total_cost_cents / 100)::text from marts.tenant_monthly where tenant_id = 'a' and month = '2026-03'"
    )
    assert [(entry["now"]["costUsd"],)] == cost

    cli.what_if.run_what_if(plan="elite", tenant=None, file=None, month="2026-02", as_json=False)
    shown = capsys.readouterr().out
    assert "starter → elite" in shown
    assert "49.00 → 499.00" in shown
    file = tmp_path / "p.csv"
    file.write_text("kind,tenant_id,plan\nplan,nobody,pro\n")
    for plan, tenant, path, says in [
        (None, None, None, "what if what?"),
        ("gold", None, None, "unknown plan gold"),
        ("pro", "nobody", None, "unknown tenant nobody"),
        (None, None, file, "p.csv row 2: unknown tenant nobody"),
        (None, None, tmp_path / "none.csv", "there is no file"),
    ]:
        with pytest.raises(UsageError, match=says):
            cli.what_if.run_what_if(plan=plan, tenant=tenant, file=path, month=None, as_json=False)


def test_prices_diff_names_rows_and_sums(
    built: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(cli.prices, "prepared_database", lambda: built.url)
    book = tmp_path / "price_book.csv"
    book.write_text((SEEDS / "price_book.csv").read_text().replace("unit,0.0009,", "unit,0.0019,"))
    cli.prices.diff(month=None, file=book)
    shown = capsys.readouterr().out
    assert "Cost of 2026-02" in shown
    assert "0.0009 per 1" in shown
    assert "0.0019 per 1" in shown
    assert "+0.08" in shown
    assert AS_OF.date() == date(2026, 3, 20)
    assert window("2026-02-01", "2026-02-28").days()[0] == date(2026, 2, 1)
