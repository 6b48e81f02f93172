"""The owner's charts: days that are not known are drawn and told as such, and are no zeros."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from api.admin.daily import CostGroup, GroupBy, GroupGap, GroupOnDay, PreviousDay, SystemDaily, SystemDay
from api.dashboard.charts import Chart
from api.dashboard.owner_charts import months_chart, system_chart
from api.kit.money import money


def body(group_by: GroupBy, gaps: list[GroupGap], used: dict[str, list[int]]) -> SystemDaily:
    """Return five days of November: the cents of each group on each day, 0 for no use."""

    def sums(name: str, cents: int) -> Any:
        return money(name, Decimal(cents))

    nothing = {**sums("compared_cost", 0), **sums("previous_cost", 0), "change_percent": None}
    whole = sum(sum(cents) for cents in used.values())
    return SystemDaily(
        data_as_of=None,
        period="2026-11",
        start=date(2026, 11, 1),
        end=date(2026, 11, 5),
        group_by=group_by,
        compared_days=4,
        request_count=1,
        **sums("cost", whole),
        **nothing,
        **sums("previous_month_cost", 0),
        groups=[
            CostGroup(
                key=key,
                name=key.title(),
                request_count=1,
                **sums("cost", sum(cents)),
                percent_of_total=None,
                **nothing,
            )
            for key, cents in used.items()
        ],
        days=[
            SystemDay(
                date=date(2026, 11, 1 + index),
                request_count=1,
                **sums("cost", sum(cents[index] for cents in used.values())),
                groups=[
                    GroupOnDay(key=key, request_count=1, **sums("cost", cents[index]))
                    for key, cents in used.items()
                    if cents[index]
                ],
            )
            for index in range(5)
        ],
        previous_days=[PreviousDay(date=date(2026, 10, 1), **sums("cost", 100))],
        gaps=gaps,
    )


def gap(key: str | None, state: Any, first: int, last: int, *providers: str) -> GroupGap:
    return GroupGap(key=key, state=state, start=date(2026, 11, first), end=date(2026, 11, last), providers=[*providers])


def bands(chart: Chart, view: int = 0) -> list[tuple[str, str, str, bool]]:
    return [(band.x, band.width, band.kind, band.is_strip) for band in chart.views[view].bands]


USED = {"twilio": [0, 0, 100, 0, 100], "sendgrid": [10, 10, 10, 10, 10]}
GAPS = [gap("twilio", "not_metered", 1, 2, "twilio"), gap("twilio", "no_answer", 4, 4, "twilio")]


def test_a_provider_s_days_that_are_not_known() -> None:
    chart = system_chart(body("provider", GAPS, USED))
    assert [row.cells[0].text for row in chart.rows] == ["—", "—", "$1.00", "—", "$1.00"]
    assert [row.step.state for row in chart.rows] == [
        "Not yet metered: Twilio",
        "Not yet metered: Twilio",
        "",
        "No answer from Twilio",
        "The newest day",
    ]
    # SendGrid stands there: strips below the days, and all of Twilio's own view.
    assert bands(chart) == [("0%", "40%", "not_metered", True), ("60%", "20%", "no_answer", True)]
    assert bands(chart, 1) == [("0%", "40%", "not_metered", False), ("60%", "20%", "no_answer", False)]
    assert bands(chart, 2) == []
    assert [entry.label for entry in chart.legend][-2:] == ["No answer yet", "Not yet metered"]


def test_the_month_so_far_has_them_too() -> None:
    chart = months_chart(body("provider", GAPS, USED))
    assert [row.step.state for row in chart.rows][1:4] == ["Not yet metered: Twilio", "", "No answer from Twilio"]
    assert bands(chart) == [("0%", "6.67%", "not_metered", True), ("10%", "3.33%", "no_answer", True)]


@pytest.mark.parametrize("draw", [system_chart, months_chart])
def test_who_did_not_answer_all_month_long_is_missed_and_who_never_was_used_is_not(draw: Any) -> None:
    gaps = [gap("stripe", "no_answer", 1, 5, "stripe"), gap("cloudflare", "not_metered", 1, 5, "cloudflare")]
    chart = draw(body("provider", gaps, USED))
    assert {row.step.state for row in chart.rows[:4]} == {"No answer from Stripe"}
    assert {(kind, is_strip) for _, _, kind, is_strip in bands(chart)} == {("no_answer", True)}
    nothing = draw(body("provider", gaps, {}))
    assert {kind for _, _, kind, _ in bands(nothing)} == {"no_answer"}


def test_a_service_is_named_beside_its_provider() -> None:
    gaps = [gap("twilio_sms", "no_answer", 2, 2, "twilio"), gap("twilio_voice", "not_metered", 2, 2, "twilio")]
    chart = system_chart(body("service", gaps, {"twilio_sms": [5, 0, 5, 5, 5], "twilio_voice": [5] * 5}))
    assert chart.rows[1].step.state == "No answer from Twilio for Twilio SMS; Not yet metered: Twilio voice"


def test_of_tenants_any_may_lack_an_answer() -> None:
    gaps = [gap(None, "not_metered", 1, 1, "sendgrid", "twilio"), gap(None, "no_answer", 4, 4, "sendgrid")]
    chart = system_chart(body("tenant", gaps, {"acme": [0, 5, 5, 5, 5], "": [0, 0, 0, 0, 5]}))
    assert [[cell.text for cell in row.cells] for row in chart.rows] == [
        ["—", "—"],
        ["$0.05", "$0.00"],
        ["$0.05", "$0.00"],
        ["$0.05", "—"],
        ["$0.05", "$0.05"],
    ]
    assert [row.step.state for row in chart.rows][:4] == [
        "Not yet metered: SendGrid and Twilio",
        "",
        "",
        "No answer from SendGrid",
    ]
    assert bands(chart) == [("0%", "20%", "not_metered", False), ("60%", "20%", "no_answer", True)]
    assert bands(chart, 1) == []
