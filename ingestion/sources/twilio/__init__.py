"""Twilio: messages, calls, recordings, the numbers held and Twilio's own totals, account by account, day by day. See README.md."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import dlt
import pyarrow as pa
from requests.auth import HTTPBasicAuth

from ingestion.config import PROVIDER_VARIABLES, IngestSettings
from ingestion.failures import PermanentProviderError, TransientProviderError, UnusableResponse
from ingestion.sources.account_days import Patience, Together, read_account_days, refuses_account
from ingestion.sources.columns import Record, Rejected, convert, is_id
from ingestion.sources.day_parts import DayReader, Span
from ingestion.sources.http import Bounds, Provider
from ingestion.sources.paging import link
from ingestion.sources.reading import Reading, SourceSpec, Unit
from ingestion.sources.slices import slices
from ingestion.sources.twilio.schemas import (
    DECODERS,
    Numbers,
    calls_table,
    messages_table,
    phone_numbers_table,
    recordings_table,
    usage_records_table,
)
from ingestion.windows import Window
from usage_metering.pii import Hasher

logger = logging.getLogger("metering.ingest")

# Recordings and dialled legs are their call's tenant's. Those of a later day (a call over midnight; days read newest first) may have been
# built before the call was read, or read otherwise. A call lasts a day at the most.
OF_NEW_CALLS = """
with last as (
    select max(usage_date) as day from {dataset}.twilio_calls
),

about as (
    select call_sid, usage_date from raw.twilio_recordings, last where usage_date between last.day + 1 and last.day + 2
    union all
    select parent_call_sid, usage_date from raw.twilio_calls, last where usage_date between last.day + 1 and last.day + 2
)

