"""The charts of a tenant's usage, from the bodies of the daily route and of the forecast. Pure: no HTTP, no SQL, no HTML.

A figure in them is a row's of the daily route, or an exact sum of such rows, rounded as the JSON routes round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from api.dashboard import formats, gaps
from api.dashboard.charts import Cell, Chart, Number, Outlook, Series, Step, month_so_far, stacked_bars
from api.dashboard.steps import Span, spans_of
from api.forecast.schemas import UsageForecast
from api.kit.money import total_of_priced
from api.kit.money import usd as exact_usd
from api.kit.periods import DayRange, Granularity, Month
from api.usage import schemas
from api.usage.schemas import DailyRow, DailySeries, Limit

Measure = Literal["cost", "usage"]
COUNTED = "messages, calls, emails and requests"


def used_channels(daily: DailySeries) -> list[str]:
    """Return the channels that anything was used of, in the contract's order."""
    return list(dict.fromkeys(row.channel for row in daily.rows if row.request_count or row.unit_count))


def usage_chart(daily: DailySeries, by: Measure, grain: Granularity = "day", total_fields: bool = True) -> Chart:
    """Return the bars of the days, weeks or months of a series, a colour per channel.

    Args:
        by: cost in dollars, or requests: what can be counted over channels. Units stand below, in the table.
        total_fields: whether the totals bear names of figures; where the page shows them elsewhere too, those do.
    """
    channels = used_channels(daily)
    spans = spans_of(DayRange(daily.start, daily.end), grain)
    by_day = rows_by_day(daily)
    not_known = _gaps(daily, channels)
    unknown = gaps.unknown(not_known)
    steps: list[Step] = []
    columns: dict[str, list[tuple[Number | None, Cell]]] = {channel: [] for channel in channels}
    for span in spans:
        days = span.days()
        rows = [row for day in days for row in by_day[day]]
        own: dict[str, list[DailyRow]] = {channel: [] for channel in channels}
        for row in rows:
            if row.channel in own:
                own[row.channel].append(row)
        name = _name(span)
        for channel, column in columns.items():
            is_known = any(row.request_count or row.unit_count for row in own[channel]) or not all(
                (channel, day) in unknown for day in days
            )
            figures = _figures(own[channel], by, f"{name}.{channel}")
            column.append(figures if is_known else (None, Cell(formats.MISSING)))
        _, total = _figures([row for found in own.values() for row in found], by, f"{name}.total")
        total = Cell(total.text, total.value, total.field if total_fields else None)
        steps.append(Step(span.label, span.name, total, _state(span, rows, not_known)))
    units = {row.channel: row.unit for row in daily.rows}
    series = [
        Series(
            key=channel,
            label=formats.channel_name(channel),
            values=[value for value, _ in columns[channel]],
            cells=[cell for _, cell in columns[channel]],
            total=_figures([row for row in daily.rows if row.channel == channel], by, "")[1].text,
            unit=formats.unit_name(units[channel], channel),
        )
        for channel in channels
    ]
    title = f"{'Estimated cost' if by == 'cost' else COUNTED.capitalize()} per {grain}"
    return stacked_bars(
        "usage",
        title,
        f"By channel, {formats.day(daily.start)} to {formats.day(daily.end)}, UTC. "
        f"{'; '.join(f'{entry.label} {entry.total}' for entry in series)}. The table below has every figure.",
        steps,
        series,
        axis=dollars if by == "cost" else compact,
        gaps=gaps.drawn(not_known, spans),
        noun=grain,
    )


def rows_by_day(daily: DailySeries) -> dict[date, list[DailyRow]]:
    """Return the rows of each day of a series, the oldest day first."""
    found: dict[date, list[DailyRow]] = {day: [] for day in DayRange(daily.start, daily.end).days()}
    for row in daily.rows:
        found[row.date].append(row)
    return found


