"""The history of tenants: the versions after a load, from those before it and the directory's rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from ingestion.directory.parse import TenantRow

REMOVED = "removed"


@dataclass(frozen=True)
class Version:
    """What is true of a tenant from ``valid_from`` up to ``valid_to`` (excluded); None is an open end."""

    tenant_id: str
    name: str
    plan: str | None
    status: str
    hard_stop: bool
    valid_from: date | None = None
    valid_to: date | None = None

    def same_facts(self, other: Version) -> bool:
        """Whether nothing that has a history differs. A name has none: it is today's name."""
        return (self.plan, self.status, self.hard_stop) == (other.plan, other.status, other.hard_stop)


def next_versions(stored: Iterable[Version], rows: Mapping[str, list[TenantRow]], as_of_day: date) -> list[Version]:
    """Return every version there is once ``rows`` are the directory of ``as_of_day``."""
    histories: dict[str, list[Version]] = defaultdict(list)
    for version in stored:
        histories[version.tenant_id].append(version)
    for history in histories.values():
        history.sort(key=_start)
    wanted: list[Version] = []
    for tenant_id in sorted(histories.keys() | rows.keys()):
        history, now = histories.get(tenant_id, []), rows.get(tenant_id, [])
        if any(row.dated for row in now):
            wanted += sorted((_version(row) for row in now), key=_start)
        elif now:
            wanted += _changed(history, _version(now[0]), as_of_day)
        else:
            wanted += _changed(history, replace(history[-1], status=REMOVED), as_of_day)
    return wanted


def _start(version: Version) -> date:
    return version.valid_from or date.min


def _version(row: TenantRow) -> Version:
    return Version(row.tenant_id, row.name, row.plan, row.status, row.hard_stop, row.valid_from, row.valid_to)


def _changed(history: list[Version], now: Version, day: date) -> list[Version]:
    """Return ``history`` with a newest version that says ``now``: from ``day`` on, if it did not before."""
    history = [replace(version, name=now.name) for version in history]
    if history and history[-1].same_facts(now) and history[-1].valid_to is None:
        return history
    kept = [version for version in history if version.valid_from is None or version.valid_from < day]
    if not kept:
        return [replace(now, valid_from=None, valid_to=None)]
    last = kept[-1]
    if last.same_facts(now) and (last.valid_to is None or last.valid_to >= day):
        # Changed and changed back on one day: as if nothing had been.
        return [*kept[:-1], replace(last, valid_to=None)]
    if last.valid_to is None or last.valid_to > day:
        last = replace(last, valid_to=day)
    return [*kept[:-1], last, replace(now, valid_from=day, valid_to=None)]
