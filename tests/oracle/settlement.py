"""What tracked events change about the provider's lines: the settlement rules of issue 3, in their order.

Records with an id: the provider's record wins quantity, date and price, the event tenant and feature.
Aggregates: events are the detail of their resource's bucket, and what the bucket has more (on a closed day
also less) is its residual line. Services that no provider reports on: the event is the record. AMBIGUITY marks
the readings of the words that were taken. `settle` is the entry point; reconciliation.py reads the same
Settlement.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

from tests.oracle import rules
from tests.oracle.counted import OPERATIONS, counted_lines
from tests.oracle.events import Event, Quantity, Tracked, by_record
from tests.oracle.numbers import number_lines
from tests.oracle.r2 import r2_lines
from tests.oracle.recordings import recording_lines
from tests.oracle.records import UNATTRIBUTED, Directory, Provided, Seeds, missing_buckets
from tests.oracle.rules import UNTRACKED, Line, is_snapshot_of
from tests.oracle.stripe import stripe_lines

# Services whose provider tells records, each with an id.
BY_RECORD = ("twilio_sms", "twilio_voice", "twilio_phone", "stripe")
# Services whose provider tells sums.
BY_SUM = ("openai", "sendgrid", "cloudflare_r2")
# Of no project: costs are by project, so nothing is ever billed to it.
NO_PROJECT = "\0none"
USAGE_TABLES = {
    "chat_completion": "openai_usage_completions",
    "embedding": "openai_usage_embeddings",
    **{operation: f"openai_usage_{endpoint}" for endpoint, operation in OPERATIONS.items()},
}
# The directory's words for the resource that an aggregate is of.
RESOURCES = {
    "openai": ("openai", "project"),
    "sendgrid": ("sendgrid", "subuser"),
    "cloudflare_r2": ("cloudflare", "bucket"),
}


@dataclass(frozen=True)
class Answers:
    """What ops.source_reads holds after an ingest of first … last.

    `gone`: days by table that were no answer. `subusers`: the ones that SendGrid answers about.
    """

    first: date
    last: date
    gone: Mapping[str, frozenset[date]]
    subusers: frozenset[str]
    r2_days: frozenset[date] = frozenset()

    def has(self, table: str, day: date) -> bool:
        return self.first <= day <= self.last and day not in self.gone.get(table, frozenset())

    def about(self, service: str, operation: str, resource: str | None, day: date) -> bool:
        """Whether the table that would hold this usage was answered for.

        AMBIGUITY: an OpenAI operation that neither table has would be among the completions.
        """
        if service == "openai":
            return self.has(USAGE_TABLES.get(operation, "openai_usage_completions"), day)
        if service == "cloudflare_r2":
            table = "r2_storage" if operation == "storage" else "r2_operations"
            return day in self.r2_days and self.has(table, day)
        if resource:
            return resource in self.subusers and self.has("sendgrid_subuser_stats", day)
        return self.has("sendgrid_stats", day)


def answers(
    folder: Path,
    provided: Provided,
    directory: Directory,
    first: date,
    last: date,
    unanswered: Mapping[str, Iterable[date]],
) -> Answers:
    """From the data set's own missing buckets, and what else was not answered (a fault) by table.

    A subuser that is asked for (listed, or in the directory) is answered about if SendGrid lists it or has
    stats of it on any day.
    """
    gone: dict[str, set[date]] = defaultdict(set)
    for table, days in missing_buckets(folder).items():
        gone[table] |= {date.fromisoformat(day) for day in days}
    for table, closed in unanswered.items():
        gone[table] |= set(closed)
    requested = provided.subuser_names | {r.resource_id for r in directory.resources if r.resource_type == "subuser"}
    has_stats = {e.subuser for e in provided.emails if e.subuser}
    return Answers(
        first=first,
        last=last,
        gone={table: frozenset(days) for table, days in gone.items()},
        subusers=frozenset(requested & (provided.subuser_names | has_stats)),
        r2_days=frozenset(provided.r2_days),
    )


@dataclass(frozen=True)
class Measures:
    """Of an aggregate; where it is not of tokens only `requests` counts, which is then its units."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    requests: Quantity = 0

    def __sub__(self, other: Measures) -> Measures:
        return Measures(
            self.input_tokens - other.input_tokens,
            self.cached_input_tokens - other.cached_input_tokens,
            self.cache_write_tokens - other.cache_write_tokens,
            self.cache_write_1h_tokens - other.cache_write_1h_tokens,
            self.output_tokens - other.output_tokens,
            self.requests - other.requests,
        )

    def __add__(self, other: Measures) -> Measures:
        return Measures(
            self.input_tokens + other.input_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.cache_write_1h_tokens + other.cache_write_1h_tokens,
            self.output_tokens + other.output_tokens,
            self.requests + other.requests,
        )

    def positive(self) -> Measures:
        return Measures(
            max(0, self.input_tokens),
            max(0, self.cached_input_tokens),
            max(0, self.cache_write_tokens),
            max(0, self.cache_write_1h_tokens),
            max(0, self.output_tokens),
            max(0, self.requests),
        )

    def __bool__(self) -> bool:
        return self != Measures()


