"""Stripe: whose list, which day, exact minor units, and nothing of a customer."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ingestion.windows import Window
from tests.ingestion.ingesting import DAY, WINDOW, Ingest

TABLE = "stripe_balance_transactions"
ONE_DAY = Window.of_days(DAY, DAY)
LISTS = "/v1/balance_transactions"


def seconds(day: date, hour: int = 0) -> int:
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp())


def transaction(**values: Any) -> dict[str, Any]:
    return {
        "id": "txn_1",
        "object": "balance_transaction",
        "account": None,
        "amount": 1000,
        "available_on": seconds(DAY, 12),
        "created": seconds(DAY, 10),
        "currency": "usd",
        "exchange_rate": None,
        "fee": 59,
        "fee_details": [{"amount": 59, "currency": "usd", "type": "stripe_fee"}],
        "net": 941,
        "reporting_category": "charge",
        "source": None,
        "status": "available",
        "type": "charge",
        **values,
    }


def charge(**values: Any) -> dict[str, Any]:
    return {"id": "ch_1", "object": "charge", "currency": "usd", "metadata": {}, **values}


@pytest.fixture
def alone(ingest: Ingest) -> Ingest:
    """A Stripe without accounts and transactions, but those that a test puts there."""
    ingest.sandbox.dataset.stripe_accounts.clear()
    ingest.sandbox.dataset.stripe_balance_transactions.clear()
    return ingest


def own(ingest: Ingest, account: str) -> None:
    ingest.query(
        "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id) values ('acme', 'stripe', 'account', %s)",
        account,
    )


@pytest.mark.usefixtures("by_dlt")
def test_every_transaction_of_every_account_is_stored_once(ingest: Ingest) -> None:
    result = ingest.run("stripe")
    assert (result.status, result.error) == ("ok", None)
    data = ingest.sandbox.dataset.stripe_balance_transactions
    wanted = sorted((one["account"] or "platform", one["id"], one["amount"], one["fee"], one["net"]) for one in data)
    found = ingest.query(f"select account_id, id, amount_minor, fee_minor, net_minor from raw.{TABLE}")
    assert sorted(found) == wanted != []
    days = {datetime.fromtimestamp(one["created"], UTC).date() for one in data}
    assert ingest.days(TABLE).keys() == days
    assert len(days) > 1
    before = ingest.stored(TABLE)
    assert ingest.run("stripe").status == "ok"
    assert ingest.stored(TABLE) == before


def test_the_day_is_asked_for_half_open_with_its_sources(ingest: Ingest) -> None:
    ingest.run("stripe", ONE_DAY)
    requests = [request for request in ingest.sandbox.requests if LISTS in request]
    assert len(requests) == 2  # the platform's and the connected account's
    for request in requests:
        for part in (
            f"created[gte]={seconds(DAY)}",
            f"created[lt]={seconds(DAY + timedelta(days=1))}",
            "limit=100",
            "expand[]=data.source",
        ):
            assert part in request


def test_pages_are_followed_and_what_stands_on_two_counts_once(alone: Ingest) -> None:
    alone.sandbox.put(
        TABLE, *(transaction(id=f"txn_{number:03}", created=seconds(DAY) + number) for number in range(250))
    )
    assert alone.run("stripe", ONE_DAY).tables[TABLE].rows == 250
    assert sum(LISTS in request for request in alone.sandbox.requests) == 3
    twice = {"object": "list", "data": [transaction(), transaction()], "has_more": False}
    alone.sandbox.faults.add(LISTS, status=200, body=twice)
    assert alone.run("stripe", ONE_DAY).tables[TABLE].rows == 1


@pytest.mark.usefixtures("by_dlt")
def test_fields_are_kept_exactly(alone: Ingest) -> None:
    source = charge(currency="EUR", metadata={"tenant_id": "acme", "email": "a@example.com"}, on_behalf_of=None)
    alone.sandbox.put(TABLE, transaction(exchange_rate=Decimal("1.084210000000000001"), source=source, currency="USD"))
    assert alone.run("stripe", ONE_DAY).status == "ok"
    assert alone.query(
        "select usage_date, type, reporting_category, status, currency, exchange_rate, source_id, source_currency, charge_id,"
        f" connected_account_id, metadata_tenant_id, created from raw.{TABLE}"
    ) == [
        (
            DAY,
            *(
                "charge",
                "charge",
                "available",
                "usd",
                Decimal("1.084210000000000001"),
                "ch_1",
                "eur",
                "ch_1",
                None,
                "acme",
            ),
            datetime(DAY.year, DAY.month, DAY.day, 10, tzinfo=UTC),
        )
    ]


@pytest.mark.parametrize(
    ("source", "connected", "of_charge"),
    [
        pytest.param(charge(transfer_data={"destination": "acct_1"}), "acct_1", "ch_1", id="destination charge"),
        pytest.param(
            charge(transfer_data={"destination": {"id": "acct_1"}}), "acct_1", "ch_1", id="expanded destination"
        ),
        pytest.param(charge(on_behalf_of="acct_2"), "acct_2", "ch_1", id="on behalf of"),
        pytest.param({"id": "tr_1", "object": "transfer", "destination": "acct_3"}, "acct_3", None, id="transfer"),
        pytest.param(
            {"id": "fee_1", "object": "application_fee", "account": "acct_4", "charge": "ch_9"},
            "acct_4",
            "ch_9",
            id="application fee",
        ),
        pytest.param({"id": "re_1", "object": "refund", "charge": "ch_7"}, None, "ch_7", id="refund"),
        pytest.param(
            {"id": "dp_1", "object": "dispute", "charge": {"id": "ch_8"}}, None, "ch_8", id="dispute, expanded charge"
        ),
        pytest.param("po_1", None, None, id="not expanded"),
        pytest.param(None, None, None, id="no source"),
    ],
)
def test_whom_a_transaction_is_for(alone: Ingest, source: Any, connected: str | None, of_charge: str | None) -> None:
    alone.sandbox.put(TABLE, transaction(source=source))
    alone.run("stripe", ONE_DAY)
    if source == "po_1":
        source = {"id": "po_1"}
    assert alone.query(f"select source_id, connected_account_id, charge_id from raw.{TABLE}") == [
        (source and source["id"], connected, of_charge)
    ]


def test_an_application_fee_is_told_from_stripes(alone: Ingest) -> None:
    details = [
        {"type": "stripe_fee", "amount": 59},
        {"type": "application_fee", "amount": 100},
        {"type": "tax", "amount": 5},
    ]
    alone.sandbox.put(TABLE, transaction(fee=164, fee_details=details))
    alone.run("stripe", ONE_DAY)
    assert alone.query(f"select fee_minor, application_fee_minor from raw.{TABLE}") == [(164, 100)]


def test_amounts_below_zero_are_kept(alone: Ingest) -> None:
    alone.sandbox.put(TABLE, transaction(type="refund", amount=-1000, fee=-5, net=-995))
    alone.run("stripe", ONE_DAY)
    assert alone.query(f"select type, amount_minor, fee_minor, net_minor from raw.{TABLE}") == [
        ("refund", -1000, -5, -995)
    ]


@pytest.mark.parametrize(
    "malformed",
    [{"amount": "ten"}, {"currency": None}, {"created": "soon"}, {"fee": None}, {"exchange_rate": 0}, {"type": ""}],
)
def test_a_malformed_transaction_is_set_aside_without_its_customer(alone: Ingest, malformed: dict[str, Any]) -> None:
    source = charge(
        billing_details={"name": "Jane Roe", "address": {"line1": "1 Elm St"}}, receipt_email="jane@example.com"
    )
    body = {
        "object": "list",
        "has_more": False,
        "data": [{**transaction(source=source), **malformed}, transaction(id="txn_2")],
    }
    alone.sandbox.faults.add(LISTS, status=200, body=body)
    result = alone.run("stripe", ONE_DAY)
    assert (result.status, result.tables[TABLE].rows, result.tables[TABLE].rejected) == ("ok", 1, 1)
    [(key, record)] = alone.query("select record_key, record::text from raw.rejected_records")
    assert key == "txn_1"
    assert not any(part in record for part in ("Jane", "Elm", "example.com"))


def test_the_directorys_accounts_are_asked_for_but_owe_no_answer(alone: Ingest) -> None:
    own(alone, "acct_gone")
    own(alone, "acct_here")
    alone.sandbox.put(TABLE, transaction(account="acct_here"))
    result = alone.run("stripe", ONE_DAY)
    assert (result.status, result.tables[TABLE].answered) == ("ok", 2)  # the platform's day, and acct_here's
    assert alone.query(f"select account_id, connected_account_id from raw.{TABLE}") == [("acct_here", "acct_here")]


def test_a_key_that_may_not_list_accounts_reads_the_directorys(alone: Ingest) -> None:
    own(alone, "acct_here")
    alone.sandbox.put(TABLE, transaction(account="acct_here"))
    alone.sandbox.faults.add("/v1/accounts", status=403, count=None)
    assert alone.run("stripe", ONE_DAY).status == "ok"
    assert alone.days(TABLE) == {DAY: 1}


def test_an_empty_day_is_an_answer_and_a_failing_one_is_none(alone: Ingest) -> None:
    later = DAY + timedelta(days=1)
    alone.sandbox.put(TABLE, transaction(), transaction(id="txn_2", created=seconds(later, 9)))
    alone.run("stripe")
    alone.sandbox.dataset.stripe_balance_transactions.clear()
    alone.sandbox.faults.add(f"created[gte]={seconds(DAY)}", status=503, count=None)
    result = alone.run("stripe")
    assert (result.status, result.tables[TABLE].unanswered) == ("failed", [DAY])
    assert alone.days(TABLE) == {DAY: 1}


def test_a_wrong_key_is_said_so(ingest: Ingest) -> None:
    ingest.variables["STRIPE_API_KEY"] = "sk_test_wrong"
    result = ingest.run("stripe", ONE_DAY)
    assert result.status == "failed"
    assert "check STRIPE_API_KEY" in str(result.error)
    assert "sk_test" not in str(result.error)


def test_a_tenant_that_is_an_address_is_hashed(alone: Ingest) -> None:
    alone.sandbox.put(TABLE, transaction(source=charge(metadata={"tenant_id": "jane@example.com"})))
    alone.run("stripe", ONE_DAY)
    [(tenant,)] = alone.query(f"select metadata_tenant_id from raw.{TABLE}")
    assert tenant
    assert "@" not in tenant


def test_a_tenant_of_the_directory_stays_itself_though_it_looks_like_a_number(alone: Ingest) -> None:
    alone.query(
        "insert into raw.tenants (tenant_id, name, plan, status, usage_hard_stop_enabled) values ('10002345', 'Acme', '', 'active', false)"
    )
    for key, named in (("txn_1", "10002345"), ("txn_2", "12065550100")):
        alone.sandbox.put(TABLE, transaction(id=key, source=charge(id=f"ch_{key}", metadata={"tenant_id": named})))
    alone.run("stripe", ONE_DAY)
    (known, unknown) = alone.query(f"select metadata_tenant_id from raw.{TABLE} order by id")
    assert known == ("10002345",)
    assert "12065550100" not in unknown[0]


def test_days_of_refunds_that_were_read_before_their_charge_are_told(alone: Ingest) -> None:
    """They have been built as nobody's."""
    last = WINDOW.end - timedelta(days=1)
    refund = {"id": "re_1", "object": "refund", "charge": "ch_1", "metadata": {}}
    alone.sandbox.put(TABLE, transaction(created=seconds(WINDOW.start, 9), source=charge()))
    alone.sandbox.put(TABLE, transaction(id="txn_2", type="refund", created=seconds(last, 9), source=refund))
    first_day, last_day = Window(WINDOW.start, WINDOW.start + timedelta(days=1)), Window(last, WINDOW.end)
    assert alone.run("stripe", last_day).moved_days == set()
    assert alone.run("stripe", first_day).moved_days == {last}
    assert alone.run("stripe", first_day).moved_days == set()
    alone.sandbox.put(
        TABLE, transaction(created=seconds(WINDOW.start, 9), source=charge(metadata={"tenant_id": "acme"}))
    )
    assert alone.run("stripe", first_day).moved_days == {last}
