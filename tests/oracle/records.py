"""Reads what the oracle starts from: a folder of provider JSON, the tenant directory's CSVs and the dbt
seeds.

Only parsing and visibility belong here (what a provider would answer at a given moment); every rule is in
rules.py. Numbers are parsed as Decimal, instants as aware UTC datetimes, phone numbers as E.164 without
`whatsapp:`.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from email.utils import parsedate_to_datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

Json = dict[str, Any]

EXACT = Context(prec=120, rounding=ROUND_HALF_UP)
QUANTUM = Decimal("1e-18")
UNATTRIBUTED = "unattributed"


def round_18(value: Decimal | Fraction | int) -> Decimal:
    """One cast to numeric(38,18), rounding half away from zero as PostgreSQL does."""
    if isinstance(value, Fraction):
        scaled, rest = divmod(abs(value.numerator) * 10**18, value.denominator)
        scaled += 2 * rest >= value.denominator
        return EXACT.scaleb(Decimal(scaled if value >= 0 else -scaled), -18)
    return Decimal(value).quantize(QUANTUM, context=EXACT)


def total(values: Iterable[Decimal]) -> Decimal:
    """Exact sum."""
    result = Decimal(0)
    for value in values:
        result = EXACT.add(result, value)
    return result


# --- provider records ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    sid: str
    account: str
    messaging_service: str
    sender: str
    recipient: str
    direction: str
    status: str
    date_sent: datetime | None
    num_segments: int
    num_media: int
    price: Decimal | None
    price_unit: str


@dataclass(frozen=True)
class Call:
    sid: str
    account: str
    parent: str
    caller: str
    called: str
    direction: str
    status: str
    start_time: datetime | None
    duration: int
    price: Decimal | None
    price_unit: str


@dataclass(frozen=True)
class Usage:
    """One OpenAI result object; several of one grain are summed by the rules."""

    operation: str
    day: date
    project: str
    api_key: str
    model: str
    requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    tier: str = ""


@dataclass(frozen=True)
class Cost:
    day: date
    project: str
    line_item: str
    amount: Decimal
    currency: str


@dataclass(frozen=True)
class Emails:
    """A SendGrid day; subuser '' is the account's own /v3/stats. Of categories, `subuser` is the category."""

    day: date
    subuser: str
    requests: int


@dataclass(frozen=True)
class Recording:
    sid: str
    account: str
    call: str
    status: str
    date_created: datetime
    duration: int
    price: Decimal | None
    price_unit: str


@dataclass(frozen=True)
class ListedNumber:
    """A number in the list of an account, as one reading of it shows it. `kind`: Twilio's word, '' without one."""

    account: str
    number: str
    kind: str
    date_created: date


@dataclass(frozen=True)
class Counted:
    """A result of one of OpenAI's endpoints beside completions and embeddings; `requests` None: it has none."""

    endpoint: str
    day: date
    project: str
    api_key: str
    model: str
    quantity: int
    requests: int | None


@dataclass(frozen=True)
class Transaction:
    """A Stripe balance transaction. `account`: the connected one in whose list it is, '' the platform's.

    `amount`, `fee` and `application_fee` (the part of `fee` that the platform took) in minor units of
    `currency`; `source_currency` is what `exchange_rate` converts from. `destination`: the connected account
    that a charge of the platform is made for; `named`: the tenant in the source's metadata; `charge`: the
    charge that a refund or a dispute is about; `category`: Stripe's reporting category.
    """

    id: str
    account: str
    type: str
    created: datetime
    currency: str
    amount: int
    fee: int
    application_fee: int
    exchange_rate: Decimal | None
    source: str
    source_currency: str
    destination: str
    named: str
    charge: str
    category: str = ""


@dataclass(frozen=True)
class Operations:
    """Requests to an R2 bucket at a moment."""

    at: datetime
    bucket: str
    action: str
    status_code: int
    requests: int


@dataclass(frozen=True)
class Stored:
    """What an R2 bucket held at a moment, metadata included."""

    at: datetime
    bucket: str
    size: int


@dataclass(frozen=True)
class Reading:
    """An ingest at the moment `at` of the days first … last."""

    at: datetime
    first: date
    last: date


