"""The history of tenants and their resources: what there is after a load, from what was before it and the directory's rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from ingestion.directory.parse import Resource, TenantRow

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
    webhook_url: str | None = None

    def same_facts(self, other: Version) -> bool:
        """Whether nothing that has a history differs. Name and webhook have none: they are today's."""
        return (self.plan, self.status, self.hard_stop) == (other.plan, other.status, other.hard_stop)


def next_versions(stored: Iterable[Version], rows: Mapping[str, list[TenantRow]], as_of_day: date) -> list[Version]:
    """Return every version there is once ``rows`` are the directory of ``as_of_day``."""
    histories: dict[str, list[Version]] = defaultdict(list)
    for version in stored:
        histories[version.tenant_id].append(version)
    for history in histories.values():
        history.sort(key=_start)
    versions: list[Version] = []
    for tenant_id in sorted(histories.keys() | rows.keys()):
        history, now = histories.get(tenant_id, []), rows.get(tenant_id, [])
        if any(row.dated for row in now):
            versions += sorted((_version(row) for row in now), key=_start)
        elif now:
            versions += _changed(history, _version(now[0]), as_of_day)
        else:
            versions += _changed(history, replace(history[-1], status=REMOVED, webhook_url=None), as_of_day)
    return versions


def _start(version: Version) -> date:
    return version.valid_from or date.min


def _version(row: TenantRow) -> Version:
    return Version(
        row.tenant_id,
        row.name,
        row.plan,
        row.status,
        row.hard_stop,
        row.valid_from,
        row.valid_to,
        row.webhook_url,
    )


def _changed(history: list[Version], now: Version, day: date) -> list[Version]:
    """Return ``history`` with a newest version that says ``now``: from ``day`` on, if it did not before."""
    history = [replace(version, name=now.name, webhook_url=now.webhook_url) for version in history]
    if history and history[-1].same_facts(now) and history[-1].valid_to is None:
        return history
    earlier = [version for version in history if version.valid_from is None or version.valid_from < day]
    if not earlier:
        return [replace(now, valid_from=None, valid_to=None)]
    last = earlier[-1]
    if last.same_facts(now) and (last.valid_to is None or last.valid_to >= day):
        # Changed and changed back on one day: as if nothing had been.
        return [*earlier[:-1], replace(last, valid_to=None)]
    if last.valid_to is None or last.valid_to > day:
        last = replace(last, valid_to=day)
    return [*earlier[:-1], last, replace(now, valid_from=day, valid_to=None)]


def next_resources(
    stored: Iterable[Resource], listed: Sequence[Resource], versions: Iterable[Version], as_of_day: date
) -> list[Resource]:
    """Return every period of every resource once ``listed`` are the directory's of ``as_of_day``.

    A period that the directory no longer has, because its tenant or the resource left, ends on the day on which it was
    first missing, so that past days stay attributed when they are rebuilt. What the directory says of the same resource
    on the same days wins; a row without dates says only how it is now, and begins where the one that left has ended.

    Args:
        stored: the periods of the last load.
        listed: the directory's, without overlaps.
        versions: every tenant's, as `next_versions` has them for the same day.
    """
    newest = {version.tenant_id: version for version in sorted(versions, key=_start)}
    removed_on = {tenant: _start(version) for tenant, version in newest.items() if version.status == REMOVED}
    now: dict[tuple[str, str, str], list[Resource]] = defaultdict(list)
    for resource in listed:
        now[_thing(resource)].append(resource)
    left: list[Resource] = []
    for was in stored:
        others = now[_thing(was)]
        if any(other.tenant_id == was.tenant_id for other in others):
            continue  # still there: the directory's dates hold
        end = min(was.valid_to or date.max, removed_on.get(was.tenant_id, as_of_day))
        has_ended = was.tenant_id in removed_on or (was.valid_to is not None and was.valid_to <= as_of_day)
        claims = [other for other in others if _is_dated(other) or not has_ended]
        left += _outside(replace(was, valid_to=end), claims)
    begins = {_thing(gone): gone.valid_to for gone in sorted(left, key=lambda gone: gone.valid_to or date.max)}
    return left + [
        resource if _is_dated(resource) else replace(resource, valid_from=begins.get(_thing(resource)))
        for resource in listed
    ]


def _thing(resource: Resource) -> tuple[str, str, str]:
    return resource.provider, resource.resource_type, resource.resource_id


def _is_dated(resource: Resource) -> bool:
    return resource.valid_from is not None or resource.valid_to is not None


def _outside(was: Resource, claims: Iterable[Resource]) -> list[Resource]:
    """Return the parts of ``was`` on whose days none of ``claims`` stands."""
    parts = [(was.valid_from or date.min, was.valid_to or date.max)]
    for claim in claims:
        since, until = claim.valid_from or date.min, claim.valid_to or date.max
        parts = [
            part
            for start, end in parts
            for part in ((start, min(end, since)), (max(start, until), end))
            if part[0] < part[1]
        ]
    return [
        replace(was, valid_from=None if start == date.min else start, valid_to=end)
        for start, end in parts
        if start < end
    ]
