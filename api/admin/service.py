"""From rows to the bodies of the owner's routes. No HTTP and no SQL here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

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
    Reconciliation,
    ReconciliationRow,
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
from api.kit.pagination import Cursor, decode, encode, fingerprint, unknown
from api.kit.periods import DayRange, Month
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
    "totalCostCents",
    "totalMessages",
    "totalAiCalls",
    "costChangePercent",
    "projectedCostCents",
    "marginCents",
)
CLIENT_DEFAULT_SORT = "totalCostCents"


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
        clients=[
            Client(
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
            )
            for row in rows
        ],
        totals=ClientTotals(
            clients=totals["clients"],
            active_clients=totals["active_clients"],
            **money("average_cost", average(totals["clients_cost_cents"], totals["active_clients"])),
            **_service_costs(totals),
            total_messages=int(totals["total_messages"]),
            total_ai_calls=int(totals["total_ai_calls"]),
        ),
        next_cursor=following,
    )


def _service_costs(row: Row) -> dict[str, Any]:
    return {
        **money("openai_cost", row["openai_cost_cents"]),
        **money("twilio_sms_cost", row["twilio_sms_cost_cents"]),
        **money("twilio_voice_cost", row["twilio_voice_cost_cents"]),
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
class ReconciliationList:
    """What a list of reconciled days is asked for; None = no such filter."""

    month: Month
    states: tuple[str, ...] | None = None
    tenant: str | None = None
    service: str | None = None
    limit: int = 50
    cursor: str | None = None

    def fingerprint(self) -> str:
        """Return what a cursor is bound to."""
        return fingerprint("reconciliation", self.month.key, self.states, self.tenant, self.service)


async def reconciliation(reader: RootReader, selection: ReconciliationList) -> Reconciliation:
    """Return one page of a month's reconciled days.

    Raises:
        InvalidInput: the cursor is not of this list.
    """
    after = decode(selection.cursor, selection.fingerprint()) if selection.cursor is not None else None
    day, _, service = (after.text or "").partition(" ") if after else ("", "", "")
    if after is not None and not _is_day(day):
        raise unknown()
    row = await reader.row(
        queries.RECONCILIATION,
        first_day=selection.month.first,
        last_day=selection.month.last,
        states=None if selection.states is None else list(selection.states),
        tenant=selection.tenant,
        service=selection.service,
        limit=selection.limit,
        after_day=day or None,
        after_tenant=after.tenant_id if after else None,
        after_service=service or None,
    )
    rows: Sequence[Row] = row["page"][: selection.limit]
    following = None
    if len(row["page"]) > selection.limit:
        last = rows[-1]
        last_seen = Cursor(last["tenant_id"], text=f"{last['date']} {last['service']}")
        following = encode(last_seen, selection.fingerprint())
    return Reconciliation(
        data_as_of=reader.data_as_of,
        period=selection.month.key,
        items=[
            ReconciliationRow(
                tenant_id=entry["tenant_id"],
                tenant_name=entry["tenant_name"],
                date=date.fromisoformat(entry["date"]),
                service=entry["service"],
                provider_units=quantity(entry["provider_units"]),
                tracked_units=quantity(entry["tracked_units"]),
                difference=quantity(entry["difference"]),
                drift_percent=percent(entry["drift_percent"]),
                state=entry["state"],
                matched_count=entry["matched_count"],
                provider_only_count=entry["provider_only_count"],
                tracked_only_count=entry["tracked_only_count"],
                misattributed_count=entry["misattributed_count"],
                price_pending_count=entry["price_pending_count"],
            )
            for entry in rows
        ],
        totals=row["totals"],
        next_cursor=following,
    )


async def freshness(reader: RootReader) -> Freshness:
    """Return how fresh each source is, and what the proof job says."""
    rows = await reader.rows(queries.FRESHNESS)
    # One row of sums, which knows of nothing for whoever may not see it.
    (proven,) = await reader.rows(queries.PROOF_STATUS)
    return Freshness(
        data_as_of=reader.data_as_of,
        items=[
            SourceFreshness(
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
            for row in rows
        ],
        proof=ProofStatus(
            last_proven_at=_utc(proven["last_proven_at"]),
            proven_days=proven["proven_days"],
            different_days=proven["different_days"],
        ),
    )


def _utc(instant: datetime | None) -> datetime | None:
    return instant.astimezone(UTC) if instant else None


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


async def expected_costs(reader: RootReader, tenants: Sequence[str], today: date) -> dict[str, Decimal]:
    """Return what this month is expected to have cost at its end, exact cents, of those tenants that have a forecast."""
    rows = await reader.rows(queries.EXPECTED_COSTS, tenants=list(tenants), month=Month.of(today).key, today=today)
    return {row["tenant_id"]: row["expected"] for row in rows}
