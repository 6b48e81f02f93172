"""From rows of text to what they mean; whatever is wrong with one names its file and row."""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from ingestion.directory.read import Row, Tables
from ingestion.failures import DirectoryError
from usage_metering.pii import Hasher, normalise
from usage_metering.taxonomy import CHANNELS, METERS

RESERVED = frozenset({"unattributed", "summary", "daily", "alerts", "reconciliation", "rebuild", "explain"})
STATUSES = ("active", "suspended")
RESOURCE_TYPES: dict[str, tuple[str, ...]] = {
    row["provider"]: tuple(row["resource_types"].split()) for row in METERS if row["resource_types"]
}
"""Provider -> what of it a tenant may own, as the meter catalogue says."""
METRICS = ("requests", "units", "cost_cents")
TRUE, FALSE = ("true", "1", "yes", "t"), ("false", "0", "no", "f", "")

ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
WHOLE_DIGITS, DECIMALS = 20, 18  # numeric(38, 18)
LAST_PORT = 65_535
# Without user, password and fragment.
_WEB_ADDRESS = re.compile(
    r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?([/?][!-\"$-\[\]-~]*)?", re.IGNORECASE
)
WEB_ADDRESS_RULE = "an http:// or https:// address without a password in it"


@dataclass(frozen=True)
class TenantRow:
    """A row of tenants.csv: the tenant as it is now, or, with dates, one version of it."""

    location: str
    tenant_id: str
    name: str
    plan: str | None
    status: str
    hard_stop: bool
    valid_from: date | None
    valid_to: date | None
    webhook_url: str | None = None

    @property
    def dated(self) -> bool:
        """Whether the row says when it is true."""
        return self.valid_from is not None or self.valid_to is not None


@dataclass(frozen=True)
class Resource:
    """A row of tenant_resources.csv; a phone number is in E.164 and has its hash."""

    location: str
    tenant_id: str
    provider: str
    resource_type: str
    resource_id: str
    resource_hash: str | None
    valid_from: date | None
    valid_to: date | None


@dataclass(frozen=True)
class Limit:
    """A row of tenant_limits.csv."""

    location: str
    tenant_id: str
    channel: str
    metric: str
    monthly_cap: Decimal | None
    warning_threshold_pct: Decimal | None


@dataclass(frozen=True)
class Directory:
    """The whole directory, without contradiction."""

    tenants: dict[str, list[TenantRow]]
    resources: list[Resource]
    limits: list[Limit]


class _Dated(Protocol):
    @property
    def location(self) -> str: ...
    @property
    def tenant_id(self) -> str: ...
    @property
    def valid_from(self) -> date | None: ...
    @property
    def valid_to(self) -> date | None: ...


_D = TypeVar("_D", bound=_Dated)


def parse(tables: Tables, known_plans: Collection[str], hasher: Hasher) -> Directory:
    """Return the directory that ``tables`` say.

    Raises:
        DirectoryError: names file and row.
    """
    tenants: dict[str, list[TenantRow]] = defaultdict(list)
    for row in tables["tenants"]:
        tenant = _tenant(row, known_plans)
        tenants[tenant.tenant_id].append(tenant)
    for versions in tenants.values():
        _check_versions(versions)
    resources = [_resource(row, tenants, hasher) for row in tables["tenant_resources"]]
    _check_owners(resources)
    limits = [_limit(row, tenants) for row in tables["tenant_limits"]]
    _check_limits(limits)
    return Directory(dict(tenants), resources, limits)


def _tenant(row: Row, known_plans: Collection[str]) -> TenantRow:
    tenant_id = _filled(row, "tenant_id")
    if tenant_id.lower() in RESERVED:
        raise DirectoryError(f"{row.location}: tenant_id {tenant_id} is reserved: give the tenant another")
    plan = row.values["plan"] or None
    if plan is not None and plan not in known_plans:
        known = ", ".join(sorted(known_plans))
        raise DirectoryError(f"{row.location}: unknown plan {plan}: the plans are {known}; or leave it empty")
    valid_from, valid_to = _period(row)
    return TenantRow(
        location=row.location,
        tenant_id=tenant_id,
        name=_filled(row, "name"),
        plan=plan,
        status=_one_of(row, "status", STATUSES),
        hard_stop=_boolean(row, "usage_hard_stop_enabled"),
        valid_from=valid_from,
        valid_to=valid_to,
        webhook_url=_webhook(row),
    )


def _webhook(row: Row) -> str | None:
    url = row.values["webhook_url"] or None
    if url is not None and not is_web_address(url):
        # Not the value: who wrote a password into it would find it in a log.
        raise DirectoryError(f"{row.location}: webhook_url is not {WEB_ADDRESS_RULE}")
    return url


def is_web_address(text: str) -> bool:
    """Whether something can be posted there: see `WEB_ADDRESS_RULE`; its host and port are such."""
    if not _WEB_ADDRESS.fullmatch(text):
        return False
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        if ":" in host:
            ipaddress.IPv6Address(host)
        host.encode("idna")
    except ValueError:
        return False
    return port is None or port <= LAST_PORT


def _resource(row: Row, tenants: Collection[str], hasher: Hasher) -> Resource:
    tenant_id = _known_tenant(row, tenants)
    provider = _one_of(row, "provider", tuple(RESOURCE_TYPES))
    resource_type = _one_of(row, "resource_type", RESOURCE_TYPES[provider], f" of {provider}")
    resource_id = _filled(row, "resource_id")
    resource_hash = None
    if resource_type == "phone_number":
        resource_id = normalise(resource_id)
        if not resource_id:
            raise DirectoryError(f"{row.location}: resource_id is not a phone number: {row.values['resource_id']}")
        resource_hash = hasher.hash(resource_id)
    valid_from, valid_to = _period(row)
    return Resource(row.location, tenant_id, provider, resource_type, resource_id, resource_hash, valid_from, valid_to)


def _limit(row: Row, tenants: Collection[str]) -> Limit:
    threshold = _number(row, "warning_threshold_pct")
    if threshold is not None and not 0 < threshold <= 100:
        raise DirectoryError(f"{row.location}: warning_threshold_pct must be above 0, at most 100, not {threshold}")
    return Limit(
        location=row.location,
        tenant_id=_known_tenant(row, tenants),
        channel=_one_of(row, "channel", CHANNELS),
        metric=_one_of(row, "metric", METRICS),
        monthly_cap=_number(row, "monthly_cap"),
        warning_threshold_pct=threshold,
    )


def _check_versions(versions: list[TenantRow]) -> None:
    undated = [version for version in versions if not version.dated]
    if len(undated) > 1:
        raise DirectoryError(
            f"{undated[1].location}: tenant {undated[1].tenant_id} is also in {_row(undated[0].location)}, "
            "and neither has dates"
        )
    _check_overlaps(versions, lambda one, other: f"tenant {one.tenant_id} has two versions on one day")


def _check_owners(resources: list[Resource]) -> None:
    owners: dict[tuple[str, str, str], list[Resource]] = defaultdict(list)
    for resource in resources:
        owners[resource.provider, resource.resource_type, resource.resource_id].append(resource)
    for periods in owners.values():
        _check_overlaps(
            periods,
            lambda one, other: (
                f"{one.provider} {one.resource_type} {one.resource_id} of {one.tenant_id} "
                f"belongs to {other.tenant_id} on the same days"
            ),
        )


def _check_overlaps(periods: Sequence[_D], what: Callable[[_D, _D], str]) -> None:
    """Raise, naming two rows, if two of ``periods`` share a day."""
    ordered = sorted(periods, key=lambda period: period.valid_from or date.min)
    # Of periods without overlap so far, the one before is the one that ends last.
    for before, after in pairwise(ordered):
        if before.valid_to is None or before.valid_to > (after.valid_from or date.min):
            first, second = sorted((before, after), key=periods.index)
            raise DirectoryError(f"{second.location}: {what(second, first)} ({_row(first.location)})")


def _check_limits(limits: list[Limit]) -> None:
    seen: dict[tuple[str, str, str], Limit] = {}
    for limit in limits:
        key = (limit.tenant_id, limit.channel, limit.metric)
        if key in seen:
            raise DirectoryError(f"{limit.location}: the limit {' '.join(key)} is also in {_row(seen[key].location)}")
        seen[key] = limit


def _row(location: str) -> str:
    return location.partition(" ")[2]


def _filled(row: Row, column: str) -> str:
    value = row.values[column]
    if not value:
        raise DirectoryError(f"{row.location}: {column} is empty")
    return value


def _known_tenant(row: Row, tenants: Collection[str]) -> str:
    tenant_id = _filled(row, "tenant_id")
    if tenant_id not in tenants:
        tenants_source = "tenants.csv" if ".csv " in row.location else "tenants"
        raise DirectoryError(f"{row.location}: unknown tenant {tenant_id}: it is not in {tenants_source}")
    return tenant_id


def _one_of(row: Row, column: str, allowed: tuple[str, ...], of: str = "") -> str:
    value = row.values[column].lower()
    if value not in allowed:
        given = row.values[column] or "empty"
        raise DirectoryError(f"{row.location}: {column}{of} must be one of {', '.join(allowed)}, not {given}")
    return value


def _boolean(row: Row, column: str) -> bool:
    value = row.values[column].lower()
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise DirectoryError(f"{row.location}: {column} must be true or false, not {row.values[column]}")


def _date(row: Row, column: str) -> date | None:
    value = row.values[column]
    if not value:
        return None
    try:
        if ISO_DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise DirectoryError(f"{row.location}: {column} must be a date such as 2026-11-21, not {value}")


def _period(row: Row) -> tuple[date | None, date | None]:
    valid_from, valid_to = _date(row, "valid_from"), _date(row, "valid_to")
    if valid_from is not None and valid_to is not None and valid_to <= valid_from:
        raise DirectoryError(
            f"{row.location}: valid_to {valid_to} is not after valid_from {valid_from} (the first day outside)"
        )
    return valid_from, valid_to


def _number(row: Row, column: str) -> Decimal | None:
    value = row.values[column]
    if not value:
        return None
    whole, _, decimals = value.partition(".")
    fits = len(whole.lstrip("0")) <= WHOLE_DIGITS and len(decimals.rstrip("0")) <= DECIMALS
    if not NUMBER.fullmatch(value) or not fits:
        raise DirectoryError(f"{row.location}: {column} must be a number from 0 up, or empty, not {value}")
    return Decimal(value)
