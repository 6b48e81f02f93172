"""Finished bodies of the summaries: kept while they are true, for those who may have them, in so much memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from api.kit.database import Build, Database
from api.kit.kept import ENTRY_BYTES, KeptBodies
from builds import ledger
from ingestion.windows import Window
from tests.api.conftest import AppStarter, Headers, bearer

SUMMARY = "/api/billing/usage/summary"
SYSTEM = "/api/admin/billing/usage/system-summary"
WINDOW = Window.of_days(date(2026, 11, 1), date(2026, 11, 20))
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def build_of(minute: int, name: str = "b", *, is_settled: bool = True) -> Build:
    return Build(name, NOON, NOON, NOON + timedelta(minutes=minute), is_settled)


class TestKeptBodies:
    def test_a_body_is_found_for_its_build_alone(self) -> None:
        kept = KeptBodies()
        kept.keep("q", build_of(1), b"one")
        assert kept.find("q", build_of(1)) == b"one"
        assert kept.find("other", build_of(1)) is None
        # Another build, the same one made again, half of the next one, none at all.
        for build in (build_of(1, "c"), build_of(2), build_of(1, is_settled=False), None):
            assert kept.find("q", build) is None

    def test_a_newer_build_drops_the_older_one_s_and_is_not_dropped_by_it(self) -> None:
        kept = KeptBodies()
        kept.keep("q", build_of(1), b"one")
        kept.keep("r", build_of(2), b"two")
        # Read before the second build, and slowly.
        kept.keep("q", build_of(1), b"one")
        kept.keep("s", build_of(3, is_settled=False), b"three")
        kept.keep("s", None, b"three")
        assert (len(kept), kept.find("r", build_of(2))) == (1, b"two")
        assert kept.total_bytes == len("r") + len("two") + ENTRY_BYTES

    def test_it_takes_no_more_than_its_bytes_and_forgets_what_is_asked_least(self) -> None:
        chance = random.Random(15)
        kept = KeptBodies(20_000)
        kept.keep("asked often", build_of(1), b"x")
        for number in range(500):
            body = b"x" * chance.randrange(6_000)
            kept.keep(f"question {chance.randrange(90)}", build_of(1), body)
            assert kept.total_bytes <= 20_000
            assert kept.find("asked often", build_of(1)) == b"x", number
        kept.keep("too large", build_of(1), b"x" * 5_000)
        assert "too large" not in kept
        assert len(kept) > 2


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries for rows, as they are asked."""
    found: list[str] = []
    read = Database.read

    async def noted(self: Database, identity: Any, query: str, parameters: Any, **options: Any) -> Any:
        found.append(query)
        return await read(self, identity, query, parameters, **options)

    monkeypatch.setattr(Database, "read", noted)
    return found


def test_two_tenants_have_one_address_and_two_bodies(
    own_database: str, start_app: AppStarter, acme: Headers, bolt: Headers, reads: list[str]
) -> None:
    with start_app(own_database) as client:
        first = [client.get(SUMMARY, headers=who) for who in (acme, bolt)]
        count = len(reads)
        again = [client.get(SUMMARY, headers=who) for who in (acme, bolt)]
    assert (count, len(reads)) == (2, 2)
    assert [answer.content for answer in again] == [answer.content for answer in first]
    assert [answer.headers["etag"] for answer in again] == [answer.headers["etag"] for answer in first]
    assert [answer.json()["tenantId"] for answer in first] == ["acme", "bolt"]


def test_what_the_owner_was_told_is_not_told_a_tenant(
    own_database: str, start_app: AppStarter, root: Headers, acme: Headers, bolt: Headers
) -> None:
    with start_app(own_database) as client:
        assert client.get(SYSTEM, headers=root).status_code == 200
        assert client.get(SUMMARY, params={"tenantId": "acme"}, headers=root).json()["tenantId"] == "acme"
        for _ in range(2):
            assert client.get(SYSTEM, headers=acme).status_code == 403
            assert client.get(SYSTEM).status_code == 401
            assert client.get(SUMMARY, params={"tenantId": "acme"}).status_code == 401
            assert client.get(SUMMARY, params={"tenantId": "acme"}, headers=bolt).status_code == 404
            assert client.get(SUMMARY, headers=root).status_code == 422


def test_a_304_and_a_kept_body_read_no_rows(
    own_database: str, start_app: AppStarter, acme: Headers, root: Headers, reads: list[str]
) -> None:
    with start_app(own_database) as client:
        etag = client.get(SUMMARY, headers=acme).headers["etag"]
        client.get(f"{SYSTEM}?sort=plan&order=asc", headers=root)
        reads.clear()
        assert client.get(SUMMARY, headers={**acme, "If-None-Match": etag}).status_code == 304
        assert client.get(SUMMARY, headers={**acme, "If-None-Match": '"x"'}).status_code == 200
        assert client.get(f"{SYSTEM}?order=asc&sort=plan", headers=root).status_code == 200
        assert reads == []


