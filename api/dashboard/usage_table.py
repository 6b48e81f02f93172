"""The table of a period's usage: a line per feature, channel and source, grouped, sorted and searched. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from api.dashboard import formats
from api.dashboard.labels import Labels, feature_label
from api.dashboard.usage_charts import cost_of, units_of
from api.kit.money import share, total_if_known, total_of_priced
from api.kit.money import usd as exact_usd
from api.usage.schemas import DailyRow, FeatureUsage

Group = Literal["channel", "feature", "source", "none"]
Sort = Literal["cost", "feature", "channel", "source", "count"]


@dataclass(frozen=True, slots=True)
class ChannelTotals:
    """A channel in the period: sums of the daily route's rows. ``cost_usd`` and ``billed_usd`` are exact, None where unknown."""

    channel: str
    unit: str
    unit_count: Decimal
    request_count: int
    cost_usd: str | None
    billed_usd: str | None
    percent: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the features route with its ``index`` there, in words."""

    index: int
    usage: FeatureUsage
    feature: str
    channel: str
    source: str

    @property
    def words(self) -> str:
        """What a search looks in."""
        return f"{self.feature} {self.usage.feature} {self.channel} {self.source}".casefold()


@dataclass(frozen=True, slots=True)
class Part:
    """Lines under a heading, with their exact cost. ``totals`` are a whole channel's, where all of it is shown."""

    key: str
    title: str
    cost_usd: str | None
    lines: Sequence[Line]
    totals: ChannelTotals | None = None


def channel_totals(rows: Sequence[DailyRow]) -> list[ChannelTotals]:
    """Return the used channels of a period's days, the dearest first."""
    by_channel: dict[str, list[DailyRow]] = {}
    for row in rows:
        by_channel.setdefault(row.channel, []).append(row)
    whole = _exact(cost_of(rows))
    found = []
    for channel, days in by_channel.items():
        if not any(row.request_count or row.unit_count for row in days):
            continue
        cost = cost_of(days)
        billed = total_if_known(_exact(row.billed_cost_usd) for row in days)
        found.append(
            ChannelTotals(
                channel=channel,
                unit=days[0].unit,
                unit_count=units_of(days),
                request_count=sum(row.request_count for row in days),
                cost_usd=cost,
                billed_usd=_dollars(billed),
                percent=share(_exact(cost), whole),
            )
        )
    # Unpriced last; stable, so that equals keep the contract's order.
    return sorted(found, key=lambda totals: -(_exact(totals.cost_usd) or Decimal(-1)))


def lines_of(features: Sequence[FeatureUsage], labels: Labels) -> list[Line]:
    """Return the lines in the route's order."""
    return [
        Line(
            index,
            usage,
            feature_label(usage.feature, labels),
            formats.channel_name(usage.channel),
            formats.source_name(usage.source),
        )
        for index, usage in enumerate(features)
    ]


def parts_of(
    lines: Sequence[Line],
    channels: Sequence[ChannelTotals],
    *,
    group: Group,
    sort: Sort,
    descending: bool,
    search: str = "",
) -> list[Part]:
    """Return the lines that match a search, sorted, under their headings; headings in the order of their first lines by name, or by cost.

    A part without a line that matches is left out. ``channels`` without any line stand all the same, if nothing is searched.
    """
    wanted = search.casefold()
    shown = [line for line in lines if wanted in line.words]
    shown.sort(key=lambda line: _sort_key(line, sort), reverse=descending)
    totals = {found.channel: found for found in channels}
    grouped: dict[str, list[Line]] = {name: [] for name in totals} if group == "channel" and not wanted else {}
    for line in shown:
        grouped.setdefault(_group_key(line, group), []).append(line)
    parts = []
    for key, found in grouped.items():
        # Of some of its lines a channel's own figures would say too much.
        of_channel = totals.get(key) if group == "channel" and not wanted else None
        cost = _dollars(total_of_priced(_exact(line.usage.estimated_cost_usd) for line in found))
        parts.append(
            Part(key, _title(key, found, group), of_channel.cost_usd if of_channel else cost, found, of_channel)
        )
    names = sort in ("feature", "channel", "source")
    parts.sort(
        key=lambda part: part.title.casefold() if names else (_exact(part.cost_usd) or Decimal(-1)), reverse=descending
    )
    return parts


def _group_key(line: Line, group: Group) -> str:
    return "" if group == "none" else str(getattr(line.usage, group))


def _title(key: str, lines: Sequence[Line], group: Group) -> str:
    if group == "none":
        return ""
    return str(getattr(lines[0], group)) if lines else formats.channel_name(key)


def _sort_key(line: Line, sort: Sort) -> tuple[str | Decimal, int]:
    """Return what to sort by; what is not priced counts as less than nothing."""
    if sort == "cost":
        cost = _exact(line.usage.estimated_cost_usd)
        return (Decimal(-1) if cost is None else cost), -line.index
    if sort == "count":
        return Decimal(str(line.usage.unit_count)), -line.index
    return str(getattr(line, sort)).casefold(), -line.index


def _exact(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _dollars(amount: Decimal | int | None) -> str | None:
    return None if amount is None else exact_usd(Decimal(amount).scaleb(2, formats.WIDE))
