"""What no route's test can see: where SQL lives, that each query names its tenant, which marts it reads."""

from __future__ import annotations

import ast
import asyncio
import re
import warnings
from pathlib import Path

import pytest

import api.admin.queries
import api.forecast.queries
import api.kit.queries
import api.usage.queries
from api.kit.database import Database, TenantReader

with warnings.catch_warnings():
    # It tells of a package that another tool has installed.
    warnings.simplefilter("ignore", DeprecationWarning)
    import sqlglot
    from sqlglot import exp

API = Path(api.kit.queries.__file__).parent
SEAM = (Path(__file__).parent / "marts.sql").read_text()
SQL_TEXT = re.compile(
    r"\b(select\s.+\sfrom|insert\s+into|update\s+\w+\s+set|delete\s+from|set_config|set\s+role)\b",
    re.I | re.S,
)

# Not about tenants: the plans' own limits and prices.
SHARED_MARTS = {"plan_limits", "channel_prices"}


def _queries(*modules: object) -> dict[str, str]:
    return {
        f"{module.__name__}.{name}": value  # type: ignore[attr-defined]
        for module in modules
        for name, value in vars(module).items()
        if not name.startswith("_") and isinstance(value, str) and "select" in value
    }


TENANT_QUERIES = {
    **_queries(api.usage.queries, api.forecast.queries),
    "api.admin.queries.OPEN_ALERTS_OF_TENANT": api.admin.queries.OPEN_ALERTS_OF_TENANT,
    "api.admin.queries.TENANT_DETAIL": api.admin.queries.TENANT_DETAIL,
}
ALL_QUERIES = _queries(api.kit.queries, api.usage.queries, api.forecast.queries, api.admin.queries)

VIEWS = {
    "alerts",
    "answered_days",
    "blocked_actions",
    "booked_adjustments",
    "built_windows",
    "current_build",
    "data_freshness",
    "kept_days",
    "kept_months",
    "kept_tenants",
    "kept_totals",
    "own_numbers",
    "proof_status",
    "tenant_forecasts",
}
VIEWS_OF_TENANTS = {"alerts", "blocked_actions", "tenant_forecasts"}


def _parse(query: str) -> exp.Expr:
    return sqlglot.parse_one(re.sub(r"%\((\w+)\)s", r":\1", query), read="postgres")


def test_sql_is_written_in_queries_modules_only() -> None:
    found = [
        f"{path.relative_to(API)}:{node.lineno}"
        for path in API.rglob("*.py")
        if path.name != "queries.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL_TEXT.search(node.value)
    ]
    assert found == []


def test_the_search_above_finds_sql() -> None:
    assert SQL_TEXT.search("select a\nfrom b")
    assert SQL_TEXT.search("SET ROLE x")


@pytest.mark.parametrize("name", TENANT_QUERIES)
def test_each_read_of_a_tenant_s_mart_has_the_predicate(name: str) -> None:
    for table in _parse(TENANT_QUERIES[name]).find_all(exp.Table):
        if table.name in SHARED_MARTS or (table.db != "marts" and table.name not in VIEWS_OF_TENANTS):
            continue
        select = table.parent_select
        assert select is not None
        where = select.args.get("where")
        assert where is not None, f"{name}: {table.name} without where"
        predicates = [
            comparison
            for comparison in where.find_all(exp.EQ)
            if comparison.parent_select is select
            and isinstance(comparison.this, exp.Column)
            and comparison.this.name == "tenant_id"
            and comparison.this.table == table.alias_or_name
            and isinstance(comparison.expression, exp.Placeholder)
            and comparison.expression.name == "tenant_id"
        ]
        assert predicates, f"{name}: {table.name} without tenant_id = %(tenant_id)s"
        assert not list(where.find_all(exp.Or)), f"{name}: an OR beside the predicate"


@pytest.mark.parametrize("name", ALL_QUERIES)
def test_it_reads_only_marts_of_the_seam_and_views_of_ops(name: str) -> None:
    tables = {(table.db, table.name) for table in _parse(ALL_QUERIES[name]).find_all(exp.Table) if table.db}
    marts = {mart for schema, mart in tables if schema == "marts"}
    assert {schema for schema, _ in tables} <= {"marts", "ops"}
    assert {view for schema, view in tables if schema == "ops"} - {""} <= VIEWS
    assert marts <= set(re.findall(r"create table marts\.(\w+)", SEAM))
    assert marts <= set(api.kit.queries.REQUIRED_MARTS)


def test_a_tenant_s_reader_refuses_a_query_without_its_tenant() -> None:
    reader = TenantReader(Database("postgresql://x@127.0.0.1:1/x"), "acme")
    with pytest.raises(ValueError, match="tenant_id"):
        asyncio.run(reader.row("select * from marts.tenants"))
