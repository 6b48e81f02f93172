"""From rows to the bodies of the tenant's routes. No HTTP and no SQL here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

from api.kit import unpriced
from api.kit.channels import channel_position
from api.kit.coverage import PROVIDERS, tables_by, unknown_days
from api.kit.database import Row, TenantReader
from api.kit.money import (
    cents,
    money,
    optional_quantity,
    percent,
    quantity,
    share,
    total_if_known,
    total_of_priced,
    usd,
)
from api.kit.periods import DayRange, Month
from api.kit.problems import InvalidInput, UnknownObject
from api.kit.schemas import Period
from api.kit.tenants import tenant_row
from api.usage import queries
from api.usage.schemas import (
    Adjustment,
    ChannelAccess,
    ChannelUsage,
    DailyRow,
    DailySeries,
    DailyUsage,
    FeatureBreakdown,
    FeatureUsage,
    Gap,
    Group,
    Limit,
    Plan,
    PlanLimit,
    TopChannel,
    TopFeature,
    Totals,
    UsageStatus,
    UsageSummary,
)
from api.usage.selection import EVERYTHING, DailySelection
from costs.rules.limits import severity, worst
from costs.rules.services import CHANNELS, SETTLED, UNITS

SERIES_DAYS = 30
MOST_ROWS = 20_000
"""Of a daily series: some megabytes of JSON."""
MOST_QUIET = 256
"""Ranges of days of channels without usage that are made once: those of many tenants are alike."""
_TABLES = tables_by("channel")


async def status(reader: TenantReader, month: Month) -> UsageStatus:
    """Return what is used so far against the caps of a month.

    Raises:
        UnknownObject: there is no such tenant.
    """
    row = await tenant_row(reader, queries.STATUS, month=month.key)
    channels = channel_rows(row["channels"], row["limits"])
    return UsageStatus(
        data_as_of=reader.data_as_of,
        tenant_id=row["tenant_id"],
        tenant_name=row["tenant_name"],
        current_period=Period.of(month),
        status=worst(channel.status for channel in channels),
        hard_stop_enabled=row["hard_stop_enabled"],
        totals=totals_of(row["channels"]),
        channels=channels,
    )


async def summary(reader: TenantReader, month: Month, today: date) -> UsageSummary:
    """Return everything that a tenant's usage page shows of a month.

    Raises:
        UnknownObject: there is no such tenant.
    """
    days = DayRange.trailing(min(today, month.last), SERIES_DAYS)
    row = await tenant_row(
        reader,
        queries.SUMMARY,
        month=month.key,
        month_first=month.first,
        month_last=month.last,
        first_day=days.first,
        last_day=days.last,
    )
    channels = channel_rows(row["channels"], row["limits"])
    seen = {channel.channel for channel in channels}
    projected = row["projection"][0] if row["projection"] else 0
    adjustment = row["adjustment"][0] if row["adjustment"] else 0
    own = [used["estimated_cost_cents"] for used in row["channels"]]
    return UsageSummary(
        data_as_of=reader.data_as_of,
        tenant_id=row["tenant_id"],
        tenant_name=row["tenant_name"],
        current_plan=_plan(row),
        current_period=Period.of(month),
        status=worst(channel.status for channel in channels),
        hard_stop_enabled=row["hard_stop_enabled"],
        channels=channels,
        totals_for_period=totals_of(row["channels"]),
        plan_limits=[
            PlanLimit(
                channel=limit["channel"],
                metric=limit["metric"],
                direction=limit["direction"],
                monthly_cap=optional_quantity(limit["monthly_cap"]),
                warning_threshold_pct=optional_quantity(limit["warning_threshold_pct"]),
            )
            for limit in row["plan_limits"]
        ],
        daily_usage=_daily_usage(row["daily"], days, seen),
        top_channel_by_spend=_top_channel(row["channels"]),
        top_feature_by_spend=_top_feature(row["top_feature"]),
        projected_cost_cents=cents(projected),
        projected_cost_usd=usd(projected),
        **money("adjustment", adjustment),
        **money("adjusted_cost", total_of_priced((total_of_priced(own), adjustment))),
        adjustments=[
            Adjustment(
                closed_month=entry["closed_month"],
                channel=entry["channel"],
                reason=entry["reason"],
                unit_count=quantity(entry["unit_count"]),
                **money("cost", entry["cost_cents"]),
                **money("charged_cost", entry["charged_cost_cents"]),
            )
            for entry in row["adjustments"]
        ],
    )


def _plan(row: Row) -> Plan | None:
    if row["plan"] is None:
        return None
    return Plan(name=row["plan"], label=row["plan_label"], monthly_base_price_usd=usd(row["monthly_base_price_cents"]))


def _top_channel(channels: Sequence[Row]) -> TopChannel | None:
    spent = [row for row in channels if row["estimated_cost_cents"]]
    if not spent:
        return None
    top = min(spent, key=lambda row: (-row["estimated_cost_cents"], row["channel"]))
    return TopChannel(channel=top["channel"], **money("estimated_cost", top["estimated_cost_cents"]))


def _top_feature(row: Row | None) -> TopFeature | None:
    if row is None:
        return None
    return TopFeature(feature=row["feature"], **money("estimated_cost", row["estimated_cost_cents"]))


def channel_rows(usage: Sequence[Row], limits: Sequence[Row]) -> list[ChannelUsage]:
    """Return one row per channel that is used or limited."""
    used = {row["channel"]: row for row in usage}
    limited: dict[str, list[Row]] = {}
    for row in limits:
        limited.setdefault(row["channel"], []).append(row)
    return [
        _channel(channel, used.get(channel), limited.get(channel, []))
        for channel in sorted(used.keys() | limited.keys(), key=channel_position)
    ]


def _worst_first(limit: Row) -> tuple[int, bool, Decimal, str]:
    # The worst: by status, then the one that has a cap, then the fullest; the name only for a stable answer.
    return (
        -severity(limit["status"]),
        limit["cap"] is None,
        -Decimal(limit["percent_used"] or 0),
        limit["metric"],
    )


def _channel(channel: str, usage: Row | None, limits: Sequence[Row]) -> ChannelUsage:
    rows = [_limit(limit) for limit in sorted(limits, key=_worst_first)]
    unit_count = quantity(usage["unit_count"]) if usage else 0
    worst_limit = rows[0] if rows else None
    return ChannelUsage(
        channel=channel,
        unit=usage["unit"] if usage else UNITS.get(channel, "units"),
        metric=worst_limit.metric if worst_limit else "units",
        used=worst_limit.used if worst_limit else unit_count,
        cap=worst_limit.cap if worst_limit else None,
        percent_used=worst_limit.percent_used if worst_limit else None,
        warning_threshold_pct=worst_limit.warning_threshold_pct if worst_limit else None,
        status=worst_limit.status if worst_limit else "ok",
        limits=rows,
        unit_count=unit_count,
        request_count=int(usage["request_count"]) if usage else 0,
        **money("estimated_cost", usage["estimated_cost_cents"] if usage else 0),
        **money("billed_cost", usage["billed_cost_cents"] if usage else 0),
        **(unpriced.of_cell(usage) if usage else unpriced.of_several({})),
        provisional_unit_count=quantity(usage["provisional_unit_count"]) if usage else 0,
    )


def _limit(row: Row) -> Limit:
    return Limit(
        metric=row["metric"],
        direction=row["direction"],
        used=quantity(row["used"]),
        cap=optional_quantity(row["cap"]),
        percent_used=percent(row["percent_used"]),
        warning_threshold_pct=optional_quantity(row["warning_threshold_pct"]),
        status=row["status"],
    )


def totals_of(channels: Sequence[Row]) -> Totals:
    """Return the sums over a month's channels."""
    units = {row["channel"]: quantity(row["unit_count"]) for row in channels}
    requests = {row["channel"]: int(row["request_count"]) for row in channels}
    return Totals(
        **money("estimated_cost", total_of_priced(row["estimated_cost_cents"] for row in channels)),
        **money("billed_cost", total_if_known(row["billed_cost_cents"] for row in channels)),
        **unpriced.of_several(unpriced.together(unpriced.kinds_of(row) for row in channels)),
        request_count=sum(requests.values()),
        total_messages=requests.get("sms", 0) + requests.get("mms", 0),
        sms_used=units.get("sms", 0),
        mms_used=units.get("mms", 0),
        voice_minutes_used=units.get("voice", 0),
        emails_sent=units.get("email", 0),
        ai_tokens_used=units.get("ai", 0),
        ai_requests=requests.get("ai", 0),
    )


