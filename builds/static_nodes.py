"""What only code can change in the database: seeds, views, functions, the tests of seeds and those that say they are about code.

A view of another day's build has the same text, and a price book that is the same file has the same rows: they are built when
the code is another than that of the newest build, when one of them is missing, and in a fresh database. Every other build
leaves them out, which is most of what dbt would do on a day without news.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any

import psycopg

from builds.dbt_manifest import ParsedProject, dbt_version, project_files

# What differs from build to build; a node that says so itself or by a macro is not static.
OF_ONE_BUILD = re.compile(
    r"run_started_at|invocation_id|METERING_AS_OF|\bvar\(\s*['\"](?:window_start|window_end|as_of|build_id)['\"]"
)
TAG = "static"
STATIC = f"tag:{TAG}"
SETTING = re.compile(r"env_var\(\s*'(METERING_[A-Z_]+)'")


def static_nodes(data: Mapping[str, Any]) -> list[str]:
    """Return the unique ids of the static nodes of a manifest (its ``data``), sorted."""
    nodes = {**data["nodes"], **data["functions"]}
    of_one_build = _macros_of_one_build(data["macros"])

    def is_of_code(node: Mapping[str, Any]) -> bool:
        texts = OF_ONE_BUILD.search(node.get("raw_code") or "")
        return not texts and not of_one_build.intersection(node["depends_on"].get("macros", ()))

    def reads_seeds_only(unique_id: str) -> bool:
        if unique_id not in nodes:
            return False
        parents = nodes[unique_id]["depends_on"].get("nodes", ())
        return nodes[unique_id]["resource_type"] == "seed" or (bool(parents) and all(map(reads_seeds_only, parents)))

    def says_it_is_of_code(node: Mapping[str, Any]) -> bool:
        return bool((node["config"].get("meta") or {}).get("of_code"))

    def is_static(unique_id: str, node: Mapping[str, Any]) -> bool:
        kind = node["resource_type"]
        if kind == "seed":
            return True
        if kind == "function" or (kind == "model" and node["config"]["materialized"] == "view"):
            return is_of_code(node)
        return kind == "test" and (says_it_is_of_code(node) or reads_seeds_only(unique_id))

    return sorted(unique_id for unique_id, node in nodes.items() if is_static(unique_id, node))


def _macros_of_one_build(macros: Mapping[str, Mapping[str, Any]]) -> set[str]:
    names = {name for name, macro in macros.items() if OF_ONE_BUILD.search(macro["macro_sql"])}
    while more := {
        name
        for name, macro in macros.items()
        if name not in names and names.intersection(macro["depends_on"].get("macros", ()))
    }:
        names |= more
    return names


def tag_static(project: ParsedProject, unique_ids: list[str]) -> None:
    """Tag these nodes of the parsed manifest, so that one selector, `STATIC`, names them: dbt looks through all nodes for each."""
    made = {**project.manifest.nodes, **project.manifest.functions}
    for unique_id in unique_ids:
        if TAG not in made[unique_id].tags:
            made[unique_id].tags.append(TAG)


def standing_version(connection: psycopg.Connection, data: Mapping[str, Any], unique_ids: list[str]) -> str | None:
    """Return what names both the code of now and the static relations that stand in the database; None where one is missing.

    A relation that somebody has dropped and made again is another (its oid), and so is one of another text (its comment has
    the text's digest): a restored dump is built once more.
    """
    nodes = {**data["nodes"], **data["functions"]}
    built = [nodes[unique_id] for unique_id in unique_ids if nodes[unique_id]["resource_type"] != "test"]
    row = connection.execute(
        "select count(*), md5(coalesce(string_agg(concat_ws(' ', oid, comment), ',' order by oid), '')) from ("
        " select oid, obj_description(oid, 'pg_class') as comment from pg_class"
        "   where (relnamespace::regnamespace::text, relname) in (select * from unnest(%(schemas)s::text[], %(names)s::text[]))"
        " union all"
        " select oid, obj_description(oid, 'pg_proc') from pg_proc"
        "   where (pronamespace::regnamespace::text, proname) in (select * from unnest(%(schemas)s::text[], %(names)s::text[]))"
        ") as relations",
        {"schemas": [node["schema"] for node in built], "names": [node["alias"] for node in built]},
    ).fetchone()
    if row is None or row[0] != len(built):
        return None
    return f"{_code()} {row[1]}"


def _code() -> str:
    """Return a digest of all that the static nodes are made of: the project's files, dbt, and the settings that they read."""
    digest = hashlib.sha256(dbt_version.encode())
    settings: set[str] = set()
    for path in project_files():
        content = path.read_bytes()
        digest.update(f"\0{path.name}\0{len(content)}\0".encode() + content)
        settings.update(SETTING.findall(content.decode(errors="replace")))
    for name in sorted(settings - {"METERING_AS_OF"}):
        digest.update(f"\0{name}={os.environ.get(name, '')}".encode())
    return digest.hexdigest()[:16]