select distinct about.usage_date
from {dataset}.twilio_calls as call
inner join about on about.call_sid = call.sid
where not exists (
    select 1
    from {stored} as stored
    where
        stored.sid = call.sid
        and stored.account_id = call.account_id
        and stored.direction is not distinct from call.direction
        and stored.from_number_hash is not distinct from call.from_number_hash
        and stored.to_number_hash is not distinct from call.to_number_hash
)
"""
SPEC = SourceSpec(
    tables=("twilio_messages", "twilio_calls", "twilio_recordings", "twilio_phone_numbers", "twilio_usage_records"),
    keyed=dict.fromkeys(("twilio_messages", "twilio_calls", "twilio_recordings"), ("sid",)),
    held=("twilio_phone_numbers",),
    totals=("twilio_usage_records",),
    counted_at={"twilio_usage_records": "as_of"},
    others={"twilio_calls": OF_NEW_CALLS},
    # As long as in OF_NEW_CALLS.
    part_of={"twilio_recordings": "call_sid"},
    asked_later={"twilio_calls": "usage_date > %(last)s::date - 2"},
    # Lists of older days are refused (400, code 20004).
    retention_days=400,
    required_variables=PROVIDER_VARIABLES["twilio"].required,
)
PAGE_SIZE = 1000
NEXT_PAGE = link("next_page_uri")
USAGE_DAYS_PER_REQUEST = 31
ROWS_PER_SLICE = 80_000


class TwilioReader:
    """Reads one window and notes in ``reading`` what was answered."""

    def __init__(
        self,
        settings: IngestSettings,
        window: Window,
        reading: Reading,
        *,
        hasher: Hasher,
        known_hashes: set[str],
        other_accounts: set[str],
    ) -> None:
        self.settings = settings
        self.window = window
        self.reading = reading
        token = settings.twilio_auth_token.get_secret_value()
        self.api = Provider("twilio", settings, HTTPBasicAuth(settings.twilio_account_sid, token))
        self.numbers = Numbers(hasher, known_hashes)
        self._patience = Patience()
        main = settings.twilio_account_sid
        listed = self._listed()
        # A subaccount that only the directory knows is asked for, but Twilio owes no answer about it; nor about a closed one.
        closed = {account for account, status in (listed or {}).items() if status == "closed"} - {main}
        self.must_answer = {main} | (set(listed) - closed if listed is not None else other_accounts)
        self.accounts = sorted(
            self.must_answer | other_accounts | closed, key=lambda account: (account != main, account)
        )
        for table in SPEC.keyed:
            reading.expected |= {Unit(table, account, day) for account in self.must_answer for day in window.days()}

    def _listed(self) -> dict[str, object] | None:
        """Return the accounts that Twilio lists, with their status (a parent's lists do not include its subaccounts').

        None: it does not say.

        A key that may not list accounts is common; then the directory says which there are.
        """
        try:
            records = self._list("/2010-04-01/Accounts.json", "accounts", {})
        except PermanentProviderError as error:
            logger.warning("twilio: %s; reading the account and the directory's subaccounts only", error)
            return None
        except TransientProviderError as error:
            self.reading.fail(error)
            return None
        accounts = [(record.get("sid"), record.get("status")) for record in records if isinstance(record, dict)]
        if len(accounts) < len(records) or not all(is_id(sid) for sid, _ in accounts):
            logger.warning("twilio: /2010-04-01/Accounts.json names an account with an invalid id: ignored")
        return {sid: status for sid, status in accounts if is_id(sid)}

    def _list(self, path: str, name: str, params: dict[str, Any]) -> list[Any]:
        return [record for page in self._pages(path, name, params) for record in page]

    def _pages(self, path: str, name: str, params: dict[str, Any], bounds: Bounds | None = None) -> Iterator[list[Any]]:
        """Yield the records of each page; only who is given the last one too may believe any."""
        params = {**params, "PageSize": PAGE_SIZE}
        for body in self.api.pages(path, params, NEXT_PAGE, DECODERS[name], bounds=bounds):
            records = body.get(name) if isinstance(body, dict) else None
            if not isinstance(records, list):
                raise UnusableResponse(f"{path} answered without its list `{name}`")
            yield records

    def phone_numbers(self) -> Generator[Together]:
        """Read each account's numbers, all at once: they are the ones that may be kept in clear. Return their tables."""
        listings = list(self._listings())

        def tables() -> Generator[Together]:
            for account, pieces, rejected in listings:
                # Answered when the rows go out: the part of the load that holds them makes them visible.
                self.reading.listings.setdefault("twilio_phone_numbers", set()).add(account)
                self.reading.answer(
                    Unit("twilio_phone_numbers", account, self.window.end - timedelta(days=1)), rejected
                )
                if pieces:
                    yield pieces

        return tables()

    def _listings(self) -> Iterator[tuple[str, list[pa.Table], list[Rejected]]]:
        for account in self.accounts:
            try:
                records = self._list(
                    f"/2010-04-01/Accounts/{quote(account, safe='')}/IncomingPhoneNumbers.json",
                    "incoming_phone_numbers",
                    {},
                )
            except (PermanentProviderError, TransientProviderError) as error:
                # Numbers are usage, by the day: a list that cannot be read is a failure like another.
                if isinstance(error, TransientProviderError) or account in self.must_answer:
                    self.reading.fail(error)
                continue
            to_table = partial(phone_numbers_table, account=account, numbers=self.numbers)
            yield account, *convert(records, to_table)

    def messages(self) -> Generator[Together]:
        """Read the messages sent in the window."""
        return self._days("twilio_messages", "Messages.json", "messages", "DateSent", "date_sent", messages_table)

    def calls(self) -> Generator[Together]:
        """Read the calls started in the window."""
        return self._days("twilio_calls", "Calls.json", "calls", "StartTime", "start_time", calls_table)

    def recordings(self) -> Generator[Together]:
        """Read the recordings made in the window, deleted ones too: deleting one does not take its cost back."""
        return self._days(
            *("twilio_recordings", "Recordings.json", "recordings", "DateCreated", "date_created", recordings_table),
            {"IncludeSoftDeleted": "true"},
        )

    def usage_records(self) -> Generator[Together]:
        """Read Twilio's own totals of each day, one account's at a time; a day that is not in the answer is not answered."""
        table = "twilio_usage_records"
        for account in self.accounts:
            for chunk in self.window.chunks(USAGE_DAYS_PER_REQUEST):
                params = {
                    "StartDate": chunk.start.isoformat(),
                    "EndDate": (chunk.end - timedelta(days=1)).isoformat(),
                    "IncludeSubaccounts": "false",
                }
                try:
                    records = self._list(
                        f"/2010-04-01/Accounts/{quote(account, safe='')}/Usage/Records/Daily.json",
                        "usage_records",
                        params,
                    )
                except UnusableResponse as error:
                    self.reading.fail(error)
                    continue
                except TransientProviderError as error:
                    self.reading.fail(error)
                    return
                except PermanentProviderError as error:
                    # A control total: without it the usage is the same, and only goes unchecked.
                    logger.warning("twilio: %s; %s has no control totals", error, account)
                    if refuses_account(error):
                        break
                    continue
                for day, of_day in sorted(_by_start(records, chunk).items()):
                    tables, rejected = convert(of_day, partial(usage_records_table, account=account))
                    self.reading.answer(Unit(table, account, day), rejected)
                    yield [part for part in tables if part.num_rows]

    def _days(
        self,
        table: str,
        path: str,
        name: str,
        parameter: str,
        column: str,
        to_table: Callable[[Sequence[Record], str, Numbers], pa.Table],
        options: Mapping[str, str] | None = None,
    ) -> Generator[Together]:
        def pages(account: str, span: Span, bounds: Bounds) -> Iterator[list[Any]]:
            asked = {
                f"{parameter}>": f"{span.asked_from:%Y-%m-%dT%H:%M:%SZ}",
                f"{parameter}<": f"{span.end:%Y-%m-%dT%H:%M:%SZ}",
                **(options or {}),
            }
            return self._pages(f"/2010-04-01/Accounts/{quote(account, safe='')}/{path}", name, asked, bounds)

        reader = DayReader(
            *(pages, self.api.bounds),
            lambda records, account: to_table(records, account, self.numbers),
            column,
        )
        return read_account_days(
            *("twilio", table, self.accounts, self.window.days(), reader.read, self.reading),
            must_answer=self.must_answer,
            patience=self._patience,
        )