@lru_cache(MOST_QUIET)
def _quiet_days(days: DayRange, units: tuple[tuple[str, str], ...]) -> tuple[DailyUsage, ...]:
    return tuple(
        DailyUsage(
            date=day,
            channel=channel,
            unit=unit,
            unit_count=0,
            request_count=0,
            estimated_cost_cents=0,
            estimated_cost_usd="0",
        )
        for day in days.days()
        for channel, unit in units
    )


def _daily_usage(columns: Sequence[Sequence[Any]] | None, days: DayRange, channels: set[str]) -> list[DailyUsage]:
    rows = list(zip(*(columns or ()), strict=True))
    units = {row[1]: row[2] for row in rows}
    order = sorted(channels | units.keys(), key=channel_position)
    series = list(_quiet_days(days, tuple((name, units.get(name) or UNITS.get(name, "units")) for name in order)))
    for text, channel, unit, unit_count, request_count, exact_cents, exact_usd in rows:
        day = date.fromisoformat(text)
        series[(day - days.first).days * len(order) + order.index(channel)] = DailyUsage(
            date=day,
            channel=channel,
            unit=unit,
            unit_count=quantity(unit_count),
            request_count=request_count,
            estimated_cost_cents=cents(exact_cents),
            estimated_cost_usd=exact_usd,
        )
    return series


