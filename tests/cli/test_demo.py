"""The demo's two commands, and what one demo tells the next command."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli import demo, demo_state, environment, folders, push_over_cap, standing_demo
from cli.demo_state import DemoState, kept_environment, location_of
from cli.errors import CommandFailed, UsageError
from cli.main import app

TODAY = date(2026, 11, 21)


def test_demo_alone_runs_and_its_sub_command_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(demo, "run_demo", lambda **options: calls.append({**options, "console": None}))
    monkeypatch.setattr(push_over_cap, "run_push", lambda tenant, console: calls.append(tenant))
    runner = CliRunner()
    for arguments in (["demo", "--once", "--reset", "--days", "9"], ["demo", "push-over-cap", "--tenant", "bolt"]):
        result = runner.invoke(app, arguments)
        assert result.exit_code == 0, result.output
    options = {"once": True, "reset": True, "days": 9, "ports": demo.Ports(8000, 3000), "console": None}
    assert calls == [options, "bolt"]


def test_a_port_for_analysts_is_the_embedded_server_s(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[demo.Ports] = []
    monkeypatch.setattr(demo, "run_demo", lambda **options: calls.append(options["ports"]))
    assert CliRunner().invoke(app, ["demo", "--postgres-port", "5433"]).exit_code == 0
    assert calls == [demo.Ports(8000, 3000, 5433)]
    monkeypatch.setenv("METERING_DATABASE_URL", "postgresql://owner:-@db/metering")
    refused = CliRunner().invoke(app, ["demo", "--postgres-port", "5433"])
    assert isinstance(refused.exception, UsageError)
    assert "--postgres-port is for the embedded PostgreSQL" in str(refused.exception)
    assert len(calls) == 1


def test_a_demo_is_found_again_and_says_whether_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "local_folder", lambda: tmp_path)
    with pytest.raises(CommandFailed, match="run `make demo`"):
        DemoState.load()
    state = DemoState("server/metering", 60, {"TWILIO_BASE_URL": "http://127.0.0.1:1"}, "http://127.0.0.1:1")
    state.save()
    assert DemoState.load() == state
    assert not state.is_running
    demo_state.state_file().write_text('{"another": "shape"}')
    with pytest.raises(CommandFailed, match="run `make demo`"):
        DemoState.load()


def test_no_credentials_of_the_database_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://owner:p%40ss@db:5432/metering?options=-crole%3Dx"
    assert location_of(url) == "db:5432/metering"
    monkeypatch.setenv("METERING_DATABASE_URL", url)
    monkeypatch.setenv("METERING_START_DATE", "2026-10-01")
    assert kept_environment({"TWILIO_ACCOUNT_SID": "AC1"}) == {
        "METERING_START_DATE": "2026-10-01",
        "TWILIO_ACCOUNT_SID": "AC1",
    }


def test_later_commands_know_the_demo_that_filled_their_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "local_folder", lambda: tmp_path)
    here = "postgresql://postgres:-@%2Ftmp%2Fpg/metering"
    monkeypatch.setattr(environment, "database_url", lambda: here)
    known = {"METERING_TENANT_DIRECTORY": "/demo/directory", "METERING_START_DATE": "2026-10-01"}
    DemoState(location_of(here), 60, {**known, "TWILIO_BASE_URL": "http://127.0.0.1:1"}).save()
    assert known.items() <= environment.prepare().items()
    assert "TWILIO_BASE_URL" not in os.environ  # what is asked of whom is the user's to say

    for name in known:
        monkeypatch.delenv(name)
    monkeypatch.setenv("METERING_TENANT_DIRECTORY", "/mine")
    assert environment.prepare()["METERING_TENANT_DIRECTORY"] == "/mine"

    # Another database is not the demo's.
    for name in known:
        monkeypatch.delenv(name)
    DemoState("elsewhere/metering", 60, known).save()
    assert not known.keys() & environment.prepare().keys()


@pytest.fixture
def standing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> DemoState:
    """A demo of nine days up to 2026-11-21 whose last day is built."""
    monkeypatch.setattr(folders, "local_folder", lambda: tmp_path)
    (tmp_path / "dagster").mkdir()
    (tmp_path / "directory").mkdir()
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into ops.source_days (provider, usage_date, ingested_at, built_at) values ('twilio', %s, now(), now())",
            [TODAY],
        )
    demo = DemoState(
        location_of(database),
        9,
        {"METERING_TENANT_DIRECTORY": str(tmp_path / "directory")},
        last_day=TODAY.isoformat(),
        code=standing_demo.code_digest(),
    )
    demo.save()
    return demo


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"database": "elsewhere/metering"}, "in another database"),
        ({"days": 60}, "has 60 days, not 9"),
        ({"last_day": "2026-11-20"}, "ends on 2026-11-20"),
        ({"code": "of yesterday"}, "have changed since"),
        ({"environment": {"METERING_TENANT_DIRECTORY": "/nowhere"}}, "directory is gone"),
    ],
)
def test_a_demo_is_served_again_as_it_is_unless_it_would_be_another(
    standing: DemoState, database: str, changed: dict[str, Any], reason: str | None
) -> None:
    replace(standing, **changed).save()
    found = standing_demo.why_not(database, days=9, today=TODAY)
    assert found is None if reason is None else reason in str(found)


def test_a_demo_whose_database_was_emptied_or_was_never_finished_is_built_again(
    standing: DemoState, database: str
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("delete from ops.source_days")
    assert standing_demo.why_not(database, days=9, today=TODAY) == "its database is empty"
    demo_state.state_file().unlink()
    assert standing_demo.why_not(database, days=9, today=TODAY) == standing_demo.NEVER


def test_a_demo_that_is_served_is_not_served_twice(
    standing: DemoState, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERING_DATABASE_URL", database)
    monkeypatch.setenv("METERING_AS_OF", TODAY.isoformat())
    replace(standing, api_url="http://127.0.0.1:8000").save()
    asked: list[str] = []
    monkeypatch.setattr(demo_state, "answers", lambda url: asked.append(url) is None)
    with pytest.raises(CommandFailed, match="served already, at http"):
        demo.run_demo(console=Console(quiet=True), once=False, reset=False, days=9, ports=demo.Ports(1, 1))
    assert asked == ["http://127.0.0.1:8000/healthz"]


def test_the_second_demo_of_a_day_is_the_first_one_and_reset_builds_another(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "local_folder", lambda: tmp_path)
    monkeypatch.setenv("METERING_DATABASE_URL", database)
    monkeypatch.setenv("METERING_AS_OF", TODAY.isoformat())
    monkeypatch.setenv("METERING_PII_KEY", "k")
    built: list[str] = []

    def build(sandbox: Any, dataset: Any, days: int, console: Console) -> None:
        assert not demo_state.state_file().exists()
        built.append(os.environ["TWILIO_BASE_URL"])
        environment.prepare()
        (tmp_path / "dagster").mkdir(exist_ok=True)
        with psycopg.connect(database) as connection:
            connection.execute(
                "insert into ops.source_days (provider, usage_date, built_at) values ('twilio', %s, now())"
                " on conflict do nothing",
                [TODAY],
            )

    monkeypatch.setattr(demo, "_build", build)
    monkeypatch.setattr(demo, "usage_table", lambda connection, today: f"usage on {today}")
    printed = StringIO()

    def run(*, reset: bool) -> str:
        printed.truncate(0)
        demo.run_demo(console=Console(file=printed, width=200), once=True, reset=reset, days=2, ports=demo.Ports(1, 1))
        assert "usage on 2026-11-21" in printed.getvalue()
        return printed.getvalue()

    run(reset=False)
    directory = tmp_path / "demo" / "directory" / "tenants.csv"
    directory.write_text(directory.read_text() + "mine,Mine\n")
    assert "stands here" in run(reset=False)
    assert len(built) == 1
    assert directory.read_text().endswith("mine,Mine\n")
    # Its sandbox is a new one, which is what later commands must ask.
    assert DemoState.load().environment["TWILIO_BASE_URL"] == os.environ["TWILIO_BASE_URL"] != built[0]
    run(reset=True)
    assert len(built) == 2
    assert not directory.read_text().endswith("mine,Mine\n")


def test_a_changed_seed_and_a_new_migration_are_other_code_and_a_cache_is_not(tmp_path: Path) -> None:
    for room in standing_demo.ROOMS:
        (tmp_path / room).mkdir(parents=True)
    seen = [standing_demo.code_digest(tmp_path)]
    for name in ("dbt_project/prices.csv", "warehouse/0099_new.sql"):
        (tmp_path / name).write_text("1")
        seen.append(standing_demo.code_digest(tmp_path))
    assert len(set(seen)) == 3
    (tmp_path / "builds" / "__pycache__").mkdir()
    (tmp_path / "builds" / "__pycache__" / "x.py").write_text("1")
    (tmp_path / "dbt_project" / "target").mkdir()
    (tmp_path / "dbt_project" / "target" / "run.sql").write_text("1")
    assert standing_demo.code_digest(tmp_path) == seen[-1]
