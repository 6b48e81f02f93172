"""What made-up events are made with: the tenant of a resource on a day, and moments of a day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from sandbox.dataset import Dataset


class Owners:
    """The tenant of a resource on a day, as the directory has it."""

    def __init__(self, dataset: Dataset) -> None:
        self._rows: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
        for row in dataset.tenant_resources:
            key = (row["provider"], row["resource_id"])
            self._rows.setdefault(key, []).append((row["valid_from"], row["valid_to"], row["tenant_id"]))

    def of(self, provider: str, day: date, *resources: str | None) -> str | None:
        text = day.isoformat()
        for resource in resources:
            for since, until, tenant in self._rows.get((provider, resource or ""), ()):
                if since <= text and (not until or text < until):
                    return tenant
        return None


def spread(day: date, count: int, now: datetime) -> Iterator[datetime]:
    """Yield ``count`` moments of the day, as far as it has gone; the first after the first part of it."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    for number in range(count):
        when = midnight + timedelta(days=1) * (number + 1) / (count + 1)
        if when > now:
            return
        yield when