async def daily(
    reader: TenantReader, days: DayRange, lookback_days: int, selection: DailySelection = EVERYTHING
) -> DailySeries:
    """Return usage per day, week or month and channel (and group), dense.

    Raises:
        UnknownObject: there is no such tenant.
        InvalidInput: more rows than a body has.
    """
    row = await tenant_row(
        reader,
        queries.DAILY_GROUPS if selection.needs_lines else queries.DAILY,
        month=Month.of(days.last).key,
        first_day=days.first,
        last_day=days.last,
        tables=list(PROVIDERS),
        settled_services=list(SETTLED),
        **selection.parameters(),
    )
    cells = {(entry["date"], *_series_of(entry, selection)): entry for entry in row["rows"]}
    every = {key[1:] for key in cells}
    if not selection.needs_lines:
        every |= {(channel,) for channel in row["limited_channels"]}
    series = sorted(every, key=lambda key: (channel_position(key[0]), key[1:]))
    changed = set(row["changed_days"])
    parts = [part for part in days.parts(selection.granularity) if not changed.isdisjoint(map(str, part.days()))]
    if len(parts) * len(series) > MOST_ROWS:
        raise InvalidInput("groupBy", f"the answer has more than {MOST_ROWS} rows: ask for fewer days or groups")
    # A quiet day has no line that could be provisional: the contract's is_final then asks for its age only.
    open_from = reader.build.as_of.date() - timedelta(days=lookback_days) if reader.build else date.min
    zone = selection.zone or UTC
    return DailySeries(
        data_as_of=_in_zone(reader.data_as_of, zone),
        tenant_id=row["tenant_id"],
        start=days.first,
        end=days.last,
        granularity=selection.granularity,
        time_zone=str(selection.zone or "UTC"),
        starts_at=_midnight(days.first, zone),
        ends_at=_midnight(days.last + timedelta(days=1), zone),
        built_at=_in_zone(reader.build.finished_at if reader.build else None, zone),
        rows=[
            _daily_row(
                part, key, cells.get((part.first.isoformat(), *key)), selection.dimensions, part.last < open_from
            )
            for part in parts
            for key in series
        ],
        gaps=[
            Gap(channel=channel, **run.model_dump())
            for channel in dict.fromkeys(key[0] for key in series)
            for run in unknown_days(_TABLES.get(channel, ()), row["sources"], days)
        ],
    )


def _series_of(entry: Row, selection: DailySelection) -> tuple[str, ...]:
    return entry["channel"], *(entry[name] for name in selection.dimensions)


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), UTC).astimezone(zone)


def _in_zone(instant: datetime | None, zone: tzinfo) -> datetime | None:
    return instant.astimezone(zone) if instant else None


def _daily_row(
    part: DayRange, key: tuple[str, ...], entry: Row | None, dimensions: Sequence[str], is_old: bool
) -> DailyRow:
    return DailyRow(
        date=part.first,
        channel=key[0],
        unit=UNITS.get(key[0], "units"),
        unit_count=quantity(entry["unit_count"]) if entry else 0,
        request_count=int(entry["request_count"]) if entry else 0,
        **money("estimated_cost", entry["estimated_cost_cents"] if entry else 0),
        **money("billed_cost", entry["billed_cost_cents"] if entry else 0),
        **(unpriced.of_cell({**entry, "unit": UNITS.get(key[0], "units")}) if entry else unpriced.of_several({})),
        provisional_unit_count=quantity(entry["provisional_unit_count"]) if entry else 0,
        is_final=is_old and (entry is None or entry["is_final"]),
        group=cast(Group, dict(zip(dimensions, key[1:], strict=True))),
    )


async def features(reader: TenantReader, days: DayRange) -> FeatureBreakdown:
    """Return usage per feature, channel and source of a range of days.

    Raises:
        UnknownObject: there is no such tenant.
    """
    row = await tenant_row(reader, queries.FEATURES, first_day=days.first, last_day=days.last)
    whole = total_of_priced(entry["estimated_cost_cents"] for entry in row["features"])
    return FeatureBreakdown(
        data_as_of=reader.data_as_of,
        tenant_id=row["tenant_id"],
        current_period=Period.of_days(days),
        features=[
            FeatureUsage(
                feature=entry["feature"],
                channel=entry["channel"],
                source=entry["source"],
                unit=entry["unit"],
                unit_count=quantity(entry["unit_count"]),
                request_count=int(entry["request_count"]),
                **money("estimated_cost", entry["estimated_cost_cents"]),
                **unpriced.of_cell(entry),
                percent_of_total=share(entry["estimated_cost_cents"], whole),
            )
            for entry in row["features"]
        ],
    )


async def access(reader: TenantReader, channel: str, units: Decimal, month: Month) -> ChannelAccess:
    """Return whether the tenant may use ``units`` more of a channel.

    Raises:
        UnknownObject: there is no such channel or tenant.
    """
    if channel not in CHANNELS:
        raise UnknownObject("There is no such channel.")
    row = await tenant_row(reader, queries.ACCESS, channel=channel, units=units, month=month.key)
    return ChannelAccess(
        data_as_of=reader.data_as_of,
        tenant_id=reader.tenant_id,
        channel=channel,
        units=quantity(units),
        allowed=row["allowed"],
        status=row["status"],
        used=quantity(row["used"]),
        reserved=quantity(row["reserved"]),
        cap=optional_quantity(row["cap"]),
        reason=row["reason"],
    )
