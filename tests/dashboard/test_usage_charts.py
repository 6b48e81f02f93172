"""The tenant's charts: figures of the daily route, days that are not known, and a month against its forecast and cap."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from api.dashboard.usage_charts import COST, Measure, Subject, compact, dollars, month_chart, subjects, usage_chart
from api.forecast.schemas import CapForecast, CostForecast, UsageForecast
from api.kit.money import money
from api.kit.periods import DayRange, Month
from api.usage import schemas
from api.usage.schemas import ChannelUsage, DailyRow, DailySeries, Limit

NOVEMBER = Month(date(2026, 11, 1))
DAYS = DayRange(NOVEMBER.first, date(2026, 11, 10))


def row(day: date, channel: str, cents: str | None, units: float, requests: int, final: bool = True) -> DailyRow:
    return DailyRow(
        date=day,
        channel=channel,
        unit={"sms": "segments", "ai": "tokens"}[channel],
        unit_count=units,
        request_count=requests,
        **money("estimated_cost", None if cents is None else Decimal(cents)),
        **money("billed_cost", None),
        unpriced_unit_count=0,
        unpriced_units=[],
        provisional_unit_count=0,
        is_final=final,
        group={},
    )


def series(gaps: tuple[schemas.Gap, ...] = ()) -> DailySeries:
    rows = [
        found
        for number, day in enumerate(DAYS.days())
        for found in (
            row(day, "sms", "79.4", 10, 8, final=number < 9),
            row(day, "ai", None if number == 3 else "0.6", 1.5, 2),
        )
    ]
    return DailySeries(
        data_as_of=None,
        tenant_id="acme",
        start=DAYS.first,
        end=DAYS.last,
        granularity="day",
        time_zone="UTC",
        starts_at=datetime(2026, 11, 1, tzinfo=UTC),
        ends_at=datetime(2026, 11, 11, tzinfo=UTC),
        built_at=None,
        rows=rows,
        gaps=list(gaps),
    )


def gap(channel: str, state: str, first: int, last: int) -> schemas.Gap:
    return schemas.Gap(
        channel=channel,
        state=state,  # type: ignore[arg-type]
        start=date(2026, 11, first),
        end=date(2026, 11, last),
        providers=["twilio"],
    )


@pytest.mark.parametrize(
    ("by", "first", "total", "field"),
    [
        ("cost", ["$0.79", "$0.01"], "$0.80", "estimatedCostCents"),
        ("usage", ["8", "2"], "10", "requestCount"),
    ],
)
def test_a_days_figures_are_its_rows(by: Measure, first: list[str], total: str, field: str) -> None:
    chart = usage_chart(series(), by)
    assert [cell.text for cell in chart.rows[0].cells] == first
    assert [cell.field for cell in chart.rows[0].cells] == [f"daily.2026-11-01.{key}.{field}" for key in ("sms", "ai")]
    assert [cell.note for cell in chart.rows[0].cells] == ["10", "1.5"]
    assert chart.rows[0].step.total.text == total
    assert [tick.text for tick in chart.ticks][-1] == "Nov 10"


def test_what_is_not_priced_is_no_zero() -> None:
    chart = usage_chart(series(), "cost")
    assert [cell.text for cell in chart.rows[3].cells] == ["$0.79", "—"]
    assert chart.rows[3].step.total.text == "$0.79"


def test_weeks_are_exact_sums() -> None:
    chart = usage_chart(series(), "cost", "week")
    assert [len(chart.rows), chart.noun] == [3, "week"]
    week = chart.rows[1]
    assert week.step.name == "Week of November 2–8, 2026"
    # Seven times 79.4 cents, rounded once.
    assert [cell.text for cell in week.cells] == ["$5.56", "$0.04"]
    assert [cell.value for cell in week.cells] == ["5.558", "0.036"]
    assert week.cells[0].field == "daily.2026-11-02/2026-11-08.sms.estimatedCostCents"
    assert week.step.total.text == "$5.59"


@pytest.mark.parametrize("by", ["cost", "usage"])
def test_a_zero_that_nobody_has_said_is_none(by: Measure) -> None:
    daily = series((gap("ai", "not_metered", 1, 2), gap("sms", "no_answer", 2, 2)))
    for found in daily.rows:
        if found.channel == "ai" and found.date <= date(2026, 11, 3):
            found.unit_count = found.request_count = found.estimated_cost_cents = 0
            found.estimated_cost_usd = "0"
    rows = usage_chart(daily, by).rows
    assert [row.cells[1].text for row in rows[:3]] == ["—", "—", "$0.00" if by == "cost" else "0"]
    assert [row.cells[1].field is None for row in rows[:3]] == [True, True, False]
    assert rows[1].cells[0].text == ("$0.79" if by == "cost" else "8"), "what is known of a day without an answer stays"
    assert usage_chart(daily, by, "week").rows[0].cells[1].text == "—"


def test_each_step_says_how_sure_it_is() -> None:
    gaps = (gap("sms", "not_metered", 1, 2), gap("ai", "no_answer", 2, 3))
    states = [found.step.state for found in usage_chart(series(gaps), "cost").rows]
    assert states[:4] == [
        "Not yet metered: SMS",
        "No answer from Twilio for AI; Not yet metered: SMS",
        "No answer from Twilio for AI",
        "Final",
    ]
    assert states[-1] == "May change"


def test_a_week_is_missed_by_any_answer_and_metered_by_any_day() -> None:
    gaps = (gap("sms", "not_metered", 1, 2), gap("ai", "no_answer", 3, 3))
    kinds = {(band.x, band.kind) for band in usage_chart(series(gaps), "cost", "week").views[0].bands}
    assert kinds == {("0%", "not_metered"), ("33.33%", "no_answer")}


def limit(cap: float | None, metric: str = "units", direction: str = "any") -> Limit:
    return Limit.model_construct(metric=metric, direction=direction, cap=cap)


def forecast() -> UsageForecast:
    return UsageForecast.model_construct(
        cost=CostForecast.model_construct(
            low_cost_cents=2000,
            low_cost_usd="20",
            expected_cost_cents=2400,
            expected_cost_usd="24",
            high_cost_cents=3000,
            high_cost_usd="30",
        ),
        caps=[
            CapForecast.model_construct(
                channel="sms", metric="units", direction="any", low=250, expected=300.4, high=360
            ),
            CapForecast.model_construct(
                channel="ai", metric="units", direction="any", low=None, expected=None, high=None
            ),
        ],
    )


class TestTheMonthSoFar:
    def test_cost_with_its_forecast(self) -> None:
        chart = month_chart(series(), NOVEMBER, COST, forecast())
        assert [found.cells[0].text for found in chart.rows][:2] == ["$0.80", "$1.60"]
        # 10 x 79.4 and 9 x 0.6 cents.
        assert chart.rows[-1].cells[0].text == "$7.99"
        assert [(entry.kind, entry.total) for entry in chart.legend] == [
            ("area", "$7.99"),
            ("band", "$24.00, between $20.00 and $30.00"),
        ]
        assert chart.width == 300

    def test_a_limit_with_its_cap(self) -> None:
        chart = month_chart(series(), NOVEMBER, Subject("sms.units", "SMS", "sms", limit(200)), forecast())
        assert chart.rows[-1].cells[0].text == "100"
        assert [(entry.kind, entry.total) for entry in chart.legend] == [
            ("area", "100"),
            ("band", "300, between 250 and 360"),
            ("cap", "200"),
        ]
        assert "The cap is 200." in chart.summary

    def test_a_limit_of_money_is_drawn_in_dollars(self) -> None:
        subject = Subject("sms.cost_cents", "SMS: cost", "sms", limit(1000, "cost_cents"))
        chart = month_chart(series(), NOVEMBER, subject, None)
        assert chart.rows[-1].cells[0].text == "$7.94"
        assert chart.legend[-1].total == "$10.00"
        assert chart.views[0].levels[-1].text == "$10"

    def test_without_a_forecast_there_is_no_band(self) -> None:
        chart = month_chart(series(), NOVEMBER, Subject("ai.units", "AI", "ai", limit(None)), forecast())
        assert [entry.kind for entry in chart.legend] == ["area"]

    def test_days_without_an_answer_are_hatched(self) -> None:
        chart = month_chart(series((gap("sms", "no_answer", 3, 3),)), NOVEMBER, COST, None)
        assert [(band.kind, band.is_strip) for band in chart.views[0].bands] == [("no_answer", True)]
        of_sms = Subject("sms.units", "SMS", "sms", limit(200))
        chart = month_chart(series((gap("sms", "no_answer", 3, 3),)), NOVEMBER, of_sms, None)
        assert [(band.kind, band.is_strip) for band in chart.views[0].bands] == [("no_answer", False)]

    def test_what_it_can_be_of(self) -> None:
        channels = [
            ChannelUsage.model_construct(
                channel="sms", unit="segments", limits=[limit(9), limit(9, direction="outbound")]
            ),
            ChannelUsage.model_construct(
                channel="ai", unit="tokens", limits=[limit(9, "cost_cents"), limit(9, "requests")]
            ),
        ]
        assert [(subject.key, subject.label) for subject in subjects(channels)] == [
            ("cost", "Cost"),
            ("sms.units", "SMS"),
            ("ai.cost_cents", "AI: cost"),
            ("ai.requests", "AI: AI requests"),
        ]


def test_gaps_of_channels_that_are_not_shown_are_not_drawn() -> None:
    chart = usage_chart(series((gap("voice", "no_answer", 1, 10),)), "cost")
    assert not chart.views[0].bands


@pytest.mark.parametrize(
    ("value", "money", "short"),
    [
        (0, "$0", "0"),
        (0.25, "$0.25", "0.25"),
        (2, "$2", "2"),
        (12.5, "$12.50", "12.5"),
        (0.004, "$0.004", "0.004"),
        (1500, "$1,500", "1.5K"),
        (2e6, "$2,000,000", "2M"),
    ],
)
def test_axes_are_short(value: float, money: str, short: str) -> None:
    assert dollars(value) == money
    assert compact(value) == short
