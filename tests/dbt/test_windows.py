"""What a window replaces, and that nothing but the raw data and the as-of decides what the marts hold."""

from __future__ import annotations

import threading
from datetime import timedelta

import psycopg
import pytest

from builds import ledger
from builds.build import BuildFailed
from tests.dbt.conftest import ALL, AS_OF, MARTS, Project
from tests.proof import IS_PROOF


def days_of(project: Project, tenant: str = "a") -> dict[str, int]:
    """Return sms messages by day."""
    rows = project.mart("usage_daily", f"tenant_id = '{tenant}' and channel = 'sms'")
    return {row["date"]: row["request_count"] for row in rows}


@pytest.mark.parametrize(
    ("first", "last"),
    [("2026-03-01", "2026-03-01"), ("2026-03-01", "2026-03-02"), ("2026-03-01", "2026-03-31")],
    ids=["one day", "two days", "a month"],
)
def test_a_window_replaces_its_days_and_no_others(built: Project, first: str, last: str) -> None:
    outside = f"date not between '{first}' and '{last}'"
    before = {name: built.mart(name, outside) for name in ("usage_daily", "usage_summary", "billing_usage_daily")}
    stamps = f"select count(*), max(updated_at) from marts.usage_daily where {outside}"
    untouched = built.execute(stamps)
    built.execute("delete from raw.twilio_messages where sid = 'SM2026-03-01a'")
    built.execute("delete from raw.twilio_messages where sid = 'SM2026-02-28a'")
    built.message("SMlate", "2026-03-01 00:00:00", account_id="ACb")

    built.build(first, last)

    assert {name: built.mart(name, outside) for name in before} == before
    assert built.execute(stamps) == untouched
    assert "2026-03-01" not in days_of(built)
    assert days_of(built)["2026-02-28"] == 1
    assert days_of(built, "b")["2026-03-01"] == 2
    march = built.mart("usage_monthly", "tenant_id = 'a' and month = '2026-03' and channel = 'sms'")
    assert [row["request_count"] for row in march] == [2]


def test_of_the_marts_of_all_months_a_build_writes_only_what_changed(built: Project) -> None:
    def rows(mart: str) -> dict[tuple[str, ...], str]:
        key = {"tenants": "tenant_id"}.get(mart, "tenant_id, month")
        return {
            tuple(key): row for *key, row in built.execute(f"select {key}, ctid::text || xmin::text from marts.{mart}")
        }

    marts = ("tenant_monthly", "tenant_margin_monthly", "tenants")
    built.build("2026-03-01", "2026-03-01")
    before = {mart: rows(mart) for mart in marts}
    built.build("2026-03-01", "2026-03-01")
    assert {mart: rows(mart) for mart in marts} == before
    assert before["tenant_monthly"]

    built.message("SMlate", "2026-03-01 00:00:00", account_id="ACb")
    built.build("2026-03-01", "2026-03-01")
    changed = {mart: {key for key, row in rows(mart).items() if row != before[mart].get(key)} for mart in marts}
    assert changed["tenant_monthly"] == {("b", "2026-03")}
    # What nobody could be given is shared out by what each cost.
    assert {month for _, month in changed["tenant_margin_monthly"]} == {"2026-03"}
    assert {mart: rows(mart).keys() for mart in marts} == {mart: before[mart].keys() for mart in marts}


def test_an_emptied_day_is_empty_and_a_row_of_zeros(built: Project) -> None:
    for table in ("twilio_messages", "twilio_calls", "openai_usage_completions", "openai_costs"):
        built.execute(f"delete from raw.{table} where usage_date = '2026-03-01'")
    for table in ("sendgrid_stats", "sendgrid_subuser_stats"):
        built.execute(f"delete from raw.{table} where usage_date = '2026-03-01'")

    built.build("2026-03-01", "2026-03-01")

    assert built.mart("usage_daily", "date = '2026-03-01'") == []
    assert built.mart("usage_summary", "date = '2026-03-01'") == []
    quiet = built.mart("billing_usage_daily", "date = '2026-03-01'")
    assert {row["tenant_id"]: row["estimated_cost_usd"] for row in quiet} == {
        "a": 0,
        "b": 0,
        "unattributed": 0,
    }


