"""The code location as the server loads it, and what its schedules and its sensor ask for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from builds import ledger
from builds.due import due_window, ranges_of
from ingestion.run import PROVIDERS
from ingestion.windows import Window
from orchestration.automation.jobs import REBUILD
from orchestration.definitions import build_definitions
from tests.dbt.price_book import PriceBook, build_models

AS_OF = date(2026, 11, 21)
CREDENTIALS = {
    "METERING_TENANT_DIRECTORY": "/nowhere",
    "METERING_PII_KEY": "key",
    "METERING_START_DATE": "2026-10-01",
    "METERING_AS_OF": AS_OF.isoformat(),
    "TWILIO_ACCOUNT_SID": "AC1",
    "TWILIO_AUTH_TOKEN": "t",
    "OPENAI_ADMIN_KEY": "k",
}


@pytest.fixture
def url(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {**CREDENTIALS, "METERING_DATABASE_URL": database}.items():
        monkeypatch.setenv(name, value)
    return database


def pretend(url: str, window: Window, as_of: date, *providers: str) -> None:
    """Mark the window as ingested and built on ``as_of``, as a run does."""
    for provider in providers:
        ledger.begin_ingest(url, provider, window)
        ledger.end_ingest(url, provider, window.days())
    moment = datetime.combine(as_of, datetime.min.time(), tzinfo=UTC)
    with psycopg.connect(url, autocommit=True) as connection:
        build_id = f"{window.start}/{as_of}"
        ledger.begin_build(connection, build_id, window, moment, ["twilio_messages"])
        ledger.end_build(connection, build_id, ok=True)


def tick(name: str, url: str) -> list[dg.RunRequest]:
    schedule = build_definitions().resolve_schedule_def(name)
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 11, 21, 0, 20, tzinfo=UTC))
    return list(schedule.evaluate_tick(context).run_requests or [])


def range_of(request: dg.RunRequest) -> tuple[str, str]:
    return (
        request.tags["dagster/asset_partition_range_start"],
        request.tags["dagster/asset_partition_range_end"],
    )


def touch(url: str, day: str, load_id: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("insert into ops.touched_days (usage_date, load_id) values (%s, %s)", (day, load_id))


def test_the_code_location_loads_as_the_server_loads_it(url: str) -> None:
    definitions = build_definitions()
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    executable = {key.path[0] for key in graph.executable_asset_keys}
    assert executable == {"raw", "marts", "ops"}
    for key in graph.executable_asset_keys:
        node = graph.get(key)
        assert node.partitions_def is not None, key
        assert node.backfill_policy == dg.BackfillPolicy.single_run(), key
        assert node.description, key
        assert node.owners, key
        assert node.group_name != "default", key
        assert node.kinds, key
    assert definitions.resolve_job_def(REBUILD).partitions_def is not None


def test_a_scheduler_that_ran_every_night_asks_for_the_lookback(url: str) -> None:
    for day in range(1, 22):
        as_of = date(2026, 11, day)
        pretend(
            url, Window(date(2026, 10, 1) if day == 1 else as_of - timedelta(days=4), as_of), as_of, "twilio", "openai"
        )
    (request,) = tick("daily", url)
    assert range_of(request) == ("2026-11-17", "2026-11-20")
    assert request.run_key == "daily:2026-11-21"


def test_ten_days_without_a_scheduler_are_one_range(url: str) -> None:
    for day in range(1, 12):
        as_of = date(2026, 11, day)
        pretend(
            url, Window(date(2026, 10, 1) if day == 1 else as_of - timedelta(days=4), as_of), as_of, "twilio", "openai"
        )
    (request,) = tick("daily", url)
    # Built on the 11th, the 8th was still inside the lookback: it was never called final.
    assert range_of(request) == ("2026-11-08", "2026-11-20")


def test_a_provider_that_was_never_asked_for_its_days_makes_them_due(url: str) -> None:
    pretend(url, Window(date(2026, 10, 1), AS_OF), AS_OF, "twilio")
    (request,) = tick("daily", url)
    assert range_of(request) == ("2026-10-01", "2026-11-20")


def test_rolling_asks_for_today(url: str) -> None:
    (request,) = tick("rolling", url)
    assert range_of(request) == ("2026-11-21", "2026-11-21")
    assert request.run_config["resources"]["options"]["config"]["only_changes"] is True
    dg.validate_run_config(build_definitions().resolve_job_def(REBUILD), request.run_config)


def test_late_events_ask_for_their_days_and_a_build_takes_them_away(url: str) -> None:
    sensor = build_definitions().resolve_sensor_def("late_events")

    def requests() -> list[dg.RunRequest]:
        return list(sensor.evaluate_tick(dg.build_sensor_context()).run_requests or [])

    assert requests() == []
    for day, load in (("2026-11-10", "a"), ("2026-11-11", "a"), ("2026-11-02", "b"), ("2026-11-21", "c")):
        touch(url, day, load)
    found = requests()
    assert [range_of(request) for request in found] == [("2026-11-02", "2026-11-02"), ("2026-11-10", "2026-11-11")]
    assert [request.run_key for request in requests()] == [request.run_key for request in found]
    assert not any(key.path[1] in PROVIDERS for request in found for key in request.asset_selection or [])
    assert {key.path[0] for key in found[0].asset_selection or []} == {"raw", "marts", "ops"}
    assert not any(key.path[1].startswith("twilio") for key in found[0].asset_selection or [])

    pretend(url, Window.of_days(date(2026, 11, 10), date(2026, 11, 11)), AS_OF)
    assert [range_of(request) for request in requests()] == [("2026-11-02", "2026-11-02")]
    touch(url, "2026-11-02", "d")
    assert requests()[0].run_key != found[0].run_key


def archive(url: str, month: str) -> None:
    """Mark a month as archived, as `metering archive` does."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "insert into ops.closed_months (month, first_day, last_day, closed_at, closed_by, code_version, previous_root, item_count, root)"
            " values (%s, '2026-01-01', '2026-01-31', now(), '', '', '', 0, '')",
            (month,),
        )
        connection.execute(
            "insert into ops.archived_months (month, row_count, manifest_sha256) values (%s, 0, '')", (month,)
        )


