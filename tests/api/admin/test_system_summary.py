"""`/api/admin/billing/usage/system-summary` and its two aliases; `/api/admin/usage`."""

from __future__ import annotations

import base64
import csv
import io
import json
import random
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from pydantic.alias_generators import to_camel

from api.admin.alerts import AlertList
from api.admin.service import CLIENT_SORT_KEYS, SORT_KEYS
from api.kit.pagination import Cursor, encode
from tests.api.conftest import AppStarter, Headers, execute

SYSTEM = "/api/admin/billing/usage/system-summary"
CLIENTS = "/api/admin/usage"


def system(client: TestClient, headers: Headers, **parameters: Any) -> dict[str, Any]:
    answer = client.get(SYSTEM, params=parameters, headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def ids(body: dict[str, Any]) -> list[str]:
    return [item["tenantId"] for item in body["items"]]


@pytest.mark.parametrize("path", [SYSTEM, CLIENTS])
def test_anonymous_is_401_and_a_tenant_403(client: TestClient, acme: Headers, path: str) -> None:
    assert client.get(path).status_code == 401
    assert client.get(path, headers=acme).status_code == 403


@pytest.mark.parametrize("path", ["/api/admin/billing/usage/tenants", "/api/root-admin/usage/tenants"])
def test_the_aliases_give_the_same(client: TestClient, root: Headers, path: str) -> None:
    assert client.get(path, headers=root).json() == system(client, root)


def test_every_tenant_is_listed_by_cost_with_unattributed(client: TestClient, root: Headers) -> None:
    body = system(client, root)
    assert ids(body) == ["acme", "dune", "unattributed", "cobalt", "elm", "bolt"]
    assert (body["period"], body["nextCursor"], body["dataAsOf"]) == ("2026-11", None, "2026-11-20T11:45:00Z")


def test_a_row(client: TestClient, root: Headers) -> None:
    assert system(client, root)["items"][0] == {
        "tenantId": "acme",
        "tenantName": "Acme Homes",
        "plan": "pro",
        "planLabel": "Pro",
        "accountStatus": "active",
        "smsUsed": 650,
        "mmsUsed": 0,
        "voiceMinutesUsed": 12.5,
        "emailsSent": 0,
        "aiTokensUsed": 2010,
        "aiRequests": 5,
        "status": "warning",
        "estimatedCostCents": 532,
        "estimatedCostUsd": "5.315",
        "aiPercentOfSpend": 0.1,
        "twilioPercentOfSpend": 99.9,
        "costChangePercent": -33.1,
        "projectedCostCents": 811,
        "projectedCostUsd": "8.105263157894736842",
        "marginCents": 9418,
        "marginUsd": "94.185",
        "ownCostCents": 556,
        "ownCostUsd": "5.564",
        "sharedCostCents": 0,
        "sharedCostUsd": "0",
        "fullCostCents": 556,
        "fullCostUsd": "5.564",
        "fullMarginCents": 9394,
        "fullMarginUsd": "93.936",
        "adjustmentCents": 0,
        "adjustmentUsd": "0",
        "unpricedUnitCount": 10,
        "unpricedUnits": [{"unit": "tokens", "quantity": 10}],
    }


def test_a_tenant_without_usage_costs_nothing(client: TestClient, root: Headers) -> None:
    [cobalt] = system(client, root, search="cobalt")["items"]
    assert (cobalt["estimatedCostUsd"], cobalt["projectedCostCents"], cobalt["status"]) == ("0", 0, "ok")
    assert (cobalt["marginUsd"], cobalt["costChangePercent"]) == ("499", None)
    assert cobalt["aiPercentOfSpend"] is None


def test_what_nobody_owns_is_shared_and_the_sum_is_the_providers(client: TestClient, root: Headers) -> None:
    body = system(client, root)
    rows = {item["tenantId"]: item for item in body["items"]}
    assert (rows["dune"]["ownCostUsd"], rows["dune"]["sharedCostUsd"], rows["dune"]["fullCostUsd"]) == (
        "0.03",
        "0.005",
        "0.035",
    )
    assert (rows["unattributed"]["sharedCostUsd"], rows["unattributed"]["fullCostUsd"]) == ("-0.005", "0")
    assert rows["cobalt"]["fullMarginUsd"] == "499"
    assert (rows["bolt"]["fullCostCents"], rows["bolt"]["fullMarginCents"]) == (None, None)
    totals = body["totals"]
    assert (totals["ownCostUsd"], totals["sharedCostUsd"], totals["fullCostUsd"]) == ("5.599", "0", "5.599")
    assert ids(system(client, root, sort="fullMarginCents"))[:3] == ["cobalt", "elm", "acme"]


def test_an_unpriced_tenant_is_null_and_last(client: TestClient, root: Headers) -> None:
    bolt = system(client, root)["items"][-1]
    assert (bolt["tenantId"], bolt["estimatedCostCents"], bolt["marginCents"]) == ("bolt", None, None)
    assert (bolt["aiTokensUsed"], bolt["unpricedUnitCount"]) == (77, 77)


def test_totals_are_of_all_and_lose_nobody(client: TestClient, root: Headers) -> None:
    totals = system(client, root)["totals"]
    assert (totals["tenants"], totals["overCapTenants"], totals["warningTenants"]) == (6, 1, 1)
    assert (totals["estimatedCostUsd"], totals["estimatedCostCents"]) == ("5.35", 535)
    assert (totals["smsUsed"], totals["aiTokensUsed"], totals["emailsSent"]) == (650, 2087, 35)
    assert system(client, root, limit=1)["totals"] == totals


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"plan": "pro"}, {"acme", "elm"}),
        ({"plan": "pro,starter"}, {"acme", "elm", "bolt"}),
        ({"plan": " pro , ,"}, {"acme", "elm"}),
        ({"plan": ""}, {"acme", "bolt", "cobalt", "dune", "elm", "unattributed"}),
        ({"plan": "no-such-plan"}, set()),
        ({"status": "warning"}, {"acme"}),
        ({"status": "warning,over_cap"}, {"acme", "bolt"}),
        ({"search": "ACME"}, {"acme"}),
        ({"search": "(no plan)"}, {"dune"}),
        ({"search": "%"}, set()),
        ({"search": ""}, {"acme", "bolt", "cobalt", "dune", "elm", "unattributed"}),
        ({"search": "_"}, set()),
        ({"minAiSharePercent": "0.05"}, {"acme"}),
        ({"minAiSharePercent": "50"}, set()),
        ({"period": "2026-10", "status": "warning"}, {"acme"}),
        ({"plan": "pro", "status": "ok", "search": "elm"}, {"elm"}),
    ],
)
def test_filters(client: TestClient, root: Headers, parameters: dict[str, str], expected: set[str]) -> None:
    body = system(client, root, **parameters)
    assert set(ids(body)) == expected
    assert body["totals"]["tenants"] == len(expected)


