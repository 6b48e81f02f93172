"""The days that a run may be of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestration.partitions import daily_partitions


@pytest.mark.parametrize(("start", "as_of"), [(-9, -3), (-3, 0), (-3, 1), (-3, 45), (40, 45), (45, 45)])
def test_a_pinned_as_of_day_is_the_last_partition_wherever_the_clock_is(
    monkeypatch: pytest.MonkeyPatch, start: int, as_of: int
) -> None:
    today = datetime.now(UTC).date()
    first, last = today + timedelta(days=start), today + timedelta(days=as_of)
    monkeypatch.setenv("METERING_START_DATE", first.isoformat())
    monkeypatch.setenv("METERING_AS_OF", last.isoformat())
    keys = daily_partitions().get_partition_keys()
    assert (keys[0], keys[-1], len(keys)) == (first.isoformat(), last.isoformat(), as_of - start + 1)
