"""From rows to the bodies of the owner's routes. No HTTP and no SQL here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

from api.admin import queries
from api.admin.alerts import open_alerts
from api.admin.schemas import (
    BlockedActions,
    BlockedChannel,
    Client,
    ClientCosts,
    ClientTotals,
    CurrentMonth,
    DayCost,
    Freshness,
    OperationCost,
    PlanOfTenants,
    ProofStatus,
    ServiceCost,
    SourceFreshness,
    SystemSummary,
    SystemTenant,
    SystemTotals,
    TenantDetail,
)
from api.kit import unpriced
from api.kit.database import RootReader, Row, TenantReader
from api.kit.money import average, money, percent, quantity, share, total_of_priced, usd
from api.kit.pagination import Cursor, decode, encode, fingerprint
from api.kit.periods import DayRange, Month
from api.kit.queries import REPLICA
from api.kit.tenants import tenant_row
from costs.rules.services import UNITS

TOP_OPERATIONS = 10

SORT_KEYS = (
    "tenantId",
    "tenantName",
    "plan",
    "accountStatus",
    "smsUsed",
    "mmsUsed",
    "voiceMinutesUsed",
    "emailsSent",
    "aiTokensUsed",
    "aiRequests",
    "status",
    "estimatedCostCents",
    "aiPercentOfSpend",
    "twilioPercentOfSpend",
    "costChangePercent",
    "projectedCostCents",
    "marginCents",
    "fullMarginCents",
)
DEFAULT_SORT = "estimatedCostCents"

CLIENT_SORT_KEYS = (
    "tenantId",
    "tenantName",
    "plan",
    "accountStatus",
    "status",
    "openaiCostCents",
    "twilioSmsCostCents",
    "twilioVoiceCostCents",
    "twilioPhoneCostCents",
    "sendgridCostCents",
    "stripeCostCents",
    "googlePlacesCostCents",
    "storageCostCents",
    "otherCostCents",
    "totalCostCents",
    "totalMessages",
    "totalAiCalls",
    "costChangePercent",
    "projectedCostCents",
    "marginCents",
)
CLIENT_DEFAULT_SORT = "totalCostCents"

# A month's cost, a column each: they add up to the total (dbt's `monthly_costs`, and what has none of its own).
COST_COLUMNS = (
    "openai",
    "twilio_sms",
    "twilio_voice",
    "twilio_phone",
    "sendgrid",
    "stripe",
    "google_places",
    "storage",
    "other",
)


SourceSort = Literal[
    "provider", "tableName", "lastRunStatus", "lastRunAt", "lastReadAt", "lastUsageDate", "rowCount", "rejectedCount"
]
SOURCE_COLUMNS: dict[SourceSort, str] = {
    "provider": "provider",
    "tableName": "table_name",
    "lastRunStatus": "last_run_status",
    "lastRunAt": "last_run_at",
    "lastReadAt": "last_read_at",
    "lastUsageDate": "last_usage_date",
    "rowCount": "row_count",
    "rejectedCount": "rejected_count",
}


@dataclass(frozen=True, slots=True)
class TenantList:
    """What a list of tenants in a month is asked for; None = no such filter."""

    month: Month
    plans: tuple[str, ...] | None = None
    statuses: tuple[str, ...] | None = None
    min_ai_share: Decimal | None = None
    search: str | None = None
    sort: str = DEFAULT_SORT
    descending: bool = True
    limit: int = 50
    cursor: str | None = None

    def fingerprint(self) -> str:
        """Return what a cursor is bound to: all of it but the place and the page's size."""
        return fingerprint(
            self.month.key,
            self.plans,
            self.statuses,
            self.min_ai_share,
            self.search,
            self.sort,
            self.descending,
        )


def _filters(selection: TenantList) -> dict[str, Any]:
    return {
        "month": selection.month.key,
        "plans": None if selection.plans is None else list(selection.plans),
        "statuses": None if selection.statuses is None else list(selection.statuses),
        "min_ai_share": selection.min_ai_share,
        "search": selection.search,
        "sort": selection.sort,
        "descending": selection.descending,
    }


