"""docs/analysts.md: how an exact amount arrives, by the libraries that this project has, and by the document's own code."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import psycopg
import pyarrow
import pytest
import sqlalchemy

from warehouse.urls import as_role, sqlalchemy_url

DOCS = Path(__file__).parents[2] / "docs" / "analysts.md"
# All 38 digits, the smallest step, more digits than a float has, and an unknown cost.
AMOUNTS = [
    Decimal("12345678901234567890.123456789012345678"),
    Decimal("0.000000000000000001"),
    Decimal("0.000000037500000001"),
    None,
]
QUERY = "select tenant_id, date, estimated_cost_usd from marts.usage_daily order by tenant_id"


@pytest.fixture
def analyst(database: str) -> str:
    """URL of a database with one mart, as an analyst."""
    with psycopg.connect(as_role(database, "metering_transformer"), autocommit=True) as connection:
        connection.execute(
            "create table marts.usage_daily (tenant_id text, date date, estimated_cost_usd numeric(38, 18))"
        )
        for number, amount in enumerate(AMOUNTS):
            connection.execute("insert into marts.usage_daily values (%s, '2026-10-01', %s)", (f"t{number}", amount))
        connection.execute("select ops.protect_rows('marts.usage_daily')")
    return as_role(database, "metering_analyst")


def by_psycopg(url: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return [row[2] for row in connection.execute(QUERY.encode())]


def by_sqlalchemy(driver: str) -> Callable[[str], list[Any]]:
    def read(url: str) -> list[Any]:
        engine = sqlalchemy.create_engine(sqlalchemy_url(url, driver))
        with engine.connect() as connection:
            return [row[2] for row in connection.execute(sqlalchemy.text(QUERY))]

    return read


@pytest.mark.parametrize("read", [by_psycopg, by_sqlalchemy("psycopg"), by_sqlalchemy("psycopg2")])
def test_an_amount_arrives_as_the_decimal_that_it_is(analyst: str, read: Callable[[str], list[Any]]) -> None:
    assert read(analyst) == AMOUNTS


def test_adbc_hands_on_an_amount_as_its_text(analyst: str) -> None:
    with adbc.connect(analyst) as connection, connection.cursor() as cursor:
        cursor.execute(QUERY)
        column = cursor.fetch_arrow_table()["estimated_cost_usd"]
    assert isinstance(column.type, pyarrow.OpaqueType)
    assert (column.type.storage_type, column.type.type_name) == (pyarrow.string(), "numeric")
    assert [text and Decimal(text) for text in column.to_pylist()] == AMOUNTS


def test_the_document_s_code_makes_exact_decimals_of_it(analyst: str) -> None:
    found = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {"url": analyst}
    exec(found[1], names)
    table = names["table"]
    assert table.schema.field("estimated_cost_usd").type == pyarrow.decimal128(38, 18)
    assert table.sort_by("tenant_id")["estimated_cost_usd"].to_pylist() == AMOUNTS