@dataclass
class Provided:
    """`listings`: the lists of numbers as each reading saw them, oldest first; R2's are by the last reading that
    a day was asked for in."""

    messages: list[Message] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    subuser_names: set[str] = field(default_factory=set)
    emails: list[Emails] = field(default_factory=list)
    category_emails: list[Emails] = field(default_factory=list)
    recordings: list[Recording] = field(default_factory=list)
    listings: list[tuple[date, list[ListedNumber]]] = field(default_factory=list)
    counted: list[Counted] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    operations: list[Operations] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    r2_days: set[date] = field(default_factory=set)


def instant(text: object) -> datetime | None:
    """RFC 2822 or ISO 8601 to aware UTC; None for null or empty. An instant without a zone is UTC."""
    if text is None or text == "":
        return None
    if isinstance(text, int | float | Decimal):
        return datetime.fromtimestamp(float(text), UTC)
    words = str(text)
    moment = datetime.fromisoformat(words) if words[:4].isdigit() else parsedate_to_datetime(words)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def phone_number(text: object) -> str:
    """E.164: `whatsapp:` and punctuation stripped; anything without digits-only content (alphanumeric sender)
    as it is.

    AMBIGUITY: numbers without a leading + have no country in the contract; they are compared as their digits.
    """
    words = str(text or "").strip()
    if words.lower().startswith("whatsapp:"):
        words = words[len("whatsapp:") :].strip()
    bare = re.sub(r"[\s().\-]", "", words)
    return bare if re.fullmatch(r"\+?\d+", bare) else words


def _seen_at(record: Json, now: datetime) -> Json | None:
    """The record as its provider would show it at `now` by its optional `_sandbox` script; None while it is
    not there.
    """
    script = record.get("_sandbox") or {}
    visible, vanishes, priced = (instant(script.get(k)) for k in ("visible_from", "vanishes_at", "price_from"))
    if (visible is not None and now < visible) or (vanishes is not None and now >= vanishes):
        return None
    shown = dict(record)
    if priced is not None and now < priced:
        shown["price"] = None
    for moment, status in script.get("status_history") or ():
        at = instant(moment)
        if at is not None and at <= now:
            shown["status"] = status
    return shown


def tier_name(reported: object) -> str:
    """How something was processed, '' the standard way. AMBIGUITY: `fast` is another name of `priority`."""
    name = str(reported or "").strip().lower()
    return {"auto": "", "default": "", "standard": "", "fast": "priority"}.get(name, name)


def _integer(value: object) -> int:
    return int(Decimal(str(value))) if value not in (None, "") else 0


def _money(value: object) -> Decimal | None:
    return None if value in (None, "") else round_18(Decimal(str(value)))


def _list(folder: Path, name: str) -> list[Json]:
    path = folder / f"{name}.json"
    if not path.exists():
        return []
    return cast(list[Json], json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal))