def test_totals_of_nobody(client: TestClient, root: Headers) -> None:
    totals = system(client, root, plan="no-such-plan")["totals"]
    assert (totals["estimatedCostUsd"], totals["smsUsed"], totals["marginCents"]) == ("0", 0, None)


@pytest.mark.parametrize("sort", SORT_KEYS)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_every_column_sorts_and_pages_without_gaps_or_repeats(
    client: TestClient, root: Headers, sort: str, order: str
) -> None:
    whole = system(client, root, sort=sort, order=order)["items"]
    values = [item[sort] for item in whole]
    known = [value for value in values if value is not None]
    if sort not in ("status", "tenantName"):
        assert values == sorted(known, reverse=order == "desc") + [None] * (len(values) - len(known))
    for limit in (1, 2, 4):
        seen: list[Any] = []
        parameters = {"sort": sort, "order": order, "limit": limit}
        page = system(client, root, **parameters)
        seen += page["items"]
        while page["nextCursor"]:
            page = system(client, root, **parameters, cursor=page["nextCursor"])
            seen += page["items"]
        assert seen == whole


def test_status_sorts_by_severity(client: TestClient, root: Headers) -> None:
    assert ids(system(client, root, sort="status"))[:2] == ["bolt", "acme"]


def test_pages_are_stable_under_ties_and_change(own_database: str, start_app: AppStarter, root: Headers) -> None:
    execute(
        own_database,
        "insert into marts.tenants"
        " select 'tie-' || lpad(n::text, 3, '0'), 'Tie', 'pro', 'Pro', 1, 'active', false"
        " from generate_series(1, 120) n",
    )
    with start_app(own_database) as client:
        whole = ids(system(client, root, limit=500))
        first = system(client, root, limit=50)
        # A tenant of the first page goes and a dear one comes: the second page does not move.
        execute(
            own_database,
            "delete from marts.tenants where tenant_id = 'tie-001'",
            "insert into marts.tenants values ('aaa-new', 'New', null, null, null, 'active', false)",
            "insert into marts.tenant_monthly (tenant_id, month, total_cost_cents, total_messages,"
            " total_ai_calls, total_voice_minutes, total_emails, usage_status, unpriced_unit_count)"
            " values ('aaa-new', '2026-11', 99999, 0, 0, 0, 0, 'ok', 0)",
        )
        second = system(client, root, limit=50, cursor=first["nextCursor"])
        third = system(client, root, limit=50, cursor=second["nextCursor"])
    assert ids(first) + ids(second) + ids(third) == whole
    assert len(whole) == 126


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"limit": "501"}, "limit"),
        ({"limit": "0"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"order": "up"}, "order"),
        ({"sort": "tenant_id; drop table"}, "sort"),
        ({"status": "ok,fine"}, "status"),
        ({"minAiSharePercent": "101"}, "minAiSharePercent"),
        ({"minAiSharePercent": "NaN"}, "minAiSharePercent"),
        ({"period": "2026-12"}, "period"),
        ({"search": "a\0b"}, "search"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": base64.urlsafe_b64encode(b'["a","b","NaN",null]').decode()}, "cursor"),
        ({"cursor": base64.urlsafe_b64encode(json.dumps(["a", 1, None, {}]).encode()).decode()}, "cursor"),
        ({"cursor": base64.urlsafe_b64encode(b"7").decode()}, "cursor"),
        ({"cursor": base64.urlsafe_b64encode(b"[" * 3_000).decode()}, "cursor"),
    ],
)
def test_bad_input_is_422_naming_the_field(
    client: TestClient, root: Headers, parameters: dict[str, str], field: str
) -> None:
    answer = client.get(SYSTEM, params=parameters, headers=root)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


