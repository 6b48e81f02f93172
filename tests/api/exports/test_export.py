"""FOCUS as CSV and Parquet, a tenant's and all tenants'."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from api.exports.focus_columns import COLUMNS, DECIMAL, INSTANT, columns_of
from api.exports.focus_file import ROW_GROUP, csv_chunks, decimal_text, instant_text, parquet_chunks
from api.kit.database import Row
from tests.api.conftest import AppStarter, Headers, execute

TENANT = "/api/billing/usage/export"
ROOT = "/api/admin/billing/usage/export"
NAMES = [name for name, _ in COLUMNS]


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_tenant_gets_its_own_charges_as_csv(client: TestClient, acme: Headers) -> None:
    answer = client.get(TENANT, params={"format": "focus", "range": "90d"}, headers=acme)
    rows = csv_rows(answer.text)
    assert list(rows[0]) == NAMES
    assert {row["SubAccountId"] for row in rows} == {"acme"}
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal("13.449")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="focus-acme-2026-08-23-2026-11-20.csv"'
    assert answer.headers["data-as-of"] == "2026-11-20T11:45:00Z"


def test_numbers_instants_nulls_and_formulas_of_the_csv(client: TestClient, acme: Headers) -> None:
    row = csv_rows(client.get(TENANT, params={"format": "focus"}, headers=acme).text)[0]
    assert (row["ConsumedQuantity"], row["BilledCost"], row["InvoiceId"]) == ("1000.0", "7.9", "")
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2026-10-31T00:00:00Z", "2026-11-01T00:00:00Z")
    assert row["SubAccountName"] == "'=Acme"


def test_parquet_has_the_same_rows_exact_and_typed(client: TestClient, acme: Headers) -> None:
    answer = client.get(TENANT, params={"format": "focus", "fileType": "parquet", "range": "90d"}, headers=acme)
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    table = pq.read_table(io.BytesIO(answer.content))
    text = client.get(TENANT, params={"format": "focus", "range": "90d"}, headers=acme).text
    assert table.column_names == NAMES
    assert str(table.schema.field("BilledCost").type) == "decimal128(38, 18)"
    assert str(table.schema.field("ChargePeriodStart").type) == "timestamp[us, tz=UTC]"
    assert [str(cost.normalize()) for cost in table["BilledCost"].to_pylist()] == [
        str(Decimal(row["BilledCost"]).normalize()) for row in csv_rows(text)
    ]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_later_version_is_asked_for_and_has_the_same_charges(client: TestClient, root: Headers, kind: str) -> None:
    def rows(spec: str) -> list[dict[str, Any]]:
        answer = client.get(ROOT, params={"fileType": kind, "spec": spec, "range": "90d"}, headers=root)
        if kind == "csv":
            return [{name: value or None for name, value in row.items()} for row in csv_rows(answer.text)]
        return list(pq.read_table(io.BytesIO(answer.content)).to_pylist())

    older, newer = rows("1.2"), rows("1.3")
    assert list(newer[0]) == [name for name, _ in columns_of("1.3")]
    assert [{name: row[name] for name in NAMES} for row in newer] == older
    for row in newer:
        assert row["ServiceProviderName"] == row["HostProviderName"] == row["ProviderName"]
        assert row["AllocatedTags"] is None
    allocated = {(row["BillingAccountId"], row["AllocatedMethodId"], row["AllocatedResourceId"]) for row in newer}
    assert ("twilio", None, None) in allocated
    assert {account for account, method, _ in allocated if method} <= {"openai", "anthropic"}


def test_the_owner_gets_all_tenants_and_nobody(client: TestClient, root: Headers) -> None:
    answer = client.get(ROOT, params={"range": "90d"}, headers=root)
    assert answer.headers["content-disposition"] == 'attachment; filename="focus-all-2026-08-23-2026-11-20.csv"'
    assert {row["SubAccountId"] for row in csv_rows(answer.text)} == {"acme", "bolt", "dune", "elm", "unattributed"}


def test_no_charges_are_a_file_without_rows(client: TestClient, root: Headers) -> None:
    parameters = {"format": "focus", "tenantId": "cobalt"}
    assert client.get(TENANT, params=parameters, headers=root).text == ",".join(NAMES) + "\r\n"
    answer = client.get(TENANT, params={**parameters, "fileType": "parquet"}, headers=root)
    assert pq.read_table(io.BytesIO(answer.content)).num_rows == 0


@pytest.mark.parametrize(
    ("path", "parameters", "field"),
    [
        (TENANT, {"format": "focus", "fileType": "xlsx"}, "fileType"),
        (TENANT, {"format": "csv", "fileType": "parquet"}, "fileType"),
        (TENANT, {"format": "focus", "from": "2026-11-20", "to": "2026-11-01"}, "from"),
        (TENANT, {"format": "csv", "spec": "1.3"}, "spec"),
        (TENANT, {"format": "focus", "spec": "1.4"}, "spec"),
        (ROOT, {"spec": "2"}, "spec"),
        (ROOT, {"format": "csv"}, "format"),
        (ROOT, {"range": "x"}, "range"),
    ],
)
def test_bad_input_is_422(client: TestClient, root: Headers, path: str, parameters: dict[str, str], field: str) -> None:
    chosen = {"tenantId": "acme"} if path == TENANT else {}
    answer = client.get(path, params={**chosen, **parameters}, headers=root)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_tenant_admin_cannot_have_all(client: TestClient, acme: Headers) -> None:
    assert client.get(ROOT, headers=acme).status_code == 403
    assert client.get(ROOT).status_code == 401
    assert client.get(TENANT, params={"format": "focus", "tenantId": "bolt"}, headers=acme).status_code == 404


def test_without_marts_it_is_503(own_database: str, start_app: AppStarter, root: Headers) -> None:
    execute(own_database, "drop table marts.focus_cost_and_usage")
    with start_app(own_database) as client:
        assert client.get(ROOT, headers=root).status_code == 503


def test_the_etag_tells_the_file_types_apart(client: TestClient, acme: Headers) -> None:
    etags = {
        client.get(TENANT, params={"format": "focus", "fileType": kind}, headers=acme).headers["etag"]
        for kind in ("csv", "parquet")
    }
    assert len(etags) == 2


def row_of(n: int) -> Row:
    made: dict[str, Any] = {}
    for name, kind in COLUMNS:
        made[name] = Decimal(n) if kind == DECIMAL else datetime(2026, 11, 1, tzinfo=UTC) if kind == INSTANT else f"{n}"
    return made


async def many(count: int, drawn: list[int]) -> AsyncIterator[Row]:
    for n in range(count):
        drawn.append(n)
        yield row_of(n)


@pytest.mark.parametrize("chunks", [csv_chunks, parquet_chunks])
def test_the_first_piece_is_sent_long_before_the_last_row_is_read(chunks: Any) -> None:
    import asyncio

    async def read() -> tuple[int, bytes]:
        drawn: list[int] = []
        pieces = chunks(many(3 * ROW_GROUP, drawn))
        first = await anext(pieces)
        seen = len(drawn)
        return seen, first + b"".join([piece async for piece in pieces])

    seen, whole = asyncio.run(read())
    assert seen <= ROW_GROUP
    if chunks is parquet_chunks:
        table = pq.read_table(io.BytesIO(whole))
        assert table["BilledCost"].to_pylist() == [Decimal(n) for n in range(3 * ROW_GROUP)]
    else:
        assert whole.count(b"\r\n") == 3 * ROW_GROUP + 1


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0", "0.0"),
        ("12", "12.0"),
        ("-1.50", "-1.5"),
        ("0E-18", "0.0"),
        ("0.000000037500000000", "0.0000000375"),
        ("1E+3", "1000.0"),
    ],
)
def test_decimals_have_a_point_and_no_exponent(number: str, text: str) -> None:
    assert decimal_text(Decimal(number)) == text


def test_instants_are_utc() -> None:
    assert instant_text(datetime.fromisoformat("2026-11-01T02:00:00+02:00")) == "2026-11-01T00:00:00Z"