def _by_start(records: Sequence[Any], window: Window) -> dict[date, list[Any]]:
    """Return usage records by their day, one a category; what has no day within ``window`` answers for none."""
    days: dict[date, dict[object, Any]] = {}
    for record in records:
        try:
            day = date.fromisoformat(record["start_date"])
        except (LookupError, TypeError, ValueError):
            continue
        if day in window:
            # On two pages it is one record still.
            days.setdefault(day, {})[str(record.get("category"))] = record
    return {day: list(of_day.values()) for day, of_day in days.items()}


def build_twilio_sources(reader: TwilioReader) -> Generator[Any]:
    """Yield the dlt sources of one read, to be extracted one after the other; their resources are the tables of `SPEC`."""
    # The listing comes first: it says which numbers may stand in clear in messages and calls.
    tables = {
        "twilio_phone_numbers": reader.phone_numbers(),
        "twilio_messages": reader.messages(),
        "twilio_calls": reader.calls(),
        "twilio_recordings": reader.recordings(),
        "twilio_usage_records": reader.usage_records(),
    }
    with closing(slices(tables, ROWS_PER_SLICE)) as parts:
        for part in parts:
            yield _source(part)


@dlt.source(name="twilio")
def _source(tables: Mapping[str, Iterator[pa.Table]]) -> Any:
    return [dlt.resource(pieces, name=name) for name, pieces in tables.items()]
