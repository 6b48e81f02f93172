"""Pins the oracle's own rules with figures computed by hand, so that a disagreement with the system means
something.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.oracle import SCENARIOS, Expected, compare, compute, generate, write_seeds
from tests.oracle import rules as r
from tests.oracle.events import Quantity
from tests.oracle.marts import COLUMNS, GRAIN, cost_change, projected
from tests.oracle.records import (
    Call,
    Cost,
    Directory,
    Emails,
    Limit,
    Message,
    Price,
    Resource,
    Seeds,
    TenantVersion,
    Usage,
    instant,
    load_directory,
    load_provided,
    phone_number,
    round_18,
)
from tests.proof import all_in_proof

D = Decimal
DAY = date(2026, 11, 5)
TOKENS = ("chat_completion", "embedding")
NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
AS_OF = datetime(2026, 11, 10, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def message(**given: object) -> Message:
    fields: dict[str, object] = {
        "sid": "SM1",
        "account": "AC1",
        "messaging_service": "",
        "sender": "+1",
        "recipient": "+2",
        "direction": "outbound-api",
        "status": "delivered",
        "date_sent": NOON,
        "num_segments": 1,
        "num_media": 0,
        "price": None,
        "price_unit": "USD",
        **given,
    }
    return Message(**fields)  # type: ignore[arg-type]


def call(sid: str = "CA1", **given: object) -> Call:
    fields: dict[str, object] = {
        "sid": sid,
        "account": "AC1",
        "parent": "",
        "caller": "+1",
        "called": "+2",
        "direction": "outbound-api",
        "status": "completed",
        "start_time": NOON,
        "duration": 60,
        "price": None,
        "price_unit": "USD",
        **given,
    }
    return Call(**fields)  # type: ignore[arg-type]


def ai(model: str = "m", units: int = 0, estimated: Decimal | None = None, **given: object) -> r.Line:
    fields: dict[str, object] = {
        "tenant_id": "acme",
        "day": DAY,
        "channel": "ai",
        "service": "openai",
        "operation": "chat_completion",
        "direction": "outbound",
        "source": "openai",
        "evidence": "residual",
        "units": units,
        "requests": 1,
        "model": model,
        "project": "p",
        "estimated": estimated,
        **given,
    }
    return r.Line(**fields)  # type: ignore[arg-type]


def owned(*rows: tuple[str, str, str, str, str | None, str | None]) -> Directory:
    return Directory(
        resources=[
            Resource(
                tenant,
                provider,
                kind,
                name,
                date.fromisoformat(start) if start else None,
                date.fromisoformat(end) if end else None,
            )
            for tenant, provider, kind, name, start, end in rows
        ]
    )


# --- reading ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (Fraction(1, 3), "0.333333333333333333"),
        (Fraction(2, 3), "0.666666666666666667"),
        (Fraction(-2, 3), "-0.666666666666666667"),
        (Fraction(5, 10**19), "0.000000000000000001"),  # half goes up, away from zero
        (Fraction(-5, 10**19), "-0.000000000000000001"),
        (D("0.0000000000000000004"), "0"),
        (D("12345678901234567890.5"), "12345678901234567890.5"),
    ],
)
def test_one_cast_rounds_half_away_from_zero_at_18_decimals(value: Fraction | Decimal, rounded: str) -> None:
    assert round_18(value) == D(rounded)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Thu, 05 Nov 2026 23:59:59 +0000", "2026-11-05T23:59:59"),
        ("Thu, 05 Nov 2026 23:59:59 -0000", "2026-11-05T23:59:59"),
        ("Thu, 05 Nov 2026 20:00:00 -0500", "2026-11-06T01:00:00"),
        ("2026-11-06T01:00:00+02:00", "2026-11-05T23:00:00"),
    ],
)
def test_instants_are_utc(text: str, moment: str) -> None:
    assert instant(text) == at(moment)


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("whatsapp:+14155550101", "+14155550101"),
        ("+1 (415) 555-0101", "+14155550101"),
        ("ACME", "ACME"),
        ("24365", "24365"),
        (None, ""),
    ],
)
def test_phone_numbers_are_compared_as_e164(given: str | None, number: str) -> None:
    assert phone_number(given) == number


def test_a_scripted_record_is_seen_as_its_provider_shows_it_then(tmp_path: Path) -> None:
    script = {
        "visible_from": "2026-11-02T00:00:00Z",
        "price_from": "2026-11-03T00:00:00Z",
        "status_history": [["2026-11-02T00:00:00Z", "sent"], ["2026-11-04T00:00:00Z", "undelivered"]],
        "vanishes_at": "2026-11-05T00:00:00Z",
    }
    record = {"sid": "SM1", "account_sid": "AC1", "direction": "inbound", "status": "x", "price": "-0.01"}
    (tmp_path / "twilio_messages.json").write_text(json.dumps([record | {"_sandbox": script}]))

    def seen(day: int) -> list[tuple[str, Decimal | None]]:
        found = load_provided(tmp_path, datetime(2026, 11, day, tzinfo=UTC)).messages
        return [(m.status, m.price) for m in found]

    assert [seen(day) for day in (1, 2, 3, 4, 5)] == [
        [],
        [("sent", None)],
        [("sent", D("-0.01"))],
        [("undelivered", D("-0.01"))],
        [],
    ]


# --- what counts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "sent", "day"),
    [
        ("delivered", "2026-11-05T23:59:59", "2026-11-05"),
        ("delivered", "2026-11-06T00:00:00", "2026-11-06"),
        ("undelivered", "2026-11-05T00:00:00", "2026-11-05"),
        ("received", "2026-11-05T00:00:00", "2026-11-05"),
        ("failed", "2026-11-05T00:00:00", None),
        ("canceled", "2026-11-05T00:00:00", None),
        ("queued", None, None),
        ("scheduled", None, None),
    ],
)
def test_a_message_counts_on_its_utc_date_of_sending(status: str, sent: str | None, day: str | None) -> None:
    counted = r.message_day(message(status=status, date_sent=at(sent) if sent else None))
    assert counted == (date.fromisoformat(day) if day else None)


@pytest.mark.parametrize(
    ("segments", "media", "channel"),
    [(0, 0, ("sms", 1)), (1, 0, ("sms", 1)), (7, 0, ("sms", 7)), (0, 1, ("mms", 1)), (3, 2, ("mms", 1))],
)
def test_media_make_an_mms_and_sms_counts_segments(segments: int, media: int, channel: tuple[str, int]) -> None:
    assert r.message_channel(message(num_segments=segments, num_media=media)) == channel


@pytest.mark.parametrize(
    ("status", "seconds", "counts"),
    [("completed", 1, True), ("completed", 0, False), ("busy", 0, False), ("no-answer", 30, False)],
)
def test_only_completed_calls_that_lasted_count(status: str, seconds: int, counts: bool) -> None:
    assert (r.call_day(call(status=status, duration=seconds)) == DAY) is counts


@pytest.mark.parametrize(("seconds", "minutes"), [(1, 1), (59, 1), (60, 1), (61, 2), (120, 2), (3601, 61)])
def test_minutes_are_started_minutes(seconds: int, minutes: int) -> None:
    assert r.started_minutes(seconds) == minutes


@pytest.mark.parametrize(
    ("word", "direction"),
    [
        ("inbound", "inbound"),
        ("outbound-api", "outbound"),
        ("outbound-call", "outbound"),
        ("outbound-reply", "outbound"),
        ("outbound-dial", "outbound"),
        ("trunking-originating", "inbound"),
        ("trunking-terminating", "outbound"),
    ],
)
def test_directions(word: str, direction: str) -> None:
    assert r.direction_of(word) == direction


# --- attribution --------------------------------------------------------------------------------------------

OWNERS = owned(
    ("sub", "twilio", "subaccount", "AC2", None, None),
    ("service", "twilio", "messaging_service", "MG1", "2026-11-03", None),
    ("old", "twilio", "phone_number", "+1", None, "2026-11-05"),
    ("new", "twilio", "phone_number", "+1", "2026-11-05", "2026-11-07"),
    ("other", "twilio", "phone_number", "+2", None, None),
    ("by project", "openai", "project", "p", None, None),
    ("by key", "openai", "api_key", "k", None, None),
)


@pytest.mark.parametrize(
    ("given", "day", "tenant"),
    [
        ({"account": "AC2", "messaging_service": "MG1"}, 5, "sub"),
        ({"messaging_service": "MG1"}, 5, "service"),
        ({"messaging_service": "MG1"}, 2, "old"),  # not the service's day yet
        ({"messaging_service": "MG9"}, 4, "old"),
        ({}, 4, "old"),
        ({}, 5, "new"),  # valid_from included, valid_to excluded
        ({}, 6, "new"),
        ({}, 7, "unattributed"),  # to +2, which is `other`'s: not the side of an outbound message
        ({"direction": "inbound"}, 7, "other"),
        ({"sender": ""}, 5, "unattributed"),
    ],
)
def test_message_attribution(given: dict[str, object], day: int, tenant: str) -> None:
    assert r.message_tenant(message(**given), date(2026, 11, day), OWNERS) == tenant


def test_a_child_leg_with_no_side_of_its_own_takes_its_parents_tenant_of_the_parents_day() -> None:
    before = at("2026-11-04T23:59:59")
    calls = {
        c.sid: c
        for c in (
            call("parent", direction="inbound", caller="+8", called="+1", start_time=before, duration=0),
            call("child", parent="parent", caller="+8", called="+9", direction="outbound-dial"),
            call("grandchild", parent="child", caller="+8", called="+9", direction="outbound-dial"),
            call("own side", parent="parent", caller="+2", called="+9", direction="outbound-dial"),
            call("other side", parent="parent", caller="+8", called="+2", direction="outbound-dial"),
            call("orphan", parent="nowhere", caller="+8", called="+9"),
            call("loop", parent="loop", caller="+8", called="+9"),
        )
    }
    found = {sid: r.call_tenant(c, DAY, OWNERS, calls) for sid, c in calls.items() if sid != "parent"}
    assert found == {
        "child": "old",
        "grandchild": "old",
        "own side": "other",
        "other side": "old",
        "orphan": "unattributed",
        "loop": "unattributed",
    }


def test_openai_attribution_takes_the_project_before_the_key() -> None:
    found = [r.openai_tenant(p, k, DAY, OWNERS) for p, k in (("p", "k"), ("q", "k"), ("q", "j"), ("", ""))]
    assert found == ["by project", "by key", "unattributed", "unattributed"]


# --- prices -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "base", "is_one"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini", True),
        ("gpt-4o-mini-2024-07-18", "gpt-4o", False),
        ("gpt-4-0613", "gpt-4", True),
        ("gpt-4o-latest", "gpt-4o", True),
        ("gpt-4o-preview", "gpt-4o", True),
        ("gpt-4o-preview-2024-10-01", "gpt-4o", True),
        ("gpt-5-nano", "gpt-5", False),
        ("gpt-4-turbo-2024-04-09", "gpt-4", False),
        ("gpt-4-06134", "gpt-4", False),
        ("claude-sonnet-4-20250514", "claude-sonnet-4", True),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4", False),
        ("gpt-4", "gpt-4", False),
        ("gpt-4-0613", "", False),
    ],
)
def test_snapshot_suffixes(name: str, base: str, is_one: bool) -> None:
    assert r.is_snapshot_of(name, base) is is_one


def price(unit_price: str, per: str = "1", **given: object) -> Price:
    fields: dict[str, object] = {
        "service": "openai",
        "operation": "",
        "model": "",
        "plan": "",
        "component": "input",
        "effective_from": None,
        "effective_to": None,
        **given,
    }
    return Price(unit_price=D(unit_price), per=D(per), **fields)  # type: ignore[arg-type]


BOOK = [
    price("1"),
    price("2", operation="embedding"),
    price("3", model="gpt-4o"),
    price("4", model="gpt-4o", operation="chat_completion"),
    price("5", model="gpt-4o-mini"),
    price("6", model="gpt-4o-mini-2024-07-18", effective_from=date(2026, 11, 5)),
    price("7", plan="pro", operation="embedding"),
    price("8", plan="elite", model="gpt-4o"),
    price("9", service="sendgrid", component="unit", effective_to=date(2026, 11, 5)),
    price("10", service="sendgrid", component="unit", effective_from=date(2026, 11, 5)),
]


@pytest.mark.parametrize(
    ("operation", "model", "plan", "day", "chosen"),
    [
        ("chat_completion", "unheard-of", "", 5, 1),
        ("embedding", "unheard-of", "", 5, 2),
        ("embedding", "gpt-4o", "", 5, 3),  # the model before the operation
        ("chat_completion", "gpt-4o", "", 5, 4),
        ("chat_completion", "gpt-4o-2024-08-06", "", 5, 4),
        ("chat_completion", "gpt-4o-mini-2024-07-18", "", 4, 5),  # the exact one is not yet in force
        ("chat_completion", "gpt-4o-mini-2024-07-18", "", 5, 6),
        ("embedding", "gpt-4o", "pro", 5, 7),  # the plan before the model
        ("chat_completion", "gpt-4o", "pro", 5, 4),
        ("chat_completion", "gpt-4o-0613", "elite", 5, 8),
        ("chat_completion", "gpt-5", "elite", 5, 1),
    ],
)
def test_one_price_set_is_chosen(operation: str, model: str, plan: str, day: int, chosen: int) -> None:
    found = r.price_set(BOOK, "openai", operation, model, plan, date(2026, 11, day))
    assert found == {"input": Fraction(chosen)}


def test_the_price_of_that_day_and_no_price_at_all() -> None:
    found = [
        r.price_set(BOOK, service, "send", "", "", date(2026, 11, day))
        for service, day in (("sendgrid", 4), ("sendgrid", 5), ("twilio_sms", 5))
    ]
    assert found == [{"unit": 9}, {"unit": 10}, None]


MINI = {"input": Fraction(15, 10**8), "cached_input": Fraction(75, 10**9), "output": Fraction(6, 10**7)}


@pytest.mark.parametrize(
    ("tokens", "missing", "cost"),
    [
        # 600 × 0.15 + 400 × 0.075 + 100 × 0.60 = 180 per million
        ((1000, 400, 100), (), "0.00018"),
        # 1000 × 0.15 + 100 × 0.60 = 210: cached at the input price
        ((1000, 400, 100), ("cached_input",), "0.00021"),
        ((1000, 1000, 0), ("input", "output"), "0.000075"),  # all cached: input is not needed
        ((1000, 1000, 0), ("input", "cached_input"), None),
        ((1000, 0, 0), ("output",), "0.00015"),
        ((1000, 0, 1), ("output",), None),
        ((1, 0, 0), (), "0.00000015"),
    ],
)
def test_ai_cost(tokens: tuple[int, int, int], missing: tuple[str, ...], cost: str | None) -> None:
    line = ai(
        units=tokens[0] + tokens[2],
        input_tokens=tokens[0],
        cached_input_tokens=tokens[1],
        output_tokens=tokens[2],
    )
    prices = {k: v for k, v in MINI.items() if k not in missing}
    line.estimated = r.estimate(line, prices)
    assert line.estimated == (None if cost is None else D(cost))
    assert line.unpriced_units == (line.units if cost is None else 0)


def test_unit_cost_is_units_times_price_and_never_zero_without_one() -> None:
    line = ai(units=3, channel="sms", service="twilio_sms")
    assert r.estimate(line, {"unit": Fraction(D("0.0083"))}) == D("0.0249")
    assert r.estimate(line, {"unit": Fraction(1, 3000)}) == D("0.001")
    assert r.estimate(line, {"input": Fraction(1)}) is None
    assert r.estimate(line, None) is None


def test_prices_follow_the_plan_of_the_day() -> None:
    versions = [
        TenantVersion("acme", "Acme", "starter", "active", False, None, date(2026, 11, 5)),
        TenantVersion("acme", "Acme", "pro", "active", False, date(2026, 11, 5), None),
    ]
    directory = Directory(versions={"acme": versions})
    book = Seeds(prices=[price("1", component="unit"), price("2", component="unit", plan="pro")])
    costs = []
    for tenant, day in (("acme", 4), ("acme", 5), ("unattributed", 5)):
        line = ai(tenant_id=tenant, day=date(2026, 11, day), units=1, channel="sms")
        r.price_line(line, directory, book)
        costs.append(line.estimated)
    assert costs == [1, 2, 1]


# --- billed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "age", "billed"),
    [
        ("-0.00750", "USD", timedelta(hours=1), "0.0075"),
        ("0.00000", "USD", timedelta(hours=1), "0"),
        (None, "USD", timedelta(hours=72) - timedelta(seconds=1), None),
        (None, "USD", timedelta(hours=72), None),
        (None, "USD", timedelta(hours=72, seconds=1), "0"),
        ("-0.00750", "EUR", timedelta(days=30), None),
    ],
)
def test_twilio_billed(value: str | None, unit: str, age: timedelta, billed: str | None) -> None:
    found = r.twilio_billed(D(value) if value else None, unit, AS_OF - age, AS_OF)
    assert found == (None if billed is None else D(billed))


@pytest.mark.parametrize(
    ("amount", "weights", "shares"),
    [
        ("1", (1, 3), ("0.25", "0.75")),
        ("1", (0, 0), ("0.5", "0.5")),
        ("1", (1, 1, 1), ("0.333333333333333333", "0.333333333333333334", "0.333333333333333333")),
        ("-0.01", (1, 1), ("-0.005", "-0.005")),
        ("0.000000000000000001", (1, 1), ("0.000000000000000001", "0")),
    ],
)
def test_shares_sum_to_the_amount(amount: str, weights: tuple[int, ...], shares: tuple[str, ...]) -> None:
    found = r.spread(D(amount), [Fraction(w) for w in weights])
    assert found == [D(s) for s in shares]
    assert sum(found) == D(amount)


def cost(line_item: str, amount: str, project: str = "p", currency: str = "usd") -> Cost:
    return Cost(DAY, project, line_item, D(amount), currency)


@pytest.mark.parametrize(
    ("costs", "billed"),
    [
        # No row: unknown. a = 1 USD estimated, a-2026-01-02 = 3 USD, b = 6 USD.
        ([], (None, None, None)),
        # Item of the base goes to the base and its snapshot, 1 : 3; b got nothing: 0, not unknown.
        ([cost("a, input", "8")], ("2", "6", "0")),
        ([cost("a-2026-01-02, input", "8")], ("2", "6", "0")),
        ([cost("b, output", "5"), cost("b, input", "1")], ("0", "0", "6")),
        # An item of no line's model: over all, 1 : 3 : 6.
        ([cost("web search tool calls", "10")], ("1", "3", "6")),
        ([cost("b, input", "1"), cost("", "10"), cost("b, credit", "-0.5")], ("1", "3", "6.5")),
        ([cost("b, input", "1", currency="eur"), cost("a, x", "4")], ("1", "3", None)),
    ],
)
def test_openai_costs_are_spread_by_estimated_cost(costs: list[Cost], billed: tuple[str | None, ...]) -> None:
    lines = [ai("a", 10, D(1)), ai("a-2026-01-02", 20, D(3)), ai("b", 70, D(6))]
    assert r.bill_openai(lines, costs, OWNERS) == []
    assert [x.billed for x in lines] == [None if b is None else D(b) for b in billed]


def test_an_unknown_estimate_makes_units_the_weights_of_its_item_alone() -> None:
    lines = [ai("a", 10, None), ai("a-0613", 30, D(3)), ai("b", 70, D(6))]
    r.bill_openai(lines, [cost("a, input", "4"), cost("b, input", "7")], OWNERS)
    assert [x.billed for x in lines] == [1, 3, 7]


def test_costs_of_a_project_day_without_usage_are_billed_on_the_resources_tenant() -> None:
    costs = [cost("a, input", "1"), cost("a, output", "2"), cost("b, input", "4", project="q")]
    found = r.bill_openai([], costs, OWNERS)
    assert [(x.tenant_id, x.operation, x.model, x.units, x.requests) for x in found] == [
        ("by project", "chat_completion", "a", 0, 0),
        ("unattributed", "chat_completion", "b", 0, 0),
    ]
    assert [(x.estimated, x.billed) for x in found] == [(D(0), D(3)), (D(0), D(4))]


def test_result_objects_of_one_grain_are_one_line_and_zeros_are_none() -> None:
    def usage(**given: object) -> Usage:
        fields: dict[str, object] = {
            "operation": "chat_completion",
            "day": DAY,
            "project": "p",
            "api_key": "k",
            "model": "m",
            "requests": 1,
            "input_tokens": 10,
            "cached_input_tokens": 4,
            "output_tokens": 5,
            **given,
        }
        return Usage(**fields)  # type: ignore[arg-type]

    nothing = usage(model="z", requests=0, input_tokens=0, cached_input_tokens=0, output_tokens=0)
    found = r.openai_lines([usage(), usage(), nothing, usage(operation="embedding", output_tokens=0)], OWNERS)
    assert [(x.operation, x.units, x.requests, x.cached_input_tokens) for x in found] == [
        ("chat_completion", 30, 2, 8),
        ("embedding", 10, 1, 4),
    ]


@pytest.mark.parametrize(
    ("whole", "mode", "rest"),
    [(12, "total", 4), (8, "total", None), (5, "total", None), (5, "own", 5), (0, "own", None)],
)
def test_what_the_parent_exceeds_its_subusers_by_is_unattributed(whole: int, mode: str, rest: int | None) -> None:
    directory = owned(
        ("a", "sendgrid", "subuser", "passed", None, "2026-11-05"),
        ("b", "sendgrid", "subuser", "passed", "2026-11-05", None),
    )
    emails = [
        Emails(DAY, "", whole),
        Emails(DAY, "passed", 5),
        Emails(DAY, "stranger", 3),
        Emails(DAY, "never asked for", 100),
        Emails(DAY - timedelta(days=1), "passed", 2),
        Emails(DAY, "stranger", 0),
    ]
    found = r.sendgrid_lines(emails, {"stranger"}, directory, mode)
    expected = [("b", DAY, 5), ("unattributed", DAY, 3), ("a", DAY - timedelta(days=1), 2)]
    if rest:
        expected.append(("unattributed", DAY, rest))
    assert [(x.tenant_id, x.day, x.units) for x in found] == expected


# --- sums, finality, caps -----------------------------------------------------------------------------------


def test_a_sum_is_of_the_priced_lines_and_billed_waits_for_all() -> None:
    known, open_ = ai(estimated=D(1)), ai()
    known.billed = D(3)
    assert r.estimated_sum([known, open_]) == 1
    assert r.estimated_sum([open_]) is None
    assert r.estimated_sum([], of_nothing=D(0)) == 0
    assert r.billed_sum([known]) == 3
    assert r.billed_sum([known, open_]) is None


@pytest.mark.parametrize(
    ("day", "as_of", "lookback", "final"),
    [
        ("2026-11-06", "2026-11-10T00:00:00", 3, True),
        ("2026-11-07", "2026-11-10T00:00:00", 3, False),
        ("2026-11-07", "2026-11-10T23:59:59", 3, False),
        ("2026-11-09", "2026-11-10T12:00:00", 0, True),
        ("2026-02-25", "2026-03-01T00:00:00", 3, True),
        ("2026-02-26", "2026-03-01T00:00:00", 3, False),
    ],
)
def test_final_is_older_than_as_of_less_the_lookback(day: str, as_of: str, lookback: int, final: bool) -> None:
    assert r.is_final(date.fromisoformat(day), at(as_of), lookback) is final


@pytest.mark.parametrize(
    ("used", "cap", "threshold", "result"),
    [
        (79, 100, 80, ("79", "ok")),
        (80, 100, 80, ("80", "warning")),
        (100, 100, 80, ("100", "warning")),  # at the cap
        (101, 100, 80, ("101", "over_cap")),
        (1, 3, 80, ("33.333333333333333333", "ok")),
        (2, 3, 66, ("66.666666666666666667", "warning")),
        (0, 0, 80, ("0", "ok")),
        (1, 0, 80, ("100", "over_cap")),
        (99, None, 80, (None, "ok")),
        (100, 100, 101, ("100", "ok")),
    ],
)
def test_cap_status(used: int, cap: int | None, threshold: int, result: tuple[str | None, str]) -> None:
    percent, status = r.cap_status(D(used), None if cap is None else D(cap), D(threshold))
    assert (percent, status) == (None if result[0] is None else D(result[0]), result[1])


@pytest.mark.parametrize(
    ("metric", "direction", "used"),
    [
        ("requests", "any", 3),
        ("units", "any", 9),
        ("units", "outbound", 5),
        ("requests", "inbound", 1),
        ("cost_cents", "any", 150),
        ("cost_cents", "inbound", 0),  # unpriced
    ],
)
def test_used_by_metric_and_direction(metric: str, direction: str, used: int) -> None:
    lines = [
        ai(channel="sms", units=2, estimated=D("0.5")),
        ai(channel="sms", units=3, estimated=D("1")),
        ai(channel="sms", units=4, direction="inbound"),
        ai(channel="mms", units=50, estimated=D("7")),
    ]
    assert r.used_of(Limit("sms", metric, direction, None, D(80)), lines) == used


def test_own_limits_replace_the_plans_but_keep_its_direction() -> None:
    version = TenantVersion("acme", "Acme", "pro", "active", False, None, date(2026, 11, 20))
    later = TenantVersion("acme", "Acme", "", "active", False, date(2026, 11, 20), None)
    seeds = Seeds(
        limits={
            "pro": [
                Limit("sms", "units", "outbound", D(10), D(80)),
                Limit("ai", "units", "any", D(5), D(80)),
            ]
        }
    )
    directory = Directory(
        versions={"acme": [version, later]},
        limits={"acme": [Limit("sms", "units", "", D(99), D(50)), Limit("sms", "requests", "", None, D(80))]},
    )
    own = [
        Limit("sms", "units", "outbound", D(99), D(50)),
        Limit("ai", "units", "any", D(5), D(80)),
        Limit("sms", "requests", "any", None, D(80)),
    ]
    month_end = date(2026, 11, 30)
    # As of the 10th the plan is pro; once the month is over, its last day has none.
    assert r.limits_of("acme", month_end, AS_OF, directory, seeds) == own
    assert r.limits_of("acme", month_end, at("2026-12-02"), directory, seeds) == [
        Limit("sms", "units", "any", D(99), D(50)),
        Limit("sms", "requests", "any", None, D(80)),
    ]
    assert r.limits_of("unattributed", month_end, AS_OF, directory, seeds) == []


# --- months -------------------------------------------------------------------------------------------------


def spent(month: str, *days: tuple[int, str]) -> list[r.Line]:
    return [ai(day=date.fromisoformat(f"{month}-{day:02}"), estimated=D(usd)) for day, usd in days]


@pytest.mark.parametrize(
    ("as_of", "days", "cents"),
    [
        # 9 complete days of 30: 9.00 ÷ 9 × 30 = 30.00
        ("2026-11-10T12:00:00", [(1, "4"), (9, "5"), (10, "1")], "3000"),
        # Never below month to date: 9 ÷ 9 × 30 = 30 < 9 + 50
        ("2026-11-10T12:00:00", [(1, "9"), (10, "50")], "5900"),
        # The 1st: today × 30
        ("2026-11-01T06:00:00", [(1, "2")], "6000"),
        ("2026-11-01T00:00:00", [], "0"),
        # Multiply first: 1 ÷ 7 × 30 = 4.285714285714285714 USD… × 100
        ("2026-11-08T00:00:00", [(3, "1")], "428.571428571428571429"),
        # Finished
        ("2026-12-01T00:00:00", [(1, "2"), (30, "3")], "500"),
    ],
)
def test_projection(as_of: str, days: list[tuple[int, str]], cents: str) -> None:
    assert projected(spent("2026-11", *days), "2026-11", at(as_of)) == D(cents)


@pytest.mark.parametrize(
    ("month", "as_of", "days", "before", "percent"),
    [
        # 9 complete days against the first 9 of October
        ("2026-11", "2026-11-10T12:00:00", [(9, "3"), (10, "99")], [(9, "2"), (10, "50")], "50"),
        # 30 complete days against 28 of February: at most its length
        ("2026-03", "2026-03-31T12:00:00", [(30, "1"), (31, "9")], [(28, "4")], "-75"),
        # The 1st has no complete day
        ("2026-03", "2026-03-01T12:00:00", [(1, "1")], [(1, "4")], None),
        # A finished month: whole against whole
        ("2026-02", "2026-03-01T12:00:00", [(28, "5")], [(31, "4")], "25"),
        ("2026-02", "2026-03-01T12:00:00", [(28, "5")], [], None),
        ("2026-02", "2026-03-01T12:00:00", [], [(31, "3")], "-100"),
        ("2026-02", "2026-03-01T12:00:00", [(1, "4")], [(31, "3")], "33.333333333333333333"),
    ],
)
def test_cost_change(
    month: str,
    as_of: str,
    days: list[tuple[int, str]],
    before: list[tuple[int, str]],
    percent: str | None,
) -> None:
    earlier = f"{month[:5]}{int(month[5:]) - 1:02}"
    found = cost_change(spent(month, *days), spent(earlier, *before), month, at(as_of))
    assert found == (None if percent is None else D(percent))


# --- the directory's history --------------------------------------------------------------------------------


def write(path: Path, *rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def test_a_change_seen_on_load_starts_a_version_and_a_tenant_gone_is_removed(tmp_path: Path) -> None:
    header = "tenant_id,name,plan,status,usage_hard_stop_enabled"
    write(tmp_path / "1/tenants.csv", header, "a,A,pro,active,true", "b,B,,active,false")
    write(tmp_path / "2/tenants.csv", header, "a,A,elite,active,true", "b,B,,active,false")
    write(tmp_path / "3/tenants.csv", header, "a,A,elite,active,true")
    loads = [(date(2026, 11, i), tmp_path / str(i)) for i in (1, 2, 3)]
    found = load_directory(loads, date(2026, 11, 3))
    assert [(v.plan, v.valid_from, v.valid_to) for v in found.versions["a"]] == [
        ("pro", None, date(2026, 11, 2)),
        ("elite", date(2026, 11, 2), None),
    ]
    assert [(v.status, v.valid_from) for v in found.versions["b"]] == [
        ("active", None),
        ("removed", date(2026, 11, 3)),
    ]


def test_dated_versions_are_taken_as_they_are(tmp_path: Path) -> None:
    write(
        tmp_path / "tenants.csv",
        "tenant_id,name,plan,status,usage_hard_stop_enabled,valid_from,valid_to",
        "a,A,pro,active,true,2026-11-05,",
        "a,A,starter,suspended,true,,2026-11-05",
    )
    found = load_directory(tmp_path, date(2026, 11, 10))
    plans = [v.plan if (v := found.version("a", date(2026, 11, d))) else None for d in (1, 4, 5, 30)]
    assert plans == ["starter", "starter", "pro", "pro"]


# --- the whole, by hand -------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Expected:
    """acme (pro): 2 + 1 segments out on Oct 31 and Nov 1, an 61 s call in, 1000/400/100 tokens; 5 stray
    emails.
    """
    write(tmp_path / "seeds/plans.csv", "plan,label,monthly_base_price_usd", "pro,Pro,10")
    write(
        tmp_path / "seeds/plan_limits.csv",
        "plan,channel,metric,direction,monthly_cap,warning_threshold_pct",
        "pro,sms,units,outbound,4,25",
        "pro,ai,units,any,,",
    )
    write(
        tmp_path / "seeds/price_book.csv",
        "service,operation,model,plan,component,unit_price_usd,per,effective_from,effective_to,source",
        "twilio_sms,outbound,,,unit,0.01,1,2024-01-01,,x",
        "twilio_voice,,,,unit,0.013,1,2024-01-01,,x",
        "openai,,gpt-4o-mini,,input,0.15,1000000,2024-01-01,,x",
        "openai,,gpt-4o-mini,,cached_input,0.075,1000000,2024-01-01,,x",
        "openai,,gpt-4o-mini,,output,0.6,1000000,2024-01-01,,x",
    )
    write(
        tmp_path / "directory/tenants.csv",
        "tenant_id,name,plan,status,usage_hard_stop_enabled",
        "acme,Acme,pro,active,true",
        "quiet,Quiet,,suspended,false",
    )
    write(
        tmp_path / "directory/tenant_resources.csv",
        "tenant_id,provider,resource_type,resource_id,valid_from,valid_to",
        "acme,twilio,phone_number,+14155550101,,",
        "acme,openai,project,p,,",
    )
    own, customer = "+14155550101", "whatsapp:+12025550188"

    def sent(sid: str, moment: str, segments: str, price: str | None) -> dict[str, object]:
        return {
            "sid": sid,
            "account_sid": "AC1",
            "direction": "outbound-api",
            "status": "sent",
            "from": own,
            "to": customer,
            "date_sent": moment,
            "num_segments": segments,
            "num_media": "0",
            "price": price,
            "price_unit": "usd",
        }

    files: dict[str, list[dict[str, object]]] = {
        "twilio_messages": [
            sent("SM1", "Sat, 31 Oct 2026 23:59:59 +0000", "2", "-0.0158"),
            sent("SM2", "Sun, 01 Nov 2026 00:00:00 +0000", "1", None),
        ],
        "twilio_calls": [
            {
                "sid": "CA1",
                "account_sid": "AC1",
                "direction": "inbound",
                "status": "completed",
                "from": customer,
                "to": own,
                "start_time": "Sun, 01 Nov 2026 10:00:00 +0000",
                "duration": "61",
                "price": "-0.02600",
                "price_unit": "USD",
            }
        ],
        "openai_usage_completions": [
            {
                "date": "2026-11-01",
                "project_id": "p",
                "api_key_id": "k",
                "model": model,
                "num_model_requests": 2,
                "input_tokens": 1000,
                "input_cached_tokens": 400,
                "output_tokens": 100,
            }
            for model in ("gpt-4o-mini-2024-07-18", "nobody-knows")
        ],
        "openai_costs": [
            {
                "date": "2026-11-01",
                "project_id": "p",
                "line_item": "gpt-4o-mini-2024-07-18, input",
                "amount": {"value": 0.0002, "currency": "usd"},
            }
        ],
        "sendgrid_stats": [{"date": "2026-11-01", "metrics": {"requests": 5, "delivered": 1}}],
    }
    for name, records in files.items():
        write(tmp_path / f"data/{name}.json", json.dumps(records))
    return compute(
        tmp_path / "data",
        tmp_path / "directory",
        tmp_path / "seeds",
        first=date(2026, 10, 31),
        last=date(2026, 11, 30),
        as_of=datetime(2026, 11, 2, 12, tzinfo=UTC),
    )


def test_usage_summary_by_hand(small: Expected) -> None:
    mart = small.marts["usage_summary"]
    october, november = date(2026, 10, 31), date(2026, 11, 1)
    assert {k: tuple(row[c] for c in COLUMNS["usage_summary"]) for k, row in mart.items()} == {
        ("acme", october, "sms"): ("segments", 2, 1, D(2), D("1.58"), 0, 0, False),
        ("acme", november, "sms"): ("segments", 1, 1, D(1), None, 0, 0, False),
        ("acme", november, "voice"): ("minutes", 2, 1, D("2.6"), D("2.6"), 0, 0, False),
        ("acme", november, "ai"): ("tokens", 2200, 4, D("0.018"), D("0.02"), 1100, 0, False),
        ("unattributed", november, "email"): ("emails", 5, 5, None, None, 5, 0, False),
    }


def test_usage_daily_by_hand(small: Expected) -> None:
    key = (
        "acme", date(2026, 11, 1), "ai", "openai", "chat_completion", "outbound", "openai",
        "(untracked)", "gpt-4o-mini-2024-07-18", "residual",
    )  # fmt: skip
    found = small.marts["usage_daily"][key]
    assert tuple(found[c] for c in COLUMNS["usage_daily"]) == (
        1100, 2, 1000, 400, 100, D("0.00018"), D("0.0002"), 0,
    )  # fmt: skip
    assert len(small.marts["usage_daily"]) == 6


def test_billing_usage_daily_by_hand(small: Expected) -> None:
    mart = small.marts["billing_usage_daily"]
    assert len(mart) == 3 * 3  # two tenants and the unattributed × Oct 31 to the as-of day
    assert tuple(mart["acme", date(2026, 11, 1)].values()) == (
        1, 0, 0, 0, 2, 0, 0, 4, 2000, 200, D("0.03618"),
    )  # fmt: skip
    assert tuple(mart["quiet", date(2026, 11, 2)].values()) == (0,) * 11
    assert mart["unattributed", date(2026, 11, 1)]["emails_sent"] == 5
    assert mart["unattributed", date(2026, 11, 1)]["estimated_cost_usd"] is None


def test_tenant_usage_status_by_hand(small: Expected) -> None:
    mart = small.marts["tenant_usage_status"]
    assert {k: (row["used"], row["percent_used"], row["status"]) for k, row in mart.items()} == {
        ("acme", "2026-10", "sms", "units"): (2, D(50), "warning"),
        ("acme", "2026-11", "sms", "units"): (1, D(25), "warning"),
        ("acme", "2026-10", "ai", "units"): (0, None, "ok"),
        ("acme", "2026-11", "ai", "units"): (2200, None, "ok"),
    }


def test_tenant_monthly_by_hand(small: Expected) -> None:
    mart = small.marts["tenant_monthly"]
    assert sorted(mart) == [("acme", "2026-10"), ("acme", "2026-11"), ("unattributed", "2026-11")]
    november = mart["acme", "2026-11"]
    assert {c: v for c, v in november.items() if v != 0} == {
        "openai_cost_cents": D("0.018"),
        "twilio_sms_cost_cents": D(1),
        "twilio_voice_cost_cents": D("2.6"),
        "total_cost_cents": D("3.618"),
        "total_messages": 1,
        "total_ai_calls": 4,
        "total_voice_minutes": 2,
        "previous_month_cost_cents": D(2),
        "cost_change_percent": None,  # the first day of October cost nothing
        "projected_cost_cents": D("108.54"),  # one complete day × 30
        "margin_cents": D("996.382"),
        "usage_status": "warning",
        "unpriced_unit_count": 1100,
    }
    assert mart["unattributed", "2026-11"]["sendgrid_cost_cents"] is None
    assert mart["unattributed", "2026-11"]["margin_cents"] is None


# --- the generator ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", all_in_proof(list(SCENARIOS), ["end of January", "a finished month, with a removal"]))
def test_no_total_is_lost_whatever_was_generated(name: str, tmp_path: Path) -> None:
    window = SCENARIOS[name]
    write_seeds(tmp_path / "seeds", window["first"] + timedelta(days=9))
    made = generate(tmp_path / "data", tmp_path / "directory", seed=12, seeds=tmp_path / "seeds", **window)
    expected = compute(
        made.folder,
        made.loads,
        tmp_path / "seeds",
        first=made.first,
        last=made.last,
        as_of=made.as_of,
        readings=made.readings,
    )

    def read(file: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads((made.folder / f"{file}.json").read_text())
        inside = {made.first.isoformat(), made.last.isoformat()}
        return [x for x in found if "date" not in x or min(inside) <= str(x["date"]) <= max(inside)]

    daily = expected.marts["usage_daily"]
    tokens = sum(
        int(str(u.get("input_tokens", 0))) + int(str(u.get("output_tokens", 0)))
        for file in ("openai_usage_completions", "openai_usage_embeddings")
        for u in read(file)
    )
    assert sum(int(str(row["unit_count"])) for k, row in daily.items() if k[4] in TOKENS) == tokens
    billed = sum(x.billed for x in expected.lines if x.service == "openai" and x.billed is not None)
    amounts = load_provided(made.folder, made.as_of).costs
    assert billed == sum(c.amount for c in amounts if made.first <= c.day <= made.last)
    units: dict[str, Quantity] = defaultdict(int)
    for line in expected.lines:
        units[line.channel] += line.units
    created = [int(str(t["created"])) for t in read("stripe_balance_transactions")]
    assert units["payments"] == sum(made.first <= datetime.fromtimestamp(at, UTC).date() <= made.last for at in created)
    assert units["recording"] == sum(
        -(-int(str(x["duration"])) // 60)
        for x in read("twilio_recordings")
        if x["status"] in ("completed", "deleted")
        and (made_at := instant(x["date_created"])) is not None
        and made.first <= made_at.date() <= made.last
    )
    assert min(units[c] for c in ("phone", "storage", "storage_ops")) > 0
    for mart in ("usage_summary", "usage_monthly", "usage_daily"):
        assert sum(int(str(row["request_count"])) for row in expected.marts[mart].values()) == sum(
            x.requests for x in expected.lines
        )
    statuses = {row["status"] for row in expected.marts["tenant_usage_status"].values()}
    assert statuses == {"ok", "warning", "over_cap"}
    if window.get("removed"):
        assert expected.marts["tenants"]["harbor",]["status"] == "removed"


def test_the_same_seed_writes_the_same_bytes_and_another_one_does_not(tmp_path: Path) -> None:
    window = SCENARIOS["end of January"]
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(tmp_path / name, tmp_path / f"{name}-directory", seed=seed, **window)
    content = [{f.name: f.read_bytes() for f in sorted((tmp_path / name).iterdir())} for name in ("a", "b", "c")]
    assert content[0] == content[1]
    assert content[0] != content[2]


def test_the_window_bounds_what_is_counted_and_every_edge_is_there(tmp_path: Path) -> None:
    window = SCENARIOS["a finished month, with a removal"]
    made = generate(tmp_path / "data", tmp_path / "directory", seed=5, **window)
    provided = load_provided(made.folder, made.as_of)
    moments = {m.date_sent for m in provided.messages if m.date_sent}
    edge = datetime(2026, 10, 1, tzinfo=UTC)
    assert {edge - timedelta(seconds=1), edge, datetime(2026, 11, 1, tzinfo=UTC)} <= moments
    assert any(m.num_segments == 0 and m.num_media == 0 and r.message_day(m) for m in provided.messages)
    assert any(c.parent and r.call_day(c) for c in provided.calls)
    with (made.directory / "tenants.csv").open() as stream:
        assert "harbor" not in {row["tenant_id"] for row in csv.DictReader(stream)}


# --- the comparison -----------------------------------------------------------------------------------------


def _store(url: str, expected: Expected) -> None:
    """The expected marts as tables of loosely typed columns: enough for compare to read."""
    with psycopg.connect(url) as connection:
        connection.execute("create schema marts")
        for mart, rows in expected.marts.items():
            names = (*GRAIN[mart], *COLUMNS[mart])
            texts = {
                "tenant_id",
                "name",
                "plan",
                "plan_label",
                "month",
                "channel",
                "metric",
                "unit",
                "status",
            }
            texts |= {"service", "operation", "direction", "source", "feature", "model", "evidence"}
            texts |= {"usage_status", "activity", "state"}
            kinds = {"date": "date", "is_final": "boolean", "usage_hard_stop_enabled": "boolean"}
            columns = [
                sql.SQL("{} {}").format(
                    sql.Identifier(n),
                    sql.SQL("text") if n in texts else sql.SQL(kinds.get(n, "numeric(38,18)")),
                )
                for n in names
            ]
            table = sql.Identifier("marts", mart)
            connection.execute(sql.SQL("create table {} ({})").format(table, sql.SQL(", ").join(columns)))
            insert = sql.SQL("insert into {} values ({})").format(
                table, sql.SQL(", ").join([sql.Placeholder()] * len(names))
            )
            for key, row in rows.items():
                connection.execute(insert, [*key, *(row[c] for c in COLUMNS[mart])])


def test_compare_finds_each_difference_and_nothing_else(small: Expected, empty_database: str) -> None:
    _store(empty_database, small)
    assert compare(empty_database, small) == []
    with psycopg.connect(empty_database) as connection:
        connection.execute(
            "update marts.usage_summary set estimated_cost_cents = estimated_cost_cents + 1e-18 where channel = 'voice'"
        )
        connection.execute("delete from marts.tenant_monthly where month = '2026-10'")
        connection.execute("insert into marts.usage_monthly (tenant_id, month, channel) values ('x', '2026-12', 'ai')")
        connection.execute("update marts.usage_daily set billed_cost_usd = 0 where model = 'nobody-knows'")
        connection.execute("update marts.usage_daily set billed_cost_usd = 1 where model = 'gpt-4o-mini-2024-07-18'")
    found = compare(empty_database, small)
    assert [line.split(":")[0] for line in found] == [
        "usage_daily tenant_id=acme date=2026-11-01 channel=ai service=openai operation=chat_completion"
        " direction=outbound source=openai feature=(untracked) model=gpt-4o-mini-2024-07-18"
        " evidence=residual",
        "usage_daily",
        "usage_summary tenant_id=acme date=2026-11-01 channel=voice",
        "usage_monthly tenant_id=x month=2026-12 channel=ai",
        "tenant_monthly tenant_id=acme month=2026-10",
    ]
    assert found[2].endswith("expected 2.6, found 2.600000000000000001")
    # Only October's days and the months October and November.
    october = (date(2026, 10, 31), date(2026, 10, 31))
    assert len(compare(empty_database, small, october)) == 1


@pytest.mark.parametrize(
    ("tier", "plan", "usd"),
    [
        ("", "", 1),
        ("batch", "", 2),
        ("long_context", "", 3),
        ("batch_long_context", "", 4),
        # A tier of any model before the model's own of any tier; the processing before the length.
        ("flex", "", 5),
        ("flex_long_context", "", 5),
        ("scale", "", 1),
        ("scale_long_context", "", 3),
        ("batch", "pro", 7),
    ],
)
def test_a_tier_comes_after_the_plan_and_before_the_model(tier: str, plan: str, usd: int) -> None:
    rows = [("", "", "m", 1), ("", "batch", "m", 2), ("", "long_context", "m", 3), ("", "batch_long_context", "m", 4)]
    rows += [("", "flex", "", 5), ("pro", "", "", 7)]
    book = [
        Price("openai", "chat_completion", name, own_plan, "input", D(price), D(1), None, None, own_tier)
        for own_plan, own_tier, name, price in rows
    ]
    assert r.price_set(book, "openai", "chat_completion", "m", plan, date(2026, 11, 1), tier) == {
        "input": Fraction(usd)
    }


@pytest.mark.parametrize(
    ("tokens", "prices", "usd"),
    [
        # gpt-6-sol and gpt-5.6-terra, and a model without a price of writes.
        (
            (2_600, 2_000, 400, 100),
            {"input": 2, "cached_input": D("0.2"), "cache_write": D("2.5"), "output": 10},
            "0.0028",
        ),
        ((100_000, 0, 100_000, 0), {"input": 2, "cache_write": D("2.5")}, "0.25"),
        ((1_000, 0, 400, 0), {"input": D("0.75")}, "0.00075"),
        # claude-sonnet-5, and a model without a price of writes that live for an hour.
        (
            (2_600, 2_000, 100, 50, 300),
            {"input": 2, "cached_input": D("0.2"), "cache_write": D("2.5"), "cache_write_1h": 4, "output": 10},
            "0.00275",
        ),
        ((1_000, 0, 0, 0, 400), {"input": D("0.75"), "cache_write": 9}, "0.00075"),
    ],
)
def test_what_is_written_to_the_cache_has_its_price(tokens: tuple[int, ...], prices: dict[str, D], usd: str) -> None:
    given, cached, written, out, *hour = tokens
    line = r.Line(
        *("a", date(2026, 11, 1), "ai", "openai", "chat_completion", "outbound", "openai", "residual", given + out, 1),
        input_tokens=given,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=sum(hour),
        output_tokens=out,
    )
    assert r.estimate(line, {name: Fraction(price) / 10**6 for name, price in prices.items()}) == D(usd)
