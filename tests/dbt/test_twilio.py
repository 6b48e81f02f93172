"""Recordings, numbers by the day, and Twilio's own totals: from raw to the marts, whatever is built in whatever order."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from fastapi.testclient import TestClient

from api.auth.tokens import mint
from api.main import create_app
from api.settings import Settings
from costs.rules.explain import problems
from tests.dbt.conftest import AS_OF, Project

SECRET = "a secret of the tests that is long enough for HS256"

FEBRUARY, MARCH = Decimal("1.15") / 28, Decimal("1.15") / 31


def recording(project: Project, sid: str, at: str, **columns: object) -> None:
    """Insert a recording of a second of tenant a's account."""
    project.insert(
        "twilio_recordings",
        [
            {
                "account_id": "ACa",
                "usage_date": at[:10],
                "sid": sid,
                "status": "completed",
                "duration_seconds": 1,
                "price": "-0.0025",
                "price_unit": "USD",
                "date_created": f"{at}+00",
                "load_id": "test",
                **columns,
            }
        ],
    )


def number(project: Project, name: str, held_from: str, **columns: object) -> None:
    """Insert a number of an account that is nobody's, whose hash is its name."""
    project.insert(
        "twilio_phone_numbers",
        [
            {
                "account_id": "ACx",
                "sid": f"PN{name}",
                "phone_number": name,
                "phone_number_hash": name,
                "number_type": "local",
                "held_from": held_from,
                "last_seen_on": "2026-03-20",
                "load_id": "test",
                **columns,
            }
        ],
    )


def owns(project: Project, tenant: str, name: str, since: str | None, until: str | None) -> None:
    """Insert a tenant's number for a time."""
    project.insert(
        "tenant_resources",
        [
            {
                "tenant_id": tenant,
                "provider": "twilio",
                "resource_type": "phone_number",
                "resource_id": name,
                "resource_hash": name,
                "valid_from": since,
                "valid_to": until,
            }
        ],
    )


def lines(project: Project, channel: str) -> list[tuple[Any, ...]]:
    """Return a channel's rows of usage_daily."""
    return project.execute(
        "select tenant_id, date::text, operation, feature, evidence, trim_scale(unit_count)::int, request_count::int,"
        " estimated_cost_usd, billed_cost_usd from marts.usage_daily where channel = %s order by 1, 2, 3, 4, 5",
        channel,
    )


def rounded(amount: Decimal) -> Decimal:
    """Return an amount as a mart holds it."""
    return amount.quantize(Decimal("1e-18"))


def test_a_recording_costs_its_started_minutes_and_is_its_calls(project: Project) -> None:
    project.insert(
        "twilio_calls",
        [
            {
                "account_id": "ACx",
                "usage_date": "2026-02-28",
                "sid": "CA1",
                "direction": "inbound",
                "to_number_hash": "h",
                "status": "completed",
                "duration_seconds": 90,
                "start_time": "2026-02-28 23:59:00+00",
                "load_id": "test",
            }
        ],
    )
    owns(project, "b", "h", None, "2026-03-01")
    recording(project, "RE1", "2026-03-01 00:00:10", account_id="ACx", call_sid="CA1", duration_seconds=61, price=None)
    recording(project, "RE2", "2026-03-01 10:00:00")
    recording(project, "RE3", "2026-03-01 11:00:00", status="deleted", price="0.0025")
    recording(project, "RE4", "2026-03-01 12:00:00", status="absent", duration_seconds=0)
    project.event(
        "RE2:event", "2026-03-01 10:00:05", service="twilio_voice", operation="recording", channel="recording",
        direction="none", external_id="RE2", feature="call_notes",
    )  # fmt: skip
    project.build_and_test("2026-02-27", "2026-03-02")
    cent = Decimal("0.0025")
    assert lines(project, "recording") == [
        ("a", "2026-03-01", "recording", "(untracked)", "provider", 1, 1, cent, cent),
        ("a", "2026-03-01", "recording", "call_notes", "provider", 1, 1, cent, cent),
        # After 72 hours without a price it is billed at nothing.
        ("b", "2026-03-01", "recording", "(untracked)", "provider", 2, 1, 2 * cent, 0),
    ]
    ((voice, talk),) = project.execute(
        "select sum(twilio_voice_cost_cents), sum(total_voice_minutes) from marts.tenant_monthly where month = '2026-03'"
    )
    assert (voice, talk) == (4 * cent * 100, 0)