async def _tenant_months(reader: RootReader, selection: TenantList) -> tuple[Row, Sequence[Row], str | None]:
    """Return the query's row (totals, plans), the page's rows and the next page's cursor: of the lists that the newest good build has
    kept, and where it has kept none of the month, of its marts.
    """
    after = decode(selection.cursor, selection.fingerprint()) if selection.cursor is not None else None
    parameters = {
        **_filters(selection),
        "limit": selection.limit,
        "after_tenant": after.tenant_id if after else None,
        "after_number": after.number if after else None,
        "after_text": after.text if after else None,
    }
    is_searched = selection.search is not None or selection.min_ai_share is not None
    kept = queries.KEPT_TENANT_MONTHS_SEARCHED if is_searched else queries.KEPT_TENANT_MONTHS
    found = await reader.rows(kept, **parameters)
    row = found[0] if found else await reader.row(queries.TENANT_MONTHS, **parameters)
    rows: Sequence[Row] = row["page"][: selection.limit]
    following = None
    if len(row["page"]) > selection.limit:
        last = rows[-1]
        number = None if last["number_key"] is None else Decimal(last["number_key"])
        following = encode(Cursor(last["tenant_id"], number, last["text_key"]), selection.fingerprint())
    return row, rows, following


async def system_summary(reader: RootReader, selection: TenantList) -> SystemSummary:
    """Return one page of all tenants in a month, with the totals of the whole filtered set.

    Raises:
        InvalidInput: the cursor is not of this list.
    """
    month_row, rows, following = await _tenant_months(reader, selection)
    return SystemSummary(
        data_as_of=reader.data_as_of,
        period=selection.month.key,
        items=[system_tenant(row) for row in rows],
        totals=_system_totals(month_row["totals"]),
        plans=[PlanOfTenants(**plan) for plan in month_row["plans"]],
        next_cursor=following,
    )


def tenant_rows(reader: RootReader, selection: TenantList) -> AbstractAsyncContextManager[AsyncIterator[Row]]:
    """Yield the rows of the whole filtered set in its order, for `system_tenant`; pages and cursors do not matter."""
    return reader.stream(queries.TENANT_MONTHS_EXPORT, **_filters(selection))


def system_tenant(row: Row) -> SystemTenant:
    """Return one tenant of the list."""
    return SystemTenant(
        tenant_id=row["tenant_id"],
        tenant_name=row["tenant_name"],
        plan=row["plan"],
        plan_label=row["plan_label"],
        account_status=row["account_status"],
        status=row["status"],
        ai_percent_of_spend=percent(row["ai_percent_of_spend"]),
        twilio_percent_of_spend=percent(row["twilio_percent_of_spend"]),
        cost_change_percent=percent(row["cost_change_percent"]),
        **_usage_and_money(row),
    )


def _system_totals(row: Row) -> SystemTotals:
    return SystemTotals(
        tenants=row["tenants"],
        active_tenants=row["active_tenants"],
        warning_tenants=row["warning_tenants"],
        over_cap_tenants=row["over_cap_tenants"],
        ai_percent_of_spend=share(row["ai_cost_cents"], row["estimated_cost_cents"]),
        twilio_percent_of_spend=share(row["twilio_cost_cents"], row["estimated_cost_cents"]),
        **_usage_and_money(row),
    )


def _usage_and_money(row: Row) -> dict[str, Any]:
    """Return what a tenant's row and the totals have in common."""
    return {
        "sms_used": quantity(row["sms_used"]),
        "mms_used": quantity(row["mms_used"]),
        "voice_minutes_used": quantity(row["voice_minutes_used"]),
        "emails_sent": quantity(row["emails_sent"]),
        "ai_tokens_used": quantity(row["ai_tokens_used"]),
        "ai_requests": int(row["ai_requests"]),
        **money("estimated_cost", row["estimated_cost_cents"]),
        **money("projected_cost", row["projected_cost_cents"]),
        **money("margin", row["margin_cents"]),
        **money("own_cost", row["own_cost_cents"]),
        **money("shared_cost", row["shared_cost_cents"]),
        **money("full_cost", row["full_cost_cents"]),
        **money("full_margin", row["full_margin_cents"]),
        **money("adjustment", row["adjustment_cents"]),
        **unpriced.of_several(row["unpriced_units"] or {}),
    }


