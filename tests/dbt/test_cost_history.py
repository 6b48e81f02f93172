"""The property: whatever happens to prices, plans, owners and records, the cost as of any instant is what a calculation from
scratch gives with what was known then, and restated − original is the sum of the recorded differences.

The world lives in Python; the calculation from scratch is the oracle's (`tests.oracle.rules`), which shares nothing with dbt.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from costs.closing import close_month, verify_month
from ingestion.windows import Window
from tests.dbt.conftest import Project
from tests.dbt.price_book import PriceBook, build_models
from tests.oracle.records import UNATTRIBUTED, Directory, Price, Resource, Seeds, TenantVersion
from tests.oracle.rules import Line, price_line
from tests.proof import all_in_proof

FIRST, LAST = date(2026, 2, 24), date(2026, 3, 14)
DAYS = [FIRST + timedelta(days=offset) for offset in range((LAST - FIRST).days + 1)]
CLOSED = "2026-02"
STEPS = 8
CLOSING_STEP = 3

Cell = tuple[str, date, str]
Cost = tuple[Decimal | None, Decimal]
"""Estimated cost in USD (None: nothing of it priced) and units without a price."""

# What may have a price: service, operation, model, plan, components.
PRICED = (
    ("twilio_sms", "outbound", "", "", ("unit",)),
    ("twilio_sms", "outbound", "", "pro", ("unit",)),
    ("twilio_sms", "", "", "", ("unit",)),
    ("openai", "chat_completion", "gpt-4o-mini", "", ("input", "cached_input", "output")),
    ("openai", "", "gpt-4o-mini", "pro", ("input", "output")),
    ("openai", "", "house-model", "", ("input", "output")),
)
MODELS = ("gpt-4o-mini-2024-07-18", "house-model", "nobody-knows")
PLANS = ("starter", "pro", "elite")
TENANTS = ("a", "b")
ACCOUNTS = ("AC1", "AC2", "AC3")
PROJECTS = ("proj_1", "proj_2")


@dataclass(frozen=True)
class Message:
    account: str
    day: date
    inbound: bool
    segments: int
    media: int
    failed: bool


@dataclass
class World:
    """All that a cost depends on, as it is known at one time."""

    chance: random.Random
    prices: dict[tuple[str, ...], list[tuple[date | None, date | None, Decimal, int]]] = field(default_factory=dict)
    plans: dict[str, list[tuple[str, date | None, date | None]]] = field(default_factory=dict)
    owners: dict[tuple[str, str], list[tuple[str, date | None, date | None]]] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    completions: dict[tuple[date, str, str], tuple[int, int, int]] = field(default_factory=dict)

    @classmethod
    def begin(cls, seed: int) -> World:
        world = cls(random.Random(seed))
        for service, operation, model, plan, components in PRICED:
            for component in components:
                world.price((service, operation, model, plan, component))
        for tenant in TENANTS:
            world.plan(tenant)
        for account in ACCOUNTS:
            world.owner("subaccount", account)
        for project in PROJECTS:
            world.owner("project", project)
        return world

    def periods(self) -> list[tuple[date | None, date | None]]:
        """Return periods without overlap from ever to ever, cut on random days."""
        cuts = sorted(self.chance.sample(DAYS, self.chance.choice((0, 0, 1, 2))))
        edges = [None, *cuts, None]
        return list(pairwise(edges))

    def price(self, what: tuple[str, ...]) -> None:
        self.prices[what] = [
            (begin, end, Decimal(self.chance.randint(1, 10**6)).scaleb(-6), self.chance.choice((1, 1000, 1_000_000)))
            for begin, end in self.periods()
            if self.chance.random() < 0.85
        ]

    def plan(self, tenant: str) -> None:
        self.plans[tenant] = [(self.chance.choice(PLANS), begin, end) for begin, end in self.periods()]

    def owner(self, kind: str, resource: str) -> None:
        # Sometimes nobody's: then it is the unattributed tenant's.
        self.owners[kind, resource] = [
            (self.chance.choice(TENANTS), begin, end) for begin, end in self.periods() if self.chance.random() < 0.9
        ]

    def use(self, until: date) -> None:
        """Bring records of days up to ``until``: of new days, and late ones."""
        for number in range(self.chance.randint(6, 14)):
            self.messages[f"SM{len(self.messages):04}{number}"] = Message(
                self.chance.choice(ACCOUNTS),
                self.chance.choice([day for day in DAYS if day <= until]),
                self.chance.random() < 0.3,
                self.chance.randint(1, 4),
                int(self.chance.random() < 0.2),
                False,
            )
        for _ in range(self.chance.randint(3, 6)):
            key = (
                self.chance.choice([day for day in DAYS if day <= until]),
                self.chance.choice(PROJECTS),
                self.chance.choice(MODELS),
            )
            tokens = self.chance.randint(0, 5000)
            self.completions[key] = (tokens, self.chance.choice((0, tokens // 3)), self.chance.choice((0, 700)))

    def correct(self) -> None:
        """Change a few of everything that is known already."""
        chance = self.chance
        for sid in chance.sample(sorted(self.messages), min(4, len(self.messages))):
            old = self.messages[sid]
            self.messages[sid] = chance.choice(
                (
                    Message(old.account, old.day, old.inbound, old.segments + 1, old.media, old.failed),
                    Message(chance.choice(ACCOUNTS), old.day, old.inbound, old.segments, old.media, old.failed),
                    Message(old.account, chance.choice(DAYS[:5]), old.inbound, old.segments, old.media, old.failed),
                    Message(old.account, old.day, old.inbound, old.segments, old.media, not old.failed),
                )
            )
        for sid in chance.sample(sorted(self.messages), min(1, len(self.messages))):
            del self.messages[sid]
        for key in chance.sample(sorted(self.completions), min(2, len(self.completions))):
            if chance.random() < 0.3:
                del self.completions[key]
            else:
                self.completions[key] = (chance.randint(1, 9000), 0, chance.randint(0, 900))
        for what in chance.sample(sorted(self.prices), chance.randint(0, 3)):
            self.price(what)
        if chance.random() < 0.4:
            self.plan(chance.choice(TENANTS))
        if chance.random() < 0.4:
            self.owner(*chance.choice(sorted(self.owners)))

    def store(self, project: Project, book: PriceBook) -> None:
        """Put all of it where a build reads it."""
        book.write(
            {
                **dict(zip(("service", "operation", "model", "plan", "component"), what, strict=True)),
                "unit_price_usd": f"{price:f}",
                "per": str(per),
                "effective_from": begin.isoformat() if begin else "",
                "effective_to": end.isoformat() if end else "",
            }
            for what, periods in sorted(self.prices.items())
            for begin, end, price, per in periods
        )
        with psycopg.connect(project.url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "truncate raw.tenants, raw.tenant_resources, raw.twilio_messages, raw.openai_usage_completions"
            )
            cursor.executemany(
                "insert into raw.tenants (tenant_id, name, plan, status, usage_hard_stop_enabled, valid_from, valid_to)"
                " values (%s, 'name', %s, 'active', false, %s, %s)",
                [(tenant, *period) for tenant, periods in self.plans.items() for period in periods],
            )
            cursor.executemany(
                "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id, valid_from, valid_to)"
                " values (%s, %s, %s, %s, %s, %s)",
                [
                    (tenant, "twilio" if kind == "subaccount" else "openai", kind, resource, begin, end)
                    for (kind, resource), periods in self.owners.items()
                    for tenant, begin, end in periods
                ],
            )
            cursor.executemany(
                "insert into raw.twilio_messages (account_id, usage_date, sid, direction, status, num_segments, num_media, date_sent, load_id)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, 'test')",
                [
                    (m.account, m.day, sid, "inbound" if m.inbound else "outbound-api", "failed" if m.failed else "sent",
                     m.segments, m.media, datetime(m.day.year, m.day.month, m.day.day, 12, tzinfo=UTC))
                    for sid, m in self.messages.items()
                ],
            )  # fmt: skip
            cursor.executemany(
                "insert into raw.openai_usage_completions (account_id, usage_date, project_id, model, input_tokens, cached_input_tokens,"
                " output_tokens, num_model_requests, load_id) values ('org', %s, %s, %s, %s, %s, %s, 1, 'test')",
                [(*key, *tokens) for key, tokens in self.completions.items()],
            )

    def costs(self, days: Iterable[date]) -> dict[Cell, Cost]:
        """Return every cell's cost of ``days``, from scratch, by the oracle's rules."""
        wanted = set(days)
        directory = Directory(
            {
                tenant: [TenantVersion(tenant, "name", plan, "active", False, begin, end) for plan, begin, end in periods]
                for tenant, periods in self.plans.items()
            },
            [
                Resource(tenant, kind, kind, resource, begin, end)
                for (kind, resource), periods in self.owners.items()
                for tenant, begin, end in periods
            ],
        )  # fmt: skip
        seeds = Seeds(
            prices=[
                Price(*what, unit_price=price, per=Decimal(per), effective_from=begin, effective_to=end)
                for what, periods in self.prices.items()
                for begin, end, price, per in periods
            ]
        )
        cells: dict[Cell, list[Line]] = {}
        for line in self.lines(directory):
            if line.day in wanted:
                price_line(line, directory, seeds)
                cells.setdefault((line.tenant_id, line.day, line.channel), []).append(line)
        return {cell: _sum(lines) for cell, lines in cells.items()}

    def lines(self, directory: Directory) -> Iterable[Line]:
        for m in self.messages.values():
            if not m.failed:
                tenant = directory.owner("subaccount", "subaccount", m.account, m.day) or UNATTRIBUTED
                direction = "inbound" if m.inbound else "outbound"
                operation = f"mms_{direction}" if m.media else direction
                channel, units = ("mms", 1) if m.media else ("sms", m.segments)
                yield Line(tenant, m.day, channel, "twilio_sms", operation, direction, "twilio", "provider", units, 1)
        for (day, project, model), (tokens, cached, output) in self.completions.items():
            tenant = directory.owner("project", "project", project, day) or UNATTRIBUTED
            yield Line(
                tenant, day, "ai", "openai", "chat_completion", "outbound", "openai", "provider", tokens + output, 1,
                model=model, input_tokens=tokens, cached_input_tokens=cached, output_tokens=output,
            )  # fmt: skip


def _sum(lines: list[Line]) -> Cost:
    priced = [line.estimated for line in lines if line.estimated is not None]
    unpriced = sum((Decimal(line.units) for line in lines if line.estimated is None), Decimal(0))
    return (sum(priced, Decimal(0)) if priced else None, unpriced)


def note_changes(project: Project, load_id: str) -> None:
    """Note what the store did to closed days, as ingests and the directory's load do it, and record these."""
    for table, provider, accounts in (
        ("twilio_messages", "twilio", ACCOUNTS),
        ("openai_usage_completions", "openai", ("org",)),
    ):
        units = [(account, day) for account in accounts for day in DAYS]
        project.execute(
            "select ops.note_record_changes(%s, %s, %s, '{}', '{}', %s)",
            table,
            [account for account, _ in units],
            [day for _, day in units],
            load_id,
        )
        project.ingest(load_id, provider, FIRST.isoformat(), LAST.isoformat())
    project.execute("select ops.note_directory_changes(%s)", load_id)
    project.ingest(load_id, "directory", FIRST.isoformat(), LAST.isoformat())


