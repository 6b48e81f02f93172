"""What the tenant's page shows, from the bodies of the JSON routes' services. Pure: no HTTP, no SQL, no HTML.

Every figure is one of those bodies'; what is added here are words, shares of a total, and sums of a day's channels,
by the exact amounts and rounded as the JSON routes round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from api.dashboard import formats
from api.dashboard.charts import Chart, Series, stacked_bars
from api.forecast.schemas import CapForecast, UsageForecast
from api.kit.money import share, total_of_priced
from api.kit.money import usd as exact_usd
from api.kit.periods import Month
from api.usage.schemas import ChannelUsage, DailyRow, DailySeries, FeatureBreakdown, Limit, UsageSummary
from costs.rules.services import UNITS

# These have a card before they are used; any other channel once it is.
ALWAYS_SHOWN = ("sms", "mms", "voice", "email", "ai")
PERIODS_OFFERED = 12

_DIRECTIONS = {"outbound": "outbound", "inbound": "inbound", "any": "both directions"}


@dataclass(frozen=True, slots=True)
class Figures:
    """The four bodies that the page is made of; `forecast` is None for a month that is over."""

    summary: UsageSummary
    features: FeatureBreakdown
    daily: DailySeries
    forecast: UsageForecast | None


@dataclass(frozen=True, slots=True)
class Card:
    """One channel of the period. ``sentence`` is of its worst limit, ``further`` of the other ones that have a cap.

    ``usage`` is None where the body has no such channel: not used, no limit.
    """

    channel: str
    name: str
    icon: str
    status: str
    sentence: str
    further: Sequence[str]
    note: str
    usage: ChannelUsage | None


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One limit that holds for the tenant. ``index`` is its index in the channel's limits."""

    channel: str
    index: int
    what: str
    used: str
    cap: str
    limit: Limit


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A line of the channel table; ``percent`` is of the period's estimated cost."""

    usage: ChannelUsage
    percent: float | None


@dataclass(frozen=True, slots=True)
class Day:
    """A line of the daily table: the channels in the table's order, and the day's cost, exact dollars."""

    date: date
    channels: Sequence[DailyRow]
    cost_usd: str | None
    is_final: bool


@dataclass(frozen=True, slots=True)
class TenantPage:
    """Everything that the template shows beside the bodies themselves."""

    is_current: bool
    is_empty: bool
    cards: Sequence[Card]
    over: str
    limits: Sequence[LimitRow]
    channels: Sequence[ChannelRow]
    days: Sequence[Day]
    day_channels: Sequence[str]
    final_until: date | None
    expected_between: tuple[int, int] | None
    chart: Chart | None


def tenant_page(figures: Figures, month: Month, today: date, by: str) -> TenantPage:
    """Return what the page shows of a month.

    Args:
        month: the month of `figures`.
        by: ``cost`` or ``usage``: what the chart's bars are of.
    """
    summary = figures.summary
    is_current = month == Month.of(today)
    days, channels = daily_table(figures.daily)
    used = [channel for channel in summary.channels if channel.request_count or channel.unit_count]
    return TenantPage(
        is_current=is_current,
        is_empty=not used and not channels,
        cards=cards_of(summary, figures.forecast, this_month(month, is_current)),
        over=formats.listed(
            [formats.channel_name(channel.channel) for channel in summary.channels if channel.status == "over_cap"]
        ),
        limits=[
            limit_row(channel, index, limit)
            for channel in summary.channels
            for index, limit in enumerate(channel.limits)
        ],
        channels=channel_table(summary, used),
        days=days,
        day_channels=channels,
        final_until=final_until(days),
        expected_between=expected_between(figures.forecast),
        chart=daily_chart(figures.daily, channels, by) if channels else None,
    )


def this_month(month: Month, is_current: bool) -> str:
    """Return how a sentence names the period: ``this month``, or ``in October 2026``."""
    return "this month" if is_current else f"in {month.label}"