async def client_costs(reader: RootReader, selection: TenantList) -> ClientCosts:
    """Return one page of all tenants' costs in a month, with the totals of all.

    Raises:
        InvalidInput: the cursor is not of this list.
    """
    month_row, rows, following = await _tenant_months(reader, selection)
    totals = month_row["totals"]
    return ClientCosts(
        data_as_of=reader.data_as_of,
        month=selection.month.key,
        clients=[client(row) for row in rows],
        totals=ClientTotals(
            clients=totals["clients"],
            active_clients=totals["active_clients"],
            **money("average_cost", average(totals["clients_cost_cents"], totals["active_clients"])),
            **_service_costs(totals),
            total_messages=int(totals["total_messages"]),
            total_ai_calls=int(totals["total_ai_calls"]),
            **unpriced.of_several(totals["unpriced_units"] or {}),
        ),
        next_cursor=following,
    )


def client(row: Row) -> Client:
    """Return one tenant of the list."""
    return Client(
        tenant_id=row["tenant_id"],
        tenant_name=row["tenant_name"],
        plan=row["plan"],
        plan_label=row["plan_label"],
        account_status=row["account_status"],
        status=row["status"],
        **_service_costs(row),
        total_messages=int(row["total_messages"]),
        total_ai_calls=int(row["total_ai_calls"]),
        cost_change_percent=percent(row["cost_change_percent"]),
        **unpriced.of_several(row["unpriced_units"] or {}),
    )


def _service_costs(row: Row) -> dict[str, Any]:
    return {
        **{
            name: value
            for service in COST_COLUMNS
            for name, value in money(f"{service}_cost", row[f"{service}_cost_cents"]).items()
        },
        **money("total_cost", row["estimated_cost_cents"]),
        **money("adjustment", row["adjustment_cents"]),
        **money("projected_cost", row["projected_cost_cents"]),
        **money("margin", row["margin_cents"]),
    }


async def tenant_detail(reader: TenantReader, days: DayRange, today: date) -> TenantDetail:
    """Return one tenant's cost over a range of days.

    Raises:
        UnknownObject: there is no such tenant.
    """
    month = Month.of(today)
    row = await tenant_row(
        reader,
        queries.TENANT_DETAIL,
        first_day=days.first,
        last_day=days.last,
        month=month.key,
        month_first=month.first,
        today=today,
        top=TOP_OPERATIONS,
    )
    by_day = {entry["date"]: entry for entry in row["by_day"]}
    current = row["current_month"] or {
        "cost_cents": 0,
        "projected_cost_cents": 0,
        "adjustment_cents": 0,
        "cost_change_percent": None,
        "margin_cents": row["base_price_cents"],
        "usage_status": "ok",
    }
    return TenantDetail(
        data_as_of=reader.data_as_of,
        tenant_id=row["tenant_id"],
        tenant_name=row["tenant_name"],
        plan=row["plan"],
        plan_label=row["plan_label"],
        monthly_base_price_usd=usd(row["base_price_cents"]),
        account_status=row["account_status"],
        hard_stop_enabled=row["usage_hard_stop_enabled"],
        start_date=days.first,
        end_date=days.last,
        **money("total_cost", total_of_priced(entry["cost_cents"] for entry in row["by_service"])),
        by_service=[
            ServiceCost(
                service=entry["service"],
                request_count=int(entry["request_count"]),
                **money("cost", entry["cost_cents"]),
                **unpriced.of_several(entry["unpriced_units"] or {}),
            )
            for entry in row["by_service"]
        ],
        by_day=[_day_cost(day, by_day.get(day.isoformat())) for day in days.days()],
        top_operations=[
            OperationCost(
                service=entry["service"],
                operation=entry["operation"],
                activity=entry["activity"],
                unit=UNITS[entry["channel"]],
                unit_count=quantity(entry["unit_count"]),
                request_count=int(entry["request_count"]),
                **money("cost", entry["cost_cents"]),
            )
            for entry in row["top_operations"]
        ],
        current_month=CurrentMonth(
            **money("cost", current["cost_cents"]),
            days_remaining=(month.last - today).days,
            **money("projected_cost", current["projected_cost_cents"]),
            **money("daily_average", row["daily_average_cents"]),
            cost_change_percent=percent(current["cost_change_percent"]),
            **money("margin", current["margin_cents"]),
            status=current["usage_status"],
            **money("adjustment", current["adjustment_cents"]),
        ),
        blocked_actions=BlockedActions(
            total=sum(entry["blocked_count"] for entry in row["blocked"]),
            by_channel=[
                BlockedChannel(
                    channel=entry["channel"],
                    blocked_count=entry["blocked_count"],
                    last_blocked_at=datetime.fromisoformat(entry["last_blocked_at"]).astimezone(UTC),
                )
                for entry in row["blocked"]
            ],
        ),
        reconciliation=row["reconciliation"],
        alerts=await open_alerts(reader),
    )


