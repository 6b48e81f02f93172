"""A day of any size takes the same room: its records are columns soon, and its rows are in a file until they are wanted."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.config import IngestSettings
from ingestion.failures import TransientProviderError
from ingestion.sources import account_days, held
from ingestion.sources.held import Held
from ingestion.sources.http import Provider
from ingestion.sources.reading import Reading
from ingestion.sources.twilio import TwilioReader
from ingestion.windows import Window
from tests.ingestion.ingesting import DAY
from usage_metering.pii import Hasher

ROWS = 100


@given(sizes=st.lists(st.integers(0, 9), max_size=12), in_memory=st.integers(1, 40), own=st.integers(0, 12))
def test_what_is_held_is_drawn_in_order_from_memory_and_file_alike(sizes: list[int], in_memory: int, own: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held, "ROWS_IN_MEMORY", in_memory)
        rows, behind = Held(), Held()
        for number, size in enumerate(sizes):
            holder = rows if number < own else behind
            holder.add(pa.table({"n": [number] * size}, pa.schema([("n", pa.int64())])))
        rows.take(behind)
        drawn = [value for table in rows.draw() for value in table["n"].to_pylist()]
    assert drawn == [number for number, size in enumerate(sizes) for _ in range(size)]
    assert rows.rows == len(drawn)


def page(number: int) -> list[dict[str, Any]]:
    sent = f"{DAY:%a, %d %b %Y} 10:00:00 +0000"
    return [
        {
            "sid": f"SM{number * ROWS + row:032x}",
            "from": "+12015550100",
            "to": f"+1202{number * ROWS + row:07d}",
            "status": "delivered",
            "price": "-0.0079",
            "date_sent": sent,
        }
        for row in range(ROWS)
    ]


def reader(monkeypatch: pytest.MonkeyPatch, pages: int, *, fails: bool = False) -> TwilioReader:
    """Return a reader of one day of that many pages; where it ``fails``, after the last one."""

    def served(_: Provider, path: str, *_rest: object, **_options: object) -> Iterator[dict[str, Any]]:
        if path.endswith("Messages.json"):
            for number in range(pages):
                yield {"messages": page(number)}
            if fails:
                raise TransientProviderError("away")
        else:
            yield {"accounts": [{"sid": "AC1", "status": "active"}]}

    monkeypatch.setattr(Provider, "pages", served)
    settings = IngestSettings.model_validate(
        {
            "METERING_TENANT_DIRECTORY": "/nowhere",
            "METERING_PII_KEY": "key",
            "TWILIO_ACCOUNT_SID": "AC1",
            "TWILIO_AUTH_TOKEN": "x",
        }
    )
    window = Window(DAY, DAY + timedelta(days=1))
    return TwilioReader(settings, window, Reading(), hasher=Hasher("key"), known_hashes=set(), other_accounts=set())


def test_a_day_six_times_as_large_takes_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_days, "RECORDS_AT_ONCE", 500)
    monkeypatch.setattr(account_days, "ROWS_PER_TABLE", 500)
    monkeypatch.setattr(held, "ROWS_IN_MEMORY", 500)
    monkeypatch.setattr("usage_metering.pii.MOST_CACHED", 100)

    def peak(pages: int) -> tuple[int, int, int]:
        found = reader(monkeypatch, pages).messages()
        gc.collect()
        before = pa.total_allocated_bytes()
        tracemalloc.start()
        rows = arrow = 0
        for together in found:
            for table in together:
                rows += table.num_rows
                arrow = max(arrow, pa.total_allocated_bytes() - before)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return rows, most, arrow

    peak(20)  # imports, and what is made once
    small, large = peak(20), peak(120)
    assert (small[0], large[0]) == (20 * ROWS, 120 * ROWS)
    assert large[1] < 1.5 * small[1]
    assert large[2] < 1.5 * small[2] + 2**20


def test_a_day_that_fails_on_its_last_page_yields_none_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_days, "RECORDS_AT_ONCE", 200)
    monkeypatch.setattr(held, "ROWS_IN_MEMORY", 200)
    failing = reader(monkeypatch, 20, fails=True)
    assert list(failing.messages()) == []
    assert failing.reading.errors == ["away"]
    assert failing.reading.answered == {}
