"""Pins the oracle's settlement and reconciliation with cases worked out by hand, edge by edge."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.oracle import Expected, compute
from tests.oracle import rules as r
from tests.oracle.events import Quantity, by_record, load_events
from tests.oracle.reconciliation import Cell, reconcile
from tests.oracle.records import (
    Call,
    Cost,
    Directory,
    Emails,
    Message,
    Price,
    Provided,
    Resource,
    Seeds,
    Usage,
)
from tests.oracle.settlement import Answers, Settlement, settle

D = Decimal
FIRST, LAST = date(2026, 11, 1), date(2026, 11, 10)
AS_OF = datetime(2026, 11, 10, 12, tzinfo=UTC)
CLOSED, OPEN = date(2026, 11, 6), date(2026, 11, 7)  # either side of as-of − 3 days
NOON = datetime(2026, 11, 6, 12, tzinfo=UTC)
ACME, BOREAL = "+14155550101", "+14155550102"

Line = tuple[str, str, str, Quantity, Quantity]


def event(**given: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "event_key": given.get("external_id") or "e1",
        "tenant_id": "acme",
        "service": "twilio_sms",
        "operation": "outbound",
        "channel": "sms",
        "direction": "outbound",
        "source": "twilio",
        "feature": "broadcast",
        "units": 1,
        "occurred_at": NOON,
        **given,
    }
    return row


def ai(tokens: tuple[int, int, int] = (100, 0, 10), **given: Any) -> dict[str, Any]:
    return event(
        **{
            "service": "openai",
            "channel": "ai",
            "operation": "chat_completion",
            "source": "openai",
            "model": "m",
            "units": tokens[0] + tokens[2],
            "input_tokens": tokens[0],
            "cached_input_tokens": tokens[1],
            "output_tokens": tokens[2],
            **given,
        }
    )


def mail(units: int, **given: Any) -> dict[str, Any]:
    return event(
        **{
            "service": "sendgrid",
            "channel": "email",
            "operation": "send",
            "source": "sendgrid",
            "units": units,
            **given,
        }
    )


def message(**given: Any) -> Message:
    fields: dict[str, Any] = {
        "sid": "SM1",
        "account": "AC1",
        "messaging_service": "",
        "sender": ACME,
        "recipient": "+2",
        "direction": "outbound-api",
        "status": "delivered",
        "date_sent": NOON,
        "num_segments": 3,
        "num_media": 0,
        "price": D("-0.03"),
        "price_unit": "USD",
        **given,
    }
    return Message(**fields)


def call(sid: str = "CA1", **given: Any) -> Call:
    fields: dict[str, Any] = {
        "sid": sid,
        "account": "AC1",
        "parent": "",
        "caller": "+3",
        "called": ACME,
        "direction": "inbound",
        "status": "completed",
        "start_time": NOON,
        "duration": 61,
        "price": None,
        "price_unit": "USD",
        **given,
    }
    return Call(**fields)


def bucket(tokens: tuple[int, int, int], requests: int = 1, **given: Any) -> Usage:
    fields: dict[str, Any] = {
        "operation": "chat_completion",
        "day": CLOSED,
        "project": "p",
        "api_key": "k",
        "model": "m",
        "requests": requests,
        "input_tokens": tokens[0],
        "cached_input_tokens": tokens[1],
        "output_tokens": tokens[2],
        **given,
    }
    return Usage(**fields)


DIRECTORY = Directory(
    resources=[
        Resource("acme", "twilio", "phone_number", ACME, None, None),
        Resource("boreal", "twilio", "phone_number", BOREAL, None, None),
        Resource("acme", "openai", "project", "p", None, None),
        Resource("boreal", "openai", "project", "b1", None, None),
        Resource("boreal", "openai", "project", "b2", None, None),
        Resource("cirrus", "openai", "api_key", "kc", None, None),
        Resource("delta", "openai", "api_key", "kd", None, None),
        Resource("acme", "sendgrid", "subuser", "mail", None, None),
        Resource("boreal", "sendgrid", "subuser", "b-mail", None, CLOSED),
    ]
)


@dataclass
class World:
    """What the provider has, and what settling the events against it gives."""

    provided: Provided = field(default_factory=Provided)
    prices: list[Price] = field(default_factory=list)
    gone: Mapping[str, frozenset[date]] = field(default_factory=dict)
    parent_stats: str = "total"

    def settle(self, *rows: Mapping[str, Any]) -> Settlement:
        return settle(
            self.provided,
            DIRECTORY,
            Seeds(prices=self.prices),
            load_events(rows),
            Answers(FIRST, LAST, self.gone, frozenset({"mail", "b-mail", "listed"})),
            as_of=AS_OF,
            lookback=3,
            parent_stats=self.parent_stats,
        )

    def lines(self, *rows: Mapping[str, Any]) -> list[Line]:
        return sorted((x.tenant_id, x.feature, x.evidence, x.units, x.requests) for x in self.settle(*rows).lines)

    def cells(self, *rows: Mapping[str, Any], tolerance: str = "1") -> dict[tuple[str, date, str], Cell]:
        found = reconcile(self.settle(*rows), tolerance_percent=D(tolerance))
        return {where: cell for where, cell in found.items() if cell.provider_units or cell.tracked_units}

    def states(self, *rows: Mapping[str, Any]) -> dict[str, str]:
        return {where[0]: cell.state for where, cell in self.cells(*rows).items()}


def of(**given: Any) -> World:
    return World(Provided(**given))


# --- the events by themselves -------------------------------------------------------------------------------


def test_what_several_events_say_of_one_record() -> None:
    (found,) = by_record(
        load_events(
            [
                event(event_key="CA1:completed", external_id="CA1", units=2, feature="late", activity="b",
                      occurred_at=NOON + timedelta(minutes=3)),
                event(event_key="z", external_id="CA1", units=0, tenant_id="unattributed", feature=None,
                      occurred_at=NOON - timedelta(days=1)),
                event(event_key="a", external_id="CA1", units=1, tenant_id="ghost", feature="first", activity=None),
                event(event_key="b", external_id="CA1", units=1, tenant_id="", feature="second", activity=None),
                event(event_key="c", external_id="CA1", units=1, tenant_id="boreal", feature="third", activity="a"),
            ]
        ),
        ["acme", "boreal"],
    )  # fmt: skip
    assert (found.record_key, found.day) == ("CA1", CLOSED - timedelta(days=1))  # the day of the earliest
    # At the same moment the lower key is the earlier one; a tenant that nobody knows hides none.
    assert (found.tenant, found.feature, found.activity, found.units) == ("boreal", "third", "a", 2)
    assert found.tenants == {"acme", "boreal", "ghost"}


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"event_key": "idem-1", "external_id": "SM1"}, "SM1"),
        ({"event_key": "idem-1", "external_id": ""}, "idem-1"),
        ({"event_key": "idem-1", "external_id": None}, "idem-1"),
    ],
)
def test_record_keys(given: dict[str, Any], key: str) -> None:
    assert load_events([event(**given)])[0].record_key == key


def test_days_are_utc() -> None:
    late = datetime.fromisoformat("2026-11-05T22:30:00-05:00")
    assert load_events([event(occurred_at=late)])[0].day == CLOSED


def test_a_key_that_is_there_twice_is_no_table() -> None:
    with pytest.raises(ValueError, match="twice"):
        load_events([event(), event(units=2)])


# --- records ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "line"),
    [
        # The record's units, the event's tenant and feature.
        ({"tenant_id": "boreal", "units": 1}, ("boreal", "broadcast", "provider", 3, 1)),
        ({"tenant_id": "unattributed"}, ("acme", "broadcast", "provider", 3, 1)),
        ({"tenant_id": ""}, ("acme", "broadcast", "provider", 3, 1)),
        ({"feature": None}, ("acme", "(untracked)", "provider", 3, 1)),
        ({"feature": ""}, ("acme", "(untracked)", "provider", 3, 1)),
        # However the event is dated, and whatever it says became of the call.
        ({"occurred_at": NOON - timedelta(days=9)}, ("acme", "broadcast", "provider", 3, 1)),
        ({"metadata": {"status": "failed"}}, ("acme", "broadcast", "provider", 3, 1)),
        ({"event_key": "mine"}, ("acme", "broadcast", "provider", 3, 1)),
    ],
)
def test_the_record_gives_quantity_and_the_event_context(given: dict[str, Any], line: Line) -> None:
    settled = of(messages=[message()]).settle(event(**{"external_id": "SM1", **given}))
    (found,) = settled.lines
    assert (found.tenant_id, found.feature, found.evidence, found.units, found.requests) == line
    assert (found.day, found.billed) == (CLOSED, D("0.03"))
    assert settled.record_keys == {CLOSED: {"SM1"}}


def test_a_record_without_an_event_is_the_directorys_and_untracked() -> None:
    assert of(messages=[message()]).lines() == [("acme", "(untracked)", "provider", 3, 1)]


@pytest.mark.parametrize(
    "given",
    [{"status": "failed"}, {"status": "canceled"}],
)
def test_a_record_that_does_not_count_takes_its_event_with_it(given: dict[str, Any]) -> None:
    settled = of(messages=[message(**given)]).settle(event(external_id="SM1"))
    assert (settled.lines, dict(settled.record_keys)) == ([], {})


def test_an_unanswered_call_of_no_seconds_is_a_record_that_does_not_count() -> None:
    about = {"service": "twilio_voice", "channel": "voice", "external_id": "CA1", "units": 2}
    assert of(calls=[call(duration=0)]).lines(event(**about)) == []


@pytest.mark.parametrize(
    "record",
    [
        message(date_sent=None, status="queued"),  # in no list by day
        message(date_sent=datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)),  # on a day that nobody ingested
        message(sid="SM2", num_segments=0),
    ],
)
def test_a_record_that_is_not_stored_leaves_its_event_provisional(record: Message) -> None:
    settled = of(messages=[record]).settle(event(external_id="SM1", units=2))
    (line,) = [x for x in settled.lines if x.record == "SM1" and x.evidence == "tracked"]
    assert (line.tenant_id, line.day, line.units, line.requests, line.billed) == ("acme", CLOSED, 2, 1, None)
    assert line.provisional


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        ({}, True),
        ({"metadata": {"status": "delivered"}}, True),
        ({"metadata": '{"status": "failed"}'}, False),
        ({"metadata": {"status": "failed"}}, False),
        ({"metadata": {"status": "canceled"}}, False),
        ({"service": "twilio_voice", "channel": "voice", "units": 0}, False),
        ({"service": "twilio_voice", "channel": "voice", "units": 1}, True),
    ],
)
def test_what_counts_before_its_record_is_there(given: dict[str, Any], counts: bool) -> None:
    settled = World().settle(event(**given))
    assert (len(settled.lines), len(settled.record_keys)) == (int(counts), int(counts))


def test_one_word_of_failure_is_enough() -> None:
    failed = {"event_key": "SM1:failed", "units": 0, "metadata": {"status": "failed"}}
    assert World().lines(event(external_id="SM1"), event(external_id="SM1", **failed)) == []


def test_nobodys_event_without_a_record_is_unattributed() -> None:
    assert World().lines(event(tenant_id="")) == [("unattributed", "broadcast", "tracked", 1, 1)]


def test_a_child_leg_of_nobody_is_its_parent_calls_tenants_as_the_event_says() -> None:
    child = call("CA2", parent="CA1", caller="+3", called="+4", direction="outbound-dial")
    world = of(calls=[call(), child])
    assert [x.tenant_id for x in world.settle().untracked] == ["acme", "acme"]
    named = event(service="twilio_voice", channel="voice", external_id="CA1", tenant_id="boreal")
    settled = world.settle(named)
    records = [*(line for line, _ in settled.matched), *settled.untracked]
    assert [(x.tenant_id, x.owner) for x in records] == [("boreal", "acme"), ("boreal", "acme")]


# --- aggregates ---------------------------------------------------------------------------------------------


def settled_lines(world: World, *rows: Mapping[str, Any]) -> list[tuple[str, str, str, int, int, int, Quantity]]:
    return sorted(
        (
            x.tenant_id, x.feature, x.evidence,
            x.input_tokens, x.cached_input_tokens, x.output_tokens, x.requests,
        )
        for x in world.settle(*rows).lines
    )  # fmt: skip


NEVER = {"openai_usage_completions": frozenset({CLOSED, OPEN})}


@pytest.mark.parametrize(
    ("day", "given", "tracked", "lines"),
    [
        # All of it was tracked: no residual.
        (CLOSED, (100, 20, 10), (100, 20, 10), [("broadcast", "provider", 100, 20, 10, 1)]),
        (OPEN, (100, 20, 10), (100, 20, 10), [("broadcast", "provider", 100, 20, 10, 1)]),
        # A part of it.
        (CLOSED, (100, 20, 10), (60, 20, 10),
         [("(untracked)", "residual", 40, 0, 0, 0), ("broadcast", "provider", 60, 20, 10, 1)]),
        (OPEN, (100, 20, 10), (60, 20, 10),
         [("(untracked)", "residual", 40, 0, 0, 0), ("broadcast", "provider", 60, 20, 10, 1)]),
        # More than it: exact once closed; before that the provider is behind.
        (CLOSED, (100, 20, 10), (101, 30, 9),
         [("(untracked)", "residual", -1, -10, 1, 0), ("broadcast", "provider", 101, 30, 9, 1)]),
        (OPEN, (100, 20, 10), (120, 30, 9),
         [("(untracked)", "residual", 0, 0, 1, 0), ("broadcast", "tracked", 120, 30, 9, 1)]),
        (OPEN, (100, 20, 10), (120, 30, 10), [("broadcast", "tracked", 120, 30, 10, 1)]),
        # As much in all, but not of each measure.
        (OPEN, (100, 20, 10), (90, 30, 20),
         [("(untracked)", "residual", 10, 0, 0, 0), ("broadcast", "provider", 90, 30, 20, 1)]),
        # Nothing at the provider.
        (CLOSED, None, (5, 0, 1), [("(untracked)", "residual", -5, 0, -1, -1), ("broadcast", "provider", 5, 0, 1, 1)]),
        (OPEN, None, (5, 0, 1), [("broadcast", "tracked", 5, 0, 1, 1)]),
    ],
)  # fmt: skip
def test_tracked_and_residual(
    day: date, given: tuple[int, int, int] | None, tracked: tuple[int, int, int], lines: list[tuple[object, ...]]
) -> None:
    world = of(usage=[bucket(given, day=day)] if given else [])
    found = settled_lines(world, ai(tracked, occurred_at=NOON.replace(day=day.day)))
    assert found == [("acme", *line) for line in lines]


@pytest.mark.parametrize("day", [CLOSED, OPEN])
def test_a_day_without_an_answer_stays_provisional(day: date) -> None:
    world = World(gone=NEVER)
    assert settled_lines(world, ai(occurred_at=NOON.replace(day=day.day))) == [
        ("acme", "broadcast", "tracked", 100, 0, 10, 1)
    ]
    # Another table's answer is another matter.
    settled = world.settle(ai((100, 0, 0), operation="embedding", occurred_at=NOON))
    assert [x.evidence for x in settled.lines] == ["provider", "residual"]


def test_no_answer_about_days_that_were_never_asked_for() -> None:
    before = ai(occurred_at=datetime(2026, 10, 31, 12, tzinfo=UTC))
    assert [x.evidence for x in World().settle(before).lines] == ["tracked"]


def test_requests_alone_may_be_left() -> None:
    world = of(usage=[bucket((100, 0, 10), requests=3)])
    assert settled_lines(world, ai()) == [
        ("acme", "(untracked)", "residual", 0, 0, 0, 2),
        ("acme", "broadcast", "provider", 100, 0, 10, 1),
    ]


def test_lines_by_tenant_feature_and_activity_and_the_rest_on_the_owner() -> None:
    world = of(usage=[bucket((100, 0, 0), requests=9)])
    rows = [
        ai((10, 0, 0), event_key="1", resource_id="p"),
        ai((10, 0, 0), event_key="2", resource_id="p", activity="lead_scoring"),
        ai((10, 0, 0), event_key="3", resource_id="p", feature=None),
        ai((10, 0, 0), event_key="4", resource_id="p", tenant_id="boreal"),
        ai((10, 0, 0), event_key="5", resource_id="p", tenant_id=""),
    ]
    assert world.lines(*rows) == [
        ("acme", "(untracked)", "provider", 10, 1),
        ("acme", "(untracked)", "residual", 50, 4),
        ("acme", "broadcast", "provider", 10, 1),
        ("acme", "broadcast", "provider", 20, 2),
        ("boreal", "broadcast", "provider", 10, 1),
    ]


def test_one_call_with_two_events_is_one_request() -> None:
    world = of(usage=[bucket((100, 0, 10), requests=1)])
    rows = [ai(event_key="a", external_id="resp_1"), ai(event_key="b", external_id="resp_1")]
    assert world.lines(*rows) == [("acme", "broadcast", "provider", 110, 1)]


@pytest.mark.parametrize(
    ("models", "tracked_model", "model"),
    [
        (["gpt-4o"], "gpt-4o", "gpt-4o"),
        (["gpt-4o-2024-08-06"], "gpt-4o", "gpt-4o-2024-08-06"),
        (["gpt-4o"], "gpt-4o-2024-08-06", "gpt-4o"),
        (["gpt-4o", "gpt-4o-2024-08-06"], "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        (["gpt-4o", "gpt-4o-2024-08-06"], "gpt-4o", "gpt-4o"),
        (["gpt-4o-latest", "gpt-4o-2024-08-06"], "gpt-4o", "gpt-4o-2024-08-06"),
        (["gpt-4o-2024-08-06", "gpt-4o-2024-11-20"], "gpt-4o", "gpt-4o-2024-08-06"),
        (["gpt-4o-mini"], "gpt-4o", "gpt-4o"),
        (["gpt-5-nano"], "gpt-5", "gpt-5"),
        # Two snapshots of one model are two models.
        (["gpt-4o-2024-08-06"], "gpt-4o-2024-11-20", "gpt-4o-2024-11-20"),
        ([], "gpt-4o", "gpt-4o"),
    ],
)
def test_under_which_model_an_event_stands(models: list[str], tracked_model: str, model: str) -> None:
    world = of(usage=[bucket((1000, 0, 0), model=m) for m in models])
    (line,) = [x for x in world.settle(ai(model=tracked_model)).lines if x.evidence != "residual"]
    assert line.model == model


@pytest.mark.parametrize(
    ("given", "found"),
    [
        # Named: a project, an api key that a bucket of the day has, one that none has, a stranger's.
        ({"tenant_id": "acme", "resource_id": "b1"}, ("b1", "boreal")),
        ({"tenant_id": "acme", "resource_id": "kb"}, ("b2", "boreal")),
        ({"tenant_id": "cirrus", "resource_id": "kc"}, ("shared", "cirrus")),
        ({"tenant_id": "acme", "resource_id": "kc"}, ("shared", "cirrus")),
        ({"tenant_id": "acme", "resource_id": "kd"}, ("p", "acme")),
        ({"tenant_id": "acme", "resource_id": "who"}, ("who", "unattributed")),
        # The tenant's part of a project that is told by its keys.
        ({"tenant_id": "cirrus", "resource_id": "shared"}, ("shared", "cirrus")),
        ({"tenant_id": "acme", "resource_id": "shared"}, ("shared", "unattributed")),
        # Not named: the only one; where it used most of the model; nowhere.
        ({"tenant_id": "acme"}, ("p", "acme")),
        ({"tenant_id": "boreal"}, ("b2", "boreal")),
        ({"tenant_id": "boreal", "model": "other"}, ("b1", "boreal")),
        ({"tenant_id": "cirrus"}, ("shared", "cirrus")),
        ({"tenant_id": "unattributed"}, ("shared", "unattributed")),
        ({"tenant_id": "delta"}, (None, "unattributed")),
        ({"tenant_id": "boreal", "model": "never"}, (None, "unattributed")),
    ],
)
def test_where_an_event_belongs(given: dict[str, Any], found: tuple[str | None, str]) -> None:
    world = of(
        usage=[
            bucket((500, 0, 0)),
            bucket((70, 0, 0), project="b1"),
            bucket((500, 0, 0), project="b1", model="other"),
            bucket((90, 0, 0), project="b2", api_key="kb"),
            bucket((60, 0, 0), project="shared", api_key="kc"),
            bucket((60, 0, 0), project="shared", api_key="unlisted"),
        ]
    )
    settled = world.settle(ai((10, 0, 0), **given))
    (group,) = [g for g in settled.groups if g.tracked]
    assert (group.resource, group.owner) == found


@pytest.mark.parametrize(
    ("tracked_tier", "length", "tier", "priced"),
    [
        # Its own tier's sum, else the one that names none; how long the call was decides its price alone.
        ("flex", 10, "flex", "flex"),
        ("FLEX", 272_000, "flex", "flex"),
        ("flex", 272_001, "flex", "flex_long_context"),
        ("priority", 10, "", "priority"),
        ("fast", 10, "", "priority"),
        ("batch", 272_001, "batch", "batch_long_context"),
        # What names none is of the sum that names none.
        (None, 10, "", ""),
        ("default", 272_001, "", "long_context"),
    ],
)
def test_of_which_tier_a_call_is(tracked_tier: str | None, length: int, tier: str, priced: str) -> None:
    usage = [bucket((10**6, 0, 0), tier=name) for name in ("", "batch", "flex")]
    usage.append(bucket((10**6, 0, 0), tier="scale"))
    settled = of(usage=usage).settle(ai((length, 0, 0), metadata={"service_tier": tracked_tier}))
    (group,) = [g for g in settled.groups if g.tracked]
    (line,) = [x for x in settled.lines if x.evidence == "provider"]
    assert (group.tier, line.tier) == (tier, priced)
    # Whoever was not tracked is of no length that anybody knows.
    assert {x.tier for x in settled.lines if x.evidence == "residual"} == {"", "batch", "flex", "scale"}


@pytest.mark.parametrize(
    ("tiers", "tracked_tier", "tier", "priced"),
    [
        (["batch"], None, "batch", "batch"),  # the provider's word
        (["batch", "flex"], None, "batch", "batch"),
        (["batch"], "flex", "flex", "flex"),  # a sum of its own
        ([""], "flex", "", "flex"),
        ([], "flex", "flex", "flex"),
        ([], None, "", ""),
    ],
)
def test_a_call_whose_tier_the_provider_does_not_have(
    tiers: list[str], tracked_tier: str | None, tier: str, priced: str
) -> None:
    world = of(usage=[bucket((100, 0, 0), tier=name) for name in tiers])
    settled = world.settle(ai((10, 0, 0), metadata={"service_tier": tracked_tier}))
    (group,) = [g for g in settled.groups if g.tracked]
    assert group.tier == tier
    assert [x.tier for x in group.lines if x.evidence != "residual"] == [priced]


def test_the_tier_comes_before_the_model() -> None:
    world = of(usage=[bucket((9, 0, 0), model="m", tier=""), bucket((9, 0, 0), model="m-2026-01-01", tier="flex")])
    (group,) = [g for g in world.settle(ai(metadata={"service_tier": "flex"})).groups if g.tracked]
    assert group.model == "m-2026-01-01"


def test_what_is_written_to_the_cache_is_settled_like_what_is_read_from_it() -> None:
    world = World(
        Provided(usage=[bucket((100, 20, 0), cache_write_tokens=50, cache_write_1h_tokens=15)]),
        [price("openai", "input", "1", "100"), price("openai", "cache_write", "2", "100"),
         price("openai", "cache_write_1h", "4", "100"),
         price("openai", "cached_input", "0", "100")],
    )  # fmt: skip
    lines = world.settle(ai((60, 20, 0), cache_write_tokens=30, cache_write_1h_tokens=4)).lines
    # 6 × 0.01 + 30 × 0.02 + 4 × 0.04, and 9 × 0.01 + 20 × 0.02 + 11 × 0.04.
    assert {x.evidence: x.estimated for x in lines} == {"provider": D("0.82"), "residual": D("0.93")}


def test_equally_much_used_resources_are_taken_by_name() -> None:
    world = of(usage=[bucket((90, 0, 0), project="b2"), bucket((90, 0, 0), project="b1")])
    (group,) = [g for g in world.settle(ai(tenant_id="boreal")).groups if g.tracked]
    assert group.resource == "b1"


def test_keys_of_several_tenants_in_one_project_keep_their_own_residuals() -> None:
    world = of(
        usage=[
            bucket((60, 0, 0), requests=2, project="shared", api_key="kc"),
            bucket((50, 0, 0), project="shared", api_key="kd"),
        ]
    )
    assert world.lines(ai((20, 0, 0), tenant_id="cirrus", resource_id="kc")) == [
        ("cirrus", "(untracked)", "residual", 40, 1),
        ("cirrus", "broadcast", "provider", 20, 1),
        ("delta", "(untracked)", "residual", 50, 1),
    ]


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([mail(7)], [("acme", "(untracked)", "residual", 3, 3), ("acme", "broadcast", "provider", 7, 7)]),
        ([mail(10)], [("acme", "broadcast", "provider", 10, 10)]),
        ([mail(12)], [("acme", "(untracked)", "residual", -2, -2), ("acme", "broadcast", "provider", 12, 12)]),
        ([mail(7, tenant_id="boreal", resource_id="mail")],
         [("acme", "(untracked)", "residual", 3, 3), ("boreal", "broadcast", "provider", 7, 7)]),
        # boreal has no subuser any more on that day: nobody's usage, taken back where the account's is.
        ([mail(2, tenant_id="boreal")],
         [("acme", "(untracked)", "residual", 10, 10), ("boreal", "broadcast", "provider", 2, 2),
          ("unattributed", "(untracked)", "residual", -2, -2)]),
        # A subuser that SendGrid knows nothing about is never answered for.
        ([mail(2, resource_id="unheard-of")],
         [("acme", "(untracked)", "residual", 10, 10), ("acme", "broadcast", "tracked", 2, 2)]),
        ([mail(2, resource_id="listed")],
         [("acme", "(untracked)", "residual", 10, 10), ("acme", "broadcast", "provider", 2, 2),
          ("unattributed", "(untracked)", "residual", -2, -2)]),
    ],
)  # fmt: skip
def test_emails(rows: Sequence[dict[str, Any]], lines: list[Line]) -> None:
    assert of(emails=[Emails(CLOSED, "mail", 10)]).lines(*rows) == lines


def test_what_the_account_sent_by_itself_is_its_nameless_tenants() -> None:
    world = of(emails=[Emails(CLOSED, "mail", 10), Emails(CLOSED, "", 14)])
    assert world.lines(mail(3, tenant_id="unattributed"))[1:] == [
        ("unattributed", "(untracked)", "residual", 1, 1),
        ("unattributed", "broadcast", "provider", 3, 3),
    ]


# --- services without a provider ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "channel", "units", "requests"),
    [
        ("internal", "internal", 4, 1),
        ("google_places", "places", 4, 4),
        ("twilio_phone", "phone", 1, 1),
    ],
)
def test_an_event_that_is_the_record(service: str, channel: str, units: Quantity, requests: int) -> None:
    (line,) = World().settle(event(service=service, channel=channel, units=units)).lines
    assert (line.evidence, line.units, line.requests, line.provisional) == ("tracked", units, requests, False)


# --- money --------------------------------------------------------------------------------------------------


def price(service: str, component: str, usd: str, per: str = "1", **given: Any) -> Price:
    fields: dict[str, Any] = {
        "operation": "",
        "model": "",
        "plan": "",
        "effective_from": None,
        "effective_to": None,
        **given,
    }
    return Price(service=service, component=component, unit_price=D(usd), per=D(per), **fields)


def test_a_residual_below_zero_takes_its_cost_back() -> None:
    world = World(
        Provided(usage=[bucket((100, 20, 10))]),
        [price("openai", "input", "2", "100"), price("openai", "cached_input", "1", "100"),
         price("openai", "output", "3", "100")],
    )  # fmt: skip
    costs = {x.evidence: x.estimated for x in world.settle(ai((150, 70, 20))).lines}
    # 80 × 0.02 + 70 × 0.01 + 20 × 0.03, and 0 × 0.02 − 50 × 0.01 − 10 × 0.03: together 100/20/10's 2.10
    assert costs == {"provider": D("2.9"), "residual": D("-0.8")}


@pytest.mark.parametrize(
    ("service", "channel", "units", "usd", "cost"),
    [
        ("twilio_phone", "phone", 15, "1.15", "0.575"),  # half of November
        ("cloudflare_r2", "storage", D("2.5"), "0.015", "0.00125"),
        ("internal", "internal", 3, "0.1", "0.3"),
    ],
)
def test_prices_by_the_month(service: str, channel: str, units: Quantity, usd: str, cost: str) -> None:
    world = World(prices=[price(service, "unit", usd)])
    (line,) = world.settle(event(service=service, channel=channel, operation=channel, units=units)).lines
    assert line.estimated == D(cost)


def test_costs_are_shared_by_what_is_tracked_and_the_rest_alike() -> None:
    world = World(
        Provided(usage=[bucket((100, 0, 0))], costs=[Cost(CLOSED, "p", "m, input", D("0.8"), "usd")]),
        [price("openai", "input", "1", "100")],
    )
    billed = {x.evidence: x.billed for x in world.settle(ai((125, 0, 0))).lines}
    assert billed == {"provider": D(1), "residual": D("-0.2")}


def test_a_cost_over_lines_that_cancel_out_is_shared_alike() -> None:
    assert r.spread(D(3), [Fraction(2), Fraction(-2)]) == [D("1.5"), D("1.5")]
    world = World(Provided(costs=[Cost(CLOSED, "p", "m, input", D(3), "usd")]))
    billed = {x.evidence: x.billed for x in world.settle(ai((125, 0, 0))).lines}
    assert billed == {"provider": D("1.5"), "residual": D("1.5")}


# --- reconciliation -----------------------------------------------------------------------------------------


def sms(sid: str = "SM1", **given: Any) -> dict[str, Any]:
    return event(**{"external_id": sid, "units": 100, **given})


@pytest.mark.parametrize(
    ("tracked", "state", "percent"),
    [
        (100, "matched", "0"),
        (101, "matched", "1"),  # 1 % is still within
        (99, "matched", "1"),
        (102, "drift", "2"),
        (98, "drift", "2"),
        (0, "matched", "0"),  # nothing was said about units
    ],
)
def test_drift_of_a_record(tracked: int, state: str, percent: str) -> None:
    world = of(messages=[message(num_segments=100)])
    ((where, cell),) = world.cells(sms(units=tracked)).items()
    assert where == ("acme", CLOSED, "twilio_sms")
    assert (cell.provider_units, cell.tracked_units, cell.state) == (100, tracked or 100, state)
    assert cell.drift * 100 == Fraction(percent)


def test_drift_adds_up_without_signs_and_is_measured_against_all_of_the_day() -> None:
    records = [message(sid=f"SM{n}", num_segments=100) for n in (1, 2, 3)]
    cell = of(messages=records).cells(sms("SM1", units=103), sms("SM2", units=98))["acme", CLOSED, "twilio_sms"]
    assert (cell.drift * 300, cell.state) == (5, "drift")
    assert of(messages=records).states(sms("SM1", units=102), sms("SM2", units=99)) == {"acme": "partly_tracked"}


@pytest.mark.parametrize(
    ("rows", "states"),
    [
        ([], {"acme": "provider_only"}),
        ([sms()], {"acme": "matched"}),
        ([sms(tenant_id="")], {"acme": "matched"}),
        ([sms(tenant_id="boreal")], {"acme": "misattributed", "boreal": "misattributed"}),
        ([sms(tenant_id="boreal", units=90)], {"acme": "drift", "boreal": "misattributed"}),
        ([sms(), sms("SM9")], {"acme": "tracked_only"}),
        ([sms("SM9")], {"acme": "tracked_only"}),
        ([sms("SM9", tenant_id="boreal")], {"acme": "provider_only", "boreal": "tracked_only"}),
        ([sms(), sms("SM9", metadata={"status": "failed"})], {"acme": "matched"}),
        # A later event of the record names somebody else.
        ([sms(), sms(event_key="x", tenant_id="boreal", occurred_at=NOON + timedelta(1))], {"acme": "misattributed"}),
    ],
)
def test_states_of_records(rows: Sequence[dict[str, Any]], states: dict[str, str]) -> None:
    assert of(messages=[message(num_segments=100)]).states(*rows) == states


def test_the_directory_does_not_know_the_event_does() -> None:
    cells = of(messages=[message(num_segments=100, sender="+9")]).cells(sms())
    assert {w[0]: (c.provider_units, c.tracked_units, c.state) for w, c in cells.items()} == {
        "unattributed": (100, 0, "matched"),
        "acme": (0, 100, "matched"),
    }


@pytest.mark.parametrize(
    ("record", "state"),
    [
        ({"price": None, "date_sent": AS_OF - timedelta(hours=72)}, "price_pending"),
        ({"price": None, "date_sent": AS_OF - timedelta(hours=72, seconds=1)}, "matched"),  # counts as nothing billed
        ({"price": D(-1), "date_sent": AS_OF - timedelta(hours=1)}, "matched"),
        ({"price": D(-1), "price_unit": "EUR"}, "price_pending"),
    ],
)
def test_a_price_that_is_pending(record: dict[str, Any], state: str) -> None:
    world = of(messages=[message(num_segments=100, **record)])
    assert world.states(sms()) == {"acme": state}
    assert world.states() == {"acme": "provider_only"}


@pytest.mark.parametrize(
    ("day", "tracked", "state"),
    [
        (CLOSED, 1000, "matched"),
        (CLOSED, 1010, "matched"),
        (CLOSED, 1011, "drift"),
        (CLOSED, 990, "matched"),
        (CLOSED, 989, "partly_tracked"),
        (OPEN, 989, "partly_tracked"),
        (OPEN, 1001, "tracked_only"),  # the provider is behind
    ],
)
def test_states_of_one_aggregate(day: date, tracked: int, state: str) -> None:
    world = of(usage=[bucket((1000, 0, 0), day=day)])
    ((_, cell),) = world.cells(ai((tracked, 0, 0), occurred_at=NOON.replace(day=day.day))).items()
    assert (cell.provider_units, cell.tracked_units, cell.state) == (1000, tracked, state)


def test_drift_is_told_by_group_so_that_models_do_not_make_up_for_each_other() -> None:
    world = of(usage=[bucket((1000, 0, 0)), bucket((1000, 0, 0), model="n")])
    rows = [ai((1030, 0, 0)), ai((970, 0, 0), event_key="2", model="n")]
    (cell,) = world.cells(*rows).values()
    assert (cell.state, cell.drift * 100) == ("drift", Fraction(3, 2))


def test_another_tenants_event_is_misattributed_and_no_drift_of_its_own() -> None:
    world = of(usage=[bucket((1000, 0, 0)), bucket((50, 0, 0), project="b1")])
    rows = [
        ai((600, 0, 0)),
        ai((400, 0, 0), event_key="2", tenant_id="boreal", resource_id="p"),
        ai((50, 0, 0), event_key="3", tenant_id="boreal", resource_id="b1"),
    ]
    cells = world.cells(*rows)
    assert {w[0]: (c.provider_units, c.tracked_units, c.state) for w, c in cells.items()} == {
        "acme": (1000, 600, "misattributed"),
        "boreal": (50, 450, "misattributed"),
    }


@pytest.mark.parametrize(
    ("day", "gone", "state"),
    [(OPEN, {}, "tracked_only"), (OPEN, NEVER, "tracked_only"), (CLOSED, NEVER, "tracked_only"), (CLOSED, {}, "drift")],
)
def test_nothing_at_the_provider(day: date, gone: Mapping[str, frozenset[date]], state: str) -> None:
    (cell,) = World(gone=gone).cells(ai(occurred_at=NOON.replace(day=day.day))).values()
    assert (cell.state, cell.drift) == (state, 1 if state == "drift" else 0)


def test_a_little_of_what_the_provider_has_nothing_of_is_tracked_only() -> None:
    world = of(usage=[bucket((1000, 0, 0))])
    rows = [ai((1000, 0, 0)), ai((10, 0, 0), event_key="2", model="other")]
    (cell,) = world.cells(*rows).values()
    assert (cell.state, cell.drift * 100) == ("tracked_only", 1)
    assert world.states(rows[0], ai((11, 0, 0), event_key="2", model="other")) == {"acme": "drift"}


def test_services_without_a_provider_are_not_reconciled() -> None:
    assert World().cells(event(service="internal", channel="internal")) == {}


def test_what_the_account_sent_by_itself_is_the_providers_only() -> None:
    world = of(emails=[Emails(CLOSED, "mail", 10), Emails(CLOSED, "", 14)])
    assert world.states(mail(10)) == {"acme": "matched", "unattributed": "provider_only"}


# --- the whole, by hand -------------------------------------------------------------------------------------


def write(path: Path, *rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.fixture
def small(tmp_path: Path) -> Expected:
    """acme on a closed day: a message tracked, one that never arrived, emails of which 3 of 5 were tracked, a
    bucket that was never answered for, and an internal event.
    """
    write(tmp_path / "seeds/plans.csv", "plan,label,monthly_base_price_usd", "pro,Pro,10")
    write(
        tmp_path / "seeds/plan_limits.csv",
        "plan,channel,metric,direction,monthly_cap,warning_threshold_pct",
        "pro,sms,units,any,4,80",
    )
    write(
        tmp_path / "seeds/price_book.csv",
        "service,operation,model,plan,component,unit_price_usd,per,effective_from,effective_to,source",
        "twilio_sms,,,,unit,0.01,1,,,x",
        "sendgrid,,,,unit,0.001,1,,,x",
    )
    write(
        tmp_path / "directory/tenants.csv",
        "tenant_id,name,plan,status,usage_hard_stop_enabled",
        "acme,Acme,pro,active,true",
    )
    write(
        tmp_path / "directory/tenant_resources.csv",
        "tenant_id,provider,resource_type,resource_id,valid_from,valid_to",
        f"acme,twilio,phone_number,{ACME},,",
        "acme,openai,project,p,,",
        "acme,sendgrid,subuser,mail,,",
    )
    sent = {
        "sid": "SM1",
        "account_sid": "AC1",
        "direction": "outbound-api",
        "status": "sent",
        "from": ACME,
        "to": "+12025550188",
        "date_sent": "Fri, 06 Nov 2026 12:00:00 +0000",
        "num_segments": "2",
        "num_media": "0",
        "price": "-0.0158",
        "price_unit": "USD",
    }
    spent = {"date": "2026-11-06", "project_id": "p", "model": "m", "input_tokens": 9, "num_model_requests": 1}
    files: dict[str, Any] = {
        "twilio_messages": [sent],
        "openai_usage_completions": [spent],
        "sendgrid_subusers": [{"username": "mail"}],
        "sendgrid_subuser_stats": [{"date": "2026-11-06", "subuser": "mail", "metrics": {"requests": 5}}],
        "missing_buckets": {"openai_usage_completions": ["2026-11-06"]},
    }
    for name, records in files.items():
        write(tmp_path / f"data/{name}.json", json.dumps(records))
    return compute(
        tmp_path / "data",
        tmp_path / "directory",
        tmp_path / "seeds",
        first=FIRST,
        last=LAST,
        as_of=AS_OF,
        events=[
            event(external_id="SM1", activity="promo"),
            event(external_id="SM2", units=3),
            mail(3, event_key="m1"),
            ai((7, 0, 1), event_key="a1"),
            event(event_key="i1", service="internal", channel="internal", operation="run", direction="none",
                  source="internal", units=4),
            event(event_key="late", occurred_at=NOON - timedelta(days=9), units=50),
        ],
    )  # fmt: skip


def test_marts_by_hand(small: Expected) -> None:
    summary = {
        key[2]: tuple(row[c] for c in ("unit", "unit_count", "request_count", "provisional_unit_count", "is_final"))
        for key, row in small.marts["usage_summary"].items()
    }
    assert summary == {
        "sms": ("segments", 5, 2, 3, False),
        "email": ("emails", 5, 5, 0, True),
        "ai": ("tokens", 8, 1, 8, False),
        "internal": ("units", 4, 1, 0, True),
    }
    daily = small.marts["usage_daily"]
    assert {(k[2], k[7], k[9]): (row["unit_count"], row["billed_cost_usd"]) for k, row in daily.items()} == {
        ("sms", "broadcast", "provider"): (2, D("0.0158")),
        ("sms", "broadcast", "tracked"): (3, None),
        ("email", "broadcast", "provider"): (3, None),
        ("email", "(untracked)", "residual"): (2, None),
        ("ai", "broadcast", "tracked"): (8, None),
        ("internal", "broadcast", "tracked"): (4, None),
    }
    (november,) = [row for key, row in small.marts["usage_monthly"].items() if key[2] == "sms"]
    assert (november["unit_count"], november["provisional_unit_count"]) == (5, 3)
    status = small.marts["tenant_usage_status"]["acme", "2026-11", "sms", "units"]
    assert (status["used"], status["status"]) == (5, "over_cap")
    assert small.record_keys == {"SM1", "SM2", "m1", "a1", "i1"}


def test_activities_by_hand(small: Expected) -> None:
    mart = small.marts["usage_activity_daily"]
    assert {(k[2], k[5]): tuple(row.values()) for k, row in mart.items()} == {
        ("sms", "promo"): (2, 1, D("0.02")),
        ("sms", ""): (3, 1, D("0.03")),
        ("email", ""): (5, 5, D("0.005")),
        ("ai", ""): (8, 1, None),
        ("internal", ""): (4, 1, None),
    }


def test_reconciliation_by_hand(small: Expected) -> None:
    mart = small.marts["usage_reconciliation"]
    assert {k[2]: tuple(row.values()) for k, row in mart.items()} == {
        "twilio_sms": (2, 4, -2, 50, "drift"),  # the event said one of the two segments
        "twilio_sms_total": (2, 2, 0, 0, "matched"),
        "sendgrid": (5, 3, 2, 0, "partly_tracked"),
        "openai": (0, 8, -8, 0, "tracked_only"),
    }


def test_a_fault_is_no_answer_either(tmp_path: Path, small: Expected) -> None:
    (tmp_path / "data/missing_buckets.json").unlink()
    answered: dict[str, Any] = {"first": FIRST, "last": LAST, "as_of": AS_OF, "events": [ai((7, 0, 1), event_key="a1")]}
    folders = (tmp_path / "data", tmp_path / "directory", tmp_path / "seeds")

    def evidence(**given: Any) -> set[tuple[str, Quantity]]:
        return {(x.evidence, x.units) for x in compute(*folders, **answered, **given).lines if x.channel == "ai"}

    assert evidence() == {("provider", 8), ("residual", 1)}
    assert evidence(unanswered={"openai_usage_completions": [CLOSED]}) == {("tracked", 8)}