def test_the_marts_depend_on_neither_order_nor_split(built: Project) -> None:
    whole = built.marts()
    built.empty_marts()
    for first, last in (
        ("2026-03-02", "2026-03-20"),
        ("2026-02-01", "2026-02-28"),
        ("2026-03-01", "2026-03-01"),
        ("2026-02-28", "2026-03-01"),
        ("2026-03-01", "2026-03-01"),
    ):
        built.build(first, last)
    assert built.marts() == whole


def test_days_that_an_unfinished_build_left_hold_no_other_build_back(built: Project) -> None:
    # Of last month and of this one; of AI elsewhere too, which tenant_monthly takes from its days.
    for day in ("2026-02-27", "2026-03-01"):
        built.message(f"SMlate{day}", f"{day} 12:00:00", num_segments=4)
        built.completion(f"late {day}", f"{day} 12:00:00", 90, service="azure_openai", source="azure_openai")
    built.execute("alter table marts.usage_summary add constraint stopped check (date < '2026-02-01') not valid")
    with pytest.raises(BuildFailed, match="usage_summary"):
        built.build_and_test("2026-02-27", "2026-03-01")
    built.execute("alter table marts.usage_summary drop constraint stopped")

    built.build_and_test("2026-03-18", "2026-03-18")

    february = built.mart("usage_monthly", "tenant_id = 'a' and month = '2026-02' and channel = 'sms'")
    daily = built.mart("usage_daily", "tenant_id = 'a' and channel = 'sms' and date < '2026-03-01'")
    assert [row["unit_count"] for row in february] == [sum(row["unit_count"] for row in daily)] == [3 + 3 + 4]
    built.build_and_test("2026-02-27", "2026-03-01")
    with psycopg.connect(built.url) as connection:
        assert ledger.unfinished_days(connection) is None
    rebuilt = built.marts()
    built.build(*ALL)
    assert built.marts() == rebuilt


def test_the_sessions_time_zone_changes_nothing(built: Project) -> None:
    utc = built.marts()
    built.set_for_all_sessions("timezone", "Pacific/Auckland")
    built.set_for_all_sessions("datestyle", "German")
    built.empty_marts()
    built.build_and_test(*ALL)
    assert built.execute("show timezone") == [("Pacific/Auckland",)]
    built.execute("do $$ begin execute format('alter database %I reset datestyle', current_database()); end $$")
    assert built.marts() == utc


def test_a_price_that_does_not_come_is_0_after_72_hours(built: Project) -> None:
    sent = AS_OF - timedelta(hours=72)
    built.message("SMlate", sent.strftime("%Y-%m-%d %H:%M:%S"), account_id="ACa", price=None)
    where = "tenant_id = 'a' and date = '2026-03-17' and channel = 'sms'"
    built.build("2026-03-17", "2026-03-17")
    assert [row["billed_cost_usd"] for row in built.mart("usage_daily", where)] == [None]
    built.build("2026-03-17", "2026-03-17", as_of=AS_OF + timedelta(seconds=1))
    assert [row["billed_cost_usd"] for row in built.mart("usage_daily", where)] == [0]


def test_readers_see_no_error_and_no_gap_while_builds_run(built: Project) -> None:
    done, failures, reads = threading.Event(), [], [0, 0]

    def read(reader: int) -> None:
        with psycopg.connect(built.url, autocommit=True) as connection:
            connection.execute("set role metering_api")
            connection.execute("select set_config('metering.role', 'root_admin', false)")
            while not done.is_set():
                for name in MARTS:
                    try:
                        found = connection.execute(f"select count(*) from marts.{name}".encode()).fetchone()
                    except psycopg.Error as error:
                        failures.append(f"{name}: {error}")
                        return
                    if found is None or found[0] == 0:
                        failures.append(f"{name} was empty")
                        return
                reads[reader] += 1

    readers = [threading.Thread(target=read, args=(number,)) for number in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(5 if IS_PROOF else 2):
            built.build(*ALL)
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert failures == []
    assert min(reads) > 10