def periods_offered(today: date, chosen: Month) -> list[tuple[str, str]]:
    """Return (key, label) of the months of the period switcher, newest first; the chosen one is among them."""
    month, offered = Month.of(today), []
    for _ in range(PERIODS_OFFERED):
        offered.append(month)
        month = previous_month(month)
    if chosen not in offered:
        offered.append(chosen)
    return [(month.key, month.label) for month in offered]


def previous_month(month: Month) -> Month:
    year, number = (month.first.year, month.first.month - 1) if month.first.month > 1 else (month.first.year - 1, 12)
    return Month(date(year, number, 1))


def cards_of(summary: UsageSummary, forecast: UsageForecast | None, when: str) -> list[Card]:
    """Return a card per channel, in the contract's order."""
    by_channel = {channel.channel: channel for channel in summary.channels}
    caps: dict[str, list[CapForecast]] = {}
    for cap in forecast.caps if forecast else ():
        caps.setdefault(cap.channel, []).append(cap)
    names = [*ALWAYS_SHOWN, *(name for name in by_channel if name not in ALWAYS_SHOWN)]
    return [
        Card(
            channel=name,
            name=formats.channel_name(name),
            icon=formats.CHANNEL_ICONS.get(name, "cube"),
            status=by_channel[name].status if name in by_channel else "ok",
            sentence=usage_sentence(name, by_channel.get(name), when),
            further=[
                limit_sentence(name, by_channel[name].unit, limit.metric, limit.used, limit.cap, when)
                for limit in (by_channel[name].limits[1:] if name in by_channel else ())
                if limit.cap is not None
            ],
            note=outlook_note(caps.get(name, [])),
            usage=by_channel.get(name),
        )
        for name in names
    ]


def usage_sentence(channel: str, usage: ChannelUsage | None, when: str) -> str:
    """Return what was used of the channel's worst limit: ``Used 650 of 1,000 SMS this month``."""
    if usage is None:
        return limit_sentence(channel, UNITS.get(channel, "units"), "units", 0, None, when)
    return limit_sentence(channel, usage.unit, usage.metric, usage.used, usage.cap, when)


def limit_sentence(channel: str, unit: str, metric: str, used: float, cap: float | None, when: str) -> str:
    """Return a limit's sentence; money for limits of cost."""
    of = f" of {_amount(metric, cap)}" if cap is not None else ""
    count = used if cap is None else cap
    if metric == "cost_cents":
        noun = f"for {formats.channel_name(channel)}"
    elif metric == "requests":
        noun = formats.request_name(channel, count)
    else:
        noun = formats.unit_name(unit, channel, count)
    return f"Used {_amount(metric, used)}{of} {noun} {when}"


def _amount(metric: str, value: float | None) -> str:
    """Return a limit's figure: money of exact cents for cost_cents, else a number."""
    if metric != "cost_cents" or value is None:
        return formats.number(value)
    return formats.cents(round(value))


def outlook_note(caps: Sequence[CapForecast]) -> str:
    """Return what the forecast says of a channel's caps, of the one that is reached first; empty for nothing."""
    likely = [cap.likely_date for cap in caps if cap.outlook == "likely" and cap.likely_date]
    if likely:
        return f"Likely to reach its cap by {formats.short_day(min(likely))}"
    possible = [cap.earliest_date for cap in caps if cap.outlook == "possible" and cap.earliest_date]
    if possible:
        return f"May reach its cap by {formats.short_day(min(possible))}"
    return ""


def limit_row(channel: ChannelUsage, index: int, limit: Limit) -> LimitRow:
    """Return a limit in words: ``SMS per month, both directions``."""
    if limit.metric == "cost_cents":
        what = "Estimated cost"
    elif limit.metric == "requests":
        what = formats.request_name(channel.channel)
    else:
        what = formats.unit_name(channel.unit, channel.channel)
    return LimitRow(
        channel=channel.channel,
        index=index,
        what=f"{what[:1].upper()}{what[1:]} per month, {_DIRECTIONS.get(limit.direction, limit.direction)}",
        used=_amount(limit.metric, limit.used),
        cap=_amount(limit.metric, limit.cap) if limit.cap is not None else "No cap",
        limit=limit,
    )


