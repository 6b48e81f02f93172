"""What a build has in place of a slow function of dbt gives what dbt's gives."""

from __future__ import annotations

import pytest
from dbt import compilation
from dbt.contracts.graph.nodes import InjectedCTE

from builds.ctes import LEADING_WITH, injector, quick_ctes

CTES = [InjectedCTE(id=name, sql=f" __dbt__cte__{name} as (\nselect 1 as x\n)") for name in ("one", "two")]


@pytest.mark.parametrize(
    "statement",
    [
        "with a as (select 1) select * from a",
        "\n-- what it is\n\n  with\n\n    a as (select ';')\nselect * from a -- end\n",
        "WITH a as (with b as (select 1) select * from b) select * from a",
        "with /* why */ a as (select 1) select * from a",
        "/* first */ with a as (select 1) select * from a",
        "with recursive a as (select 1) select * from a",
        "with\n  RECURSIVE a as (select 1) select * from a",
        "select * from (with a as (select 1) select * from a) as b",
        "\n  select 1",
        "-- with a as\nselect 1",
        "withdrawn",
    ],
)
def test_ctes_stand_where_dbt_puts_them(statement: str) -> None:
    of_dbt = compilation.inject_ctes_into_sql
    for ctes in ([], CTES[:1], CTES):
        assert injector(of_dbt)(statement, ctes) == of_dbt(statement, list(ctes))


def test_the_models_own_way_of_beginning_needs_no_parser() -> None:
    assert LEADING_WITH.match("\n-- a comment\n\n\nwith days as (select 1)")
    assert not LEADING_WITH.match("with recursive days as (select 1)")


def test_dbt_has_its_own_way_back() -> None:
    of_dbt = compilation.inject_ctes_into_sql
    with quick_ctes():
        assert compilation.inject_ctes_into_sql is not of_dbt
    assert compilation.inject_ctes_into_sql is of_dbt