def test_a_number_accrues_by_the_day_and_splits_where_it_moves(project: Project) -> None:
    number(project, "moved", "2020-01-01")
    number(project, "free", "2026-02-28", number_type="toll_free", released_on="2026-03-02", last_seen_on="2026-03-01")
    owns(project, "a", "moved", None, "2026-03-01")
    owns(project, "b", "moved", "2026-03-01", None)
    project.build("2026-02-27", "2026-03-02")
    toll = Decimal("2.15")
    assert lines(project, "phone") == [
        ("a", "2026-02-27", "local", "(untracked)", "provider", 1, 1, rounded(FEBRUARY), None),
        ("a", "2026-02-28", "local", "(untracked)", "provider", 1, 1, rounded(FEBRUARY), None),
        ("b", "2026-03-01", "local", "(untracked)", "provider", 1, 1, rounded(MARCH), None),
        ("b", "2026-03-02", "local", "(untracked)", "provider", 1, 1, rounded(MARCH), None),
        ("unattributed", "2026-02-28", "toll_free", "(untracked)", "provider", 1, 1, rounded(toll / 28), None),
        ("unattributed", "2026-03-01", "toll_free", "(untracked)", "provider", 1, 1, rounded(toll / 31), None),
    ]
    ((phone, final),) = project.execute(
        "select (select twilio_phone_cost_cents from marts.tenant_monthly where tenant_id = 'a' and month = '2026-02'),"
        " (select bool_and(is_final) from marts.usage_summary where channel = 'phone')"
    )
    assert (phone, final) == (2 * rounded(FEBRUARY) * 100, True)
    settings = {
        "METERING_DATABASE_URL": project.url,
        "METERING_JWT_SECRET": SECRET,
        "METERING_AS_OF": AS_OF.isoformat(),
    }
    with TestClient(create_app(Settings.model_validate(settings))) as client:
        client.headers["Authorization"] = f"Bearer {mint('root_admin', None, timedelta(hours=1), SECRET)}"
        for tenant, day, length in (("a", "2026-02-28", 28), ("b", "2026-03-01", 31)):
            (line,) = client.get(f"/api/admin/usage/{tenant}/explain", params={"date": day}).json()["lines"]
            assert problems(line, day) == []
            assert line["formula"] == f"1 × 1.15 ÷ 1 ÷ {length}"
            assert [(item["table"], item["id"]) for item in line["records"]["items"]] == [
                ("raw.twilio_phone_numbers", f"phone:moved:{day}")
            ]


def test_whatever_is_built_when_a_number_is_the_same(project: Project) -> None:
    for name, since in (("one", "2026-02-01"), ("two", "2026-03-05")):
        number(project, name, since)
        owns(project, "a", name, None, None)
    project.build("2026-02-01", "2026-03-20")
    whole = project.marts()
    for window in (("2026-03-10", "2026-03-12"), ("2026-02-28", "2026-03-05"), ("2026-03-20", "2026-03-20")):
        project.build(*window)
    assert project.marts() == whole
    # Released: the days before stay, those from then on go.
    project.execute("update raw.twilio_phone_numbers set released_on = '2026-03-19' where sid = 'PNtwo'")
    project.build("2026-03-17", "2026-03-20")
    counts = dict(
        project.execute(
            "select date::text, trim_scale(unit_count)::int from marts.usage_summary where channel = 'phone'"
        )
    )
    assert [counts[f"2026-03-{day:02}"] for day in (4, 5, 18, 19, 20)] == [1, 2, 2, 1, 1]


def test_what_is_tracked_of_a_number_is_its_day_and_never_another(project: Project) -> None:
    number(project, "known", "2026-03-02", released_on="2026-03-04", last_seen_on="2026-03-04")
    phone = {
        "service": "twilio_phone",
        "operation": "local",
        "channel": "phone",
        "direction": "none",
        "feature": "setup",
    }
    for name in ("known", "unlisted"):
        for action, day, units in (("provisioned", "2026-03-02", 1), ("released", "2026-03-04", 0)):
            project.event(
                f"phone:{name}:{action}:{day}", f"{day} 09:00:00", **phone, units=units,
                external_id=f"phone:{name}:{day}", resource_id=name,
            )  # fmt: skip
    project.build("2026-03-01", "2026-03-05")
    cost = rounded(MARCH)
    assert lines(project, "phone") == [
        ("a", "2026-03-02", "local", "setup", "provider", 1, 1, cost, None),
        ("a", "2026-03-02", "local", "setup", "tracked", 1, 1, cost, None),
        ("unattributed", "2026-03-03", "local", "(untracked)", "provider", 1, 1, cost, None),
    ]
    # The releases are settled as well, with nothing used: what is live is forgotten by their keys.
    assert project.execute(
        "select record_key, is_counted from intermediate.int_settled_records where usage_date = '2026-03-04' order by 1"
    ) == [("phone:known:2026-03-04", False), ("phone:unlisted:2026-03-04", False)]


def test_twilios_totals_are_held_against_the_records_and_never_counted(project: Project) -> None:
    for name in ("1", "2"):
        project.message(f"SM{name}", "2026-03-01 10:00:00", num_segments=2)
    project.insert(
        "twilio_usage_records",
        [
            {
                "account_id": "ACa",
                "usage_date": "2026-03-01",
                "category": category,
                "usage_amount": amount,
                "usage_unit": unit,
                "price": "7",
                "as_of": "2026-03-19 00:00:00+00",
                "load_id": "test",
            }
            for category, amount, unit in (("sms", 5, "segments"), ("calls", 3, "minutes"), ("totalprice", 7, "usd"))
        ],
    )
    project.execute(
        "insert into ops.source_reads (table_name, account_id, usage_date, provider, load_id, answered_at, row_count, rejected_count)"
        " values ('twilio_usage_records', 'ACa', '2026-03-01', 'twilio', 'test', now(), 3, 0)"
    )
    warned = {
        node.unique_id.split(".")[2]
        for node in project.build_and_test("2026-03-01", "2026-03-01")
        if node.status == "warn"
    }
    assert "usage_reconciliation__has_no_drift" in warned
    rows = {row["service"]: row for row in project.mart("usage_reconciliation")}
    assert {
        name: (row["tenant_id"], row["provider_units"], row["tracked_units"], row["state"])
        for name, row in rows.items()
    } == {
        "twilio_sms": ("a", 4, 0, "provider_only"),
        "twilio_sms_total": ("a", 5, 4, "drift"),
        "twilio_voice_total": ("a", 3, 0, "drift"),
    }
    assert project.execute("select sum(unit_count), sum(billed_cost_usd) from marts.usage_daily") == [
        (4, Decimal("0.0166"))
    ]
