"""How fast messages get from the provider's pages into `raw`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import islice
from typing import Any

import dlt
import psycopg
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator
from requests.auth import HTTPBasicAuth

from bench.report import Ratio, at_least, informative
from bench.stage import Stage, stage
from ingestion.config import IngestSettings
from ingestion.run import ingest_provider
from ingestion.windows import Window
from sandbox import Dataset
from usage_metering.clock import as_of

AS_OF = date(2026, 11, 10)
DAYS = 20
SCALE = 24.0
TABLES = ("messages", "calls")


def run() -> list[Ratio]:
    """The Twilio source from sandbox pages to raw, against dlt's default dict path and a bare COPY.

    Ours replaces what it read before, so the like of it is dlt's merge; an append leaves duplicates when it is repeated.
    """
    first = AS_OF - timedelta(days=DAYS)
    dataset = Dataset.generate(tenants=6, first=first, last=AS_OF - timedelta(days=1), scale=SCALE)
    with stage(dataset, start=first, as_of=AS_OF) as system:
        window = Window(first, AS_OF)
        # Neither path pays for what is done once: imports, and the sandbox's first encoding of each record.
        _default_path(system, limit_pages=1)
        _ours(Window(first, first + timedelta(days=1)))
        _read_all(system)
        ours, our_rows = _ours(window)
        merged, default_rows = _default_path(system, primary_key="sid", write_disposition="merge")
        appended, _ = _default_path(system)
        copied, copied_rows = _copy(system)
    our_rate, copy_rate = our_rows / ours, copied_rows / copied
    merge_rate, append_rate = default_rows / merged, default_rows / appended
    ours_of = f"{our_rate:,.0f} rows/s of {our_rows:,}"
    return [
        at_least(
            "ingest: our Twilio source / dlt's default dict path that may be repeated as ours may (merge by sid)",
            our_rate / merge_rate,
            6,
            f"{ours_of}; default {merge_rate:,.0f} rows/s of {default_rows:,}",
        ),
        informative(
            "ingest: our Twilio source / dlt's default dict path that only appends",
            our_rate / append_rate,
            f"default {append_rate:,.0f} rows/s of {default_rows:,}",
        ),
        informative(
            "ingest: our Twilio source / bare COPY of the rows",
            our_rate / copy_rate,
            f"COPY {copy_rate:,.0f} rows/s",
        ),
    ]


def _ours(window: Window) -> tuple[float, int]:
    import os

    settings = IngestSettings.from_environment()
    started = time.perf_counter()
    result = ingest_provider(
        "twilio", window, settings=settings, database_url=os.environ["METERING_DATABASE_URL"], as_of=as_of()
    )
    taken = time.perf_counter() - started
    assert result.status == "ok", result.error
    return taken, sum(table.rows for table in result.tables.values())


def _client(system: Stage) -> tuple[RESTClient, list[str]]:
    """Return dlt's client of the sandbox, and its accounts: the parent's lists do not hold its subaccounts' records."""
    variables = system.sandbox.environment()
    auth = HTTPBasicAuth(variables["TWILIO_ACCOUNT_SID"], variables["TWILIO_AUTH_TOKEN"])
    client = RESTClient(base_url=variables["TWILIO_BASE_URL"], auth=auth)
    pages = client.paginate(
        "/2010-04-01/Accounts.json", paginator=JSONLinkPaginator("next_page_uri"), data_selector="accounts"
    )
    return client, [account["sid"] for page in pages for account in page]


def _pages(client: RESTClient, accounts: list[str], name: str) -> Iterator[list[Any]]:
    for account in accounts:
        yield from client.paginate(
            f"/2010-04-01/Accounts/{account}/{name.capitalize()}.json",
            params={"PageSize": 1000},
            paginator=JSONLinkPaginator("next_page_uri"),
            data_selector=name,
        )


def _read_all(system: Stage) -> None:
    client, accounts = _client(system)
    for name in TABLES:
        for _ in _pages(client, accounts, name):
            pass


def _default_path(system: Stage, limit_pages: int | None = None, **hints: Any) -> tuple[float, int]:
    """Yield the same pages as dicts and let dlt normalize and INSERT them, as its REST sources do."""
    client, accounts = _client(system)
    count = 0

    def pages(name: str) -> Iterator[list[Any]]:
        nonlocal count
        for page in islice(_pages(client, accounts, name), limit_pages):
            count += len(page)
            yield list(page)

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            pipeline_name="bench_default",
            pipelines_dir=folder,
            destination=dlt.destinations.postgres(credentials=system.url),
            dataset_name=f"bench_default_{limit_pages or 'all'}_{hints.get('write_disposition', 'append')}",
        )
        pipeline.run([dlt.resource(pages(name), name=name, **hints) for name in TABLES])
        pipeline.deactivate()
    return time.perf_counter() - started, count


def _copy(system: Stage) -> tuple[float, int]:
    """COPY what is in raw.twilio_messages out, and time the way back in."""
    with psycopg.connect(system.url) as connection, connection.cursor() as cursor:
        cursor.execute("create temp table copied (like raw.twilio_messages including all)")
        with cursor.copy("copy raw.twilio_messages to stdout") as out:
            data = b"".join(bytes(block) for block in out)
        started = time.perf_counter()
        with cursor.copy("copy copied from stdin") as into:
            into.write(data)
        taken = time.perf_counter() - started
        rows = cursor.execute("select count(*) from copied").fetchone()
        assert rows is not None
        return taken, int(rows[0])
