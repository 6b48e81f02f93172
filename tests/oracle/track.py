"""Writes what a product would have tracked of a month of provider data, with known defects, and says for each
tenant, day and service which reconciliation state must show.

The provider's records come from any folder that records.py reads. Defects are dealt out by cell (tenant, day,
service), so that most cells have one kind and some have several. The labels are made from what was done here,
never from the oracle's reconciliation. What the rules leave open is kept out.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.oracle import rules
from tests.oracle.counted import counted_lines
from tests.oracle.events import Quantity
from tests.oracle.numbers import number_lines
from tests.oracle.r2 import r2_lines
from tests.oracle.reconciliation import OF_THEIR_OWN, STATES, Where, kind_of
from tests.oracle.recordings import recording_lines
from tests.oracle.records import (
    UNATTRIBUTED,
    Directory,
    DirectoryLoads,
    Provided,
    Reading,
    load_directory,
    load_provided,
    load_r2,
    missing_buckets,
)
from tests.oracle.rules import Line
from tests.oracle.stripe import stripe_lines
from tests.oracle.totals import by_tenant, counted_totals

Row = dict[str, Any]

FEATURES = ("broadcast", "ai_sms", "lead_intake", "reminders", None)
ACTIVITIES = ("lead_scoring", "follow_up", None, None)
ORPHAN_MODELS = ("gpt-4.1-mini", "house-tuned-9", "o3-mini")
MOST_EVENTS = 10  # of one bucket: the rest of its requests stays untracked, without tokens
TOLERANCE = Fraction(1, 100)
# Shares of the cells; what is left is tracked whole.
ROLES = {"untracked": 0.2, "misattributed": 0.06, "orphan": 0.06, "drift": 0.06, "mixed": 0.07}
DEFECTS = ("untracked", "misattributed", "orphan", "drift")
# Services that no provider reports on: service, channel, operation, direction.
SOURCELESS = (
    ("internal", "internal", "workflow_run", "none"),
    ("google_places", "places", "text_search_pro", "none"),
    ("google_places", "places", "place_details_ids_only", "none"),
    ("google_places", "places", "place_details_enterprise_atmosphere", "none"),  # no price
    ("google_places", "places", "a_sku_of_tomorrow", "none"),
)


@dataclass
class Tracking:
    """A month of tracked calls.

    `deliveries`: every row that reaches the database, in the order of received_at: duplicates and conflicting
    payloads too. `labels`: the state of every row that reconciliation must have. `calls`: how many product
    calls there were, `dropped` how many of them nobody tracked.
    """

    deliveries: list[Row] = field(default_factory=list)
    labels: dict[Where, str] = field(default_factory=dict)
    calls: int = 0
    dropped: int = 0

    @property
    def events(self) -> list[Row]:
        """What raw.usage_events must hold in the end: the first delivery of each key."""
        first: dict[str, Row] = {}
        for row in self.deliveries:
            first.setdefault(row["event_key"], row)
        return list(first.values())

    @property
    def rejected(self) -> list[Row]:
        """The deliveries that say something else than the first one of their key."""
        first = {row["event_key"]: payload(row) for row in self.events}
        return [row for row in self.deliveries if payload(row) != first[row["event_key"]]]

    @property
    def duplicates(self) -> int:
        return len(self.deliveries) - len(self.events) - len(self.rejected)

    def late(self) -> list[Row]:
        """The deliveries of events that arrived days after they occurred."""
        return [row for row in self.deliveries if is_late(row)]


def is_late(row: Row) -> bool:
    return bool(row["received_at"] - row["occurred_at"] > timedelta(days=2))


def payload(row: Row) -> Row:
    """What an event says, without when it was received."""
    return {name: value for name, value in row.items() if name != "received_at"}


def track(
    folder: Path | str,
    directory: DirectoryLoads,
    *,
    seed: int,
    first: date,
    last: date,
    as_of: datetime,
    lookback: int = 3,
    parent_stats: str = "total",
    readings: Sequence[Reading] = (),
) -> Tracking:
    """Track the provider data of `folder` on the days first … last (as `compute` takes them)."""
    last = min(last, as_of.date())
    known = load_directory(directory, as_of.date())
    provided = load_provided(Path(folder), as_of, readings)
    load_r2(provided, Path(folder), (*readings, Reading(as_of, first, last)))
    story = _Story(random.Random(f"{seed}:tracking"), known, first, last, as_of, lookback)
    _records(story, provided)
    _numbers(story, provided)
    _r2(story, provided)
    _control_totals(story, provided)
    _openai(story, provided, missing_buckets(Path(folder)).get("openai_usage_completions", ()))
    _sendgrid(story, provided, parent_stats)
    _sourceless(story)
    return story.delivered()


@dataclass
class _Story:
    rng: random.Random
    directory: Directory
    first: date
    last: date
    as_of: datetime
    lookback: int
    rows: list[Row] = field(default_factory=list)
    defects: dict[Where, set[str]] = field(default_factory=lambda: defaultdict(set))
    tracked: set[Where] = field(default_factory=set)
    roles: dict[Where, str] = field(default_factory=dict)
    calls: int = 0
    dropped: int = 0
    number: int = 0

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def role(self, where: Where) -> str:
        """What is wrong in a cell; asked for each of its records, so that `mixed` is something else each time."""
        if where not in self.roles:
            draw, upto = self.rng.random(), 0.0
            self.roles[where] = "clean"
            for role, share in ROLES.items():
                upto += share
                if draw < upto:
                    self.roles[where] = role
                    break
        role = self.roles[where]
        return self.rng.choice((*DEFECTS, "clean")) if role == "mixed" else role

    def final(self, day: date) -> bool:
        return rules.is_final(day, self.as_of, self.lookback)

    def inside(self, day: date) -> bool:
        return self.first <= day <= self.last

    def days(self) -> Iterator[date]:
        for offset in range((self.last - self.first).days + 1):
            yield self.first + timedelta(days=offset)

    def moment(self, day: date) -> datetime:
        second = self.rng.choice((0, 86_399, *(self.rng.randrange(86_400) for _ in range(6))))
        return datetime.combine(day, time(), UTC) + timedelta(seconds=second)

    def other_tenant(self, tenant: str, day: date) -> str:
        """A tenant that has a version on that day and is not this one."""
        others = [t for t in self.directory.versions if t != tenant and self.directory.version(t, day)]
        return self.rng.choice(sorted(others))

    def new_key(self, prefix: str) -> str:
        self.number += 1
        return f"{prefix}{self.rng.getrandbits(64):016x}{self.number:016x}"

    def event(self, at: datetime, **given: Any) -> Row:
        rng = self.rng
        row: Row = {
            "event_key": "",
            "tenant_id": UNATTRIBUTED,
            "service": "",
            "operation": "",
            "channel": "",
            "direction": "none",
            "source": "",
            "feature": rng.choice(FEATURES),
            "activity": rng.choice(ACTIVITIES),
            "model": None,
            "units": 0,
            "input_tokens": None,
            "cached_input_tokens": None,
            "cache_write_tokens": None,
            "cache_write_1h_tokens": None,
            "output_tokens": None,
            "external_id": None,
            "resource_id": None,
            "lead_id": rng.choice((None, "lead-1", "lead-2")),
            "message_id": None,
            "flow_execution_id": rng.choice((None, "flow-9")),
            "metadata": {},
            "occurred_at": at,
            "received_at": at + timedelta(seconds=rng.randrange(1, 90)),
            **given,
        }
        if row["external_id"] is None and not row["event_key"]:
            row["event_key"] = self.new_key("evt-")
        row["event_key"] = row["event_key"] or row["external_id"]
        self.rows.append(row)
        return row

    def delivered(self) -> Tracking:
        """Deliver the events: some twice, some late (of a few days, as after a host's outage), a few again with
        another payload.
        """
        rng, deliveries = self.rng, []
        days = list(self.days())
        outages = set(rng.sample(days[1:], 2)) | {days[len(days) // 2]}
        there = [number for number, row in enumerate(self.rows) if row["occurred_at"].date() in outages]
        late = set(rng.sample(there, min(len(there), len(self.rows) // 50)))
        for number, row in enumerate(self.rows):
            if number in late:
                away = timedelta(days=rng.randrange(3, 7), seconds=rng.randrange(999))
                row["received_at"] = row["occurred_at"] + away
            deliveries.append(row)
            again = timedelta(seconds=rng.choice((1, 60, 86_400, 3 * 86_400)))
            if self.chance(0.05):
                deliveries.append(row | {"received_at": row["received_at"] + again})
            if self.chance(0.005):
                changed = {"units": row["units"] + 1, "feature": "another story"}
                deliveries.append(row | changed | {"received_at": row["received_at"] + again})
        deliveries.sort(key=lambda row: (row["received_at"], row["event_key"]))
        labels = {where: self.label(where, found) for where, found in sorted(self.defects.items())}
        return Tracking(deliveries, labels, self.calls, self.dropped)

    def label(self, where: Where, found: set[str]) -> str:
        worst = next(state for state in STATES if state in found)
        return "partly_tracked" if worst == "provider_only" and where in self.tracked else worst


# --- Twilio -------------------------------------------------------------------------------------------------


def _records(story: _Story, provided: Provided) -> None:
    """One event for a message, one or two for a call; none for some; and some of calls that never were."""
    times: dict[str, datetime | None] = {m.sid: m.date_sent for m in provided.messages}
    times |= {c.sid: c.start_time for c in provided.calls}
    times |= {r.sid: r.date_created for r in provided.recordings} | {t.id: t.created for t in provided.transactions}
    # What others ask for their tenant: an event that names another would give it to them as well.
    parents = {c.parent for c in provided.calls} | {r.call for r in provided.recordings}
    charges = {t.charge for t in provided.transactions}
    parents |= {t.id for t in provided.transactions if t.source in charges}
    # What was not ingested is in no table, and says nothing about what was.
    inside = [t for t in provided.transactions if story.inside(t.created.date())]
    calls = [c for c in provided.calls if c.start_time and story.inside(c.start_time.date())]
    lines = [
        x
        for x in (
            *rules.twilio_lines(provided, story.directory, story.as_of),
            *recording_lines(provided.recordings, calls, story.directory, story.as_of),
            *stripe_lines(inside, story.directory),
        )
        if story.inside(x.day)
    ]
    # A recording whose call was dialled from one outside the window: the call's own event may know more than what was ingested.
    whole_story = {
        x.record: x.owner for x in recording_lines(provided.recordings, provided.calls, story.directory, story.as_of)
    }
    cells: dict[Where, list[Line]] = defaultdict(list)
    for line in lines:
        if whole_story.get(line.record, line.owner) == line.owner:
            cells[line.owner, line.day, kind_of(line)].append(line)
    for where, cell in sorted(cells.items()):
        # Of what is compared only as far as it is tracked there may be nothing to compare.
        if where[2] not in OF_THEIR_OWN:
            story.defects[where].add("matched")
        for line in sorted(cell, key=lambda x: x.record):
            at = times[line.record]
            assert at is not None
            whole = sum(x.units for x in cell)
            _record(story, where, line, at, story.role(where), whole=whole, is_parent=line.record in parents)
        if story.role(where) == "orphan":
            _orphans(story, where, cell[0])
    counted = {x.record for x in lines}
    for m in provided.messages:
        # What failed was tracked when it was sent: it counts no more than its record does.
        if m.date_sent and story.inside(m.date_sent.date()) and m.sid not in counted and story.chance(0.3):
            about = {"service": "twilio_sms", "channel": "sms", "operation": "outbound", "direction": "outbound"}
            owner = rules.message_tenant(m, m.date_sent.date(), story.directory)
            _failing(story, m.sid, m.date_sent, {**about, "source": "twilio", "tenant_id": owner})


def _record(
    story: _Story, where: Where, line: Line, at: datetime, role: str, *, whole: Quantity, is_parent: bool
) -> None:
    owner, day, service = where
    story.calls += 1
    if role == "untracked" and story.chance(0.45):
        story.dropped += 1
        if service not in OF_THEIR_OWN:
            story.defects[where].add("provider_only")
        return
    story.defects[where].add("matched")
    tenant, units = owner, line.units
    if role == "misattributed" and owner != UNATTRIBUTED and not is_parent and story.chance(0.6):
        tenant = story.other_tenant(owner, day)
        story.defects[where].add("misattributed")
        story.defects[tenant, day, service].add("misattributed")
    elif owner == UNATTRIBUTED and not is_parent and line.billed is not None and story.chance(0.3):
        tenant = story.other_tenant(owner, day)  # the directory does not know: the event may
        story.defects[tenant, day, service].add("matched")
    elif role == "drift" and story.chance(0.5):
        units = line.units + -(-whole // 20)  # by 5 % of the cell
        story.defects[where].add("drift")
    story.tracked.add((tenant, day, service))
    if line.billed is None:
        story.defects[where].add("price_pending")
        story.defects[tenant, day, service].add("price_pending")
    about: Row = {
        "service": line.service,
        "channel": line.channel,
        "operation": line.operation,
        "direction": line.direction,
        "source": line.source,
        "tenant_id": tenant,
        "external_id": line.record,
    }
    begun = at - timedelta(seconds=story.rng.choice((0, 1, 30)))
    if line.channel == "voice" and story.chance(0.5):
        # Begun without a word about the feature, which the second event has.
        story.event(begun, **about, units=0, feature=None, event_key=line.record)
        ended = about | {"tenant_id": story.rng.choice((tenant, UNATTRIBUTED))}
        story.event(at + timedelta(minutes=3), **ended, units=units, event_key=f"{line.record}:completed")
    elif story.chance(0.2):
        story.event(begun, **about, units=units, event_key=story.new_key("key-"))
    else:
        story.event(begun, **about, units=units)


def _orphans(story: _Story, where: Where, like: Line) -> None:
    """Events whose record never arrives; some say that they failed, or nothing about minutes: no usage."""
    owner, day, _ = where
    about: Row = {
        "service": like.service,
        "channel": like.channel,
        "operation": like.operation,
        "direction": like.direction,
        "source": like.source,
        "tenant_id": owner,
    }
    prefix = {"voice": "CA", "recording": "RE", "payments": "txn_"}.get(like.channel, "SM")
    units = 1 if like.channel == "payments" else story.rng.randrange(1, 4)
    values = {"amount_minor": 12_345, "fee_minor": 388, "currency": "usd"} if like.operation == "charge" else {}
    story.event(story.moment(day), **about, external_id=story.new_key(prefix), units=units, metadata=values)
    story.defects[where].add("tracked_only")
    if story.chance(0.5):
        _failing(story, story.new_key(prefix), story.moment(day), about)
    if story.chance(0.3):
        sid = story.new_key(prefix)
        story.event(story.moment(day), **about, external_id=sid, units=1, metadata={"status": "canceled"})
    if like.channel == "voice" and story.chance(0.5):
        story.event(story.moment(day), **about, external_id=story.new_key(prefix), units=0)


def _failing(story: _Story, sid: str, at: datetime, about: Row) -> None:
    """A call that was tracked, and the word that it failed."""
    story.event(at, **about, external_id=sid, units=1)
    story.event(
        at + timedelta(seconds=20),
        **about,
        external_id=sid,
        event_key=f"{sid}:failed",
        units=0,
        metadata={"status": "failed"},
    )


def _numbers(story: _Story, provided: Provided) -> None:
    """Some days of numbers: the day of provisioning, and others; and of a number that Twilio never lists."""
    for line in number_lines(provided.listings, story.directory):
        if story.inside(line.day) and story.chance(0.1):
            tenant = story.rng.choice((line.tenant_id, UNATTRIBUTED, story.other_tenant(line.tenant_id, line.day)))
            _number(story, line.day, line.record, tenant, line.operation)
    for day in story.rng.sample(list(story.days()), 3):
        _number(story, day, f"phone:+14155559999:{day}", story.other_tenant(UNATTRIBUTED, day), "local")


def _number(story: _Story, day: date, record: str, tenant: str, kind: str) -> None:
    story.event(
        story.moment(day),
        service="twilio_phone",
        channel="phone",
        operation=kind,
        direction="none",
        source="twilio",
        tenant_id=tenant,
        external_id=record,
        event_key=story.new_key("phone-"),
        units=1,
    )


def _control_totals(story: _Story, provided: Provided) -> None:
    """The sandbox counts as the contract does."""
    for where, accounts in by_tenant(counted_totals(provided.messages, provided.calls), story.directory).items():
        if story.inside(where[1]) and story.final(where[1]) and sum(accounts.values()):
            story.defects[where].add("matched")


# --- Cloudflare ---------------------------------------------------------------------------------------------


def _r2(story: _Story, provided: Provided) -> None:
    """Each bucket's day, as a few events of each class."""
    tally = _Tally()
    lines = [x for x in r2_lines(provided.operations, provided.stored, story.directory) if story.inside(x.day)]
    for line in lines:
        if line.channel == "storage_ops":
            tally.whole[line.tenant_id, line.day, line.service] += line.units
    for line in lines:
        if line.channel == "storage_ops":
            where = (line.tenant_id, line.day, line.service)
            story.defects[where].add("matched")
            _of_bucket(story, where, line, tally)
        else:
            _stored(story, line)
    tally.report(story)


def _stored(story: _Story, line: Line) -> None:
    """What a bucket held is compared where it was tracked; here all of it, or by another tenant, or not at all."""
    where = (line.tenant_id, line.day, "cloudflare_r2_storage")
    tenant = line.tenant_id
    if story.chance(0.6):
        return
    story.defects[where].add("matched")
    if tenant != UNATTRIBUTED and story.chance(0.2):
        tenant = story.other_tenant(tenant, line.day)
        story.defects[where].add("misattributed")
        story.defects[tenant, line.day, where[2]].add("misattributed")
    story.event(story.moment(line.day), **_about_bucket(line, tenant), units=line.units)


def _about_bucket(line: Line, tenant: str) -> Row:
    return {
        "service": line.service,
        "channel": line.channel,
        "operation": line.operation,
        "direction": "none",
        "source": line.source,
        "tenant_id": tenant,
        "resource_id": line.project,
    }


def _of_bucket(story: _Story, where: Where, line: Line, tally: _Tally) -> None:
    owner, day, _ = where
    role = story.role(where)
    parts = _cuts(story, int(line.units), 3)
    for part in parts:
        if not part:
            continue
        story.calls += 1
        if role == "untracked" and story.chance(0.45):
            story.dropped += 1
            tally.residual[where] += part
            continue
        tenant = owner
        if role == "misattributed" and owner != UNATTRIBUTED and story.chance(0.5):
            tenant = story.other_tenant(owner, day)
            story.defects[where].add("misattributed")
            story.defects[tenant, day, line.service].add("misattributed")
        story.tracked.add((tenant, day, line.service))
        story.event(story.moment(day), **_about_bucket(line, tenant), units=part)


# --- OpenAI -------------------------------------------------------------------------------------------------

Part = tuple[int, int, int, int]  # input, of it cached and written to the cache, output


@dataclass
class _Tally:
    """Of one service's cells: what the provider has in all, what of it nobody tracked, and what was tracked
    beyond it of closed and answered days.
    """

    whole: dict[Where, Quantity] = field(default_factory=lambda: defaultdict(int))
    residual: dict[Where, Quantity] = field(default_factory=lambda: defaultdict(int))
    excess: dict[Where, Quantity] = field(default_factory=lambda: defaultdict(int))

    def report(self, story: _Story) -> None:
        """Beyond the tolerance, and whatever is there where the provider has nothing."""
        for found, state in ((self.residual, "provider_only"), (self.excess, "drift")):
            for where, units in found.items():
                if units > TOLERANCE * Fraction(self.whole.get(where, 0)):
                    story.defects[where].add(state)


def _openai(story: _Story, provided: Provided, missing: Iterable[str]) -> None:
    """Each bucket as a few events."""
    groups: dict[tuple[Where, str, str, str, str], list[Line]] = defaultdict(list)
    tally = _Tally()
    models: dict[tuple[date, str, str], set[str]] = defaultdict(set)
    tiers: dict[tuple[date, str, str], set[str]] = defaultdict(set)
    for line in rules.openai_lines(provided.usage, story.directory):
        if story.inside(line.day):
            where = (line.tenant_id, line.day, "openai")
            groups[where, line.project, line.operation, line.model, line.tier].append(line)
            tiers[line.day, line.project, line.operation].add(line.tier)
            tally.whole[where] += line.units
            models[line.day, line.project, line.operation].add(line.model)
    for line in counted_lines(provided.counted, story.directory):
        if story.inside(line.day) and line.in_total:
            where = (line.tenant_id, line.day, "openai")
            story.defects[where].add("matched")
            tally.whole[where] += line.in_total
            tally.residual[where] += line.in_total
    for (where, project, operation, _, _), buckets in sorted(groups.items()):
        if sum(x.units for x in buckets):
            names_tier = len(tiers[where[1], project, operation]) > 1
            _bucket(story, where, buckets, models[where[1], project, operation], tally, names_tier=names_tier)
    _unused_projects(story, provided, missing, tally)
    tally.report(story)


def _bucket(
    story: _Story, where: Where, buckets: Sequence[Line], models: set[str], tally: _Tally, *, names_tier: bool
) -> None:
    """`names_tier`: a call must name how it was processed, so that nobody takes it for another sum's."""
    owner, day, _ = where
    line, role = buckets[0], story.role(where)
    story.defects[where].add("matched")
    # A project that the directory does not know is told by its keys alone: they may be several tenants'.
    unknown = story.directory.owner("openai", "project", line.project, day) is None
    tenant = owner
    if owner == UNATTRIBUTED and story.chance(0.2):
        tenant = story.other_tenant(owner, day)
    about: Row = {
        "service": "openai",
        "channel": "ai",
        "operation": line.operation,
        "direction": "outbound",
        "source": "openai",
        "model": _model_reported(story, line.model, models),
        "tenant_id": tenant,
        "resource_id": line.api_key if unknown or (line.api_key and story.chance(0.3)) else line.project,
        "metadata": _tier_reported(story, line.tier, names_tier=names_tier),
    }
    if _only(story, "openai", "project", owner, day) == line.project and story.chance(0.4):
        about["resource_id"] = None
    kept = 0
    for part in _parts(story, buckets):
        story.calls += 1
        if role == "untracked" and story.chance(0.45):
            story.dropped += 1
            tally.residual[where] += part[0] + part[3]
            continue
        kept += 1
        named = about
        if role == "misattributed" and owner != UNATTRIBUTED and part[0] + part[3] and story.chance(0.5):
            other = story.other_tenant(owner, day)
            named = about | {"tenant_id": other, "resource_id": line.api_key if unknown else line.project}
            story.defects[where].add("misattributed")
            story.defects[other, day, "openai"].add("misattributed")
        elif part[0] + part[3]:
            story.defects[tenant, day, "openai"].add("matched")
        if part[0] + part[3]:
            story.tracked.add((named["tenant_id"], day, "openai"))
        story.event(story.moment(day), **named, **_tokens(part))
    if role == "drift" and kept:
        # More than the provider has: on a closed day that is drift, before it only that the provider is behind.
        more = int(-(-tally.whole[where] // 20))
        story.event(story.moment(day), **about, **_tokens((more, 0, 0, 0)))
        if story.final(day):
            tally.excess[where] += more
        else:
            story.defects[tenant, day, "openai"].add("tracked_only")
    if role == "orphan":
        orphans = [m for m in ORPHAN_MODELS if not any(_alike(m, other) for other in models)]
        if orphans and not unknown:
            named = about | {"model": story.rng.choice(orphans), "resource_id": line.project}
            tokens = story.rng.randrange(1, 900)
            story.event(story.moment(day), **named, **_tokens((tokens, 0, 0, 40)))
            story.defects[tenant, day, "openai"].add("tracked_only")
            if story.final(day):
                tally.excess[where] += tokens + 40


def _tier_reported(story: _Story, tier: str, *, names_tier: bool) -> Row:
    if tier:
        return {"service_tier": story.rng.choice((tier, tier.upper()))} if names_tier or story.chance(0.5) else {}
    return story.rng.choice(({}, {"service_tier": "default"}, {"service_tier": None}))


def _alike(model: str, other: str) -> bool:
    return model == other or rules.is_snapshot_of(model, other) or rules.is_snapshot_of(other, model)


def _model_reported(story: _Story, model: str, models: set[str]) -> str:
    """The bucket's name, or sometimes the one that was asked for, where that can mean no other bucket."""
    for base in ("gpt-4o-mini", "gpt-4o", "gpt-5-mini", "gpt-5"):
        alike = [m for m in models if _alike(base, m)]
        if rules.is_snapshot_of(model, base) and alike == [model] and story.chance(0.4):
            return base
    return model


def _only(story: _Story, provider: str, kind: str, tenant: str, day: date) -> str | None:
    own = {
        r.resource_id
        for r in story.directory.resources
        if (r.provider, r.resource_type, r.tenant_id) == (provider, kind, tenant)
        and story.directory.owner(provider, kind, r.resource_id, day) == tenant
    }
    return next(iter(own)) if len(own) == 1 else None


def _tokens(part: Part) -> Row:
    given, cached, written, output = part
    return {
        "units": given + output,
        "input_tokens": given,
        "cached_input_tokens": cached,
        "cache_write_tokens": written,
        "output_tokens": output,
    }


def _parts(story: _Story, buckets: Sequence[Line]) -> list[Part]:
    """The tokens of the buckets as one part for each request, or for a few."""
    given, cached = sum(x.input_tokens for x in buckets), sum(x.cached_input_tokens for x in buckets)
    written = sum(x.cache_write_tokens for x in buckets)
    output = sum(x.output_tokens for x in buckets)
    requests = int(sum(x.requests for x in buckets))
    count = max(1, min(requests, MOST_EVENTS, given + output))
    inputs, outputs = _cuts(story, given, count), _cuts(story, output, count)
    parts: list[Part] = []
    upto = assigned = put = 0
    for part_in, part_out in zip(inputs, outputs, strict=True):
        upto += part_in
        cached_upto = cached * upto // given if given else 0
        written_upto = (cached + written) * upto // given - cached_upto if given else 0
        parts.append((part_in, cached_upto - assigned, written_upto - put, part_out))
        assigned, put = cached_upto, written_upto
    return parts


def _cuts(story: _Story, total: int, count: int) -> list[int]:
    """A total in `count` parts that sum to it."""
    at = sorted(story.rng.randrange(total + 1) for _ in range(count - 1))
    return [b - a for a, b in zip([0, *at], [*at, total], strict=True)]


def _unused_projects(story: _Story, provided: Provided, missing: Iterable[str], tally: _Tally) -> None:
    """Calls of projects that the provider has nothing of that day: because it never answered, or just so."""
    used = {(u.day, u.project) for u in provided.usage}
    gone = {date.fromisoformat(day) for day in missing}
    projects = sorted({r.resource_id for r in story.directory.resources if r.resource_type == "project"})
    for day in story.days():
        for project in projects:
            owner = rules.openai_tenant(project, "", day, story.directory)
            unused = (day, project) not in used and story.chance(0.08)
            if owner == UNATTRIBUTED or not (day in gone or unused):
                continue
            given = story.rng.randrange(1, 5000)
            tokens = {**_tokens((given, 0, 0, story.rng.randrange(900))), "cache_write_1h_tokens": given // 3}
            story.event(
                story.moment(day),
                service="openai",
                channel="ai",
                operation="chat_completion",
                direction="outbound",
                source="openai",
                model="gpt-4o-mini",
                tenant_id=owner,
                resource_id=project,
                **tokens,
            )
            story.defects[owner, day, "openai"].add("tracked_only")
            if story.final(day) and day not in gone:
                tally.excess[owner, day, "openai"] += tokens["units"]


# --- SendGrid -----------------------------------------------------------------------------------------------


def _sendgrid(story: _Story, provided: Provided, parent_stats: str) -> None:
    """Each subuser's day as a few mails with several recipients."""
    lines = rules.sendgrid_lines(
        provided.emails, provided.subuser_names, story.directory, parent_stats, provided.category_emails
    )
    lines = [x for x in lines if story.inside(x.day)]
    tally = _Tally()
    for line in lines:
        tally.whole[line.tenant_id, line.day, "sendgrid"] += line.units
    for line in lines:
        where = (line.tenant_id, line.day, "sendgrid")
        story.defects[where].add("matched")
        if not line.project or line.project.startswith("category:"):
            tally.residual[where] += line.units  # what the account sent by itself
            continue
        _mails(story, where, line, tally)
    sent = {(x.day, x.project) for x in lines}
    answered = provided.subuser_names | {e.subuser for e in provided.emails}
    for name in sorted({r.resource_id for r in story.directory.resources if r.resource_type == "subuser"}):
        for day in story.days():
            owner = story.directory.owner("sendgrid", "subuser", name, day)
            if owner and (day, name) not in sent and story.chance(0.08):
                units = story.rng.randrange(1, 9)
                story.event(story.moment(day), **_mail(owner, name), units=units)
                story.defects[owner, day, "sendgrid"].add("tracked_only")
                if story.final(day) and name in answered:
                    tally.excess[owner, day, "sendgrid"] += units
    tally.report(story)


def _mail(tenant: str, subuser: str | None) -> Row:
    return {
        "service": "sendgrid",
        "channel": "email",
        "operation": "send",
        "direction": "outbound",
        "source": "sendgrid",
        "tenant_id": tenant,
        "resource_id": subuser,
    }


def _mails(story: _Story, where: Where, line: Line, tally: _Tally) -> None:
    owner, day, _ = where
    role = story.role(where)
    only = _only(story, "sendgrid", "subuser", owner, day) == line.project
    kept = 0
    for count in _cuts(story, int(line.units), min(int(line.units), 5)):
        if not count:
            continue
        story.calls += 1
        if role == "untracked" and story.chance(0.45):
            story.dropped += 1
            tally.residual[where] += count
            continue
        kept += 1
        tenant = owner
        if role == "misattributed" and owner != UNATTRIBUTED and story.chance(0.5):
            tenant = story.other_tenant(owner, day)
            story.defects[where].add("misattributed")
            story.defects[tenant, day, "sendgrid"].add("misattributed")
        story.tracked.add((tenant, day, "sendgrid"))
        unsaid = only and tenant == owner and story.chance(0.5)
        story.event(story.moment(day), **_mail(tenant, None if unsaid else line.project), units=count)
    if role == "drift" and kept:
        more = int(-(-tally.whole[where] // 20))
        story.event(story.moment(day), **_mail(owner, line.project), units=more)
        if story.final(day):
            tally.excess[where] += more
        else:
            story.defects[where].add("tracked_only")


# --- without a provider -------------------------------------------------------------------------------------


def _sourceless(story: _Story) -> None:
    """They count and are nobody's defect."""
    tenants = sorted(story.directory.versions)
    for day in story.days():
        for service, channel, operation, direction in SOURCELESS:
            if story.chance(0.3):
                story.event(
                    story.moment(day),
                    service=service,
                    channel=channel,
                    operation=operation,
                    direction=direction,
                    source=service,
                    tenant_id=story.rng.choice((*tenants, UNATTRIBUTED)),
                    units=Decimal(story.rng.randrange(1, 60)) / 8
                    if channel == "storage"
                    else story.rng.randrange(1, 6),
                )


def counts(labels: Mapping[Where, str]) -> dict[str, int]:
    """How many rows show each state."""
    return {state: sum(label == state for label in labels.values()) for state in STATES}
