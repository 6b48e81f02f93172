"""Pins the oracle's rules of recordings, numbers, Stripe, R2, categories, OpenAI's other endpoints and control totals by
figures computed by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.oracle import rules
from tests.oracle.counted import counted_lines
from tests.oracle.marts import usage_daily, usage_summary
from tests.oracle.numbers import held, kind_of, number_lines
from tests.oracle.r2 import class_of, r2_lines
from tests.oracle.reconciliation import control_totals
from tests.oracle.recordings import recording_lines
from tests.oracle.records import (
    Call,
    Cost,
    Counted,
    Directory,
    Emails,
    ListedNumber,
    Operations,
    Price,
    Provided,
    Reading,
    Recording,
    Resource,
    Seeds,
    Stored,
    TenantVersion,
    Transaction,
    load_r2,
)
from tests.oracle.rules import Line
from tests.oracle.stripe import stripe_lines
from tests.oracle.totals import counted_totals

D = Decimal
AS_OF = datetime(2026, 3, 20, 12, tzinfo=UTC)
DAY = date(2026, 3, 5)
NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)


def on(month: int, day: int) -> date:
    return date(2026, month, day)


def directory(*rows: tuple[str, str, str, str] | tuple[str, str, str, str, date | None, date | None]) -> Directory:
    """Rows of tenant, provider, type and id, with dates or open."""
    resources = [Resource(*(row if len(row) == 6 else (*row, None, None))) for row in rows]
    tenants = ("acme", "boreal", "cirrus")
    return Directory({t: [TenantVersion(t, t, "", "active", False, None, None)] for t in tenants}, resources)


def owners(lines: Sequence[Line]) -> list[tuple[str, str]]:
    return [(x.tenant_id, x.record) for x in lines]


# --- recordings ---------------------------------------------------------------------------------------------


def recording(**given: Any) -> Recording:
    fields: dict[str, Any] = {
        "sid": "RE1",
        "account": "AC1",
        "call": "CA1",
        "status": "completed",
        "date_created": NOON,
        "duration": 61,
        "price": D("-0.0050"),
        "price_unit": "USD",
    }
    return Recording(**(fields | given))


def call(**given: Any) -> Call:
    fields: dict[str, Any] = {
        "sid": "CA1",
        "account": "AC1",
        "parent": "",
        "caller": "+2",
        "called": "+1",
        "direction": "inbound",
        "status": "completed",
        "start_time": NOON,
        "duration": 70,
        "price": None,
        "price_unit": "USD",
    }
    return Call(**(fields | given))


@pytest.mark.parametrize(
    ("given", "units"),
    [
        ({}, 2),
        ({"duration": 60}, 1),
        ({"duration": 1, "status": "deleted"}, 1),
        ({"duration": 0}, None),
        ({"status": "absent"}, None),
        ({"status": "processing"}, None),
    ],
)
def test_recordings_count_started_minutes_of_what_was_made(given: dict[str, Any], units: int | None) -> None:
    lines = recording_lines([recording(**given)], [], directory(), AS_OF)
    assert [x.units for x in lines] == ([] if units is None else [units])


@pytest.mark.parametrize(
    ("price", "made", "billed"),
    [
        (D("-0.0050"), NOON, D("0.0050")),
        (D("0.04"), NOON, D("0.04")),  # the specification's example is positive
        (None, NOON, D(0)),
        (None, datetime(2026, 3, 20, 11, tzinfo=UTC), None),
    ],
)
def test_a_recordings_billed_price(price: Decimal | None, made: datetime, billed: Decimal | None) -> None:
    (line,) = recording_lines([recording(price=price, date_created=made)], [], directory(), AS_OF)
    assert line.billed == billed


def test_a_recording_is_its_calls_as_of_the_calls_day_else_its_accounts() -> None:
    moved = directory(
        ("acme", "twilio", "phone_number", "+1", None, on(3, 6)),
        ("boreal", "twilio", "phone_number", "+1", on(3, 6), None),
        ("cirrus", "twilio", "subaccount", "AC2"),
    )
    after = recording(date_created=datetime(2026, 3, 6, 0, 0, 5, tzinfo=UTC))
    calls = [call(duration=0), call(sid="CA2", account="AC2")]
    assert owners(recording_lines([after], calls, moved, AS_OF)) == [("acme", "RE1")]
    assert owners(recording_lines([recording(account="AC2")], calls, moved, AS_OF)) == [("acme", "RE1")]
    assert owners(recording_lines([recording(account="AC2", call="")], calls, moved, AS_OF)) == [("cirrus", "RE1")]
    assert owners(recording_lines([recording(call="")], calls, moved, AS_OF)) == [("unattributed", "RE1")]
    assert owners(recording_lines([after], calls, moved, AS_OF, {"CA1": "cirrus"})) == [("cirrus", "RE1")]
    assert owners(recording_lines([after], calls, moved, AS_OF, {"RE1": "boreal"})) == [("boreal", "RE1")]


# --- phone numbers ------------------------------------------------------------------------------------------


def listed(number: str = "+1", account: str = "AC1", since: date = date(2026, 2, 26), kind: str = "") -> ListedNumber:
    return ListedNumber(account, number, kind, since)


def days_of(*listings: tuple[date, Sequence[ListedNumber]]) -> dict[tuple[str, str], list[date]]:
    found: dict[tuple[str, str], list[date]] = {}
    for one in held(listings):
        found.setdefault((one.listed.account, one.listed.number), []).extend(one.days())
    return {key: sorted(days) for key, days in found.items()}


def test_a_number_counts_from_provisioning_to_the_last_list_that_shows_it() -> None:
    days = days_of((on(3, 1), [listed()]))["AC1", "+1"]
    assert (days[0], days[-1], len(days)) == (on(2, 26), on(3, 1), 4)


def test_the_day_of_the_release_does_not_count_but_the_gap_before_it_does() -> None:
    days = days_of((on(3, 1), [listed()]), (on(3, 4), []), (on(3, 9), []))["AC1", "+1"]
    assert days[-1] == on(3, 3)


def test_a_number_bought_and_released_on_one_day_counts_once() -> None:
    assert days_of((on(3, 1), [listed(since=on(3, 1))]), (on(3, 1), []))["AC1", "+1"] == [on(3, 1)]


def test_a_number_that_changes_accounts_is_held_there_from_the_day_it_is_seen() -> None:
    days = days_of((on(3, 1), [listed()]), (on(3, 4), [listed(account="AC2")]))
    assert days["AC1", "+1"][-1] == on(3, 3)
    assert days["AC2", "+1"] == [on(3, 4)]
    both = number_lines([(on(3, 1), [listed()]), (on(3, 4), [listed(), listed(account="AC2")])], directory())
    assert [x.day for x in both] == [on(2, 26), on(2, 27), on(2, 28), on(3, 1), on(3, 2), on(3, 3), on(3, 4)]


def test_a_number_that_is_bought_again_is_held_again() -> None:
    again = listed(since=on(3, 8))
    days = days_of((on(3, 1), [listed(since=on(3, 1))]), (on(3, 3), []), (on(3, 9), [again]))["AC1", "+1"]
    assert days == [on(3, 1), on(3, 2), on(3, 8), on(3, 9)]


def test_kinds_and_owners_of_numbers() -> None:
    assert kind_of(listed(kind="toll_free")) == "toll_free"
    assert kind_of(listed("+18335550111")) == "toll_free"
    assert kind_of(listed("+14155550111")) == "local"
    known = directory(
        ("acme", "twilio", "phone_number", "+1", None, on(2, 27)),
        ("boreal", "twilio", "phone_number", "+1", on(2, 28), None),
        ("cirrus", "twilio", "subaccount", "AC2"),
    )
    lines = number_lines([(on(2, 28), [listed(), listed("+3", "AC2", on(2, 28))])], known)
    assert [(x.tenant_id, x.day.day) for x in lines] == [
        ("acme", 26),
        ("unattributed", 27),
        ("boreal", 28),
        ("cirrus", 28),
    ]


@pytest.mark.parametrize(
    ("day", "cost"),
    [
        (on(2, 5), "0.041071428571428571"),  # 1.15 / 28
        (on(3, 5), "0.037096774193548387"),  # 1.15 / 31
        (on(4, 5), "0.038333333333333333"),  # 1.15 / 30
    ],
)
def test_a_numbers_day_costs_its_part_of_the_month(day: date, cost: str) -> None:
    (line,) = number_lines([(day, [listed(since=day)])], directory())
    seeds = Seeds(prices=[price("twilio_phone", "unit", "1.15", operation="local")])
    rules.price_line(line, directory(), seeds)
    assert line.estimated == D(cost)


def test_days_of_one_cell_are_priced_as_one() -> None:
    lines = rules.merged(number_lines([(DAY, [listed(f"+{n}", since=DAY) for n in range(3)])], directory()))
    seeds = Seeds(prices=[price("twilio_phone", "unit", "1", operation="local")])
    for line in lines:
        rules.price_line(line, directory(), seeds)
    # Three times 1/31, each cast by itself, would end in …741.
    assert [(x.units, x.estimated) for x in lines] == [(3, D("0.096774193548387097"))]


# --- Stripe -------------------------------------------------------------------------------------------------


def price(service: str, component: str, usd: str, **given: Any) -> Price:
    fields: dict[str, Any] = {
        "operation": "", "model": "", "plan": "", "per": D(1), "effective_from": None, "effective_to": None,
    }  # fmt: skip
    return Price(service=service, component=component, unit_price=D(usd), **(fields | given))


def transaction(**given: Any) -> Transaction:
    fields: dict[str, Any] = {
        "id": "txn_1",
        "account": "",
        "type": "charge",
        "created": NOON,
        "currency": "usd",
        "amount": 10_000,
        "fee": 320,
        "application_fee": 0,
        "exchange_rate": None,
        "source": "ch_1",
        "source_currency": "usd",
        "destination": "",
        "named": "",
        "charge": "",
    }
    return Transaction(**(fields | given))


EURO = {"currency": "eur", "amount": 9_200, "fee": 184}


@pytest.mark.parametrize(
    ("given", "amount", "billed"),
    [
        ({}, 100, "3.20"),
        # The platform's part of the fee is not Stripe's.
        ({"fee": 1_320, "application_fee": 1_000}, 100, "3.20"),
        # Paid in EUR, settled in USD: converted already.
        ({"source_currency": "eur", "exchange_rate": D("1.08")}, 100, "3.20"),
        (EURO | {"exchange_rate": D("0.92")}, 100, "2"),
        (EURO, None, None),
        (EURO | {"source_currency": "eur"}, None, None),
        (EURO | {"source_currency": "gbp", "exchange_rate": D("1.17")}, None, None),
        ({"currency": "jpy", "amount": 15_000, "fee": 480, "exchange_rate": D(150)}, 100, "3.2"),
        # A refund takes nothing back; one that does is below 0.
        ({"type": "refund", "amount": -20_000, "fee": 0}, -200, "0"),
        ({"type": "refund", "amount": -500, "fee": -30}, -5, "-0.30"),
        ({"type": "adjustment", "amount": -10_000, "fee": 1_500}, -100, "15"),
        # The amount is the fee.
        ({"type": "stripe_fee", "amount": -700, "fee": 0}, 7, "7"),
        ({"type": "stripe_fee", "amount": 300, "fee": 0}, -3, "-3"),
        ({"type": "tax_fee", "amount": -700, "fee": 0}, 7, "7"),
        (EURO | {"fee": 0}, None, None),
        (EURO | {"fee": 0, "type": "payout"}, None, "0"),
    ],
)
def test_what_a_transaction_was_of_and_what_stripe_took(
    given: dict[str, Any], amount: int | None, billed: str | None
) -> None:
    (line,) = stripe_lines([transaction(**given)], directory())
    assert (line.amount, line.billed) == (amount, None if billed is None else D(billed))
    assert (line.units, line.requests, line.channel, line.operation) == (1, 1, "payments", given.get("type", "charge"))


@pytest.mark.parametrize(
    ("components", "amount", "cost"),
    [
        ({"percentage": "0.029", "fixed": "0.3"}, Fraction(100), "3.2"),
        ({"percentage": "0.029"}, Fraction(1, 3), "0.009666666666666667"),
        ({"fixed": "15"}, Fraction(-100), "15"),
        ({"percentage": "1"}, Fraction(-3), "-3"),
        ({"fixed": "15"}, None, None),  # set aside
        ({"unit": "15"}, Fraction(1), None),
    ],
)
def test_payments_cost_a_percentage_and_so_much_each(
    components: dict[str, str], amount: Fraction | None, cost: str | None
) -> None:
    (line,) = stripe_lines([transaction()], directory())
    line.amount = amount
    line.billed = line.billed if amount is not None else None
    rules.price_line(line, directory(), Seeds(prices=[price("stripe", c, usd) for c, usd in components.items()]))
    assert line.estimated == (None if cost is None else D(cost))


CONNECTED = directory(
    ("acme", "stripe", "account", "acct_a", None, on(3, 6)),
    ("boreal", "stripe", "account", "acct_a", on(3, 6), None),
)
LATER = datetime(2026, 3, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "tenant"),
    [
        ({}, "unattributed"),
        ({"account": "acct_a", "named": "cirrus"}, "acme"),
        ({"account": "acct_a", "created": LATER}, "boreal"),
        ({"account": "acct_stranger", "named": "cirrus"}, "cirrus"),
        ({"destination": "acct_a", "named": "cirrus"}, "acme"),
        ({"destination": "acct_stranger", "named": "cirrus"}, "cirrus"),
        ({"named": "nobody knows"}, "unattributed"),
    ],
)
def test_whose_a_transaction_is(given: dict[str, Any], tenant: str) -> None:
    assert stripe_lines([transaction(**given)], CONNECTED)[0].tenant_id == tenant


def test_a_refund_is_its_charges_tenants() -> None:
    refund = transaction(id="txn_2", type="refund", created=LATER, source="re_1", charge="ch_1")
    for charge, tenant in (
        (transaction(named="cirrus"), "cirrus"),
        (transaction(destination="acct_a"), "acme"),  # as of the charge's day
        (transaction(source="ch_2", named="cirrus"), "unattributed"),
    ):
        assert stripe_lines([charge, refund], CONNECTED)[1].tenant_id == tenant
    lines = stripe_lines([transaction(), refund], CONNECTED, {"txn_1": "cirrus"})
    assert [(x.tenant_id, x.owner) for x in lines] == [("cirrus", "unattributed")] * 2


# --- R2 -----------------------------------------------------------------------------------------------------


def test_operations_by_class_and_what_was_refused() -> None:
    assert [class_of(a) for a in ("PutObject", "ListParts", "GetObject", "DeleteObject", "Dance")] == [
        "class_a",
        "class_a",
        "class_b",
        "free",
        "unclassified",
    ]
    requests = [
        Operations(NOON, "b", "PutObject", 200, 3),
        Operations(NOON, "b", "ListObjects", 412, 4),  # billed
        Operations(NOON, "b", "GetObject", 401, 5),  # not billed
        Operations(NOON, "b", "GetObject", 403, 6),
        Operations(NOON, "b", "GetObject", 404, 7),
    ]
    lines = r2_lines(requests, [], directory(("acme", "cloudflare", "bucket", "b")))
    assert [(x.tenant_id, x.operation, x.units, x.requests) for x in lines] == [
        ("acme", "class_a", 7, 7),
        ("acme", "class_b", 7, 7),
    ]


def test_storage_is_the_days_peak_of_a_bucket_and_costs_a_thirtieth_of_the_month() -> None:
    stored = [
        Stored(NOON, "b", 1_000_000_000),
        Stored(datetime(2026, 3, 5, 23, 59, 59, tzinfo=UTC), "b", 2_500_000_001),
    ]
    moved = directory(
        ("acme", "cloudflare", "bucket", "b", None, on(3, 6)), ("boreal", "cloudflare", "bucket", "b", on(3, 7), None)
    )
    stored += [Stored(datetime(2026, 3, day, tzinfo=UTC), "b", 3_000_000_000) for day in (6, 7)]
    lines = r2_lines([], stored, moved)
    for line in lines:
        rules.price_line(line, directory(), Seeds(prices=[price("cloudflare_r2", "unit", "0.015")]))
    assert [(x.tenant_id, x.units, x.requests, x.estimated) for x in lines] == [
        ("acme", D("2.500000001"), 0, D("0.001250000000500000")),
        ("unattributed", 3, 0, D("0.0015")),
        ("boreal", 3, 0, D("0.0015")),
    ]


def test_r2_is_as_the_last_reading_saw_it_that_could_still_ask(tmp_path: Path) -> None:
    (tmp_path / "r2_operations.json").write_text("[]")
    (tmp_path / "r2_storage.json").write_text(
        "["
        + ",".join(
            f'{{"bucketName": "b", "datetime": "2026-{at}:00:00Z", "payloadSize": {size}, "metadataSize": 1}}'
            for at, size in (("02-16T10", 1), ("02-17T10", 2), ("02-17T14", 3), ("02-18T10", 4), ("03-20T13", 5))
        )
        + "]"
    )
    provided = Provided()
    early = Reading(datetime(2026, 2, 17, 12, tzinfo=UTC), on(2, 17), on(2, 17))
    load_r2(provided, tmp_path, [early, Reading(AS_OF, on(2, 1), on(3, 20))])
    # 02-16: never asked in time; 02-17: as at noon of that day; 02-18 is kept whole for 30 days; 03-20: not there yet.
    assert [s.size for s in provided.stored] == [3, 5]
    assert min(provided.r2_days) == on(2, 17)


# --- SendGrid's categories ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "lines"),
    [
        ({"a": 3, "b": 2}, {("acme", 3), ("boreal", 2), ("unattributed", 5)}),
        ({"a": 10}, {("acme", 10)}),
        ({"a": 9, "b": 2}, {("unattributed", 10)}),  # more than the account sent by itself
        ({"a": 3, "a stranger's": 99}, {("acme", 3), ("unattributed", 7)}),
    ],
)
def test_categories_divide_what_the_account_sent_by_itself(counts: dict[str, int], lines: set[tuple[str, int]]) -> None:
    known = directory(
        ("cirrus", "sendgrid", "subuser", "s"),
        ("acme", "sendgrid", "category", "a"),
        ("boreal", "sendgrid", "category", "b"),
    )
    emails = [Emails(DAY, "", 25), Emails(DAY, "s", 15)]
    found = rules.sendgrid_lines(emails, set(), known, "total", [Emails(DAY, n, c) for n, c in counts.items()])
    assert {(x.tenant_id, x.units) for x in found} == lines | {("cirrus", 15)}


# --- OpenAI's other endpoints -------------------------------------------------------------------------------


def test_other_endpoints_count_things_and_only_tokens_are_in_the_channels_units() -> None:
    counted = [
        Counted("images", DAY, "p", "k", "gpt-image-1", 4, 3),
        Counted("images", DAY, "p", "k", "gpt-image-1", 1, 1),  # of another size
        Counted("vector_stores", DAY, "p", "", "", 9_000_000_000, None),
        Counted("code_interpreter_sessions", DAY, "p", "", "", 2, None),
        Counted("moderations", DAY, "p", "k", "omni-moderation-2024-09-26", 700, 7),
        Counted("web_search_calls", DAY, "p", "k", "gpt-5", 0, 0),
    ]
    known = directory(("acme", "openai", "project", "p"))
    lines = counted_lines(counted, known)
    seeds = Seeds(
        prices=[
            price("openai", "input", "0", operation="moderation"),
            price("openai", "unit", "0.04", operation="image"),
        ]
    )
    for line in lines:
        rules.price_line(line, known, seeds)
    daily = usage_daily(lines, set())
    assert {k[4]: (r["unit_count"], r["request_count"], r["estimated_cost_usd"]) for k, r in daily.items()} == {
        "image": (5, 4, D("0.2")),
        "vector_store": (9_000_000_000, 0, None),
        "code_interpreter_session": (2, 2, None),
        "moderation": (700, 7, 0),
    }
    (row,) = usage_summary(lines, AS_OF, 3, set()).values()
    assert (row["unit_count"], row["request_count"], row["unpriced_unit_count"]) == (700, 13, 0)


def test_a_cost_item_goes_to_what_it_names_and_things_take_no_share_of_tokens() -> None:
    known = directory(("acme", "openai", "project", "p"))
    counted = counted_lines(
        [
            Counted("images", DAY, "p", "k", "gpt-image-1", 4, 3),
            Counted("web_search_calls", DAY, "p", "k", "gpt-5", 2, 1),
            Counted("vector_stores", DAY, "p", "", "", 9_000_000_000, None),
        ],
        known,
    )
    chat = [
        Line("acme", DAY, "ai", "openai", "chat_completion", "outbound", "openai", "residual", 10, 1, model=model,
             input_tokens=10, estimated=D(cost), project="p")
        for model, cost in (("gpt-5", 1), ("gpt-4o", 3))
    ]  # fmt: skip
    items = {"gpt-5, input": "1", "gpt-image-1, images": "2", "web search tool calls": "4", "a fee": "8"}
    rules.bill_openai([*counted, *chat], [Cost(DAY, "p", i, D(a), "usd") for i, a in items.items()], known)
    assert [(x.operation, x.model, x.billed) for x in (*counted, *chat)] == [
        ("image", "gpt-image-1", 2),
        ("vector_store", "", 0),
        ("web_search_call", "gpt-5", 4),
        ("chat_completion", "gpt-5", 3),  # 1, and 8 × 1/4
        ("chat_completion", "gpt-4o", 6),
    ]


def test_a_dispute_has_one_fee_and_goes_where_its_charge_went() -> None:
    """Case: one dispute with its fee, a difference of currencies and what came back is 15, not 60."""
    at = {"charge": "ch_1", "type": "adjustment"}
    dispute = [
        transaction(id="t1", **at, amount=-5_000, fee=1_500, category="dispute"),
        transaction(id="t2", **at, amount=-12, fee=0, category="dispute"),
        transaction(id="t3", **at, amount=5_000, fee=0, category="dispute_reversal"),
        transaction(id="t4", **at, amount=-7, fee=0),
    ]
    known = directory(("acme", "stripe", "account", "acct_1"))
    seeds = Seeds(
        prices=[
            price("stripe", "fixed", "15", operation="adjustment"),
            price("stripe", "fixed", "0", operation="adjustment_without_fee"),
        ]
    )
    charge = transaction(id="t0", type="charge", source="ch_1", account="acct_1")
    lines = [x for x in stripe_lines([charge, *dispute], known) if x.operation != "charge"]
    for line in lines:
        rules.price_line(line, known, seeds)
    assert rules.estimated_sum(lines) == 15
    assert {x.tenant_id for x in lines} == {"acme"}


# --- control totals -----------------------------------------------------------------------------------------


def test_control_totals_by_account_and_tenant_of_closed_days() -> None:
    calls = [call(), call(sid="CA2", account="AC2", duration=60), call(sid="CA3", start_time=AS_OF, duration=5)]
    ours = counted_totals([], calls)
    assert ours == {
        ("AC1", DAY, "twilio_voice_total"): 2,
        ("AC2", DAY, "twilio_voice_total"): 1,
        ("AC1", AS_OF.date(), "twilio_voice_total"): 1,
    }
    known = directory(("acme", "twilio", "subaccount", "AC2"))

    def states(reported: dict[tuple[str, date, str], int]) -> dict[str, tuple[object, ...]]:
        cells = control_totals(reported, ours, known, tolerance_percent=D(1), as_of=AS_OF, lookback=3)
        assert {where[1:] for where in cells} == {(DAY, "twilio_voice_total")}
        return {w[0]: (c.provider_units, c.tracked_units, c.drift, c.state) for w, c in cells.items()}

    assert states(ours) == {"unattributed": (2, 2, 0, "matched"), "acme": (1, 1, 0, "matched")}
    off = states(ours | {("AC1", DAY, "twilio_voice_total"): 4})
    assert off == {"unattributed": (4, 2, Fraction(1, 2), "drift"), "acme": (1, 1, 0, "matched")}