def _sum(parts: Iterable[Measures]) -> Measures:
    return sum(parts, Measures())


@dataclass
class Group:
    """One aggregate of the provider and the events that are its detail.

    `resource` None: nobody could say which it is. `owner`: the tenant that the directory gives it. `exact`:
    the day is closed and answered, so that the lines sum to the provider's figure.
    AMBIGUITY: where the directory knows no tenant of a project but of its keys, each key's tenant has its own
    part of the project.
    """

    service: str
    day: date
    operation: str
    model: str
    resource: str | None
    owner: str
    tier: str = ""
    buckets: list[Line] = field(default_factory=list)
    tracked: list[Tracked] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    exact: bool = False

    @property
    def provider(self) -> Measures:
        if self.service != "openai":
            return _sum(Measures(requests=x.units) for x in self.buckets)
        return _sum(
            Measures(
                x.input_tokens,
                x.cached_input_tokens,
                x.cache_write_tokens,
                x.cache_write_1h_tokens,
                x.output_tokens,
                x.requests,
            )
            for x in self.buckets
        )

    @property
    def events(self) -> Measures:
        return _sum(self.measures(x) for x in self.tracked)

    def measures(self, tracked: Tracked) -> Measures:
        """AMBIGUITY: an AI event's units are its tokens, whatever it says its units are."""
        if self.service != "openai":
            return Measures(requests=tracked.units)
        return Measures(
            tracked.input_tokens,
            tracked.cached_input_tokens,
            tracked.cache_write_tokens,
            tracked.cache_write_1h_tokens,
            tracked.output_tokens,
            1,
        )

    def units(self, measures: Measures) -> Quantity:
        if self.service != "openai":
            return measures.requests
        return measures.input_tokens + measures.output_tokens

    def tenant_of(self, tracked: Tracked) -> str:
        return tracked.tenant or self.owner

    def tier_of(self, tracked: Tracked) -> str:
        """What a call says of itself; one that says nothing was processed as its sum was. Only a call has a length."""
        if self.service != "openai":
            return ""
        return rules.tier_of_call(tracked.tier or self.tier, tracked.input_tokens)


@dataclass
class Settlement:
    """All lines, and who is in them: what reconciliation.py compares.

    `matched`: lines of records that count with what was tracked of them; `untracked`: those without; `unmatched`:
    the provisional lines. `record_keys`: by day, the keys that the marts hold.
    """

    lines: list[Line] = field(default_factory=list)
    matched: list[tuple[Line, Tracked]] = field(default_factory=list)
    untracked: list[Line] = field(default_factory=list)
    unmatched: list[Line] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    record_keys: dict[date, set[str]] = field(default_factory=lambda: defaultdict(set))