def _day_cost(day: date, row: Row | None) -> DayCost:
    if row is None:
        return DayCost(date=day, request_count=0, **money("cost", 0))
    return DayCost(date=day, request_count=int(row["request_count"]), **money("cost", row["cost_cents"]))


@dataclass(frozen=True, slots=True)
class SourceList:
    """In which order the sources are listed, and which of them; None = all."""

    search: str | None = None
    sort: SourceSort = "provider"
    descending: bool = False


async def freshness(reader: RootReader, selection: SourceList | None = None) -> Freshness:
    """Return how fresh each source is, and what the proof job says."""
    chosen = selection or SourceList()
    rows = await reader.rows(queries.FRESHNESS)
    # One row of sums, which knows of nothing for whoever may not see it.
    (proven,) = await reader.rows(queries.PROOF_STATUS)
    server = await reader.row(REPLICA)
    wanted = (chosen.search or "").casefold()
    sources = [source(row) for row in rows if wanted in f"{row['provider']} {row['table_name']}".casefold()]
    # A source that was never read has no time: it stands last, whichever way it is sorted.
    known = [found for found in sources if _source_key(found, chosen.sort) is not None]
    known.sort(key=lambda found: _source_key(found, chosen.sort), reverse=chosen.descending)
    return Freshness(
        data_as_of=reader.data_as_of,
        items=[*known, *(found for found in sources if _source_key(found, chosen.sort) is None)],
        proof=ProofStatus(
            last_proven_at=_utc(proven["last_proven_at"]),
            proven_days=proven["proven_days"],
            different_days=proven["different_days"],
        ),
        is_replica=server["is_replica"],
        replica_behind_seconds=None if server["behind_seconds"] is None else int(server["behind_seconds"]),
    )


def source(row: Row) -> SourceFreshness:
    """Return one source of the list."""
    return SourceFreshness(
        provider=row["provider"],
        table_name=row["table_name"],
        last_read_at=_utc(row["last_read_at"]),
        last_usage_date=row["last_usage_date"],
        row_count=int(row["row_count"]),
        rejected_count=int(row["rejected_count"]),
        last_run_status=row["last_run_status"],
        last_error=row["last_error"],
        last_run_at=_utc(row["last_run_at"]),
    )


def _source_key(found: SourceFreshness, sort: SourceSort) -> Any:
    return getattr(found, SOURCE_COLUMNS[sort])


def _utc(instant: datetime | None) -> datetime | None:
    return instant.astimezone(UTC) if instant else None


async def expected_costs(reader: RootReader, tenants: Sequence[str], today: date) -> dict[str, Decimal]:
    """Return what this month is expected to have cost at its end, exact cents, of those tenants that have a forecast."""
    rows = await reader.rows(queries.EXPECTED_COSTS, tenants=list(tenants), month=Month.of(today).key, today=today)
    return {row["tenant_id"]: row["expected"] for row in rows}
