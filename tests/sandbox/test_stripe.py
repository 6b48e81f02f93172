"""Stripe's balance transactions as clients ask for them: pages, bounds, accounts, expansion, errors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from sandbox import Sandbox

from .conftest import FIRST, LAST, Http

PATH = "/v1/balance_transactions"
DAY = 86_400
START = int(datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC).timestamp())


def account_of(sandbox: Sandbox) -> str:
    account: str = sandbox.dataset.stripe_accounts[0]["id"]
    return account


def ask(http: Http, path: str = PATH, account: str | None = None, **params: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {http.environment['STRIPE_API_KEY']}"}
    if account:
        headers["Stripe-Account"] = account
    return requests.get(http.environment["STRIPE_BASE_URL"] + path, params=params, headers=headers, timeout=10)


def all_of(http: Http, account: str | None = None, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        body = ask(http, account=account, **params).json()
        found += body["data"]
        if not body["has_more"]:
            return found
        params["starting_after"] = body["data"][-1]["id"]


def test_pages_hold_every_transaction_of_the_platform_once_newest_first(http: Http) -> None:
    found = all_of(http, limit=7)
    stored = [one for one in http.sandbox.dataset.stripe_balance_transactions if one["account"] is None]
    assert sorted(one["id"] for one in found) == sorted(one["id"] for one in stored)
    assert [one["created"] for one in found] == sorted((one["created"] for one in found), reverse=True)


def test_a_connected_account_has_a_list_of_its_own(http: Http) -> None:
    account = account_of(http.sandbox)
    stored = {one["id"] for one in http.sandbox.dataset.stripe_balance_transactions if one["account"] == account}
    assert {one["id"] for one in all_of(http, account=account, limit=100)} == stored != set()
    assert not stored & {one["id"] for one in all_of(http, limit=100)}
    assert [one["id"] for one in ask(http, "/v1/accounts").json()["data"]] == [account]


@pytest.mark.parametrize(
    ("bounds", "first", "after"),
    [
        ({"created[gte]": START, "created[lt]": START + DAY}, START, START + DAY),
        ({"created[gt]": START - 1, "created[lte]": START + DAY - 1}, START, START + DAY),
    ],
)
def test_bounds_are_unix_seconds(http: Http, bounds: dict[str, int], first: int, after: int) -> None:
    found = {one["id"] for one in all_of(http, limit=100, **bounds)}
    assert found == {
        one["id"]
        for one in http.sandbox.dataset.stripe_balance_transactions
        if one["account"] is None and first <= one["created"] < after
    }


def test_the_source_is_an_id_unless_expanded_and_the_account_is_never_said(http: Http) -> None:
    (plain,) = ask(http, limit=1, type="charge").json()["data"]
    (expanded,) = ask(http, limit=1, type="charge", **{"expand[]": "data.source"}).json()["data"]
    assert plain["source"] == expanded["source"]["id"]
    assert plain["source"].startswith("ch_")
    assert "account" not in plain
    assert ask(http, f"{PATH}/{plain['id']}").json() == plain


def test_a_transaction_is_there_from_its_time_and_pending_until_available(own: Sandbox, own_http: Http) -> None:
    one = next(one for one in own.dataset.stripe_balance_transactions if one["type"] == "charge" and not one["account"])
    created = datetime.fromtimestamp(one["created"], UTC)
    for now, status in (
        (created - timedelta(seconds=1), None),
        (created, "pending"),
        (created + timedelta(days=2), "available"),
    ):
        own.now = now
        found = {each["id"]: each["status"] for each in all_of(own_http, limit=100)}
        assert found.get(one["id"]) == status


@pytest.mark.parametrize(
    ("params", "account", "status", "code"),
    [
        ({"limit": 101}, None, 400, "parameter_invalid_integer"),
        ({"starting_after": "txn_none"}, None, 400, "resource_missing"),
        ({"expand[]": "data.customer"}, None, 400, None),
        ({}, "acct_unknown", 403, "account_invalid"),
    ],
)
def test_refusals(http: Http, params: dict[str, Any], account: str | None, status: int, code: str | None) -> None:
    answer = ask(http, account=account, **params)
    assert (answer.status_code, answer.json()["error"].get("code")) == (status, code)


def test_the_key_is_looked_at(http: Http) -> None:
    url = http.environment["STRIPE_BASE_URL"] + PATH
    assert requests.get(url, timeout=10).status_code == 401
    assert requests.get(url, auth=(http.environment["STRIPE_API_KEY"], ""), timeout=10).status_code == 200


def test_failures_are_stripes_own(own: Sandbox, own_http: Http) -> None:
    own.faults.add(PATH, status=429)
    failed = ask(own_http)
    assert (failed.status_code, failed.json()["error"]["code"]) == (429, "rate_limit")


def test_the_generated_data_show_each_way_of_attribution(http: Http) -> None:
    charges = [one for one in http.sandbox.dataset.stripe_balance_transactions if one["type"] == "charge"]
    assert {one["account"] is None for one in charges} == {True, False}
    assert any(one["source"]["transfer_data"] for one in charges)
    assert any(one["source"]["metadata"].get("tenant_id") for one in charges)
    assert any(not one["source"]["metadata"] and not one["account"] for one in charges)
    assert any(one["exchange_rate"] and one["source"]["currency"] == "eur" for one in charges)
    kinds = {one["type"] for one in http.sandbox.dataset.stripe_balance_transactions}
    assert kinds == {"charge", "refund", "adjustment", "stripe_fee"}
    assert all(one["net"] == one["amount"] - one["fee"] for one in http.sandbox.dataset.stripe_balance_transactions)
    assert LAST > FIRST