LISTS = (SYSTEM, "/api/admin/usage", "/api/admin/usage/reconciliation", "/api/admin/usage/alerts")


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("index", "value"),
    [
        (1, "\ud800"),
        (1, "a\0"),
        (1, 7),
        (2, "1e999999999"),
        (2, "-1e200000"),
        (2, "1e400000"),
        (2, ["0"]),
        (2, 1e300),
        (2, True),
        (2, "99999999999999999999"),
        (3, "\ud800"),
        (3, ["x"]),
        (3, "2026-02-30 sms"),
        (3, "x"),
    ],
)
def test_a_cursor_that_was_tampered_with_is_422_or_another_place(
    client: TestClient, root: Headers, path: str, index: int, value: object
) -> None:
    if path.endswith("alerts"):  # the seeded world has none
        given = encode(Cursor("1", Decimal(-1)), AlertList().fingerprint())
    else:
        given = client.get(path, params={"limit": 1}, headers=root).json()["nextCursor"]
    assert client.get(path, params={"limit": 1, "cursor": given}, headers=root).status_code == 200
    parts = json.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    parts[index] = value
    tampered = base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")
    answer = client.get(path, params={"limit": 1, "cursor": tampered}, headers=root)
    assert answer.status_code in (200, 422), answer.text


def test_a_cursor_belongs_to_its_list(client: TestClient, root: Headers) -> None:
    cursor = system(client, root, limit=1)["nextCursor"]
    for other in ({"sort": "smsUsed"}, {"order": "asc"}, {"plan": "pro"}, {"period": "2026-10"}):
        answer = client.get(SYSTEM, params={**other, "cursor": cursor}, headers=root)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "cursor"
    assert ids(system(client, root, limit=2, cursor=cursor)) == ["dune", "unattributed"]


