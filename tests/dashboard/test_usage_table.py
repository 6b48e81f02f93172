"""The usage table: grouped, sorted, searched."""

from __future__ import annotations

from decimal import Decimal

import pytest

from api.dashboard.labels import read_labels
from api.dashboard.usage_table import ChannelTotals, Group, Part, Sort, lines_of, parts_of
from api.usage.schemas import FeatureUsage


def usage(feature: str, channel: str, source: str, cost: str | None, count: float) -> FeatureUsage:
    return FeatureUsage.model_construct(
        feature=feature, channel=channel, source=source, estimated_cost_usd=cost, unit_count=count
    )


LINES = lines_of(
    [
        usage("two_way_chat", "sms", "twilio", "3", 9),
        usage("(untracked)", "sms", "twilio", "1.5", 99),
        usage("two_way_chat", "ai", "openai", "1.25", 5000),
        usage("lead_scoring", "ai", "anthropic", None, 7),
    ],
    read_labels(),
)
CHANNELS = [
    ChannelTotals("sms", "segments", Decimal(108), 8, "4.5", None, 78.3),
    ChannelTotals("ai", "tokens", Decimal(5007), 3, "1.25", None, 21.7),
    ChannelTotals("phone", "number_days", Decimal(2), 2, "0.1", "0.1", None),
]


def parts(group: Group = "channel", sort: Sort = "cost", descending: bool = True, search: str = "") -> list[Part]:
    return parts_of(LINES, CHANNELS, group=group, sort=sort, descending=descending, search=search)


def shape(found: list[Part]) -> list[tuple[str, str | None, list[int]]]:
    return [(part.title, part.cost_usd, [line.index for line in part.lines]) for part in found]


def test_by_channel_with_what_the_channels_are_together() -> None:
    assert shape(parts()) == [("SMS", "4.5", [0, 1]), ("AI", "1.25", [2, 3]), ("Phone numbers", "0.1", [])]
    assert [part.totals for part in parts()] == CHANNELS


@pytest.mark.parametrize(
    ("group", "shown"),
    [
        ("feature", [("Two-way chat", "4.25", [0, 2]), ("Not tracked", "1.5", [1]), ("Lead scoring", None, [3])]),
        ("source", [("Twilio", "4.5", [0, 1]), ("OpenAI", "1.25", [2]), ("Anthropic", None, [3])]),
        ("none", [("", "5.75", [0, 1, 2, 3])]),
    ],
)
def test_groups(group: Group, shown: list[tuple[str, str | None, list[int]]]) -> None:
    assert shape(parts(group)) == shown
    assert all(part.totals is None for part in parts(group))


@pytest.mark.parametrize(
    ("sort", "descending", "order"),
    [
        ("cost", True, [0, 1, 2, 3]),
        ("cost", False, [3, 2, 1, 0]),
        ("count", True, [2, 1, 0, 3]),
        ("feature", False, [3, 1, 2, 0]),
        ("channel", False, [3, 2, 1, 0]),
        ("source", True, [0, 1, 2, 3]),
    ],
)
def test_sorting(sort: Sort, descending: bool, order: list[int]) -> None:
    assert [line.index for line in parts("none", sort, descending)[0].lines] == order


@pytest.mark.parametrize(
    ("search", "found"),
    [("CHAT", [0, 2]), ("two_way", [0, 2]), ("openai", [2]), ("twilio", [0, 1]), ("nothing such", [])],
)
def test_a_search_is_of_label_key_channel_and_source(search: str, found: list[int]) -> None:
    assert sorted(line.index for part in parts(search=search) for line in part.lines) == found


def test_a_searched_channel_shows_the_cost_of_what_is_found() -> None:
    assert shape(parts(search="chat")) == [("SMS", "3", [0]), ("AI", "1.25", [2])]
    assert all(part.totals is None for part in parts(search="chat"))
