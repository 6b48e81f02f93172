"""The parsed project: kept for the next process, and never used for other files than it was made of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dbt.contracts.graph.nodes import CompiledNode, InjectedCTE
from dbt.parser.manifest import ManifestLoader

from builds import dbt_manifest
from builds.dbt_manifest import PROJECT, parsed_project


@pytest.fixture
def parses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A project of one model with a DAGSTER_HOME, in a process that has parsed nothing; the list grows with each full parse."""
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(
        "name: small\nprofile: usage_metering\nmodel-paths: [models]\nflags: {send_anonymous_usage_stats: false}\n"
    )
    (folder / "models" / "one.sql").write_text("select 1 as x")
    for name, value in {
        "DBT_PROJECT_DIR": folder,
        "DBT_PROFILES_DIR": PROJECT,
        "DAGSTER_HOME": tmp_path / "home",
        "METERING_DATABASE_URL": "postgresql://somebody:secret-word@127.0.0.1:5432/none",
    }.items():
        monkeypatch.setenv(name, str(value))
    full: list[str] = []
    parse_macros = ManifestLoader.load_and_parse_macros

    def counted(self: ManifestLoader, *arguments: object) -> None:
        full.append("parsed")
        parse_macros(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ManifestLoader, "load_and_parse_macros", counted)
    parsed = dbt_manifest._parse
    # A cache of its own, for what other tests of this process have parsed stays theirs.
    monkeypatch.setattr(dbt_manifest, "_parse", dbt_manifest.functools.cache(parsed.__wrapped__))
    return full


def again() -> dict[str, object]:
    """Parse as another process would; return the models by name and their text."""
    dbt_manifest._parse.cache_clear()
    return {node["name"]: node["raw_code"] for node in parsed_project().data["nodes"].values()}


def test_what_one_process_has_parsed_the_next_one_reads(parses: list[str], tmp_path: Path) -> None:
    first = again()
    kept = sorted((tmp_path / "home" / "dbt").iterdir())
    assert [path.suffix for path in kept] == [".json", ".msgpack"]
    assert not any(b"secret-word" in path.read_bytes() for path in kept)
    assert again() == first == {"one": "select 1 as x"}
    assert parses == ["parsed"]
    assert [node.raw_code for node in parsed_project().manifest.nodes.values()] == ["select 1 as x"]
    assert parses == ["parsed"], "dbt reads its own part of what is kept"
    kept[0].unlink()
    assert again() == first
    assert parses == ["parsed"]

    # Other files are parsed anew, whatever is kept; so is all where what is kept is broken.
    (tmp_path / "project" / "models" / "one.sql").write_text("select 2 as x")
    assert again() == {"one": "select 2 as x"}
    assert len(parses) == 2
    for path in (tmp_path / "home" / "dbt").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert again() == {"one": "select 2 as x"}
    assert len(parses) == 3


def test_another_database_is_another_parse(parses: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    again()
    monkeypatch.setenv("METERING_DATABASE_URL", "postgresql://somebody:-@127.0.0.1:5432/other")
    again()
    assert len(parses) == 2
    assert {node["database"] for node in parsed_project().data["nodes"].values()} == {"other"}


def test_what_a_command_compiled_is_forgotten_before_the_next() -> None:
    project = parsed_project()
    (node,) = (made for made in project.manifest.nodes.values() if made.name == "int_usage_lines")
    assert isinstance(node, CompiledNode)
    node.compiled, node.compiled_code, node.extra_ctes_injected = True, "select '2026-03-01'::date", True
    node.extra_ctes = [InjectedCTE("model.x", " x as (select 1)")]
    made = project.manifest.nodes[node.unique_id]
    assert isinstance(made, CompiledNode)
    assert (made.compiled, made.compiled_code, made.extra_ctes_injected, made.extra_ctes) == (False, None, False, [])


def test_most_processes_never_import_dbt_s_command(parses: list[str]) -> None:
    """It takes a second: a run that finds nothing to build, a schedule and a sensor do without."""
    script = "from builds.dbt_manifest import parsed_project; parsed_project(); import builds.build, builds.standing, costs.proofs, sys;"
    printing = f"{script} print('dbt.cli.main' in sys.modules)"
    found = [
        subprocess.run([sys.executable, "-c", printing], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    assert found == ["True", "False"], "the first has to parse"
