"""Stripe: balance transactions of the platform and of its connected accounts, day by day. See README.md."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial
from itertools import chain
from typing import Any

import dlt
import pyarrow as pa
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

from ingestion.config import PROVIDER_VARIABLES, IngestSettings
from ingestion.failures import PermanentProviderError, TransientProviderError, UnusableResponse
from ingestion.sources.account_days import Answer, gather, may_be_of, once, read_account_days
from ingestion.sources.columns import Record, epochs, is_id
from ingestion.sources.columns import convert as converted
from ingestion.sources.http import Provider
from ingestion.sources.paging import cursor, last_id
from ingestion.sources.reading import Reading, SourceSpec, Unit
from ingestion.sources.stripe.schemas import PLATFORM, balance_transactions_table, kept
from ingestion.windows import Window, midnight
from usage_metering.pii import Hasher

logger = logging.getLogger("metering.ingest")

TABLE = "stripe_balance_transactions"
# Refunds and disputes are their charge's tenant's, and may have been built before the charge was read, or read otherwise; and a new
# adjustment of a dispute may be the one that bears its fee.
OF_NEW_CHARGES = """
select distinct about.usage_date
from {dataset}.stripe_balance_transactions as charge
inner join raw.stripe_balance_transactions as about on about.charge_id = charge.charge_id and about.id <> charge.id
where
    (charge.type in ('charge', 'payment') or (charge.type = 'adjustment' and about.type = 'adjustment'))
    and not exists (
        select 1
        from {stored} as stored
        where
            stored.account_id = charge.account_id
            and stored.id = charge.id
            and stored.connected_account_id is not distinct from charge.connected_account_id
            and stored.metadata_tenant_id is not distinct from charge.metadata_tenant_id
    )
"""
SPEC = SourceSpec(
    tables=(TABLE,),
    keyed={TABLE: ("account_id", "id")},
    others={TABLE: OF_NEW_CHARGES},
    # A charge may be refunded or disputed years later.
    asked_later={TABLE: "type in ('charge', 'payment', 'adjustment')"},
    # It keeps everything.
    retention_days=None,
    required_variables=PROVIDER_VARIABLES["stripe"].required,
)
PAGE_SIZE = 100


class StripeReader:
    """Reads the transactions of one window and notes in ``reading`` what was answered."""

    def __init__(
        self,
        settings: IngestSettings,
        window: Window,
        reading: Reading,
        *,
        hasher: Hasher,
        other_accounts: set[str],
        tenants: set[str],
    ) -> None:
        self.window = window
        self.reading = reading
        self.hasher = hasher
        self.tenants = tenants
        self.api = Provider("stripe", settings, BearerTokenAuth(settings.stripe_api_key.get_secret_value()))
        # An account that only the directory knows is asked for, but Stripe owes no answer about it.
        self.must_answer = {PLATFORM} | self._listed()
        self.accounts = sorted(self.must_answer | other_accounts, key=lambda account: (account != PLATFORM, account))
        reading.expected |= {Unit(TABLE, account, day) for account in self.must_answer for day in window.days()}

    def _listed(self) -> set[str]:
        """Return the connected accounts that Stripe lists; a key that may not list them leaves them to the directory."""
        try:
            records = self._list("/v1/accounts", {}, None)
        except PermanentProviderError as error:
            if error.status == 401:
                self.reading.fail(error)
            else:
                logger.warning("stripe: %s; reading the platform's and the directory's accounts only", error)
            return set()
        except TransientProviderError as error:
            self.reading.fail(error)
            return set()
        ids = [record.get("id") if isinstance(record, dict) else None for record in records]
        if not all(map(is_id, ids)):
            logger.warning("stripe: /v1/accounts names an account with an invalid id: ignored")
        return {account for account in ids if is_id(account)}

    def _list(self, path: str, params: dict[str, Any], account: str | None) -> list[Any]:
        return [record for page in self._pages(path, params, account) for record in page]

    def _pages(self, path: str, params: dict[str, Any], account: str | None) -> Iterator[list[Any]]:
        """Yield the records of each page; only who is given the last one too may believe any."""
        headers = {"Stripe-Account": account} if account else None
        rule = cursor("starting_after", last_id)
        for body in self.api.pages(path, {**params, "limit": PAGE_SIZE}, rule, headers=headers):
            records = body.get("data") if isinstance(body, dict) else None
            if not isinstance(records, list):
                raise UnusableResponse(f"{path} answered without its list `data`")
            yield records

    def balance_transactions(self) -> Iterator[pa.Table]:
        """Read the transactions created in the window."""
        return chain.from_iterable(
            read_account_days(
                "stripe",
                TABLE,
                self.accounts,
                self.window.days(),
                self._day,
                self.reading,
                must_answer=self.must_answer,
            )
        )

    def _day(self, account: str, day: date) -> Answer:
        bounds = {
            "created[gte]": int(midnight(day).timestamp()),
            "created[lt]": int(midnight(day + timedelta(days=1)).timestamp()),
            "expand[]": "data.source",
        }
        answer = self._pages("/v1/balance_transactions", bounds, None if account == PLATFORM else account)
        # Most of a record is its source: what is not kept of it is let go of at once.
        pages = (
            [kept(record, account, self.hasher, self.tenants) for record in page if may_be_of(day, record, _created)]
            for page in answer
        )
        to_table = partial(balance_transactions_table, account=account)
        # New ones come in at the front while we page: one may stand on two pages. Those further apart meet in the database.
        return gather(pages, lambda records: converted(once(records, "id"), to_table))


def _created(record: Record) -> pa.Array:
    return epochs([record], "created", required=True)


@dlt.source(name="stripe")
def build_stripe_source(reader: StripeReader) -> Any:
    """Return the dlt source of one read; its resources are the tables of `SPEC`."""
    return (dlt.resource(reader.balance_transactions(), name=TABLE),)
