"""The demo's two commands, and what one demo tells the next command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import demo, demo_state, environment, folders, push_over_cap
from cli.demo_state import DemoState, kept_environment, location_of
from cli.errors import CommandFailed
from cli.main import app


def test_demo_alone_runs_and_its_sub_command_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(demo, "run_demo", lambda **options: calls.append({**options, "console": None}))
    monkeypatch.setattr(push_over_cap, "run_push", lambda tenant, console: calls.append(tenant))
    runner = CliRunner()
    for arguments in (["demo", "--once", "--days", "9"], ["demo", "push-over-cap", "--tenant", "bolt"]):
        result = runner.invoke(app, arguments)
        assert result.exit_code == 0, result.output
    assert calls == [{"once": True, "days": 9, "api_port": 8000, "dagster_port": 3000, "console": None}, "bolt"]


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
