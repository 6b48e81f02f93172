"""Tracked events and the provider's records, from raw rows to marts: what counts, whose it is, and what the cap forgets."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.dbt.conftest import ALL, Project
from tests.proof import all_in_proof
from warehouse.urls import as_role

OLD = "2026-03-02"  # final at AS_OF
OPEN = "2026-03-19"


def answered(project: Project, table: str, account: str, day: str) -> None:
    """Record that a provider has answered for a unit, whatever it said."""
    project.execute(
        "insert into ops.source_reads (table_name, account_id, usage_date, provider, load_id, answered_at, row_count)"
        " values (%s, %s, %s, 'test', 'test', now(), 0)",
        table,
        account,
        day,
    )


def bucket(project: Project, day: str, tokens: int, *, who: str = "a", model: str = "gpt-4o-mini-2024-07-18") -> None:
    """Store a day's completions of so many input tokens in a tenant's project."""
    project.insert(
        "openai_usage_completions",
        [
            {
                "usage_date": day,
                "account_id": "org",
                "project_id": f"proj_{who}",
                "model": model,
                "input_tokens": tokens,
                "cached_input_tokens": 0,
                "output_tokens": 0,
                "num_model_requests": 1,
                "load_id": "test",
            }
        ],
    )
    answered(project, "openai_usage_completions", "org", day)


def lines(project: Project, where: str = "true") -> list[tuple[Any, ...]]:
    """Return tenant, feature, evidence and units of each line."""
    rows = project.mart("usage_daily", where)
    return sorted((row["tenant_id"], row["feature"], row["evidence"], row["unit_count"]) for row in rows)


def states(project: Project) -> dict[tuple[str, str, str], str]:
    return {
        (row["tenant_id"], row["date"], row["service"]): row["state"] for row in project.mart("usage_reconciliation")
    }


def test_an_event_counts_until_its_record_comes(project: Project) -> None:
    project.event("SM1", f"{OLD} 23:59:59", feature="broadcast", tenant_id="b")
    project.build_and_test(*ALL)
    assert lines(project) == [("b", "broadcast", "tracked", 1)]
    (summary,) = project.mart("usage_summary")
    assert (summary["is_final"], summary["provisional_unit_count"]) == (False, 1)
    assert [row["provisional_unit_count"] for row in project.mart("usage_monthly")] == [1]
    assert states(project) == {("b", OLD, "twilio_sms"): "tracked_only"}

    # Sent after midnight, in three segments, from a's account.
    project.message("SM1", "2026-03-03 00:00:01", num_segments=3)
    project.build(OLD, "2026-03-03")
    assert lines(project) == [("b", "broadcast", "provider", 3)]
    (summary,) = project.mart("usage_summary")
    assert (summary["date"], summary["is_final"], summary["provisional_unit_count"]) == ("2026-03-03", True, 0)
    assert states(project) == {
        ("a", "2026-03-03", "twilio_sms"): "drift",
        ("b", "2026-03-03", "twilio_sms"): "misattributed",
    }


def test_a_message_that_failed_counts_nowhere(project: Project) -> None:
    project.event("SM1", f"{OLD} 10:00:00")
    project.event("SM2", f"{OLD} 10:00:00")
    project.event("SM2:failed", f"{OLD} 10:01:00", external_id="SM2", units=0, metadata='{"status": "failed"}')
    project.message("SM1", f"{OLD} 10:00:00", status="failed")
    project.build(*ALL)
    assert lines(project) == []
    assert states(project) == {}


def test_events_of_sums_win_tenant_and_feature_and_never_double(project: Project) -> None:
    bucket(project, OLD, 100)
    bucket(project, OPEN, 100)
    for day in (OLD, OPEN):
        project.completion(f"one {day}", f"{day} 10:00:00", 30, feature="drafts", activity="lead_scoring")
        project.completion(f"two {day}", f"{day} 11:00:00", 90, feature="drafts", tenant_id="b", resource_id="proj_a")
    project.build(*ALL)
    assert lines(project, f"date = '{OLD}'") == [
        ("a", "(untracked)", "residual", -20),
        ("a", "drafts", "provider", 30),
        ("b", "drafts", "provider", 90),
    ]
    assert lines(project, f"date = '{OPEN}'") == [("a", "drafts", "tracked", 30), ("b", "drafts", "tracked", 90)]
    assert {row["model"] for row in project.mart("usage_daily")} == {"gpt-4o-mini-2024-07-18"}
    assert states(project) == {
        ("a", OLD, "openai"): "drift",
        ("b", OLD, "openai"): "misattributed",
        ("a", OPEN, "openai"): "misattributed",
        ("b", OPEN, "openai"): "misattributed",
    }
    activities = project.mart("usage_activity_daily", f"date = '{OLD}'")
    assert sorted((row["tenant_id"], row["activity"], row["unit_count"]) for row in activities) == [
        ("a", "", -20),
        ("a", "lead_scoring", 30),
        ("b", "", 90),
    ]


def test_a_final_day_without_an_answer_stays_provisional(project: Project) -> None:
    project.completion("one", f"{OLD} 10:00:00", 30, feature="drafts")
    project.build(*ALL)
    assert lines(project) == [("a", "drafts", "tracked", 30)]
    assert [row["is_final"] for row in project.mart("usage_summary")] == [False]
    answered(project, "openai_usage_completions", "org", OLD)
    project.build(*ALL)
    assert lines(project) == [("a", "(untracked)", "residual", -30), ("a", "drafts", "provider", 30)]
    assert [row["is_final"] for row in project.mart("usage_summary")] == [True]


def test_what_only_events_tell_is_final_with_its_day(project: Project) -> None:
    project.event(
        "i1", f"{OLD} 10:00:00", service="internal", channel="internal", operation="export", direction="none", units=7
    )
    project.event(
        "p1",
        f"{OLD} 10:00:00",
        service="google_places",
        channel="places",
        operation="search",
        direction="none",
        units=3,
    )
    project.build(*ALL)
    found = {row["channel"]: row for row in project.mart("usage_summary")}
    assert {
        name: (row["unit_count"], row["request_count"], row["is_final"], row["unit"]) for name, row in found.items()
    } == {
        "internal": (7, 1, True, "units"),
        "places": (3, 3, True, "requests"),
    }
    assert states(project) == {}


def test_callers_words_are_no_part_of_the_machinery(project: Project) -> None:
    bucket(project, OLD, 1000, model="odd:model")
    words = ["a:b", "a", "", "(untracked)", '"', "'", "{{ x }}", "a:b:c", "%s", "\\"]
    for number, feature in enumerate(words):
        for other, activity in enumerate(words):
            project.completion(
                f"{number} {other}", f"{OLD} 10:00:00", 1, feature=feature, activity=activity, model="odd:model"
            )
    project.build(*ALL)
    found = lines(project)
    assert sum(units for *_, units in found) == 1000
    assert {feature for _, feature, _, _ in found} == {*words, "(untracked)"} - {""}


def test_drift_is_a_warning_and_the_build_goes_on(project: Project) -> None:
    project.message("SM1", f"{OLD} 10:00:00", num_segments=3)
    project.event("SM1", f"{OLD} 10:00:00")
    results = {node.unique_id.split(".")[2]: node for node in project.build_and_test(*ALL)}
    assert results["usage_reconciliation__has_no_drift"].status == "warn"
    assert project.execute("select status from ops.builds order by started_at desc limit 1") == [("ok",)]


def test_the_cap_forgets_what_a_build_has_taken_in(project: Project) -> None:
    project.build(OPEN, OPEN)
    for key, options in {
        "SM-sent": {},
        "SM-alone": {},
        "SM-failed": {},
        "CA-begun": {"service": "twilio_voice", "channel": "voice", "units": 0},
        "CA-busy": {"service": "twilio_voice", "channel": "voice", "units": 0},
        "resp-1": {
            "service": "openai",
            "channel": "ai",
            "operation": "chat_completion",
            "model": "m",
            "source": "openai",
        },
    }.items():
        project.event(key, f"{OPEN} 10:00:00", **options)
    later = "2026-03-20"
    project.event("SM-later", f"{later} 10:00:00")
    with psycopg.connect(as_role(project.url, "metering_tracker")) as connection:
        connection.execute(
            "select ops.add_live_usage('load', %s, '{}')",
            (["SM-sent", "SM-alone", "SM-failed", "CA-begun", "CA-busy", "resp-1", "SM-later"],),
        )
    project.message("SM-sent", f"{OPEN} 10:00:00")
    project.message("SM-failed", f"{OPEN} 10:00:00", status="failed")
    project.insert(
        "twilio_calls",
        [
            {
                "account_id": "ACa",
                "usage_date": OPEN,
                "sid": "CA-busy",
                "direction": "outbound-api",
                "status": "busy",
                "start_time": f"{OPEN} 10:00:00+00",
                "load_id": "test",
            }
        ],
    )
    project.build(OPEN, OPEN)
    # A day that was not built is still live; a call that has only begun is no call yet, for cap and marts alike.
    assert project.execute("select key from ops.live_usage order by 1") == [("SM-later",)]
    project.build(later, later)
    assert project.execute("select key from ops.live_usage order by 1") == []


def test_an_event_of_a_record_that_is_settled_with_others_like_it_is_not_pending(project: Project) -> None:
    for number in range(3):
        project.message(f"SM{number}", f"{OPEN} 10:00:00")
    project.build(OPEN, OPEN)
    settled = "select record_key, record_keys, request_count from intermediate.int_settled_records"
    ((key, keys, requests),) = project.execute(settled)
    assert (key, sorted(keys), requests) == (None, ["SM0", "SM1", "SM2"], 3)

    # The mart has the message already, and what has no record is not in it. Both count once.
    def flush(*keys: str) -> list[str]:
        with psycopg.connect(as_role(project.url, "metering_tracker")) as connection:
            connection.execute("select ops.add_live_usage('load', %s, '{}')", (list(keys),))
        return [key for (key,) in project.execute("select key from ops.live_usage order by 1")]

    project.execute("update ops.builds set status = 'ok'")
    project.execute(
        "insert into ops.builds (build_id, window_start, window_end, as_of, started_at, status)"
        " values ('test', %s, %s::date + 1, now(), clock_timestamp(), 'ok')",
        OPEN,
        OPEN,
    )
    project.event("SM1", f"{OPEN} 10:00:00", feature="broadcast")
    project.event("SM-new", f"{OPEN} 10:00:00", feature="broadcast")
    assert flush("SM1", "SM-new") == ["SM-new"]
    # An event that comes while a build runs is pending until its end, where the build has settled the record without it.
    project.execute("update ops.builds set status = 'running' where build_id = 'test'")
    project.event("SM2", f"{OPEN} 10:00:00", feature="broadcast")
    assert flush("SM2") == ["SM-new", "SM2"]
    project.execute("select ops.forget_built_usage()")
    assert project.execute("select key from ops.live_usage order by 1") == [("SM-new",)]
    project.build(OPEN, OPEN)
    assert project.execute("select record_key, record_keys from intermediate.int_settled_records order by 1") == [
        ("SM-new", None),
        ("SM0", None),
        ("SM1", None),
        ("SM2", None),
    ]
    assert project.execute("select key from ops.live_usage") == []


def defects(project: Project, seed: int) -> dict[str, int]:
    """Store a month of messages and completions of two tenants, most of them tracked; return what was left out or said wrong."""
    rng = random.Random(seed)
    made = dict.fromkeys(("untracked", "misattributed", "late", "tracked"), 0)
    for day in [f"2026-02-{number:02}" for number in range(1, 29)]:
        for who in "ab":
            tokens = 0
            for number in range(10):
                key = f"{day}{who}{number}"
                fate = rng.choices(("untracked", "misattributed", "late", "tracked"), (10, 3, 2, 85))[0]
                made[fate] += 1
                segments = rng.randrange(1, 4)
                project.message(f"SM{key}", f"{day} 23:59:59", account_id=f"AC{who}", num_segments=segments)
                size = rng.randrange(1, 999)
                tokens += size
                if fate == "untracked":
                    continue
                named = {"a": "b", "b": "a"}[who] if fate == "misattributed" else who
                # Late: the caller's clock was a day behind, or the event came after the record.
                at = f"2026-01-31 0{number}:00:00" if fate == "late" else f"{day} 12:00:00"
                project.event(f"SM{key}", at, tenant_id=named, units=segments, feature=f"feature {number % 3}")
                if fate != "late":
                    project.completion(
                        f"resp{key}", f"{day} 12:00:00", size, tenant_id=named, resource_id=f"proj_{who}", feature="x"
                    )
            bucket_once(project, day, tokens, who)
        answered(project, "openai_usage_completions", "org", day)
    return made


def bucket_once(project: Project, day: str, tokens: int, who: str) -> None:
    project.execute(
        "insert into raw.openai_usage_completions (account_id, usage_date, project_id, model, input_tokens,"
        " cached_input_tokens, output_tokens, num_model_requests, load_id)"
        " values ('org', %s, %s, 'gpt-4o-mini-2024-07-18', %s, 0, 0, 10, 'test')",
        day,
        f"proj_{who}",
        tokens,
    )


@pytest.mark.parametrize("seed", all_in_proof([1, 2], [1]))
def test_a_month_with_defects_totals_the_providers_and_shows_each_in_whatever_order_it_is_built(
    project: Project, seed: int
) -> None:
    with project.in_one_session():
        made = defects(project, seed)
    project.build("2026-01-31", "2026-03-20")
    for service, statement in (
        ("twilio_sms", "select sum(num_segments), count(*) from raw.twilio_messages"),
        ("openai", "select sum(input_tokens), sum(num_model_requests) from raw.openai_usage_completions"),
    ):
        (wanted,) = project.execute(statement)
        (found,) = project.execute(
            "select sum(unit_count), sum(request_count) from marts.usage_daily where service = %s", service
        )
        assert [Decimal(value) for value in found] == [Decimal(value) for value in wanted]
    (counts,) = project.execute(
        "select sum(provider_only_count), sum(misattributed_count), sum(tracked_only_count),"
        " sum(matched_count), count(*) filter (where state = 'drift')"
        " from marts.usage_reconciliation where service = 'twilio_sms'"
    )
    # A misattributed message stands on both tenants' rows.
    total = sum(made.values())
    assert counts == (made["untracked"], 2 * made["misattributed"], 0, total - made["untracked"], 0)
    # Nothing is invented: a row's state is what happened to that tenant on that day.
    for row in project.mart("usage_reconciliation"):
        wanted_state = (
            "misattributed"
            if row["misattributed_count"]
            else ("partly_tracked" if row["tracked_units"] else "provider_only")
            if row["provider_only_count"]
            else "matched"
        )
        assert row["state"] == wanted_state, row
    assert project.execute("select count(*) from marts.usage_summary where not is_final and date < '2026-03-17'") == [
        (0,)
    ]

    whole = project.marts()
    project.empty_marts()
    project.execute("delete from intermediate.int_settled_records")
    for first, last in (
        ("2026-02-14", "2026-03-20"),
        ("2026-01-31", "2026-02-07"),
        ("2026-02-07", "2026-02-14"),
        ("2026-02-10", "2026-02-10"),
    ):
        project.build(first, last)
    assert project.marts() == whole


def test_the_sessions_time_zone_moves_no_event(project: Project) -> None:
    project.event("SM1", f"{OLD} 23:59:59", feature="f")
    project.completion("one", f"{OLD} 00:00:00", 30)
    project.build(*ALL)
    utc = project.marts()
    project.set_for_all_sessions("timezone", "Pacific/Auckland")
    project.build(*ALL)
    assert project.marts() == utc
    assert {row["date"] for row in utc["usage_daily"]} == {OLD}


def test_tokens_of_other_servers_are_not_taken_for_openais(project: Project) -> None:
    bucket(project, OLD, 17_902)
    project.completion("mine", f"{OLD} 10:00:00", 902, resource_id="proj_a", feature="chat")
    project.completion(
        "azure", f"{OLD} 11:00:00", 2_000_000, service="azure_openai", source="azure_openai", resource_id="gw.example"
    )
    # Nobody has said which of them were read and which written.
    split: dict[str, Any] = dict.fromkeys(("input_tokens", "cached_input_tokens", "output_tokens"))
    local = {"service": "openai_compatible", "source": "openai_compatible", "resource_id": "localhost:11434"}
    project.completion("local", f"{OLD} 12:00:00", 30, **local, **split)
    project.build(*ALL)
    found = {
        (row["service"], row["evidence"]): (row["unit_count"], row["input_tokens"], row["unpriced_unit_count"])
        for row in project.mart("usage_daily")
    }
    assert found == {
        ("openai", "provider"): (902, 902, 0),
        ("openai", "residual"): (17_000, 17_000, 0),
        ("azure_openai", "tracked"): (2_000_000, 2_000_000, 2_000_000),
        ("openai_compatible", "tracked"): (30, 30, 30),
    }
    (summary,) = project.mart("usage_summary")
    assert (summary["unit_count"], summary["is_final"]) == (17_902 + 2_000_030, True)
    (compared,) = project.mart("usage_reconciliation")
    assert (compared["service"], compared["provider_units"], compared["tracked_units"]) == ("openai", 17_902, 902)
    (month,) = project.mart("tenant_monthly", "tenant_id = 'a'")
    assert (month["openai_cost_cents"], month["other_cost_cents"]) == (month["total_cost_cents"], None)
