"""What-if and the price diff over built marts: exact where nothing is proposed, right where something is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

import cli.prices
import cli.what_if
from builds.dbt_manifest import PROJECT
from cli.errors import UsageError
from costs.closing import close_month
from costs.rules.proposals import Proposals, parse_proposals
from costs.scenarios import Comparison, LimitState, Month, ScenarioError, month_of, plans_now, what_if
from tests.dbt.conftest import AS_OF, Project
from tests.dbt.price_book import PriceBook

SEEDS = PROJECT / "seeds"
HEADER = (
    "kind,tenant_id,plan,channel,metric,monthly_cap,service,operation,component,unit_price_usd,"
    "effective_from,effective_to,monthly_base_price_usd\n"
)


def month(project: Project, name: str = "2026-03") -> Month:
    with psycopg.connect(project.url) as connection:
        return month_of(connection, name)


def ask(project: Project, *rows: str) -> Comparison:
    wanted = month(project)
    proposals = parse_proposals(
        HEADER + "\n".join(rows),
        "p.csv",
        tenants={"a", "b"},
        plans={"starter", "pro"},
        first=wanted.window.start,
        end=wanted.end,
    )
    return what_if(project.url, wanted, proposals)


def limit(found: Comparison, tenant: str, channel: str) -> LimitState:
    return next(limit for limit in found.then[tenant].limits if limit.channel == channel)


def risen(found: Comparison, tenant: str) -> Decimal:
    """Return by how much a tenant's cost would be higher."""
    then, now = found.then[tenant].cost_usd, found.now[tenant].cost_usd
    assert then is not None
    assert now is not None
    return then - now


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


