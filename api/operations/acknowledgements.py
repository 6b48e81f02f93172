"""Acknowledging alerts, putting them off, commenting on them: written as `metering_operator`, who can insert that and do nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg import errors as pg
from psycopg.rows import dict_row

from api.kit.database import CONNECT_SECONDS, MAX_ID, RootReader, Row, bounded, limit_statements
from api.kit.problems import AlertResolved, InvalidInput, UnknownObject
from api.operations import queries
from api.operations.schemas import Acknowledgement, HandledAlert, HandledAlerts, Handling


class OperatorDatabase:
    """Connects as the operator for one INSERT at a time: people click seldom, and a pool would only hold connections."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def acknowledge(self, alert_id: int, by: str) -> None:
        """Record that ``by`` has seen the alert; nothing happens where somebody has already.

        Raises:
            psycopg.errors.ForeignKeyViolation: there is no such alert.
            psycopg.OperationalError: the database does not answer, or does not let the operator in.
        """
        connection = await AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=CONNECT_SECONDS, row_factory=dict_row
        )
        async with connection:
            await limit_statements(connection)
            with bounded(connection):
                await connection.execute(queries.ACKNOWLEDGE, {"alert_id": alert_id, "acknowledged_by": by})

    async def handle(
        self, alert_ids: Sequence[int], noted: Sequence[int], by: str, *, comment: str | None, until: datetime | None
    ) -> None:
        """Acknowledge ``alert_ids`` and put the note at ``noted``, in one transaction."""
        connection = await AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=CONNECT_SECONDS, row_factory=dict_row
        )
        async with connection:
            await limit_statements(connection)
            with bounded(connection):
                async with connection.transaction():
                    await connection.execute(
                        queries.ACKNOWLEDGE_ALL, {"alert_ids": list(alert_ids), "acknowledged_by": by}
                    )
                    if comment is not None or until is not None:
                        note = {"noted_by": by, "comment": comment, "snoozed_until": until}
                        await connection.execute(queries.NOTE, {"alert_ids": list(noted), **note})


async def handle(reader: RootReader, database: OperatorDatabase, handling: Handling, by: str) -> HandledAlerts:
    """Do with several alerts what is asked, all or none. Those whose condition has ended are only commented on.

    Raises:
        InvalidInput: nothing is asked.
        UnknownObject: one of them does not exist.
    """
    if not (handling.acknowledge or handling.snooze_hours or handling.comment):
        raise InvalidInput("ids", "say what is to be done: acknowledge, snoozeHours or comment")
    wanted = sorted(set(handling.ids))
    rows = await reader.rows(queries.ALERTS, alert_ids=[number for number in wanted if number <= MAX_ID])
    if len(rows) < len(wanted):
        raise _unknown()
    lasting = [row["id"] for row in rows if row["resolved_at"] is None]
    until = datetime.now(UTC) + timedelta(hours=handling.snooze_hours) if handling.snooze_hours else None
    await database.handle(
        lasting if handling.acknowledge else [],
        wanted if handling.comment else lasting,
        by,
        comment=handling.comment,
        until=until,
    )
    rows = await reader.rows(queries.ALERTS, alert_ids=wanted)
    return HandledAlerts(
        data_as_of=reader.data_as_of,
        items=[
            HandledAlert(
                id=row["id"],
                acknowledged=row["acknowledged"],
                acknowledged_by=row["acknowledged_by"],
                resolved_at=_utc(row["resolved_at"]) if row["resolved_at"] else None,
                snoozed_until=_utc(row["snoozed_until"]) if row["snoozed_until"] else None,
            )
            for row in rows
        ],
    )


async def acknowledge(reader: RootReader, database: OperatorDatabase, alert_id: int, by: str) -> Acknowledgement:
    """Acknowledge an alert, or return who did so before.

    Raises:
        UnknownObject: there is no such alert.
        AlertResolved: its condition has ended, and it had not been acknowledged: no more messages are sent.
    """
    alert = await _find(reader, alert_id)
    if not alert["acknowledged"]:
        if alert["resolved_at"] is not None:
            raise AlertResolved(
                f"Its condition ended at {_utc(alert['resolved_at']):%Y-%m-%d %H:%M} UTC: no more messages are sent about it."
            )
        try:
            await database.acknowledge(alert_id, by)
        except pg.ForeignKeyViolation as error:
            raise _unknown() from error
        alert = await _find(reader, alert_id)
    return Acknowledgement(
        data_as_of=reader.data_as_of,
        id=alert_id,
        tenant_id=alert["tenant_id"],
        acknowledged=True,
        acknowledged_at=_utc(alert["acknowledged_at"]),
        acknowledged_by=alert["acknowledged_by"],
    )


async def _find(reader: RootReader, alert_id: int) -> Row:
    rows: list[dict[str, Any]] = []
    if alert_id <= MAX_ID:
        rows = await reader.rows(queries.ALERT, alert_id=alert_id)
    if not rows:
        raise _unknown()
    return rows[0]


def _unknown() -> UnknownObject:
    return UnknownObject("There is no such alert.")


def _utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC)