def test_the_plans_to_filter_by_do_not_depend_on_the_filters(client: TestClient, root: Headers) -> None:
    plans = [
        {"name": "pro", "label": "Pro", "tenants": 2},
        {"name": "agency", "label": "Agency", "tenants": 1},
        {"name": "starter", "label": "Starter", "tenants": 1},
    ]
    assert system(client, root)["plans"] == system(client, root, plan="pro", search="x")["plans"] == plans


def test_what_has_no_price_is_told_by_kind(own_database: str, start_app: AppStarter, root: Headers) -> None:
    execute(
        own_database,
        'update marts.tenant_monthly set unpriced_unit_count = null, unpriced_units = \'{"tokens": 10, "images": 2453}\''
        " where tenant_id = 'acme' and month = '2026-11'",
    )
    with start_app(own_database) as client:
        body = system(client, root)
    acme = next(item for item in body["items"] if item["tenantId"] == "acme")
    assert (acme["unpricedUnitCount"], body["totals"]["unpricedUnitCount"]) == (None, None)
    assert acme["unpricedUnits"] == [{"unit": "images", "quantity": 2453}, {"unit": "tokens", "quantity": 10}]
    # bolt's 77 tokens are beside them.
    assert body["totals"]["unpricedUnits"] == [{"unit": "images", "quantity": 2453}, {"unit": "tokens", "quantity": 87}]


class TestExport:
    EXPORT = f"{SYSTEM}/export"

    def rows(self, client: TestClient, root: Headers, **parameters: str) -> list[dict[str, str]]:
        answer = client.get(self.EXPORT, params=parameters, headers=root)
        assert answer.status_code == 200, answer.text
        return list(csv.DictReader(io.StringIO(answer.text)))

    def test_it_is_the_whole_list_in_its_order_with_its_figures(self, client: TestClient, root: Headers) -> None:
        items = system(client, root, sort="smsUsed", order="asc")["items"]
        rows = self.rows(client, root, sort="smsUsed", order="asc", limit="1")
        assert [row["tenant_id"] for row in rows] == [item["tenantId"] for item in items]
        for row, item in zip(rows, items, strict=True):
            for name, text in row.items():
                value = item[to_camel(name)]
                if isinstance(value, list):
                    value = "; ".join(f"{part['quantity']} {part['unit']}" for part in value)
                assert text == ("" if value is None else str(value)), name

    def test_filters_hold(self, client: TestClient, root: Headers) -> None:
        assert {row["tenant_id"] for row in self.rows(client, root, status="warning,over_cap")} == {"acme", "bolt"}

    def test_it_is_a_file_that_says_how_fresh_it_is(self, client: TestClient, root: Headers) -> None:
        answer = client.get(self.EXPORT, params={"period": "2026-10"}, headers=root)
        assert answer.headers["content-disposition"] == 'attachment; filename="system-usage-2026-10.csv"'
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["data-as-of"] == "2026-11-20T11:45:00Z"

    def test_a_name_that_would_be_a_formula_is_neutralised(
        self, own_database: str, start_app: AppStarter, root: Headers
    ) -> None:
        execute(own_database, "update marts.tenants set name = '=HYPERLINK(\"x\")' where tenant_id = 'acme'")
        with start_app(own_database) as client:
            assert self.rows(client, root, search="acme")[0]["tenant_name"] == '\'=HYPERLINK("x")'

    def test_a_tenant_is_403_and_bad_input_422(self, client: TestClient, acme: Headers, root: Headers) -> None:
        assert client.get(self.EXPORT, headers=acme).status_code == 403
        assert client.get(self.EXPORT, params={"sort": "x"}, headers=root).status_code == 422


