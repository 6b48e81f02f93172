"""What a node's statements read, its hooks' and macros' too, the DAG says; and what a hook writes is read in a stated order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from dbt.adapters.sql.connections import SQLConnectionManager

from builds import static_nodes
from builds.column_lineage import relation_of
from builds.dbt_manifest import parsed_project
from tests.dbt.conftest import ALL, Project

# Texts about relations, which are not read by who bears them.
REMARK = re.compile(r"--[^\n]*|/\*.*?\*/|comment on .*?\sis\s+(\$\w+\$).*?\1", re.DOTALL)
# How each mart is written asks for it (macro `closed_months`), of which dbt tells no node; a close alone writes it, no build.
OF_CLOSES = "ops.closed_months"
RELATION = re.compile(r'\b(raw|staging|intermediate|marts|ops)"?\."?([a-z_][a-z0-9_]*)')
WRITTEN = re.compile(r'\b(?:insert into|delete from)\s+(?:"\w+"\.)?"?(\w+)"?\."?(\w+)')


class Statements:
    """What each node of the project has had executed, by its unique id; all that is asked here is which relations it names."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.nodes = {**data["nodes"], **data["sources"], **data["functions"]}
        self.of_relation = defaultdict(set)
        for unique_id, node in self.nodes.items():
            if node.get("config", {}).get("materialized") != "ephemeral" and node["resource_type"] != "test":
                self.of_relation[relation_of(node)].add(unique_id)
        del self.of_relation[OF_CLOSES]
        self.named: dict[str, set[str]] = defaultdict(set)
        self.written: dict[str, set[str]] = defaultdict(set)

    def add(self, unique_id: str, text: str) -> None:
        text = REMARK.sub("", text)
        self.written[unique_id].update(f"{schema}.{name}" for schema, name in WRITTEN.findall(text))
        self.named[unique_id].update(f"{schema}.{name}" for schema, name in RELATION.findall(WRITTEN.sub("", text)))

    def is_text(self, unique_id: str) -> bool:
        """Whether a node is part of what reads it: an ephemeral model, a view, a function."""
        node = self.nodes[unique_id]
        materialized = node.get("config", {}).get("materialized")
        return node["resource_type"] == "function" or materialized in ("ephemeral", "view")

    def before(self, unique_id: str, *, only_text: bool = False) -> set[str]:
        """Return what the DAG puts before a node; ``only_text``: its edges, and those of what is part of it."""
        found: set[str] = set()
        waiting = [unique_id]
        while waiting:
            for parent in self.nodes[waiting.pop()].get("depends_on", {}).get("nodes", ()):
                if parent not in found:
                    found.add(parent)
                    waiting += [parent] if not only_text or self.is_text(parent) else []
        return found

    def edges(self, unique_id: str) -> set[str]:
        return self.before(unique_id, only_text=True)

    def read_without_an_edge(self) -> Iterator[str]:
        for unique_id, relations in self.named.items():
            known = {unique_id, *self.edges(unique_id)}
            for relation in sorted(relations & self.of_relation.keys()):
                if not known & self.of_relation[relation]:
                    yield f"{unique_id} reads {relation}"

    def read_in_no_order(self) -> Iterator[str]:
        """Yield who reads what another node's hook has written, neither before it nor after it by the DAG."""
        for writer, relations in self.written.items():
            for relation in sorted((relations & self.of_relation.keys()) - {relation_of(self.nodes[writer])}):
                for reader in self.named.keys() - {writer}:
                    names = {relation_of(self.nodes[edge]) for edge in self.edges(reader) if edge in self.nodes}
                    is_reader = relation in names | self.named[reader] and not self.is_text(reader)
                    if is_reader and writer not in self.before(reader) and reader not in self.before(writer):
                        yield f"{reader} reads {relation}, which {writer} writes"


@pytest.fixture
def statements(built: Project, monkeypatch: pytest.MonkeyPatch) -> Statements:
    """Of a build of everything, tests included."""
    found = Statements(parsed_project().data)
    execute = SQLConnectionManager.add_query

    def noted(manager: SQLConnectionManager, sql: str, *arguments: Any, **options: Any) -> Any:
        unique_id = manager.get_thread_connection().name
        if unique_id in found.nodes:
            found.add(unique_id, sql)
        return execute(manager, sql, *arguments, **options)

    monkeypatch.setattr(SQLConnectionManager, "add_query", noted)
    monkeypatch.setattr(static_nodes, "_code", lambda: "other code")
    built.build_and_test(*ALL)
    return found


def test_every_relation_that_is_read_is_an_edge(statements: Statements) -> None:
    usage_daily = "model.usage_metering.usage_daily"
    assert len(statements.named) > 60
    assert {"ops.cost_restatements", "ops.cost_adjustments", "ops.built_days"} <= statements.written[usage_daily]
    assert list(statements.read_without_an_edge()) == []
    assert list(statements.read_in_no_order()) == []

    # What it would look like.
    statements.add("model.usage_metering.tenants", "select * from ops.built_days; select * from marts.usage_daily")
    assert list(statements.read_without_an_edge()) == [
        "model.usage_metering.tenants reads marts.usage_daily",
        "model.usage_metering.tenants reads ops.built_days",
    ]
    assert list(statements.read_in_no_order()) == [
        "model.usage_metering.tenants reads ops.built_days, which model.usage_metering.usage_daily writes"
    ]
