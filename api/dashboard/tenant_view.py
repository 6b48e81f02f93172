"""What the tenant's page shows, from the bodies of the JSON routes' services. Pure: no HTTP, no SQL, no HTML.

Every figure is one of those bodies'; what is added here are words, shares of a total, and sums of a period's rows, by the exact amounts
and rounded as the JSON routes round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from api.dashboard import formats
from api.dashboard.charts import Chart
from api.dashboard.labels import Labels, feature_label
from api.dashboard.tenant_choice import Choice
from api.dashboard.usage_charts import Subject, cost_of, month_chart, subjects, usage_chart, used_channels
from api.dashboard.usage_table import ChannelTotals, Part, channel_totals, lines_of, parts_of
from api.forecast.schemas import CapForecast, UsageForecast
from api.kit.periods import DayRange, Month
from api.usage.schemas import ChannelUsage, DailySeries, FeatureBreakdown, Limit, UsageSummary
from costs.rules.services import UNITS

# These have a card before they are used; any other channel once it is.
ALWAYS_SHOWN = ("sms", "mms", "voice", "email", "ai")
PERIODS_OFFERED = 12

_DIRECTIONS = {"outbound": "outbound", "inbound": "inbound", "any": "both directions"}


@dataclass(frozen=True, slots=True)
class Figures:
    """The four bodies that the page is made of; `forecast` is None except for the month that is not over."""

    summary: UsageSummary
    features: FeatureBreakdown
    daily: DailySeries
    forecast: UsageForecast | None


@dataclass(frozen=True, slots=True)
class Card:
    """One channel of the month. ``sentence`` is of its worst limit, ``further`` of the other ones that have a cap.

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
class Top:
    """The dearest of the period. ``field`` names it in the summary; empty for a range of days, which has none."""

    key: str
    name: str
    cost_usd: str | None
    field: str


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the month is expected to end, as a place between two ends of a line from nothing to a little above the high one (percents)."""

    low_cents: int
    high_cents: int
    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True)
class TenantPage:
    """Everything that the template shows beside the bodies themselves.

    ``name`` says sums of the daily route's rows from the first day of the period to its last.
    """

    name: str
    is_empty: bool
    cards: Sequence[Card]
    over: str
    limits: Sequence[LimitRow]
    parts: Sequence[Part]
    tones: dict[str, str]
    request_count: int
    cost_usd: str | None
    top_channel: Top | None
    top_feature: Top | None
    interval: Interval | None
    partial: str
    finality: str
    providers: str
    subjects: Sequence[Subject]
    chart: Chart | None


def tenant_page(figures: Figures, choice: Choice, labels: Labels) -> TenantPage:
    """Return what the page shows of a period."""
    summary, daily = figures.summary, figures.daily
    channels = channel_totals(daily.rows)
    lines = lines_of(figures.features.features, labels)
    chart = chart_of(figures, choice, subject_of(summary, choice)) if channels else None
    return TenantPage(
        name=f"sum.{daily.start}/{daily.end}",
        is_empty=not channels and not any(channel.request_count or channel.unit_count for channel in summary.channels),
        cards=cards_of(summary, figures.forecast, this_month(choice.month, choice.is_current))
        if choice.is_month
        else [],
        over=formats.listed(
            [formats.channel_name(channel.channel) for channel in summary.channels if channel.status == "over_cap"]
        ),
        limits=[
            limit_row(channel, index, limit)
            for channel in summary.channels
            for index, limit in enumerate(channel.limits)
        ],
        parts=parts_of(
            lines,
            channels,
            group=choice.group,
            sort=choice.sort,
            descending=choice.descending,
            search=choice.search,
        ),
        tones={column.key: column.tone for column in chart.columns} if chart else {},
        request_count=sum(totals.request_count for totals in channels),
        cost_usd=cost_of(daily.rows),
        top_channel=top_channel(channels, summary, choice),
        top_feature=top_feature(figures.features, summary, choice, labels),
        interval=interval_of(figures.forecast),
        partial=partial_note(daily, choice),
        finality=finality(daily),
        providers=counted_providers(figures),
        subjects=subjects(summary.channels),
        chart=chart,
    )


def subject_of(summary: UsageSummary, choice: Choice) -> Subject:
    """Return what the month's view is of; the whole cost where the address names none of the tenant's limits."""
    offered = subjects(summary.channels)
    return next((subject for subject in offered if subject.key == choice.of), offered[0])


def chart_of(figures: Figures, choice: Choice, subject: Subject) -> Chart:
    if choice.by == "month":
        return month_chart(figures.daily, choice.month, subject, figures.forecast)
    return usage_chart(figures.daily, choice.by, choice.grain)


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


def top_channel(channels: Sequence[ChannelTotals], summary: UsageSummary, choice: Choice) -> Top | None:
    """Return the dearest channel: a month's is the summary's."""
    if choice.is_month:
        top = summary.top_channel_by_spend
        if top is None:
            return None
        return Top(top.channel, formats.channel_name(top.channel), top.estimated_cost_usd, "topChannelBySpend")
    if not channels or not channels[0].cost_usd or channels[0].cost_usd == "0":
        return None
    dearest = channels[0]
    return Top(dearest.channel, formats.channel_name(dearest.channel), dearest.cost_usd, "")


def top_feature(features: FeatureBreakdown, summary: UsageSummary, choice: Choice, labels: Labels) -> Top | None:
    """Return the dearest feature, all of its channels together: a month's is the summary's."""
    if choice.is_month:
        top = summary.top_feature_by_spend
        if top is None:
            return None
        return Top(top.feature, feature_label(top.feature, labels), top.estimated_cost_usd, "topFeatureBySpend")
    parts = parts_of(lines_of(features.features, labels), [], group="feature", sort="cost", descending=True)
    if not parts or not parts[0].cost_usd or parts[0].cost_usd == "0":
        return None
    return Top(parts[0].key, parts[0].title, parts[0].cost_usd, "")


def interval_of(forecast: UsageForecast | None) -> Interval | None:
    """Return where the month is expected to end; None where the forecast does not say."""
    if forecast is None:
        return None
    cost = forecast.cost
    if cost.low_cost_cents is None or cost.expected_cost_cents is None or cost.high_cost_cents is None:
        return None
    # Nothing to draw in a month of nothing.
    whole = 1.15 * max(cost.high_cost_cents, 1)
    low, expected, high = (
        round(100 * max(cents, 0) / whole, 2)
        for cents in (cost.low_cost_cents, cost.expected_cost_cents, cost.high_cost_cents)
    )
    return Interval(cost.low_cost_cents, cost.high_cost_cents, low, expected, high)


def partial_note(daily: DailySeries, choice: Choice) -> str:
    """Return what keeps the period from being compared with a whole one; empty for nothing."""
    said = []
    if choice.is_current:
        days, past = (choice.month.last - choice.month.first).days + 1, (choice.days.last - choice.month.first).days + 1
        if past < days:
            said.append(f"Day {past} of {days}")
    used = used_channels(daily)
    since = {
        gap.channel: gap.end + timedelta(days=1)
        for gap in daily.gaps
        if gap.state == "not_metered" and gap.start == daily.start and gap.channel in used
    }
    if since and len(since) == len(used) and len(set(since.values())) == 1:
        said.append(f"metered from {formats.short_day(next(iter(since.values())))} on")
    else:
        for day in sorted(set(since.values())):
            names = [formats.channel_name(channel) for channel, first in since.items() if first == day]
            said.append(f"{formats.listed(names)} metered from {formats.short_day(day)} on")
    return "; ".join(said)


def final_until(daily: DailySeries) -> date | None:
    """Return the last day up to which every day is final; None where the first one is open."""
    open_days = {row.date for row in daily.rows if not row.is_final}
    last = None
    for day in DayRange(daily.start, daily.end).days():
        if day in open_days:
            break
        last = day
    return last


def finality(daily: DailySeries) -> str:
    """Return how final the shown days are, in a sentence; empty where no day is shown."""
    if not daily.rows:
        return ""
    until = final_until(daily)
    if until == daily.end:
        return "All days shown are final."
    if until is None:
        return "The days shown may still change while providers report late."
    return f"Days up to {formats.day(until)} are final; later ones may still change while providers report late."


def counted_providers(figures: Figures) -> str:
    """Return who counted what is shown, as a sentence has them; empty where nothing was used."""
    # What the product tells of itself is no provider's.
    sources = sorted({row.source for row in figures.features.features} - {"internal"})
    return formats.listed([formats.source_name(source) for source in sources])