def settle(
    provided: Provided,
    directory: Directory,
    seeds: Seeds,
    events: Sequence[Event],
    answered: Answers,
    *,
    as_of: datetime,
    lookback: int,
    parent_stats: str,
) -> Settlement:
    """Every priced and billed line of every day that the providers or the events have."""
    tracked = by_record(events, directory.versions.keys())
    settled = Settlement()
    _settle_records(settled, provided, directory, [x for x in tracked if x.service in BY_RECORD], answered, as_of)
    emails = rules.sendgrid_lines(
        provided.emails, provided.subuser_names, directory, parent_stats, provided.category_emails
    )
    others = counted_lines(provided.counted, directory)
    placing = _Groups(directory)
    placing.add("openai", [*rules.openai_buckets(provided.usage, directory), *(x for x in others if x.input_tokens)])
    placing.add("sendgrid", emails)
    placing.add("cloudflare_r2", r2_lines(provided.operations, provided.stored, directory))
    counted = [x for x in others if not x.input_tokens]
    settled.lines += counted
    for one in tracked:
        if one.service in BY_SUM:
            placing.assign(one)
            settled.record_keys[one.day].add(one.record_key)
        elif one.service not in BY_RECORD:
            settled.lines.append(_own_line(one, one.tenant or UNATTRIBUTED))
            settled.record_keys[one.day].add(one.record_key)
    settled.groups = placing.all()
    for group in settled.groups:
        final = rules.is_final(group.day, as_of, lookback)
        about = answered.about(group.service, group.operation, group.resource, group.day)
        group.exact = final and about
        group.lines = group_lines(group, final=final, answered=about)
        settled.lines += group.lines
    for line in settled.lines:
        rules.price_line(line, directory, seeds)
    ai = [*counted, *(x for group in settled.groups if group.service == "openai" for x in group.lines)]
    settled.lines += rules.bill_openai(ai, provided.costs, directory)
    rules.forget_nothing_beside_unpriced(settled.lines)
    return settled


# --- records with a provider's id ---------------------------------------------------------------------------


def _settle_records(
    settled: Settlement,
    provided: Provided,
    directory: Directory,
    tracked: Iterable[Tracked],
    answered: Answers,
    as_of: datetime,
) -> None:
    """A record that is stored wins, whatever its day; one that does not count takes its event with it.

    Stored is what was sent or started on a day that was ingested: a message that never was sent is in no
    list, and its event waits. AMBIGUITY: an event without a record has nothing billed, however old it is.
    """
    by_key = {(x.service, x.record_key): x for x in tracked}
    stored = {
        ("twilio_sms", m.sid)
        for m in provided.messages
        if m.date_sent is not None and answered.has("twilio_messages", m.date_sent.date())
    } | {
        ("twilio_voice", c.sid)
        for c in provided.calls
        if c.start_time is not None and answered.has("twilio_calls", c.start_time.date())
    }
    recordings = [r for r in provided.recordings if answered.has("twilio_recordings", r.date_created.date())]
    stored |= {("twilio_voice", r.sid) for r in recordings}
    # What was not ingested is in no table, so that nothing can be told from it.
    transactions = [t for t in provided.transactions if answered.has("stripe_balance_transactions", t.created.date())]
    stored |= {("stripe", t.id) for t in transactions}
    numbers = number_lines(provided.listings, directory)
    stored |= {("twilio_phone", x.record) for x in numbers}
    named = {key: x.tenant for (_, key), x in by_key.items() if x.tenant}
    for number in numbers:
        number.tenant_id = named.get(number.record) or number.tenant_id
    calls = [c for c in provided.calls if ("twilio_voice", c.sid) in stored]
    for line in (
        *rules.twilio_lines(provided, directory, as_of, named),
        *recording_lines(recordings, calls, directory, as_of, named),
        *numbers,
        *stripe_lines(transactions, directory, named),
    ):
        settled.record_keys[line.day].add(line.record)
        event = by_key.get((line.service, line.record))
        if event is None:
            settled.untracked.append(line)
        else:
            line.feature, line.activity = event.feature or UNTRACKED, event.activity
            settled.matched.append((line, event))
    settled.lines += rules.merged([*settled.untracked, *(line for line, _ in settled.matched)])
    for key, event in by_key.items():
        if key not in stored and counts_without_record(event):
            line = _own_line(event, event.tenant or UNATTRIBUTED)
            settled.lines.append(line)
            settled.unmatched.append(line)
            settled.record_keys[event.day].add(event.record_key)


def counts_without_record(event: Tracked) -> bool:
    """Not a call that failed, nor one whose minutes nobody knows yet."""
    return not event.failed and not (event.channel == "voice" and event.units <= 0)


