"""Which nodes of the dbt project only code can change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from builds import static_nodes
from builds.dbt_manifest import parsed_project


def node(
    kind: str, name: str, *parents: str, text: str = "", macros: Sequence[str] = (), how: str = "view", **meta: bool
) -> dict[str, Any]:
    return {
        "unique_id": f"{kind}.p.{name}",
        "resource_type": kind,
        "raw_code": text,
        "fqn": ["p", name],
        "config": {"materialized": how, "meta": meta},
        "depends_on": {"nodes": list(parents), "macros": list(macros)},
    }


def manifest(*nodes: dict[str, Any]) -> dict[str, Any]:
    macros = {
        "macro.p.window_start": {"macro_sql": "{{ var('window_start', none) }}", "depends_on": {"macros": []}},
        "macro.p.in_window": {"macro_sql": "", "depends_on": {"macros": ["macro.p.window_start"]}},
        "macro.p.cents": {"macro_sql": "* 100", "depends_on": {"macros": []}},
    }
    return {"nodes": {item["unique_id"]: item for item in nodes}, "functions": {}, "macros": macros}


@pytest.mark.parametrize(
    ("made", "is_static"),
    [
        (node("seed", "prices"), True),
        (node("model", "view", "source.p.raw.rows"), True),
        (node("model", "view", macros=["macro.p.cents"]), True),
        (node("model", "view", macros=["macro.p.in_window"]), False),
        (node("model", "view", text="{{ var('as_of') }}"), False),
        (node("model", "view", text="{{ run_started_at }}"), False),
        (node("model", "table", how="incremental"), False),
        (node("test", "of_seed", "seed.p.seed"), True),
        (node("test", "of_both", "seed.p.seed", "source.p.raw.rows"), False),
        (node("test", "of_view", "model.p.other"), False),
        (node("test", "of_view", "model.p.other", of_code=True), True),
        (node("test", "of_nothing"), False),
    ],
)
def test_static_is_what_only_code_changes(made: dict[str, Any], is_static: bool) -> None:
    others = [node("seed", "seed"), node("model", "other", "source.p.raw.rows")]
    assert (made["unique_id"] in static_nodes.static_nodes(manifest(made, *others))) is is_static


def test_seeds_and_staging_are_static_and_marts_are_not() -> None:
    data = parsed_project().data
    found = set(static_nodes.static_nodes(data))
    for unique_id, made in data["nodes"].items():
        if made["resource_type"] == "seed" or (made["resource_type"] == "model" and made["schema"] == "staging"):
            assert unique_id in found
        if made["config"]["materialized"] == "incremental":
            assert unique_id not in found

        # A view's text holds no build's window: what needs one is a table, or part of a statement.
        assert made["config"]["materialized"] != "view" or unique_id in found, unique_id


def test_one_tag_names_them_all() -> None:
    project = parsed_project()
    found = static_nodes.static_nodes(project.data)
    for _ in range(2):
        static_nodes.tag_static(project, found)
    nodes = {**project.manifest.nodes, **project.manifest.functions}
    assert {unique_id for unique_id, made in nodes.items() if static_nodes.TAG in made.tags} == set(found)
    assert all(nodes[unique_id].tags.count(static_nodes.TAG) == 1 for unique_id in found)


def test_another_file_or_setting_is_other_code(tmp_path: Path) -> None:
    def code(model: str, **settings: str) -> str:
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "models" / "m.sql").write_text(model)
        (tmp_path / "dbt_project.yml").write_text("{}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DBT_PROJECT_DIR", str(tmp_path))
            for name, value in settings.items():
                patch.setenv(name, value)
            return static_nodes._code()

    asking = "{{ env_var('METERING_SENDGRID_PARENT_STATS', '') }} {{ env_var('METERING_AS_OF', '') }}"
    assert code(asking) == code(asking, METERING_AS_OF="2026-01-01", METERING_OTHER="1")
    assert len({code(asking), code(asking + " "), code(asking, METERING_SENDGRID_PARENT_STATS="own")}) == 3
