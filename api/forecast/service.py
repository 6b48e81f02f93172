"""From rows to the forecast's body. No HTTP and no SQL here."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from api.forecast import queries
from api.forecast.schemas import CapForecast, CostForecast, Outlook, UsageForecast
from api.kit import unpriced
from api.kit.channels import channel_position
from api.kit.database import Row, TenantReader
from api.kit.money import money, optional_quantity, percent, quantity
from api.kit.periods import Month
from api.kit.schemas import Period
from api.kit.tenants import tenant_row
from costs.rules.forecast import INTERVAL
from costs.rules.services import UNITS

# How the table of forecasts writes "all channels together".
WHOLE_TENANT = ""


async def usage_forecast(reader: TenantReader, today: date) -> UsageForecast:
    """Return what a tenant's month will come to.

    Raises:
        UnknownObject: there is no such tenant.
    """
    month = Month.of(today)
    row = await tenant_row(reader, queries.FORECAST, month=month.key, today=today)
    whole = next((entry for entry in row["forecasts"] if entry["channel"] == WHOLE_TENANT), None)
    limits = [entry for entry in row["forecasts"] if entry["channel"] != WHOLE_TENANT]
    return UsageForecast(
        data_as_of=reader.data_as_of,
        tenant_id=row["tenant_id"],
        tenant_name=row["tenant_name"],
        current_period=Period.of(month),
        forecast_date=date.fromisoformat(whole["as_of_date"]) if whole else None,
        days_remaining=(month.last - today).days,
        interval_percent=int(INTERVAL * 100),
        history_days=whole["history_days"] if whole else 0,
        cost=_cost(row["current_month"] or {"cost_cents": 0, "projected_cost_cents": 0}, whole),
        caps=[
            _cap(entry)
            for entry in sorted(limits, key=lambda entry: (channel_position(entry["channel"]), entry["metric"]))
        ],
    )


def _cost(month: Row, forecast: Row | None) -> CostForecast:
    figures = forecast or {"expected": None, "low": None, "high": None, "unpriced_unit_count": 0, "unpriced_units": {}}
    return CostForecast(
        **money("used_cost", month["cost_cents"]),
        **money("projected_cost", month["projected_cost_cents"]),
        **money("expected_cost", figures["expected"]),
        **money("low_cost", figures["low"]),
        **money("high_cost", figures["high"]),
        **(
            unpriced.of_several(figures["unpriced_units"])
            # Of a day before kinds were kept: its count is all that it says.
            | ({} if figures["unpriced_units"] else {"unpriced_unit_count": quantity(figures["unpriced_unit_count"])})
        ),
    )


def _cap(row: Row) -> CapForecast:
    chance = row["cap_probability"]
    return CapForecast(
        channel=row["channel"],
        unit=UNITS.get(row["channel"], "units"),
        metric=row["metric"],
        direction=row["direction"],
        used=optional_quantity(row["used"]),
        cap=optional_quantity(row["cap"]),
        expected=optional_quantity(row["expected"]),
        low=optional_quantity(row["low"]),
        high=optional_quantity(row["high"]),
        outlook=outlook(row),
        reached_percent=percent(None if chance is None else Decimal(chance) * 100),
        earliest_date=row["cap_earliest"],
        likely_date=row["cap_likely"],
        latest_date=row["cap_latest"],
    )


def outlook(row: Row) -> Outlook:
    """Return in a word what the forecast's days say."""
    if row["cap"] is None:
        return "no_cap"
    if row["cap_is_reached"]:
        return "reached"
    if row["cap_probability"] is None:
        return "unknown"
    if row["cap_likely"] is not None:
        return "likely"
    return "unlikely" if row["cap_earliest"] is None else "possible"