def _own_line(event: Tracked, tenant_id: str) -> Line:
    """The event is all there is. AMBIGUITY: requests are the units for emails and places, else one."""
    return Line(
        tenant_id=tenant_id,
        day=event.day,
        channel=event.channel,
        service=event.service,
        operation=event.operation,
        direction=event.direction,
        source=event.source,
        evidence="tracked",
        units=event.units,
        requests=event.units if event.channel in ("email", "places") else 1,
        model=event.model,
        feature=event.feature or UNTRACKED,
        activity=event.activity,
        input_tokens=event.input_tokens,
        cached_input_tokens=event.cached_input_tokens,
        cache_write_tokens=event.cache_write_tokens,
        cache_write_1h_tokens=event.cache_write_1h_tokens,
        output_tokens=event.output_tokens,
        tier=rules.tier_of_call(event.tier, event.input_tokens) if event.channel == "ai" else "",
        amount=event.amount,
        record=event.record_key,
        owner=UNATTRIBUTED,
    )


# --- aggregates ---------------------------------------------------------------------------------------------

GroupKey = tuple[str, date, str, str | None, str, str, str]


class _Groups:
    """The provider's buckets by (service, day, operation, resource, owner, model, tier), and where an event goes."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.groups: dict[GroupKey, Group] = {}
        self.by_day: dict[tuple[str, date, str], list[Group]] = defaultdict(list)
        self.key_projects: dict[tuple[date, str], tuple[str, str]] = {}
        self.projects: set[tuple[date, str]] = set()

    def add(self, service: str, buckets: Iterable[Line]) -> None:
        for bucket in buckets:
            group = self._group(
                service, bucket.day, bucket.operation, bucket.project, bucket.tenant_id, bucket.model, bucket.tier
            )
            group.buckets.append(bucket)
            if service == "openai":
                self.projects.add((bucket.day, bucket.project))
                if bucket.api_key:
                    self.key_projects[bucket.day, bucket.api_key] = bucket.project, bucket.tenant_id
        # Only the provider's own: what events add below is no bucket to match.
        for group in self.groups.values():
            if group.service == service:
                self.by_day[service, group.day, group.operation].append(group)

    def _group(
        self, service: str, day: date, operation: str, resource: str | None, owner: str, model: str, tier: str
    ) -> Group:
        key = (service, day, operation, resource, owner, model, tier)
        return self.groups.setdefault(key, Group(service, day, operation, model, resource, owner, tier))

    def all(self) -> list[Group]:
        return list(self.groups.values())

    def assign(self, event: Tracked) -> None:
        """Add the event to its group: by its resource, else by its tenant's only one, else by where its tenant
        used most of that model, else to a group without a resource.

        AMBIGUITY: an api key that no bucket of the day has does not say its project; a resource that nobody
        knows is a project (or subuser) of its own; where a resource is several tenants', the event goes to
        its own tenant's part, else to nobody's, else to the largest; of models equally long the first by name.
        In a resource the tier comes before the model: the event's own, else the sum that names none; an event
        that names none may be of any.
        """
        tenant = event.tenant or UNATTRIBUTED
        resource, owner = self._resource(event)
        of_the_day = self.by_day.get((event.service, event.day, event.operation), [])
        fitting = [g for g in of_the_day if fits(event, g.model) and (g.tier in ("", event.tier) or not event.tier)]
        if resource is None:
            own = [g for g in fitting if g.owner == tenant]
            used: dict[str | None, Quantity] = defaultdict(int)
            for group in own:
                used[group.resource] += group.units(group.provider)
            if used:
                most = min(used, key=lambda name: (-used[name], str(name)))
                _nearest(event, [g for g in own if g.resource == most]).tracked.append(event)
                return
            owner = UNATTRIBUTED
        else:
            here = [g for g in fitting if g.resource == resource and owner in ("", g.owner)]
            if here:
                nearest = _nearest(event, here)
                parts = [
                    g for g in here if g.model == nearest.model and _tier_rank(event, g) == _tier_rank(event, nearest)
                ]
                rank = {tenant: 0, UNATTRIBUTED: 1}
                best = min(parts, key=lambda g: (rank.get(g.owner, 2), -g.units(g.provider), g.owner, g.tier))
                best.tracked.append(event)
                return
            owner = owner or self._owner(event, resource)
        tier = event.tier if event.service == "openai" else ""
        group = self._group(event.service, event.day, event.operation, resource, owner, event.model, tier)
        group.tracked.append(event)

    def _resource(self, event: Tracked) -> tuple[str | None, str]:
        """(project or subuser, the tenant of the api key where it was a key that was named)."""
        provider, kind = RESOURCES[event.service]
        given = event.resource
        if given and event.service == "openai":
            known = {
                r.resource_id for r in self.directory.resources if (r.provider, r.resource_type) == (provider, kind)
            }
            keys = {r.resource_id for r in self.directory.resources if r.resource_type == "api_key"}
            if given not in known and (event.day, given) not in self.projects:
                if (event.day, given) in self.key_projects:
                    return self.key_projects[event.day, given]
                if given in keys:
                    given = ""
        if given:
            return given, ""
        only = {
            r.resource_id
            for r in self.directory.resources
            if (r.provider, r.resource_type, r.tenant_id) == (provider, kind, event.tenant)
            and self.directory.owner(provider, kind, r.resource_id, event.day) == event.tenant
        }
        return (only.pop(), "") if len(only) == 1 else (None, "")

    def _owner(self, event: Tracked, resource: str) -> str:
        if event.service == "openai":
            return rules.openai_tenant(resource, "", event.day, self.directory)
        return self.directory.owner(*RESOURCES[event.service], resource, event.day) or UNATTRIBUTED


def fits(event: Tracked, model: str) -> bool:
    """The bucket's model is the event's, or one is a dated snapshot of the other. Only OpenAI has models."""
    if event.service != "openai" or event.model == model:
        return True
    return is_snapshot_of(event.model, model) or is_snapshot_of(model, event.model)


def _nearest(event: Tracked, groups: Sequence[Group]) -> Group:
    """The nearest tier; of models the exact one, then the longest name; then the largest."""
    return min(
        groups,
        key=lambda g: (
            _tier_rank(event, g), g.model != event.model, -len(g.model), g.model, -g.units(g.provider), g.owner, g.tier,
        ),
    )  # fmt: skip


def _tier_rank(event: Tracked, group: Group) -> int:
    return 0 if group.tier == event.tier else 1 if group.tier == "" else 2


def group_lines(group: Group, *, final: bool, answered: bool) -> list[Line]:
    """The lines of one group: a tracked one for each tenant, feature, activity and tier, and the residual.

    Without events they are the provider's own lines. How long the calls were that nobody tracked nobody knows: they
    are taken for short ones.
    """
    if not group.tracked:
        return [x for x in group.buckets if x.units or x.requests]
    provider, events = group.provider, group.events
    given, tracked = group.units(provider), group.units(events)
    settled = (given > 0 and (given >= tracked or final)) or (final and answered)
    parts: dict[tuple[str, str, str, str], list[Measures]] = defaultdict(list)
    for event in group.tracked:
        key = (group.tenant_of(event), event.feature or UNTRACKED, event.activity, group.tier_of(event))
        parts[key].append(group.measures(event))
    lines = [
        replace(
            _line(group, tenant_id, "provider" if settled else "tracked", _sum(part)),
            feature=feature,
            activity=activity,
            tier=tier,
        )
        for (tenant_id, feature, activity, tier), part in sorted(parts.items())
    ]
    residual = provider - events
    if not final:
        residual = residual.positive()
    elif not answered:
        residual = Measures()
    if residual:
        lines.append(_line(group, group.owner, "residual", residual))
    return lines


def _line(group: Group, tenant_id: str, evidence: str, measures: Measures) -> Line:
    channel = {"openai": "ai", "sendgrid": "email"}.get(group.service)
    if channel is None:
        channel = "storage" if group.operation == "storage" else "storage_ops"
    return Line(
        tenant_id=tenant_id,
        day=group.day,
        channel=channel,
        service=group.service,
        operation=group.operation,
        direction="outbound" if channel in ("ai", "email") else "none",
        source=group.service,
        evidence=evidence,
        units=group.units(measures),
        requests=0 if channel == "storage" else measures.requests,
        model=group.model,
        tier=group.tier,
        input_tokens=measures.input_tokens,
        cached_input_tokens=measures.cached_input_tokens,
        cache_write_tokens=measures.cache_write_tokens,
        cache_write_1h_tokens=measures.cache_write_1h_tokens,
        output_tokens=measures.output_tokens,
        project=NO_PROJECT if group.resource is None else group.resource,
        owner=group.owner,
    )
