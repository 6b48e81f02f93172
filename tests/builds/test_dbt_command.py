"""dbt's command line."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from builds.code_version import code_version
from builds.dbt_command import build_arguments
from ingestion.windows import Window


def arguments(**changes: object) -> list[str]:
    values: dict[str, object] = {
        "as_of": datetime(2026, 11, 21, 7, 30, tzinfo=UTC),
        "build_id": "run-1",
        "target_path": Path("/tmp/target"),
    }
    return build_arguments(Window.of_days(date(2026, 10, 1), date(2026, 10, 31)), **(values | changes))  # type: ignore[arg-type]


def test_the_window_is_half_open_and_now_is_pinned_in_utc() -> None:
    variables = json.loads(arguments()[arguments().index("--vars") + 1])
    assert variables == {
        "window_start": "2026-10-01",
        "window_end": "2026-11-01",
        "as_of": "2026-11-21 07:30:00.000000",
        "build_id": "run-1",
    }


def test_unit_tests_and_exposures_stay_out_of_production_builds() -> None:
    found = arguments()
    assert found[:5] == ["build", "--exclude-resource-type", "unit_test", "--exclude-resource-type", "exposure"]


def test_what_is_left_out_is_left_out_alone() -> None:
    assert arguments(exclude=["fqn:a"])[-4:] == ["--indirect-selection", "empty", "--exclude", "fqn:a"]
    assert "--indirect-selection" not in arguments()


def test_each_run_writes_to_a_target_of_its_own() -> None:
    found = arguments()
    assert found[found.index("--target-path") + 1] == "/tmp/target"
    assert found[found.index("--log-path") + 1] == "/tmp/target"
    # Nobody reads what dbt would write there.
    assert "--no-write-json" in found
    assert found[found.index("--log-level-file") + 1] == "none"


def test_a_selection_comes_last() -> None:
    assert arguments(select=["a", "b"])[-3:] == ["--select", "a", "b"]
    assert "--select" not in arguments()


def test_the_codes_version_goes_along_where_there_is_one() -> None:
    found = arguments(code_version="abc")
    assert json.loads(found[found.index("--vars") + 1])["code_version"] == "abc"


def test_dbt_is_told_that_the_code_is_the_same() -> None:
    assert "is_same_code" not in json.loads(arguments()[arguments().index("--vars") + 1])
    found = arguments(is_same_code=True)
    assert json.loads(found[found.index("--vars") + 1])["is_same_code"] is True


def test_the_months_of_days_that_stand_half_made_are_summed_up_too() -> None:
    left = Window.of_days(date(2026, 7, 30), date(2026, 8, 2))
    found = arguments(unfinished=left)
    variables = json.loads(found[found.index("--vars") + 1])
    assert (variables["months_from"], variables["months_to"]) == ("2026-07-30", "2026-08-02")
    assert variables["window_start"] == "2026-10-01"


def test_the_codes_version_is_of_the_sql_that_makes_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str, model: str, seed: str = "a,b") -> str:
        folder = tmp_path / name
        (folder / "models").mkdir(parents=True)
        (folder / "seeds").mkdir()
        (folder / "models" / "m.sql").write_text(model)
        (folder / "seeds" / "s.csv").write_text(seed)
        monkeypatch.setenv("DBT_PROJECT_DIR", str(folder))
        return code_version()

    assert version("one", "select 1") == version("two", "select 1", "c,d") != version("three", "select 2")
