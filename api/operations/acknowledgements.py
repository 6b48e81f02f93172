"""Acknowledging an alert: written as `metering_operator`, who can insert an acknowledgement and do nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg import errors as pg
from psycopg.rows import dict_row

from api.kit.database import CONNECT_SECONDS, MAX_ID, RootReader, Row, bounded, limit_statements
from api.kit.problems import AlertResolved, UnknownObject
from api.operations import queries
from api.operations.schemas import Acknowledgement


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