def missing_buckets(folder: Path) -> Mapping[str, Sequence[str]]:
    """Days (ISO) by table that the provider leaves out of its answers."""
    path = folder / "missing_buckets.json"
    found: Mapping[str, Sequence[str]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def without(provided: Provided, unanswered: Mapping[str, Iterable[date]]) -> Provided:
    """What is left when the tables were not answered for on these days (a fault, as against a missing bucket)."""
    gone = {table: set(days) for table, days in unanswered.items()}

    def answered(table: str, day: date | None) -> bool:
        return day not in gone.get(table, ())

    tables = {"chat_completion": "openai_usage_completions", "embedding": "openai_usage_embeddings"}
    return replace(
        provided,
        messages=[
            m for m in provided.messages if answered("twilio_messages", m.date_sent.date() if m.date_sent else None)
        ],
        calls=[c for c in provided.calls if answered("twilio_calls", c.start_time.date() if c.start_time else None)],
        usage=[u for u in provided.usage if answered(tables[u.operation], u.day)],
        costs=[c for c in provided.costs if answered("openai_costs", c.day)],
        emails=[
            e for e in provided.emails if answered("sendgrid_subuser_stats" if e.subuser else "sendgrid_stats", e.day)
        ],
        category_emails=[e for e in provided.category_emails if answered("sendgrid_category_stats", e.day)],
        recordings=[r for r in provided.recordings if answered("twilio_recordings", r.date_created.date())],
        counted=[c for c in provided.counted if answered(f"openai_usage_{c.endpoint}", c.day)],
        transactions=[t for t in provided.transactions if answered("stripe_balance_transactions", t.created.date())],
        operations=[o for o in provided.operations if answered("r2_operations", o.at.date())],
        stored=[s for s in provided.stored if answered("r2_storage", s.at.date())],
    )


# Cloudflare keeps what R2 was asked for this long; the oldest day is whole for one day less.
R2_KEPT_DAYS = 31
# OpenAI's other endpoints, and what each of them counts.
MEASURES = {
    "images": "images",
    "audio_speeches": "characters",
    "audio_transcriptions": "seconds",
    "moderations": "input_tokens",
    "vector_stores": "usage_bytes",
    "code_interpreter_sessions": "num_sessions",
    "file_search_calls": "num_requests",
    "web_search_calls": "num_requests",
}


def load_provided(folder: Path, now: datetime, readings: Sequence[Reading] = ()) -> Provided:
    """What the providers answer at `now`, after they were asked in earlier `readings` (oldest first).

    A bucket in missing_buckets.json is no answer: from scratch, it holds nothing.
    """
    missing = missing_buckets(folder)

    def days(name: str) -> list[tuple[date, Json]]:
        gone = set(missing.get(name, ()))
        return [(date.fromisoformat(r["date"]), r) for r in _list(folder, name) if r["date"] not in gone]

    provided = Provided()
    for record in _list(folder, "twilio_messages"):
        if (m := _seen_at(record, now)) is not None:
            provided.messages.append(
                Message(
                    sid=m["sid"],
                    account=m["account_sid"],
                    messaging_service=m.get("messaging_service_sid") or "",
                    sender=phone_number(m.get("from")),
                    recipient=phone_number(m.get("to")),
                    direction=m["direction"],
                    status=m["status"],
                    date_sent=instant(m.get("date_sent")),
                    num_segments=_integer(m.get("num_segments")),
                    num_media=_integer(m.get("num_media")),
                    price=_money(m.get("price")),
                    price_unit=str(m.get("price_unit") or "USD").upper(),
                )
            )
    for record in _list(folder, "twilio_calls"):
        if (c := _seen_at(record, now)) is not None:
            provided.calls.append(
                Call(
                    sid=c["sid"],
                    account=c["account_sid"],
                    parent=c.get("parent_call_sid") or "",
                    caller=phone_number(c.get("from")),
                    called=phone_number(c.get("to")),
                    direction=c["direction"],
                    status=c["status"],
                    start_time=instant(c.get("start_time")),
                    duration=_integer(c.get("duration")),
                    price=_money(c.get("price")),
                    price_unit=str(c.get("price_unit") or "USD").upper(),
                )
            )
    for operation, name in (
        ("chat_completion", "openai_usage_completions"),
        ("embedding", "openai_usage_embeddings"),
    ):
        for day, u in days(name):
            provided.usage.append(
                Usage(
                    operation=operation,
                    day=day,
                    project=u.get("project_id") or "",
                    api_key=u.get("api_key_id") or "",
                    model=u.get("model") or "",
                    requests=_integer(u.get("num_model_requests")),
                    input_tokens=_integer(u.get("input_tokens")),
                    cached_input_tokens=_integer(u.get("input_cached_tokens")),
                    output_tokens=_integer(u.get("output_tokens")),
                    cache_write_tokens=_integer(u.get("input_cache_write_tokens")),
                    tier="batch" if u.get("batch") else tier_name(u.get("service_tier")),
                )
            )
    # Asked for by project and line item, the provider answers one result for each: it adds, then we round.
    amounts: dict[tuple[date, str, str, str], Decimal] = {}
    for day, k in days("openai_costs"):
        value = (k.get("amount") or {}).get("value")
        if value not in (None, ""):
            currency = str(k["amount"].get("currency") or "usd").lower()
            key = (day, k.get("project_id") or "", k.get("line_item") or "", currency)
            amounts[key] = EXACT.add(amounts.get(key, Decimal(0)), Decimal(str(value)))
    provided.costs += [
        Cost(day=day, project=project, line_item=item, amount=round_18(amount), currency=currency)
        for (day, project, item, currency), amount in amounts.items()
    ]
    for endpoint, measure in MEASURES.items():
        for day, u in days(f"openai_usage_{endpoint}"):
            requests = u.get("num_model_requests")
            provided.counted.append(
                Counted(
                    endpoint=endpoint,
                    day=day,
                    project=u.get("project_id") or "",
                    api_key=u.get("api_key_id") or "",
                    model=u.get("model") or "",
                    quantity=_integer(u.get(measure)),
                    requests=None if requests is None else _integer(requests),
                )
            )
    provided.subuser_names = {s["username"] for s in _list(folder, "sendgrid_subusers")}
    for name in ("sendgrid_stats", "sendgrid_subuser_stats"):
        provided.emails += [
            Emails(day, s.get("subuser", ""), _integer(s["metrics"].get("requests"))) for day, s in days(name)
        ]
    provided.category_emails = [
        Emails(day, s["category"], _integer(s["metrics"].get("requests"))) for day, s in days("sendgrid_category_stats")
    ]
    for record in _list(folder, "twilio_recordings"):
        made = instant(record.get("date_created"))
        if made is not None and made <= now and (r := _seen_at(record, now)) is not None:
            provided.recordings.append(
                Recording(
                    sid=r["sid"],
                    account=r["account_sid"],
                    call=r.get("call_sid") or "",
                    status=r["status"],
                    date_created=made,
                    duration=_integer(r.get("duration")),
                    price=_money(r.get("price")),
                    price_unit=str(r.get("price_unit") or "USD").upper(),
                )
            )
    provided.listings = [(at.date(), _listing(folder, at)) for at in (*(r.at for r in readings), now)]
    provided.transactions = [
        _transaction(record)
        for record in _list(folder, "stripe_balance_transactions")
        if int(record["created"]) <= now.timestamp()
    ]
    return provided


def _listing(folder: Path, now: datetime) -> list[ListedNumber]:
    """All accounts' numbers that Twilio lists at `now`."""
    found = []
    for record in _list(folder, "twilio_phone_numbers"):
        created = instant(record["date_created"])
        if created is not None and created <= now and _seen_at(record, now) is not None:
            found.append(
                ListedNumber(
                    account=record["account_sid"],
                    number=phone_number(record["phone_number"]),
                    kind=(record.get("type") or "").replace(" ", "_"),
                    date_created=created.date(),
                )
            )
    return found


def _transaction(record: Json) -> Transaction:
    source = record.get("source")
    whole: Json = source if isinstance(source, dict) else {}
    destination = whole.get("transfer_data") or {}
    return Transaction(
        id=record["id"],
        account=record.get("account") or "",
        type=record["type"],
        created=datetime.fromtimestamp(int(record["created"]), UTC),
        currency=record["currency"].lower(),
        amount=int(record["amount"]),
        fee=int(record["fee"]),
        application_fee=sum(int(f["amount"]) for f in record["fee_details"] if f["type"] == "application_fee"),
        exchange_rate=None if record.get("exchange_rate") is None else Decimal(str(record["exchange_rate"])),
        source=whole.get("id") or (source if isinstance(source, str) else ""),
        source_currency=str(whole.get("currency") or "").lower(),
        destination=destination.get("destination") or whole.get("on_behalf_of") or "",
        named=str((whole.get("metadata") or {}).get("tenant_id") or ""),
        charge=str(whole.get("charge") or ""),
        category=record.get("reporting_category") or "",
    )


def load_r2(provided: Provided, folder: Path, readings: Sequence[Reading]) -> None:
    """Adds what each day's last reading that still had it saw of R2. The last of `readings` is the final one.

    A day is asked for while all of it is kept; one that no reading had is not answered for.
    """
    seen: dict[date, datetime] = {}
    for reading in readings:
        oldest = reading.at.date() - timedelta(days=R2_KEPT_DAYS - 1)
        day = max(reading.first, oldest)
        while day <= min(reading.last, reading.at.date()):
            seen[day] = reading.at
            day += timedelta(days=1)
    provided.r2_days = set(seen)

    def visible(record: Json) -> datetime | None:
        at = instant(record["datetime"])
        return at if at is not None and at.date() in seen and at <= seen[at.date()] else None

    for record in _list(folder, "r2_operations"):
        if (at := visible(record)) is not None:
            provided.operations.append(
                Operations(
                    at,
                    record["bucketName"],
                    record["actionType"],
                    int(record["responseStatusCode"]),
                    record["requests"],
                )
            )
    for record in _list(folder, "r2_storage"):
        if (at := visible(record)) is not None:
            provided.stored.append(Stored(at, record["bucketName"], record["payloadSize"] + record["metadataSize"]))


# --- tenant directory ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TenantVersion:
    tenant_id: str
    name: str
    plan: str
    status: str
    hard_stop: bool
    valid_from: date | None
    valid_to: date | None

    def covers(self, day: date) -> bool:
        return _covers(self.valid_from, self.valid_to, day)


@dataclass(frozen=True)
class Resource:
    tenant_id: str
    provider: str
    resource_type: str
    resource_id: str
    valid_from: date | None
    valid_to: date | None


@dataclass(frozen=True)
class Limit:
    channel: str
    metric: str
    direction: str
    cap: Decimal | None
    threshold: Decimal | None  # None only of a tenant's own, which inherits the plan's


@dataclass
class Directory:
    versions: dict[str, list[TenantVersion]] = field(default_factory=dict)
    resources: list[Resource] = field(default_factory=list)
    limits: dict[str, list[Limit]] = field(default_factory=dict)

    def version(self, tenant_id: str, day: date) -> TenantVersion | None:
        return next((v for v in self.versions.get(tenant_id, ()) if v.covers(day)), None)

    def owner(self, provider: str, resource_type: str, resource_id: str, day: date) -> str | None:
        """The tenant that the resource belongs to on that day, by valid_from included and valid_to
        excluded.
        """
        if not resource_id:
            return None
        for r in self._by_key().get((provider, resource_type, resource_id), ()):
            if _covers(r.valid_from, r.valid_to, day):
                return r.tenant_id
        return None

    def _by_key(self) -> dict[tuple[str, str, str], list[Resource]]:
        if not hasattr(self, "_index"):
            self._index: dict[tuple[str, str, str], list[Resource]] = {}
            for r in self.resources:
                self._index.setdefault((r.provider, r.resource_type, r.resource_id), []).append(r)
        return self._index


def _covers(start: date | None, end: date | None, day: date) -> bool:
    return (start is None or start <= day) and (end is None or day < end)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8-sig") as stream:
        return [{k: (v or "").strip() for k, v in row.items() if k} for row in csv.DictReader(stream)]


def _day(text: str | None) -> date | None:
    return datetime.fromisoformat(text).date() if text else None


def _decimal(text: str | None) -> Decimal | None:
    return Decimal(text) if text else None


def _boolean(text: str | None) -> bool:
    return (text or "").lower() in ("true", "t", "1", "yes")


DirectoryLoads = Path | str | Sequence[tuple[date, Path]]


def load_directory(directory: DirectoryLoads, as_of_day: date) -> Directory:
    """The directory after one load, or after several in order: [(as-of day of the load, folder), …].

    Without dates in tenants.csv a change seen on a load starts a version on that load's day and the first
    version is open to the past. A tenant gone from the last folder stays with status `removed` from that
    load's day, with its plan; what was its own before stays its own: a resource that is gone ends on the day of the load
    that first lacks it. AMBIGUITY: one that another tenant has now is what the last folder says, and so are limits. A
    file with dates replaces what was known of its tenants.
    """
    loads = (
        [(as_of_day, Path(directory))] if isinstance(directory, Path | str) else [(d, Path(p)) for d, p in directory]
    )
    result = Directory()
    for day, folder in loads:
        rows = _rows(folder / "tenants.csv")
        dated = bool(rows) and "valid_from" in rows[0]
        seen: dict[str, list[TenantVersion]] = {}
        for row in rows:
            version = TenantVersion(
                tenant_id=row["tenant_id"],
                name=row["name"],
                plan=row.get("plan", ""),
                status=row.get("status") or "active",
                hard_stop=_boolean(row.get("usage_hard_stop_enabled")),
                valid_from=_day(row.get("valid_from")),
                valid_to=_day(row.get("valid_to")),
            )
            seen.setdefault(version.tenant_id, []).append(version)
        for tenant_id, versions in seen.items():
            if dated or tenant_id not in result.versions:
                result.versions[tenant_id] = sorted(versions, key=lambda v: v.valid_from or date.min)
            else:
                result.versions[tenant_id] = _with_change(result.versions[tenant_id], versions[0], day)
        for tenant_id in result.versions.keys() - seen.keys():
            last = result.versions[tenant_id][-1]
            gone = replace(last, status="removed", valid_from=None, valid_to=None)
            result.versions[tenant_id] = _with_change(result.versions[tenant_id], gone, day)
        given = [
            Resource(
                tenant_id=row["tenant_id"],
                provider=row["provider"],
                resource_type=row["resource_type"],
                resource_id=phone_number(row["resource_id"])
                if row["resource_type"] == "phone_number"
                else row["resource_id"],
                valid_from=_day(row.get("valid_from")),
                valid_to=_day(row.get("valid_to")),
            )
            for row in _rows(folder / "tenant_resources.csv")
        ]
        resources = {(r.provider, r.resource_type, r.resource_id) for r in given}
        gone_now = [
            replace(r, valid_to=min(r.valid_to or day, day))
            for r in result.resources
            if (r.provider, r.resource_type, r.resource_id) not in resources
        ]
        result.resources = [*given, *gone_now]
        result.limits = {}
        for row in _rows(folder / "tenant_limits.csv"):
            # AMBIGUITY: "whose direction it keeps", and its threshold where there is none: an empty cap is no cap.
            own = _limit(row, direction="")
            if not row.get("warning_threshold_pct"):
                own = replace(own, threshold=None)
            result.limits.setdefault(row["tenant_id"], []).append(own)
    return result


def _limit(row: Mapping[str, str], direction: str) -> Limit:
    threshold = _decimal(row.get("warning_threshold_pct"))
    return Limit(
        channel=row["channel"],
        metric=row["metric"],
        direction=direction,
        cap=_decimal(row.get("monthly_cap")),
        threshold=Decimal(80) if threshold is None else threshold,
    )


def _with_change(history: list[TenantVersion], now: TenantVersion, day: date) -> list[TenantVersion]:
    """History with a version that starts on `day`, where anything but the dates differs from the last one."""
    last = history[-1]
    if replace(now, valid_from=None, valid_to=None) == replace(last, valid_from=None, valid_to=None):
        return history
    kept = [v for v in history if v.valid_from is None or v.valid_from < day]
    if kept and (kept[-1].valid_to is None or kept[-1].valid_to > day):
        kept[-1] = replace(kept[-1], valid_to=day)
    return [*kept, replace(now, valid_from=day if kept else None, valid_to=None)]


# --- seeds --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    plan: str
    label: str
    base_price: Decimal | None


@dataclass(frozen=True)
class Price:
    service: str
    operation: str
    model: str
    plan: str
    component: str
    unit_price: Decimal
    per: Decimal
    effective_from: date | None
    effective_to: date | None
    tier: str = ""

    def covers(self, day: date) -> bool:
        return _covers(self.effective_from, self.effective_to, day)


@dataclass
class Seeds:
    plans: dict[str, Plan] = field(default_factory=dict)
    limits: dict[str, list[Limit]] = field(default_factory=dict)
    prices: list[Price] = field(default_factory=list)


def load_seeds(folder: Path) -> Seeds:
    """plans.csv, plan_limits.csv and price_book.csv of contract section 4."""
    seeds = Seeds()
    for row in _rows(folder / "plans.csv"):
        seeds.plans[row["plan"]] = Plan(row["plan"], row["label"], _decimal(row["monthly_base_price_usd"]))
    for row in _rows(folder / "plan_limits.csv"):
        seeds.limits.setdefault(row["plan"], []).append(_limit(row, direction=row["direction"] or "any"))
    for row in _rows(folder / "price_book.csv"):
        seeds.prices.append(
            Price(
                service=row["service"],
                operation=row.get("operation", ""),
                model=row.get("model", ""),
                plan=row.get("plan", ""),
                component=row["component"],
                unit_price=Decimal(row["unit_price_usd"]),
                per=Decimal(row.get("per") or 1),
                effective_from=_day(row.get("effective_from")),
                effective_to=_day(row.get("effective_to")),
                tier=row.get("tier") or "",
            )
        )
    return seeds


def moment(as_of: date | datetime) -> datetime:
    """As-of as an aware UTC instant; a date is midnight at its start."""
    if isinstance(as_of, datetime):
        return as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of.astimezone(UTC)
    return datetime.combine(as_of, time(), UTC)