def as_of(project: Project, at: datetime) -> dict[Cell, Cost]:
    rows = project.execute("select tenant_id, date, channel, cost_usd, unpriced_unit_count from ops.cost_as_of(%s)", at)
    return {(tenant, day, channel): (cost, unpriced) for tenant, day, channel, cost, unpriced in rows}


def comparable(costs: Mapping[Cell, Cost]) -> dict[Cell, Cost]:
    """Return what can be equal: of a closed month nothing and a difference that is undone again are the same 0."""
    found: dict[Cell, Cost] = {}
    for cell, (cost, unpriced) in costs.items():
        if cell[1] >= date(2026, 3, 1):
            found[cell] = (cost, unpriced)
        elif cost or unpriced:
            found[cell] = (cost or Decimal(0), unpriced)
    return found


@pytest.mark.parametrize("seed", all_in_proof([11, 12], [11]))
def test_the_cost_as_of_any_instant_is_what_was_known_then(
    seed: int, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERING_DATABASE_URL", database)
    project, book = Project(database), PriceBook(tmp_path, monkeypatch)
    world = World.begin(seed)
    chance = world.chance
    today = date(2026, 3, 1)
    known: dict[date, World] = {}  # by complete day: the world as its last build knew it
    original: dict[date, dict[Cell, Cost]] = {}
    history: list[tuple[datetime, dict[Cell, Cost]]] = []

    for step in range(STEPS):
        today = min(today + timedelta(days=chance.randint(1, 2)), LAST)
        if step == CLOSING_STEP:
            today = max(today, date(2026, 3, 6))
        world.use(today)
        if step:
            world.correct()
        world.store(project, book)
        note_changes(project, f"load-{step}")
        # Half of the builds begin in the closed month, the others anywhere.
        anywhere = chance.choice([day for day in DAYS if day <= today])
        begin = FIRST if step in (0, CLOSING_STEP) or chance.random() < 0.5 else anywhere
        end = today if step in (0, CLOSING_STEP) else chance.choice([day for day in DAYS if begin <= day <= today])
        noon = datetime(today.year, today.month, today.day, 12, tzinfo=UTC)
        build_models(Window.of_days(begin, end), as_of=noon, select="*" if step == CLOSING_STEP else "+usage_daily")
        if step == CLOSING_STEP:
            project.trust()
            close_month(database, CLOSED, as_of=noon, start_date=FIRST, lookback_days=3, closed_by="test")
        snapshot = deepcopy(world)
        known |= {day: snapshot for day in DAYS if begin <= day <= min(end, today - timedelta(days=1))}
        expected: dict[Cell, Cost] = {}
        for day, then in known.items():
            of_day = then.costs([day])
            original.setdefault(day, of_day)
            expected |= of_day
        ((now,),) = project.execute("select clock_timestamp()")
        history.append((now, expected))

    for at, expected in history:
        assert comparable(as_of(project, at)) == comparable(expected)
    recorded: dict[Cell, Decimal] = {}
    for tenant, day, channel, difference in project.execute(
        "select tenant_id, date, channel, difference_usd from ops.cost_restatements"
        " union all select tenant_id, date, channel, cost_usd from ops.cost_adjustments"
    ):
        recorded[tenant, day, channel] = recorded.get((tenant, day, channel), Decimal(0)) + difference
    restated = history[-1][1]
    first = {cell: cost for costs in original.values() for cell, cost in costs.items()}
    for cell in restated.keys() | first.keys() | recorded.keys():
        difference = (restated.get(cell, (None,))[0] or Decimal(0)) - (first.get(cell, (None,))[0] or Decimal(0))
        assert difference == recorded.get(cell, Decimal(0)), cell

    # The world was busy enough for this to mean something, and the closed month's marts are what they were.
    reasons = {reason for (reason,) in project.execute("select reason from ops.cost_restatements")}
    assert len(recorded) > 20
    assert reasons >= {"usage", "price"}
    assert project.execute("select count(*) > 3 from ops.cost_adjustments where date < '2026-03-01'") == [(True,)]
    verified = verify_month(database, CLOSED)
    assert verified.findings == []
    assert {line.split(":")[0] for line in verified.changes} >= {"raw.twilio_messages", "raw.openai_usage_completions"}
    # One record more than was noted is one finding, for all the noise around it.
    project.execute(
        "delete from raw.twilio_messages where sid = (select min(sid) from raw.twilio_messages where usage_date < '2026-03-01')"
    )
    assert [line.split(" ")[0] for line in verify_month(database, CLOSED).findings] == ["raw.twilio_messages"]