def channel_table(summary: UsageSummary, used: Sequence[ChannelUsage]) -> list[ChannelRow]:
    """Return the used channels, the dearest first."""
    whole = _exact(summary.totals_for_period.estimated_cost_usd)
    rows = [ChannelRow(channel, share(_exact(channel.estimated_cost_usd), whole)) for channel in used]
    # Unpriced last; stable, so that equals keep the contract's order.
    return sorted(rows, key=lambda row: -(_exact(row.usage.estimated_cost_usd) or Decimal(-1)))


def daily_table(daily: DailySeries) -> tuple[list[Day], list[str]]:
    """Return the days, newest first, and the channels that were used in them."""
    used = {row.channel for row in daily.rows if row.request_count or row.unit_count}
    channels = list(dict.fromkeys(row.channel for row in daily.rows if row.channel in used))
    by_day: dict[date, list[DailyRow]] = {}
    for row in daily.rows:
        by_day.setdefault(row.date, []).append(row)
    days = [
        Day(
            date=day,
            channels=[row for row in rows if row.channel in used],
            cost_usd=exact_usd(_hundredfold(total_of_priced(_exact(row.estimated_cost_usd) for row in rows))),
            is_final=all(row.is_final for row in rows),
        )
        for day, rows in sorted(by_day.items(), reverse=True)
    ]
    return days, channels


def final_until(days: Sequence[Day]) -> date | None:
    """Return the last day up to which every day is final; None where the first one is open."""
    last = None
    for day in reversed(days):
        if not day.is_final:
            break
        last = day.date
    return last


def finality(page: TenantPage) -> str:
    """Return how final the shown days are, in a sentence; empty where no day is shown."""
    if not page.days:
        return ""
    if page.days[0].is_final:
        return "All days shown are final."
    if page.final_until is None:
        return "The days shown may still change while providers report late."
    return f"Days up to {formats.day(page.final_until)} are final; later ones may still change while providers report late."


def expected_between(forecast: UsageForecast | None) -> tuple[int, int] | None:
    """Return the cents between which the month is expected to end."""
    if forecast is None or forecast.cost.low_cost_cents is None or forecast.cost.high_cost_cents is None:
        return None
    return forecast.cost.low_cost_cents, forecast.cost.high_cost_cents


def daily_chart(daily: DailySeries, channels: Sequence[str], by: str) -> Chart:
    """Return the days' bars, a colour per channel: of cost in dollars, or of messages, calls, emails and requests."""
    labels = list(dict.fromkeys(formats.short_day(row.date) for row in daily.rows))
    series = []
    for channel in channels:
        rows = [row for row in daily.rows if row.channel == channel]
        if by == "cost":
            priced = total_of_priced(_exact(row.estimated_cost_usd) for row in rows)
            series.append(
                Series(
                    key=channel,
                    label=formats.channel_name(channel),
                    values=[float(row.estimated_cost_usd or 0) for row in rows],
                    texts=[formats.cents(row.estimated_cost_cents) for row in rows],
                    total=formats.rounded_usd(exact_usd(_hundredfold(priced))),
                )
            )
            continue
        series.append(
            Series(
                key=channel,
                label=formats.channel_name(channel),
                values=[row.request_count for row in rows],
                texts=[
                    f"{formats.number(row.request_count)} {formats.request_name(channel, row.request_count)}"
                    for row in rows
                ],
                total=formats.number(sum(row.request_count for row in rows)),
            )
        )
    title = "Estimated cost per day" if by == "cost" else "Messages, calls, emails and requests per day"
    return stacked_bars(
        "daily",
        title,
        f"{title} and channel, {formats.day(daily.start)} to {formats.day(daily.end)}. "
        f"{'; '.join(f'{entry.label} {entry.total}' for entry in series)}. The daily table below has every figure.",
        labels,
        series,
        axis=dollars if by == "cost" else compact,
    )


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


def _exact(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _hundredfold(dollars: Decimal | int | None) -> Decimal | None:
    return None if dollars is None else Decimal(dollars).scaleb(2, formats.WIDE)
