"""Where the columns of compiled SQL come from, read by sqlglot."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.lineage import Node, lineage
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope
from sqlglot.schema import MappingSchema

logger = logging.getLogger("metering.catalog")

DIALECT = "postgres"

# As in `builds.column_lineage`, which imports this module only where something is to be worked out.
Column = tuple[str, str]
Lineage = dict[str, dict[str, list[Column]]]


@dataclass(frozen=True)
class Model:
    """One compiled model: ``relation`` and ``parents`` as ``schema.table``."""

    relation: str
    sql: str
    parents: tuple[str, ...]


def trace(models: Iterable[Model], known_columns: Mapping[str, Sequence[str]]) -> Lineage:
    """Return the lineage of every model; one that sqlglot cannot read is left out, with a warning in the log.

    Args:
        models: parents before children.
        known_columns: columns of what is not a model (sources, seeds), where known, by relation.
    """
    columns = {relation: list(names) for relation, names in known_columns.items()}
    origins: Lineage = {}
    for model in models:
        try:
            origins[model.relation] = _of_model(model, columns)
        except SqlglotError as error:
            logger.warning("no column lineage of %s: %s", model.relation, str(error).splitlines()[0])
            continue
        columns[model.relation] = list(origins[model.relation])
    return origins


def _of_model(model: Model, columns: Mapping[str, Sequence[str]]) -> dict[str, list[Column]]:
    schema = MappingSchema(dialect=DIALECT)
    for parent in {*model.parents, model.relation}:
        if names := columns.get(parent):
            schema.add_table(_table(parent), {f'"{name}"': "text" for name in names}, dialect=DIALECT)
    query = parse_one(model.sql, dialect=DIALECT)
    for table in query.find_all(exp.Table):
        table.set("catalog", None)
    query = qualify(
        query, schema=schema, dialect=DIALECT, validate_qualify_columns=False, allow_partial_qualification=True
    )
    scope = build_scope(query)
    nodes = lineage(None, query, schema, dialect=DIALECT, scope=scope, copy=False, trim_selects=False)
    return {name: _leaves(node, set(model.parents)) for name, node in nodes.items()}


def _table(relation: str) -> exp.Table:
    schema, _, name = relation.partition(".")
    return exp.table_(name, db=schema, quoted=True)


def _leaves(node: Node, parents: set[str]) -> list[Column]:
    leaves: set[Column] = set()
    for inner in node.walk():
        if inner.downstream or not isinstance(inner.expression, exp.Table):
            continue
        relation = f"{inner.expression.db}.{inner.expression.name}"
        if relation in parents:
            leaves.add((relation, exp.to_column(inner.name).name))
    return sorted(leaves)
