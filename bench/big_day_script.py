"""Read one day of `bench.big_day_server` with whichever sources are on the path; print what it took as JSON. Run by `bench.big_day`."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any


def cpu() -> float:
    """Return the CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def held(field: str) -> float:
    """Return MB of this process's memory: ``VmRSS``, what it holds; ``VmHWM``, the most it ever held."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def merge(day: date) -> int:
    """Yield a day's pages as dicts and let dlt normalize and merge them by sid, as its REST sources do."""
    import dlt
    from dlt.sources.helpers.rest_client.client import RESTClient
    from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator

    client = RESTClient(base_url=os.environ["TWILIO_BASE_URL"], paginator=JSONLinkPaginator("next_page_uri"))
    bounds = {"DateSent>": f"{day}T00:00:00Z", "DateSent<": f"{day + timedelta(days=1)}T00:00:00Z", "PageSize": 1000}
    path = f"/2010-04-01/Accounts/{os.environ['TWILIO_ACCOUNT_SID']}/Messages.json"
    rows = 0

    def pages() -> Iterator[list[Any]]:
        nonlocal rows
        for page in client.paginate(path, params=bounds, data_selector="messages"):
            rows += len(page)
            yield list(page)

    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            pipeline_name="bench_merge",
            pipelines_dir=folder,
            destination=dlt.destinations.postgres(credentials=os.environ["METERING_DATABASE_URL"]),
            dataset_name="bench_merge",
        )
        pipeline.run(dlt.resource(pages(), name="messages", primary_key="sid", write_disposition="merge"))
        pipeline.deactivate()
    return rows


def warm_up() -> None:
    """Load a row into nowhere: what a process imports once is not a day's cost, and dlt's own way has loaded its empty day."""
    import dlt
    import psycopg
    import pyarrow

    from ingestion.load.staging import dataset_name, drop, stage

    url, dataset = os.environ["METERING_DATABASE_URL"], dataset_name("bench", "warm")
    stage(dlt.resource([pyarrow.table({"row": [1]})], name="rows"), dataset=dataset, database_url=url)
    with psycopg.connect(url) as connection:
        drop(connection, dataset)


def pages(day: date, at_once: int) -> int:
    """Read a day's messages only, with ``at_once`` requests under way; return how many there are."""
    from ingestion.config import IngestSettings
    from ingestion.sources import http
    from ingestion.sources.reading import Reading
    from ingestion.sources.twilio import TwilioReader
    from ingestion.windows import Window
    from usage_metering.pii import Hasher

    vars(http).update(REQUESTS_AT_ONCE=at_once)
    reader = TwilioReader(
        IngestSettings.from_environment(),
        Window(day, day + timedelta(days=1)),
        Reading(),
        hasher=Hasher("bench"),
        known_hashes=set(),
        other_accounts=set(),
    )
    return sum(table.num_rows for together in reader.messages() for table in together)


def main(day: date, way: str) -> None:
    """Read the day before, of which there is nothing, then ``day``: in our way, by ``merge``, dlt's own, or only its pages, ``way`` at once."""
    from ingestion.config import IngestSettings
    from ingestion.run import ingest_provider
    from ingestion.windows import Window

    def read(wanted: date) -> int:
        result = ingest_provider(
            "twilio",
            Window(wanted, wanted + timedelta(days=1)),
            settings=IngestSettings.from_environment(),
            database_url=os.environ["METERING_DATABASE_URL"],
            as_of=datetime(2026, 11, 10, 12, tzinfo=UTC),
        )
        assert result.status == "ok", result.error
        return result.tables["twilio_messages"].rows

    work: Callable[[date], int] = merge if way == "merge" else read
    if way.isdigit():
        work = partial(pages, at_once=int(way))
    work(day - timedelta(days=1))
    if way == "ours":
        warm_up()
    print("ready", flush=True)
    sys.stdin.readline()
    Path("/proc/self/clear_refs").write_text("5")  # the most it ever held is counted from here
    base, began, used = held("VmRSS"), time.perf_counter(), cpu()
    rows = work(day)
    figures = {
        "rows": rows,
        "cpu": cpu() - used,
        "seconds": time.perf_counter() - began,
        "base": base,
        "above": held("VmHWM") - base,
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(date.fromisoformat(sys.argv[1]), sys.argv[2])
