"""From rows to the bodies of the alerts. No HTTP and no SQL here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from api.admin.cursor import Cursor, decode, encode, fingerprint
from api.alerts import queries
from api.alerts.schemas import Alert, Alerts
from api.database import RootReader, Row, TenantReader


@dataclass(frozen=True, slots=True)
class AlertList:
    """What a list of alerts is asked for; None = no such filter."""

    acknowledged: bool | None = None
    resolved: bool | None = False
    tenant: str | None = None
    types: tuple[str, ...] | None = None
    severities: tuple[str, ...] | None = None
    limit: int = 50
    cursor: str | None = None

    def fingerprint(self) -> str:
        """Return what a cursor is bound to."""
        return fingerprint("alerts", self.acknowledged, self.resolved, self.tenant, self.types, self.severities)


async def list_alerts(reader: RootReader, wanted: AlertList) -> Alerts:
    """Return one page of alerts.

    Raises:
        InvalidInput: the cursor is not of this list.
    """
    after = decode(wanted.cursor, wanted.fingerprint()) if wanted.cursor is not None else None
    rows = await reader.rows(
        queries.LIST,
        tenant=wanted.tenant,
        acknowledged=wanted.acknowledged,
        resolved=wanted.resolved,
        types=None if wanted.types is None else list(wanted.types),
        severities=None if wanted.severities is None else list(wanted.severities),
        before=int(after.number) if after and after.number is not None else None,
        limit=wanted.limit,
    )
    page, following = rows[: wanted.limit], None
    if len(rows) > wanted.limit:
        place = Cursor(page[-1]["tenant_id"], number=Decimal(page[-1]["id"]))
        following = encode(place, wanted.fingerprint())
    return Alerts(data_as_of=reader.data_as_of, items=[_alert(row) for row in page], next_cursor=following)


async def open_alerts(reader: TenantReader) -> list[Alert]:
    """Return the tenant's open alerts, the newest first."""
    return [_alert(row) for row in await reader.rows(queries.OPEN_OF_TENANT)]


def _alert(row: Row) -> Alert:
    return Alert(
        id=row["id"],
        tenant_id=row["tenant_id"],
        tenant_name=row.get("tenant_name"),
        alert_type=row["alert_type"],
        severity=row["severity"],
        channel=row["channel"],
        message=row["message"],
        details=row["details"],
        acknowledged=row["acknowledged"],
        acknowledged_at=_utc(row["acknowledged_at"]),
        acknowledged_by=row["acknowledged_by"],
        resolved_at=_utc(row["resolved_at"]),
        created_at=row["created_at"].astimezone(UTC),
    )


def _utc(instant: datetime | None) -> datetime | None:
    return instant.astimezone(UTC) if instant else None