def test_no_run_is_asked_for_over_an_archived_month(url: str) -> None:
    for day in ("2026-10-31", "2026-11-02"):
        touch(url, day, "a")
    archive(url, "2026-10")
    context = dg.build_sensor_context()
    requests = build_definitions().resolve_sensor_def("late_events").evaluate_tick(context).run_requests or []
    assert [range_of(request) for request in requests] == [("2026-11-02", "2026-11-02")]
    (request,) = tick("daily", url)
    assert range_of(request) == ("2026-11-01", "2026-11-20")


def test_days_that_a_build_without_providers_left_half_made_are_due(url: str) -> None:
    pretend(url, Window(date(2026, 10, 1), AS_OF), AS_OF, "twilio", "openai")
    day = Window.of_days(date(2026, 11, 5), date(2026, 11, 5))
    with psycopg.connect(url, autocommit=True) as connection:
        ledger.begin_build(connection, "prices", day, AS_OF, ())
        connection.execute("insert into ops.built_days (usage_date, build_id) values ('2026-11-05', 'prices')")
        assert ledger.half_made_days(url) == []  # it may still run
        ledger.end_build(connection, "prices", ok=False)
    (request,) = tick("daily", url)
    assert range_of(request) == ("2026-11-05", "2026-11-20")


def test_events_that_arrive_while_a_build_runs_are_not_taken_away(url: str) -> None:
    window = Window.of_days(date(2026, 11, 2), date(2026, 11, 2))
    touch(url, "2026-11-02", "before")
    with psycopg.connect(url, autocommit=True) as connection:
        ledger.begin_build(connection, "b1", window, datetime(2026, 11, 21, tzinfo=UTC), [])
        touch(url, "2026-11-02", "meanwhile")
        ledger.end_build(connection, "b1", ok=True)
        assert ledger.touched_days(url) == {date(2026, 11, 2): ["meanwhile"]}
        ledger.begin_build(connection, "b2", window, datetime(2026, 11, 21, tzinfo=UTC), [])
        ledger.end_build(connection, "b2", ok=False)
    assert ledger.touched_days(url) == {date(2026, 11, 2): ["meanwhile"]}