def test_the_owner_s_queries_are_planned_each_time(
    own_database: str, start_app: AppStarter, root: Headers, acme: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL would keep a plan after some runs, and of a query over all tenants a bad one (`make bench ARGS=pages` has the times)."""
    monkeypatch.setattr("api.kit.database.POOL_SIZE", 1)
    with start_app(own_database) as client:

        def kept(table: str) -> list[str]:
            async def read() -> list[dict[str, Any]]:
                reader = client.app.state.services.database.root()  # type: ignore[attr-defined]
                rows: list[dict[str, Any]] = await reader.rows(
                    "select statement from pg_prepared_statements where statement like %(like)s", like=f"%{table}%"
                )
                return rows

            assert client.portal is not None
            return [row["statement"] for row in client.portal.call(read)]

        for _ in range(10):
            system(client, root)
            assert client.get("/api/billing/usage/status", headers=acme).status_code == 200
        assert kept("ops.limits_of"), "the pool's one connection keeps what a tenant asks often"
        assert not kept("marts.tenant_monthly")


class TestClients:
    def test_costs_by_service(self, client: TestClient, root: Headers) -> None:
        body = client.get(CLIENTS, headers=root).json()
        assert body["month"] == "2026-11"
        assert body["clients"][0] == {
            "tenantId": "acme",
            "tenantName": "Acme Homes",
            "plan": "pro",
            "planLabel": "Pro",
            "accountStatus": "active",
            "status": "warning",
            "openaiCostCents": 0,
            "openaiCostUsd": "0.005",
            "twilioSmsCostCents": 514,
            "twilioSmsCostUsd": "5.135",
            "twilioVoiceCostCents": 18,
            "twilioVoiceCostUsd": "0.175",
            **{
                f"{service}Cost{unit}": nothing
                for service in ("twilioPhone", "sendgrid", "stripe", "googlePlaces", "storage", "other")
                for unit, nothing in (("Cents", 0), ("Usd", "0"))
            },
            "totalCostCents": 532,
            "totalCostUsd": "5.315",
            "adjustmentCents": 0,
            "adjustmentUsd": "0",
            "totalMessages": 500,
            "totalAiCalls": 5,
            "costChangePercent": -33.1,
            "projectedCostCents": 811,
            "projectedCostUsd": "8.105263157894736842",
            "marginCents": 9418,
            "marginUsd": "94.185",
            "unpricedUnitCount": 10,
            "unpricedUnits": [{"unit": "tokens", "quantity": 10}],
        }
        totals = body["totals"]
        assert (totals["sendgridCostUsd"], totals["unpricedUnits"]) == ("0.035", [{"unit": "tokens", "quantity": 87}])
        assert (totals["totalCostUsd"], totals["openaiCostUsd"], totals["twilioSmsCostUsd"]) == (
            "5.35",
            "0.005",
            "5.135",
        )
        assert (totals["totalMessages"], totals["totalAiCalls"], totals["marginUsd"]) == (500, 12, "692.685")

    def test_the_average_is_the_active_clients_and_what_nobody_owns_is_none(
        self, client: TestClient, root: Headers
    ) -> None:
        totals = client.get(CLIENTS, headers=root).json()["totals"]
        assert (totals["clients"], totals["activeClients"]) == (5, 3)
        # 5.345 of acme, bolt and dune; half a cent belongs to nobody.
        assert (totals["averageCostCents"], totals["averageCostUsd"][:6]) == (178, "1.7816")
        nobody = client.get(CLIENTS, params={"search": "cobalt"}, headers=root).json()["totals"]
        assert (nobody["activeClients"], nobody["averageCostCents"], nobody["totalCostCents"]) == (0, None, 0)

    @pytest.mark.parametrize("sort", CLIENT_SORT_KEYS)
    @pytest.mark.parametrize("order", ["asc", "desc"])
    def test_every_column_sorts_and_pages(self, client: TestClient, root: Headers, sort: str, order: str) -> None:
        parameters = {"sort": sort, "order": order}
        whole = client.get(CLIENTS, params=parameters, headers=root).json()["clients"]
        values = [row[sort] for row in whole]
        known = [value for value in values if value is not None]
        if sort not in ("status", "tenantName"):
            assert values == sorted(known, reverse=order == "desc") + [None] * (len(values) - len(known))
        seen: list[Any] = []
        cursor: str | None = None
        while True:
            page = client.get(
                CLIENTS, params={**parameters, "limit": 4, **({"cursor": cursor} if cursor else {})}, headers=root
            ).json()
            seen += page["clients"]
            if (cursor := page["nextCursor"]) is None:
                break
        assert seen == whole

    def test_a_search_is_of_names_and_ids(self, client: TestClient, root: Headers) -> None:
        body = client.get(CLIENTS, params={"search": "ELM"}, headers=root).json()
        assert ([row["tenantId"] for row in body["clients"]], body["totals"]["clients"]) == (["elm"], 1)

    def test_an_unknown_sort_is_422(self, client: TestClient, root: Headers) -> None:
        answer = client.get(CLIENTS, params={"sort": "smsUsed"}, headers=root)
        assert [error["field"] for error in answer.json()["errors"]] == ["sort"]

    def test_an_earlier_month(self, client: TestClient, root: Headers) -> None:
        body = client.get(CLIENTS, params={"month": "2026-10"}, headers=root).json()
        assert [row["tenantId"] for row in body["clients"]][:2] == ["acme", "elm"]
        assert body["totals"]["totalCostUsd"] == "7.9479"

    @pytest.mark.parametrize("month", ["2026-12", "october", "2026-13"])
    def test_a_bad_month_is_422(self, client: TestClient, root: Headers, month: str) -> None:
        answer = client.get(CLIENTS, params={"month": month}, headers=root)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["month"]

    def test_it_pages(self, client: TestClient, root: Headers) -> None:
        first = client.get(CLIENTS, params={"limit": 4}, headers=root).json()
        second = client.get(CLIENTS, params={"limit": 4, "cursor": first["nextCursor"]}, headers=root).json()
        assert [row["tenantId"] for row in first["clients"] + second["clients"]] == [
            "acme",
            "dune",
            "unattributed",
            "cobalt",
            "elm",
            "bolt",
        ]
        assert second["nextCursor"] is None
        assert first["totals"] == second["totals"]


@pytest.mark.parametrize(
    ("sms", "voice", "percents"),
    [
        ("5.135", "null", (96.6, 96.6)),
        ("null", "null", (None, 0.0)),
        ("0", "null", (None, 0.0)),
        ("0", "0", (0.0, 0.0)),
    ],
)
def test_a_service_without_any_price_hides_no_other(
    own_database: str, start_app: AppStarter, root: Headers, sms: str, voice: str, percents: tuple[float | None, float]
) -> None:
    execute(
        own_database,
        "update marts.tenant_monthly set twilio_sms_cost_cents = 0, twilio_voice_cost_cents = 0, twilio_phone_cost_cents = 0",
        f"update marts.tenant_monthly set twilio_sms_cost_cents = {sms} * 100, twilio_voice_cost_cents = {voice}"
        " where tenant_id = 'acme' and month = '2026-11'",
    )
    with start_app(own_database) as client:
        body = system(client, root, search="acme")
    assert (body["items"][0]["twilioPercentOfSpend"], body["totals"]["twilioPercentOfSpend"]) == percents


def test_the_share_of_ai_is_of_all_servers(own_database: str, start_app: AppStarter, root: Headers) -> None:
    """OpenAI's column has OpenAI's cost; what Azure did is AI, too."""
    execute(
        own_database,
        "update marts.tenant_monthly set total_cost_cents = 400, openai_cost_cents = 0, other_cost_cents = 300"
        " where tenant_id = 'acme' and month = '2026-11'",
        "update marts.usage_monthly set estimated_cost_cents = 300"
        " where tenant_id = 'acme' and month = '2026-11' and channel = 'ai'",
    )
    with start_app(own_database) as client:
        body = system(client, root, search="acme")
        clients = client.get(CLIENTS, params={"month": "2026-11"}, headers=root).json()["clients"]
    assert (body["items"][0]["aiPercentOfSpend"], body["totals"]["aiPercentOfSpend"]) == (75.0, 75.0)
    assert [row["openaiCostUsd"] for row in clients if row["tenantId"] == "acme"] == ["0"]


def test_totals_and_pages_are_the_sums_of_any_world(own_database: str, start_app: AppStarter, root: Headers) -> None:
    chance = random.Random(15)
    tenants = [f"random-{number}" for number in range(70)]
    channels = ("sms", "mms", "voice", "email", "ai", "storage")

    def amount(unknown: float = 0.3) -> Decimal | None:
        return None if chance.random() < unknown else Decimal(chance.randint(0, 3) * chance.randint(0, 10**9)) / 10**6

    # By tenant: what each mart has of it, if anything.
    used = {
        (tenant, channel): (amount(0) or Decimal(0), chance.randint(0, 9), amount())
        for tenant in tenants
        for channel in channels
        if chance.random() < 0.5
    }
    twilio = {tenant: (amount(), amount(), amount()) for tenant in tenants if chance.random() < 0.8}
    whole = {tenant: amount() for tenant in twilio}
    kinds = {tenant: {"tokens": chance.randint(1, 9)} if chance.random() < 0.3 else {} for tenant in twilio}
    shared = {tenant: amount(0) or Decimal(0) for tenant in tenants if chance.random() < 0.8}
    with psycopg.connect(own_database) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into marts.tenants (tenant_id, name, plan, monthly_base_price_usd, status, usage_hard_stop_enabled) "
            "values (%s, 'Random', 'pro', 99, 'active', false)",
            [(tenant,) for tenant in tenants],
        )
        cursor.executemany(
            "insert into marts.usage_monthly (tenant_id, month, channel, unit, unit_count, request_count, "
            "estimated_cost_cents, unpriced_unit_count) values (%s, '2026-11', %s, 'units', %s, %s, %s, 0)",
            [(*key, *values) for key, values in used.items()],
        )
        cursor.executemany(
            "insert into marts.tenant_monthly (tenant_id, month, twilio_sms_cost_cents, twilio_voice_cost_cents, "
            "twilio_phone_cost_cents, total_cost_cents, total_messages, total_ai_calls, total_voice_minutes, "
            "total_emails, usage_status, unpriced_units) values (%s, '2026-11', %s, %s, %s, %s, 0, 0, 0, 0, 'ok', %s)",
            [(tenant, *twilio[tenant], whole[tenant], json.dumps(kinds[tenant])) for tenant in twilio],
        )
        cursor.executemany(
            "insert into marts.tenant_margin_monthly (tenant_id, month, billed_cost_cents, shared_cost_cents, "
            "unpriced_unit_count) values (%s, '2026-11', 0, %s, 0)",
            list(shared.items()),
        )

    def added(parts: Iterable[Decimal | None]) -> Decimal:
        return sum((part for part in parts if part is not None), Decimal(0))

    # What has no price hides none of what has; nothing used beside it is not the whole cost.
    of_twilio = {
        tenant: None if None in parts and not added(parts) else added(parts) for tenant, parts in twilio.items()
    }
    with start_app(own_database) as client:
        pages, cursor_text = [], None
        while not pages or cursor_text:
            page = system(client, root, search="random-", limit=20, **({"cursor": cursor_text} if cursor_text else {}))
            pages.append(page)
            cursor_text = page["nextCursor"]
    totals = pages[0]["totals"]
    assert all(page["totals"] == totals for page in pages)
    items = {item["tenantId"]: item for page in pages for item in page["items"]}
    assert sorted(items) == sorted(tenants)
    for channel, field in (("sms", "smsUsed"), ("voice", "voiceMinutesUsed"), ("ai", "aiTokensUsed")):
        for tenant in tenants:
            assert items[tenant][field] == pytest.approx(float(used.get((tenant, channel), (0,))[0]), abs=1e-9)
        assert totals[field] == pytest.approx(
            float(added(units for (_, name), (units, *_) in used.items() if name == channel))
        )
    assert totals["aiRequests"] == sum(requests for (_, name), (_, requests, _) in used.items() if name == "ai")
    ai = added(cost for (_, name), (*_, cost) in used.items() if name == "ai")
    assert Decimal(totals["estimatedCostUsd"]) * 100 == added(whole.values())
    assert totals["aiPercentOfSpend"] == pytest.approx(float(100 * ai / added(whole.values())), abs=0.05)
    assert totals["twilioPercentOfSpend"] == pytest.approx(
        float(100 * added(of_twilio.values()) / added(whole.values())), abs=0.05
    )
    for tenant in tenants:
        part, all_of_it = of_twilio.get(tenant), whole.get(tenant)
        expected = None if part is None or not all_of_it else float(100 * part / all_of_it)
        assert items[tenant]["twilioPercentOfSpend"] == (
            None if expected is None else pytest.approx(expected, abs=0.05)
        )
    assert Decimal(totals["sharedCostUsd"]) * 100 == added(shared.values())
    tokens = sum(kind.get("tokens", 0) for kind in kinds.values())
    assert totals["unpricedUnits"] == [{"unit": "tokens", "quantity": tokens}]