def test_plans_caps_prices_and_base_prices(built: Project) -> None:
    found = ask(
        built,
        "plan,a,pro,,,,,,,,,,",
        "cap,a,,sms,units,5,,,,,,,",
        "cap,,pro,voice,units,2,,,,,,,",
        "cap,b,,mms,units,,,,,,,,",
        "price,,,,,,twilio_sms,outbound,unit,0.0183,,,",
        # One day of its own, on which nobody's other price holds.
        "price,,,,,,sendgrid,send,unit,1.0009,2026-03-02,2026-03-03,",
        "base,,pro,,,,,,,,,,199",
    )
    now, then = found.now["a"], found.then["a"]
    assert (now.plan, then.plan) == ("starter", "pro")
    assert (now.revenue_usd, then.revenue_usd) == (Decimal(49), Decimal(199))
    assert (found.now["b"].revenue_usd, found.then["b"].revenue_usd) == (Decimal(149), Decimal(199))
    # Of March 1, 2 and 18: three segments each, a cent more; of March 2: 11 emails, a dollar more (18 are nobody's: sub_x's 11, and 7 of the parent's own).
    assert [risen(found, tenant) for tenant in ("a", "b", "unattributed")] == [
        Decimal("11.09"),
        Decimal("11.09"),
        Decimal("18.09"),
    ]
    assert then.margin_usd is not None
    assert now.margin_usd is not None
    assert then.margin_usd - now.margin_usd == 150 - Decimal("11.09")
    assert limit(found, "a", "sms") == LimitState("sms", "units", "any", Decimal(9), Decimal(5), "over_cap")
    # Tenant a's mails have pro's cap, the proposed one of pro's minutes holds for both.
    assert limit(found, "a", "email").cap == 50_000
    assert [limit(found, tenant, "voice").status for tenant in "ab"] == ["over_cap"] * 2
    assert (limit(found, "b", "mms").cap, limit(found, "a", "mms").cap) == (None, 500)
    assert not found.moved_on
    # Nothing of it has reached production.
    assert built.execute("select plan from raw.tenants where tenant_id = 'a'") == [("starter",)]

    tables = (cli.what_if.scenario_table(found, found.tenants()), cli.what_if.cap_table(found, found.tenants()))
    shown = [list(column.cells) for table in tables for column in table.columns]
    assert "starter → pro" in shown[1]
    assert "49.00 → 199.00" in shown[2]
    assert "+11.09" in shown[4]
    assert "5,000 → 4" not in shown[-2]
    assert "1,000 → 5" in shown[-2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2026-3", "--month takes a month such as 2026-10, not 2026-3"),
        ("2026-04", "2026-04 has not begun: the last build is as of 2026-03-20"),
        ("2025-12", "2025-12 has no usage in the marts"),
    ],
)
def test_a_month_that_cannot_be_asked_about(built: Project, name: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        month(built, name)


def test_the_command_prints_every_digit_and_tells_of_usage_that_came_since(
    built: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli.what_if, "prepared_database", lambda: built.url)
    built.message("SMlate", "2026-03-18 10:00:00", account_id="ACb")
    cli.what_if.run_what_if(plan="starter", tenant="a", file=None, month=None, as_json=True)
    body = json.loads(capsys.readouterr().out)
    assert (body["month"], body["usageMovedOn"]) == ("2026-03", True)
    (entry,) = body["tenants"]
    assert entry["now"] == entry["then"]
    assert [(entry["now"]["costUsd"],)] == built.execute(
        "select trim_scale(total_cost_cents / 100)::text from marts.tenant_monthly where tenant_id = 'a' and month = '2026-03'"
    )


def test_the_command_refuses_what_it_does_not_know(
    built: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cli.what_if, "prepared_database", lambda: built.url)
    file = tmp_path / "p.csv"
    file.write_text("kind,tenant_id,plan\nplan,nobody,pro\n")
    for plan, tenant, path, message in [
        (None, None, None, "no proposal: give --plan"),
        ("pro", None, file, "no proposal: give --plan"),
        ("gold", None, None, "unknown plan gold"),
        ("pro", "nobody", None, "unknown tenant nobody"),
        (None, None, file, "p.csv row 2: unknown tenant nobody"),
        (None, None, tmp_path / "none.csv", "there is no file"),
    ]:
        with pytest.raises(UsageError, match=message):
            cli.what_if.run_what_if(plan=plan, tenant=tenant, file=path, month=None, as_json=False)


def test_prices_diff_names_the_rows_and_what_they_do(
    built: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(cli.prices, "prepared_database", lambda: built.url)
    book = tmp_path / "price_book.csv"
    book.write_text((SEEDS / "price_book.csv").read_text().replace("unit,0.0009,", "unit,1.0009,"))
    cli.prices.diff(month=None, file=book)
    shown = [" ".join(line.replace("│", " ").split()) for line in capsys.readouterr().out.splitlines()]
    assert "Cost of 2026-02, USD" in shown
    assert "- sendgrid send any any unit 2024-01-01 0.0009 per 1" in shown
    assert "+ sendgrid send any any unit 2024-01-01 1.0009 per 1" in shown
    # Two days of 11 emails each; 18 are nobody's: sub_x's 11, and 7 of the parent's own.
    rises = {
        line.split()[0]: line.split()[3] for line in shown if line.split()[:1] in (["a"], ["unattributed"], ["all"])
    }
    assert rises == {"a": "+22.00", "unattributed": "+36.00", "all": "+80.00"}


def test_a_closed_month_is_compared_with_its_adjustments(
    built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was booked since is part of now: today's plans change nothing, whatever the closed figures say."""
    built.trust()
    close_month(
        built.url, "2026-02", as_of=AS_OF, start_date=date(2026, 2, 1), lookback_days=3, closed_by="the accountant"
    )
    book = PriceBook(tmp_path, monkeypatch)
    book.replace("twilio_sms,outbound,,,unit,0.0083,", "twilio_sms,outbound,,,unit,0.0100,")
    built.message("SMlate", "2026-02-28 10:00:00")
    built.build("2026-02-01", "2026-03-20")
    with psycopg.connect(built.url) as connection:
        now = plans_now(connection, month(built, "2026-02"))
    found = what_if(built.url, month(built, "2026-02"), Proposals({t: plan for t, plan in now.items() if plan}))
    assert found.now == {
        tenant: replace(figures, limits=found.now[tenant].limits) for tenant, figures in found.then.items()
    }
    assert not found.moved_on
    ((closed,),) = built.execute(
        "select total_cost_cents / 100 from marts.tenant_monthly where month = '2026-02' and tenant_id = 'a'"
    )
    assert found.now["a"].cost_usd > closed