def test_a_touched_day_is_due() -> None:
    states = [
        ledger.DayState("twilio", date(2026, 10, 1) + timedelta(days=n), datetime.now(UTC), datetime.now(UTC), AS_OF)
        for n in range(60)
    ]
    window = due_window(
        start=date(2026, 10, 1),
        as_of_day=AS_OF,
        providers=["twilio"],
        states=states,
        lookback_days=3,
        touched=[date(2026, 10, 7), date(2026, 9, 7)],
    )
    assert window == Window.of_days(date(2026, 10, 7), date(2026, 11, 20))


def test_days_become_ranges() -> None:
    days = [date(2026, 11, day) for day in (3, 1, 2, 5, 5)]
    assert ranges_of(days) == [Window.of_days(days[1], days[0]), Window.of_days(days[3], days[3])]
    assert ranges_of([]) == []


def test_changed_prices_ask_for_their_days_until_they_are_built(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = PriceBook(tmp_path, monkeypatch)
    sensor = build_definitions().resolve_sensor_def("changed_prices")

    def evaluate() -> list[dg.RunRequest]:
        return list(sensor.evaluate_tick(dg.build_sensor_context()).run_requests or [])

    assert evaluate() == []  # nothing is built
    build_models(
        Window(date(2026, 11, 1), date(2026, 11, 5)), as_of=datetime(2026, 11, 21, tzinfo=UTC), select="+usage_daily"
    )
    assert evaluate() == []
    with psycopg.connect(url) as connection:
        connection.execute(
            "insert into intermediate.int_usage_lines_estimated (line_id, usage_date, tenant_id, channel, service, operation, direction,"
            " source, account_id, resource_id, model, feature, activity, evidence, unit, unit_count, request_count, input_tokens,"
            " cached_input_tokens, output_tokens) select day::text, day, 'a', 'sms', 'twilio_sms', 'outbound', 'outbound', 'twilio', '', '', '', '', '',"
            " 'provider', 'segments', 1, 1, 0, 0, 0 from unnest(array['2026-11-01', '2026-11-02', '2026-11-04']::date[]) as day"
        )
    book.replace("twilio_sms,outbound,,,unit,0.0083,", "twilio_sms,outbound,,,unit,0.0084,")
    requests = evaluate()
    assert [range_of(request) for request in requests] == [("2026-11-01", "2026-11-02"), ("2026-11-04", "2026-11-04")]
    assert all(
        request.asset_selection and dg.AssetKey(["raw", "twilio_messages"]) not in request.asset_selection
        for request in requests
    )
    assert [request.run_key for request in evaluate()] == [request.run_key for request in requests]
    archive(url, "2026-11")
    skipped = sensor.evaluate_tick(dg.build_sensor_context())
    assert (skipped.run_requests, "metering restore 2026-11" in (skipped.skip_message or "")) == ([], True)
    with psycopg.connect(url) as connection:
        connection.execute("delete from ops.archived_months")
    with psycopg.connect(url) as connection:
        connection.execute("select ops.keep_price_book('staging.price_book')")
    build_models(
        Window(date(2026, 11, 1), date(2026, 11, 5)), as_of=datetime(2026, 11, 21, tzinfo=UTC), select="+usage_daily"
    )
    assert evaluate() == []
    book.path.write_text("not,a,book\n1,2,3\n")
    assert evaluate() == []  # says why; the build will fail and name the row


def test_the_alerts_alone_are_asked_for_every_hour_once_something_is_built(url: str) -> None:
    assert tick("hourly_alerts", url) == []
    pretend(url, Window(date(2026, 11, 20), AS_OF), AS_OF, "twilio")
    (request,) = tick("hourly_alerts", url)
    assert (range_of(request), request.run_key) == (("2026-11-21", "2026-11-21"), "alerts:2026-11-21T00")
    assert [key.path for key in request.asset_selection or ()] == [["ops", "usage_alerts"]]
