"""dbt's parse of the project, kept from one process to the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration import dbt_manifest


def test_a_kept_parse_is_the_same_and_a_broken_one_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    parse = dbt_manifest._parse.__wrapped__  # as another process would, without this one's memory
    folder = dbt_manifest.project_folder()
    monkeypatch.setenv(dbt_manifest.DATABASE_VARIABLE, dbt_manifest.NO_DATABASE)

    first = parse(folder, dbt_manifest.NO_DATABASE)
    (kept,) = (tmp_path / "dbt_parse").iterdir()
    again = parse(folder, dbt_manifest.NO_DATABASE)
    assert again.data["nodes"].keys() == first.data["nodes"].keys()
    assert [node["raw_code"] for node in again.data["nodes"].values()] == [
        node["raw_code"] for node in first.data["nodes"].values()
    ]
    kept.write_bytes(b"no parse at all")
    assert parse(folder, dbt_manifest.NO_DATABASE).data["nodes"].keys() == first.data["nodes"].keys()


def test_another_file_or_database_is_another_parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    (project / "target").mkdir(parents=True)
    (project / "model.sql").write_text("select 1")
    assert dbt_manifest._kept_parse(project, "a") is None  # without a DAGSTER_HOME there is nowhere to keep it
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    first = dbt_manifest._kept_parse(project, "a")
    (project / "target" / "noise.json").write_text("{}")
    assert dbt_manifest._kept_parse(project, "a") == first
    assert dbt_manifest._kept_parse(project, "b") != first
    (project / "model.sql").write_text("select 2")
    assert dbt_manifest._kept_parse(project, "a") != first
