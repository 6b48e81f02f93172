"""One call that ingests what a sandbox serves into a test's own database, and ways to look at what is there."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import psycopg

from ingestion.config import IngestSettings
from ingestion.run import IngestResult, ingest_provider
from ingestion.windows import Window
from sandbox import Sandbox

FIRST, DAY, LAST = date(2026, 11, 1), date(2026, 11, 3), date(2026, 11, 5)
WINDOW = Window.of_days(FIRST, LAST)
AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
"""Long after the data: nothing of it is late or open any more."""


@dataclass
class Ingest:
    """A sandbox and a database, and what is needed to bring one into the other."""

    sandbox: Sandbox
    url: str
    variables: dict[str, str] = field(default_factory=dict)

    def settings(self) -> IngestSettings:
        """Return settings for the sandbox: two quick attempts, unless ``variables`` say otherwise."""
        return IngestSettings.model_validate(
            {
                "METERING_TENANT_DIRECTORY": "/nowhere",
                "METERING_PII_KEY": "key",
                "METERING_REQUEST_ATTEMPTS": "2",
                "METERING_REQUEST_BACKOFF_SECONDS": "0",
                **self.sandbox.environment(),
                **self.variables,
            }
        )

    def run(self, provider: str, window: Window = WINDOW, as_of: datetime = AS_OF) -> IngestResult:
        """Ingest one provider's window."""
        return ingest_provider(provider, window, settings=self.settings(), database_url=self.url, as_of=as_of)

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return a statement's rows, as the owner."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute(statement.encode(), parameters)
            return found.fetchall() if found.description else []

    def stored(self, table: str) -> set[str]:
        """Return the table's rows as text, without what differs from load to load."""
        return self.stored_in([table])[table]

    def stored_in(self, tables: Iterable[str]) -> dict[str, set[str]]:
        """Return `stored` of each table, over one connection: a backend's start costs more than a small table."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return {
                table: {
                    row
                    for (row,) in connection.execute(
                        f"select (to_jsonb(t) - '{{load_id,loaded_at}}'::text[])::text from raw.{table} as t".encode()
                    )
                }
                for table in tables
            }

    def days(self, table: str) -> dict[date, int]:
        """Return the number of rows by day."""
        return dict(self.query(f"select usage_date, count(*) from raw.{table} group by 1"))

    def mark(self, table: str, load_id: str) -> None:
        """Have every stored row say something that the provider does not, under another load's name."""
        column, is_text = self.query(
            "select attname, atttypid = 'text'::regtype from pg_attribute where attrelid = %s::regclass and attnum > 0"
            " and (atttypid in ('int4'::regtype, 'int8'::regtype, 'numeric'::regtype) or attname = 'phone_number_hash')"
            " order by attnum limit 1",
            f"raw.{table}",
        )[0]
        other = f"{column} || '~'" if is_text else f"coalesce({column}, 0) + 1"
        self.query(f"update raw.{table} set load_id = %s, {column} = {other}", load_id)

    def message(self, day: date = DAY) -> dict[str, Any]:
        """Return a copy of a message of the main account that was sent on ``day``."""
        main = self.sandbox.environment()["TWILIO_ACCOUNT_SID"]
        wanted = day.strftime("%d %b %Y")
        return next(
            deepcopy(message)
            for message in self.sandbox.dataset.twilio_messages
            if wanted in str(message["date_sent"]) and message["account_sid"] == main
        )