@pytest.fixture
def builder(own_database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(own_database, autocommit=True) as connection:
        yield connection


class CountedBodies(KeptBodies):
    asked = hits = 0

    def find(self, question: str, build: Build | None) -> bytes | None:
        body = super().find(question, build)
        self.asked += 1
        self.hits += body is not None
        return body


def test_after_any_history_an_answer_is_that_of_an_api_that_keeps_nothing(
    own_database: str, builder: psycopg.Connection[Any], start_app: AppStarter
) -> None:
    chance = random.Random(15)
    clock = [NOON]
    callers = [bearer("tenant_admin", "acme"), bearer("tenant_admin", "bolt"), bearer("root_admin"), {}]
    asked = [
        *(
            f"{path}?{parameters}"
            for path in (SUMMARY, "/api/admin/usage/summary")
            for parameters in ("", "period=2026-10")
        ),
        *(f"{SUMMARY}?tenantId={tenant}" for tenant in ("acme", "bolt", "nobody")),
        *(
            f"{SYSTEM}?{parameters}"
            for parameters in ("", "limit=2", "search=bolt", "period=2026-10&sort=plan", "sort=x")
        ),
        "/api/root-admin/usage/tenants",
    ]

    usual = [(SUMMARY, callers[0]), (SUMMARY, callers[1]), (SYSTEM, callers[2])]

    def change() -> None:
        statement = chance.choice(
            [
                "update marts.tenant_monthly set total_cost_cents = total_cost_cents + 7, updated_at = clock_timestamp()",
                "update marts.usage_monthly set unit_count = unit_count + 1, updated_at = clock_timestamp() where tenant_id = 'bolt'",
                "update marts.tenants set name = name || 'x', updated_at = clock_timestamp() where tenant_id = 'acme'",
                "update marts.tenant_usage_status set cap = cap + 1",
                "update marts.usage_summary set request_count = request_count + 1 where tenant_id = 'acme'",
            ]
        )
        builder.execute(statement.encode())

    def begin(number: int) -> str:
        # Now and then a build is made again under its name.
        name = f"build-{number - chance.randrange(2)}"
        ledger.begin_build(builder, name, WINDOW, clock[0], [])
        return name

    def step(number: int) -> None:
        kind = chance.choice(["good", "good", "good", "failed", "killed", "live", "acknowledged", "day"])
        if kind in ("good", "failed", "killed"):
            name = begin(number)
            compare()
            change()
            compare()
            if kind != "killed":
                ledger.end_build(builder, name, ok=kind == "good")
        elif kind == "live":
            builder.execute(
                "insert into ops.live_usage_totals values ('acme', 'sms', '2026-11', 'outbound', 1, 5, 1, 3)"
                " on conflict (tenant_id, channel, month, direction) do update set units = live_usage_totals.units + 5"
            )
        elif kind == "acknowledged":
            builder.execute("update ops.usage_alerts set resolved_at = clock_timestamp()")
        elif kind == "day":
            clock[0] += timedelta(days=1)

    def compare() -> None:
        # A few at a time, each more than once: what is kept is asked for again.
        some = [(chance.choice(asked), chance.choice(callers)) for _ in range(3)] + usual
        for address, caller in chance.choices(some, k=6):
            told = [client.get(address, headers=caller) for client in (keeping, forgetting)]
            assert told[0].status_code == told[1].status_code
            assert told[0].headers.get("etag") == told[1].headers.get("etag")
            assert told[0].content == told[1].content or told[0].status_code == 422, (address, caller)

    with ExitStack() as stack:
        keeping, forgetting = (stack.enter_context(start_app(own_database)) for _ in range(2))
        kept = CountedBodies()
        for client, bodies in ((keeping, kept), (forgetting, KeptBodies(0))):
            app: Any = client.app
            app.state.services = replace(app.state.services, now=lambda: clock[0], kept=bodies)
        for number in range(16):
            step(number)
            compare()
        assert not len(forgetting.app.state.services.kept)  # type: ignore[attr-defined]
    # Both happened often: a kept body was the answer, and none was.
    assert 10 < kept.hits < kept.asked - 10


def test_a_body_read_on_the_old_day_is_not_the_new_day_s(
    own_database: str, start_app: AppStarter, acme: Headers
) -> None:
    """The clock of a request stands still: what is read before midnight is kept for the day before."""
    with start_app(own_database) as client:
        app: Any = client.app
        ticks = iter([NOON.replace(hour=23, minute=59)])
        app.state.services = replace(app.state.services, now=lambda: next(ticks, NOON + timedelta(days=1)))
        old = client.get(SUMMARY, headers=acme)
        new = client.get(SUMMARY, headers=acme)
    assert old.headers["etag"] != new.headers["etag"]
    assert [answer.json()["dailyUsage"][-1]["date"] for answer in (old, new)] == ["2026-11-20", "2026-11-21"]