def _name(span: Span) -> str:
    """Return the name of a step's figures: rows of the daily route, or the sums of those of several days."""
    return f"daily.{span.first}" if span.first == span.last else f"daily.{span.first}/{span.last}"


def _exact(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def cost_of(rows: Sequence[DailyRow]) -> str | None:
    """Return the exact cost of rows together in dollars; None where none of them is priced."""
    if len(rows) == 1:
        return rows[0].estimated_cost_usd
    summed = total_of_priced(_exact(row.estimated_cost_usd) for row in rows)
    return None if summed is None else exact_usd(Decimal(summed).scaleb(2, formats.WIDE))


def units_of(rows: Sequence[DailyRow]) -> Decimal:
    """Return the units of rows together."""
    return sum((Decimal(str(row.unit_count)) for row in rows), Decimal(0))


def _figures(rows: Sequence[DailyRow], by: Measure, name: str) -> tuple[Number | None, Cell]:
    """Return what rows come to: to draw, and to read under that name."""
    units = formats.number(rows[0].unit_count if len(rows) == 1 else units_of(rows))
    if by == "usage":
        count = sum(row.request_count for row in rows)
        return count, Cell(formats.number(count), str(count), f"{name}.requestCount", units, f"{name}.unitCount")
    cost = cost_of(rows)
    text = formats.cents(rows[0].estimated_cost_cents) if len(rows) == 1 else formats.rounded_usd(cost)
    value = None if cost is None else float(cost)
    return value, Cell(text, cost, f"{name}.estimatedCostCents", units, f"{name}.unitCount")


def _gaps(daily: DailySeries, channels: Sequence[str]) -> list[gaps.Keyed]:
    return [(gap.channel, gap) for gap in daily.gaps if gap.channel in channels]


def _state(span: Span, rows: Sequence[DailyRow], found: Sequence[gaps.Keyed]) -> str:
    """Return what is to be said of a step: what of it is not known, else whether it may change."""
    return gaps.told(found, span, formats.channel_name) or (
        "Final" if all(row.is_final for row in rows) else "May change"
    )


@dataclass(frozen=True, slots=True)
class Subject:
    """What a month can be added up of: the whole cost, or what one limit counts. ``key`` stands in the page's address."""

    key: str
    label: str
    channel: str = ""
    limit: Limit | None = None


COST = Subject("cost", "Cost")


def subjects(channels: Sequence[schemas.ChannelUsage]) -> list[Subject]:
    """Return what a month's view can be of. A limit of one direction is left out: days are of both."""
    limits = [(channel, limit) for channel in channels for limit in channel.limits if limit.direction == "any"]
    return [
        COST,
        *(
            Subject(f"{channel.channel}.{limit.metric}", _subject_label(channel, limit), channel.channel, limit)
            for channel, limit in limits
        ),
    ]


def _subject_label(channel: schemas.ChannelUsage, limit: Limit) -> str:
    name = formats.channel_name(channel.channel)
    if limit.metric == "cost_cents":
        return f"{name}: cost"
    words = (
        formats.request_name(channel.channel)
        if limit.metric == "requests"
        else formats.unit_name(channel.unit, channel.channel)
    )
    return name if words == name else f"{name}: {words}"


def month_chart(daily: DailySeries, month: Month, subject: Subject, forecast: UsageForecast | None) -> Chart:
    """Return a month added up day by day, with where the forecast sees its end and the limit's cap.

    Args:
        daily: the month's days so far.
        forecast: None for a month that is over.
    """
    rows = [row for row in daily.rows if subject.channel in ("", row.channel)]
    spans = spans_of(DayRange(daily.start, daily.end), "day")
    channels = [subject.channel] if subject.channel else used_channels(daily)
    not_known = _gaps(daily, channels)
    sums, steps = [], []
    for span in spans:
        value, text, exact = _so_far([row for row in rows if row.date <= span.last], subject)
        sums.append(value)
        of_day = [row for row in rows if row.date == span.first]
        total = Cell(text, exact, f"soFar.{span.first}.{subject.key}")
        steps.append(Step(span.label, span.name, total, _state(span, of_day, not_known)))
    cap = subject.limit.cap if subject.limit else None
    is_money = subject.limit is None or subject.limit.metric == "cost_cents"
    outlook = outlook_of(subject, forecast)
    what = f"Running total of {month.label}: {subject.label}"
    told = f" Expected at the month's end: {outlook.text}." if outlook else ""
    cap_text = _amount(cap, subject) if cap is not None else ""
    return month_so_far(
        "usage",
        what,
        f"{steps[-1].total.text} up to {formats.day(daily.end)}.{told}{f' The cap is {cap_text}.' if cap_text else ''}",
        steps,
        (month.last - month.first).days + 1,
        sums,
        label=subject.label,
        axis=dollars if is_money else compact,
        labels=[span.label for span in spans_of(DayRange(month.first, month.last), "day")],
        outlook=outlook,
        cap=_scaled(cap, subject),
        cap_text=cap_text,
        gaps=gaps.drawn(not_known, spans),
        keys=channels,
    )


def _so_far(rows: Sequence[DailyRow], subject: Subject) -> tuple[float, str, str | None]:
    """Return what rows come to: to draw, to read, exactly."""
    metric = subject.limit.metric if subject.limit else "cost_cents"
    if metric == "cost_cents":
        cost = cost_of(rows)
        return float(cost or 0), formats.rounded_usd(cost), cost
    count = units_of(rows) if metric == "units" else Decimal(sum(row.request_count for row in rows))
    return float(count), formats.number(count), f"{count:f}"


def _scaled(value: float | None, subject: Subject) -> float | None:
    """Return a limit's figure as it is drawn: cents as dollars."""
    if value is None or subject.limit is None:
        return value
    return value / 100 if subject.limit.metric == "cost_cents" else value


def _amount(value: float | None, subject: Subject) -> str:
    if value is not None and subject.limit and subject.limit.metric == "cost_cents":
        return formats.cents(round(value))
    return formats.number(value)


def outlook_of(subject: Subject, forecast: UsageForecast | None) -> Outlook | None:
    """Return where the forecast sees the subject's end; None where it says nothing."""
    if forecast is None:
        return None
    if subject.limit is None:
        cost = forecast.cost
        if cost.low_cost_usd is None or cost.expected_cost_usd is None or cost.high_cost_usd is None:
            return None
        text = f"{formats.cents(cost.expected_cost_cents)}, between {formats.cents(cost.low_cost_cents)} and {formats.cents(cost.high_cost_cents)}"
        return Outlook(float(cost.low_cost_usd), float(cost.expected_cost_usd), float(cost.high_cost_usd), text)
    for cap in forecast.caps:
        if (cap.channel, cap.metric, cap.direction) == (subject.channel, subject.limit.metric, "any"):
            if cap.low is None or cap.expected is None or cap.high is None:
                return None
            low, expected, high = (_scaled(value, subject) or 0.0 for value in (cap.low, cap.expected, cap.high))
            words = [_estimate(value, subject) for value in (cap.expected, cap.low, cap.high)]
            return Outlook(low, expected, high, f"{words[0]}, between {words[1]} and {words[2]}")
    return None


def _estimate(value: float, subject: Subject) -> str:
    if subject.limit and subject.limit.metric == "cost_cents":
        return formats.cents(round(value))
    return formats.estimate(value)


def dollars(value: float) -> str:
    """Return an axis label: cents only where the step has some, and more digits where it is below a cent."""
    value = round(value, 6)
    if value == int(value):
        return f"${value:,.0f}"
    return f"${value:,.2f}" if abs(value) >= 0.01 else f"${value:.6f}".rstrip("0")


def compact(value: float) -> str:
    """Return a large number in short: ``1.5K``."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:.1f}".removesuffix(".0") + letter
    return f"{value:g}"
