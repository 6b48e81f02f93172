"""Proofs: a past day built anew from raw into a scratch, by the as-of of its last build, and held against the marts row by row.

What incremental building promises is that the marts are what a build of everything from scratch would give. This is where it is
checked, every night, on days chosen at random. A difference is kept in `ops.proofs` and is an alert until the day is built again.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from builds.dbt_manifest import parsed_project
from builds.scratch import Scratch, scratch
from costs.alerts import Condition
from ingestion.windows import Window

KEPT_DIFFERENCES = 50

# A day whose figures nothing is expected to change: every provider's is ingested and then built as final, no event has come
# since, and no month is closed over it (then the marts keep what they were, whatever raw says).
PROVABLE = """
select days.usage_date, last_build.build_id, last_build.as_of
from (
    select usage_date
    from ops.source_days
    group by usage_date
    having bool_and(
        ingested_at is not null and built_at is not null and built_as_of is not null and ingested_at <= built_at
        and usage_date < built_as_of - %(lookback)s::int
    )
) as days
inner join lateral (
    select builds.build_id, builds.as_of
    from ops.builds
    where builds.status = 'ok' and builds.window_start <= days.usage_date and builds.window_end > days.usage_date
    order by builds.finished_at desc
    limit 1
) as last_build on true
where
    not exists (select 1 from ops.touched_days where touched_days.usage_date = days.usage_date)
    and not exists (select 1 from ops.closed_months where closed_months.month = to_char(days.usage_date, 'YYYY-MM'))
order by days.usage_date
"""

# Rows on one side that the other has not, in both directions; a row twice is two rows.
DIFFERENT = """
with built as (
    select ({entry}) - 'updated_at' as entry from marts.{mart} as t where {column} = %(day)s
),
proven as (
    select ({entry}) - 'updated_at' as entry from {scratch}.{mart} as t where {column} = %(day)s
),
only_built as (select entry from built except all select entry from proven),
only_proven as (select entry from proven except all select entry from built)
select 'built', entry from only_built where {counts}
union all
select 'proven', entry from only_proven where {counts}
order by 2, 1
"""

# A dense mart's row of zeros says only that the tenant is there: it may have come after the day was built.
NOT_QUIET = """
exists (
    select 1 from jsonb_each(entry) as cell (name, value)
    where (jsonb_typeof(value) = 'number' and value <> '0') or (jsonb_typeof(value) = 'null' and name = 'estimated_cost_usd')
)
"""


@dataclass(frozen=True)
class ProvableDay:
    """A day that can be proven, and the build that its marts are from."""

    usage_date: date
    build_id: str
    as_of: datetime


@dataclass(frozen=True)
class DailyMart:
    """A mart whose rows belong to days.

    Attributes:
        column: the day's.
        is_dense: whether it has rows of zeros for tenants without usage.
        entry: SQL of what is compared of a row ``t``, as JSON: config ``meta.proven_as``, else all of it.
    """

    name: str
    column: str
    is_dense: bool
    entry: str


@dataclass(frozen=True)
class Proof:
    """What came of one day: ``status`` equal, different or moved; the first differences as they are stored."""

    usage_date: date
    status: str
    rows_compared: int
    rows_different: int
    differences: Sequence[dict[str, Any]]


def daily_marts() -> list[DailyMart]:
    """Return every mart that is replaced by days, from the manifest: one that is added is proven, too."""
    marts = []
    for node in parsed_project().data["nodes"].values():
        config = node.get("config", {})
        if node["resource_type"] == "model" and config.get("schema") == "marts" and config.get("window") == "day":
            meta = config.get("meta") or {}
            entry = meta.get("proven_as", "to_jsonb(t)")
            marts.append(DailyMart(node["alias"], config.get("window_column", "date"), bool(meta.get("dense")), entry))
    return sorted(marts, key=lambda mart: mart.name)


def provable_days(connection: psycopg.Connection, lookback_days: int) -> list[ProvableDay]:
    """Return the days whose marts must equal what raw gives, oldest first."""
    rows = connection.execute(PROVABLE, {"lookback": lookback_days}).fetchall()
    return [ProvableDay(*row) for row in rows]


def choose(
    days: Sequence[ProvableDay], doubted: Sequence[date], count: int, chance: random.Random
) -> list[ProvableDay]:
    """Return ``count`` days at random, and those of ``doubted`` (whose last proof differed) besides."""
    again = [day for day in days if day.usage_date in doubted]
    others = [day for day in days if day.usage_date not in doubted]
    return sorted([*again, *chance.sample(others, min(count, len(others)))], key=lambda day: day.usage_date)


def doubted_days(connection: psycopg.Connection) -> list[date]:
    """Return the days whose newest proof differed."""
    rows = connection.execute("select usage_date from ops.day_proofs where status = 'different'").fetchall()
    return [row[0] for row in rows]


def prove(database_url: str, days: Sequence[ProvableDay], *, lookback_days: int) -> list[Proof]:
    """Build ``days`` into a scratch, compare them with the marts, record what came of it and return it.

    Raises:
        ScratchFailed: the scratch cannot be built; nothing is recorded of the day that failed and those after it.
    """
    if not days:
        return []
    marts = daily_marts()
    proof_id = uuid.uuid4().hex[:16]
    proofs = []
    with (
        scratch(database_url) as made,
        psycopg.connect(database_url, autocommit=True) as connection,
    ):
        for day in days:
            (started,) = connection.execute("select clock_timestamp()").fetchone() or (None,)
            made.build(
                Window.of_days(day.usage_date, day.usage_date),
                as_of=day.as_of,
                select=[f"+{mart.name}" for mart in marts],
            )
            proof = compare_day(connection, made, day, marts, lookback_days)
            record_proof(connection, proof_id, started, day, proof)
            proofs.append(proof)
    return proofs


def compare_day(
    connection: psycopg.Connection, made: Scratch, day: ProvableDay, marts: Sequence[DailyMart], lookback_days: int
) -> Proof:
    """Return how a day's marts and those of a scratch that holds the day's build differ."""
    differences: list[dict[str, Any]] = []
    compared = 0
    with connection.transaction():
        # One snapshot for the marts and for the question whether they are still those of that build.
        connection.execute("set transaction isolation level repeatable read, read only")
        for mart in marts:
            named = {
                "mart": sql.Identifier(mart.name),
                "scratch": sql.Identifier(made.schema("marts")),
                "column": sql.Identifier(mart.column),
                "counts": sql.SQL(NOT_QUIET if mart.is_dense else "true"),
                "entry": sql.SQL(mart.entry),
            }
            values = {"day": day.usage_date}
            count = sql.SQL("select count(*) from {scratch}.{mart} where {column} = %(day)s").format(**named)
            compared += (connection.execute(count, values).fetchone() or (0,))[0]
            for side, entry in connection.execute(sql.SQL(DIFFERENT).format(**named), values):
                differences.append({"mart": mart.name, "tenantId": entry.get("tenant_id"), "side": side, "row": entry})
        is_same_build = day in provable_days(connection, lookback_days)
    status = "moved" if not is_same_build else "different" if differences else "equal"
    return Proof(day.usage_date, status, compared, len(differences), kept(differences))


def kept(differences: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the differences that are stored: one of every tenant that has any, and the first ones besides."""
    first = {difference["tenantId"]: difference for difference in reversed(differences)}.values()
    rest = [difference for difference in differences if all(difference is not one for one in first)]
    return [*first, *rest[: max(0, KEPT_DIFFERENCES - len(first))]]


def record_proof(
    connection: psycopg.Connection, proof_id: str, started: datetime | None, day: ProvableDay, proof: Proof
) -> None:
    """Keep what came of a day's proof."""
    connection.execute(
        "insert into ops.proofs (proof_id, usage_date, build_id, as_of, started_at, finished_at, status, rows_compared,"
        " rows_different, differences, directory_digest)"
        " values (%s, %s, %s, %s, %s, clock_timestamp(), %s, %s, %s, %s, ops.directory_digest())",
        (
            proof_id,
            day.usage_date,
            day.build_id,
            day.as_of,
            started,
            proof.status,
            proof.rows_compared,
            proof.rows_different,
            Jsonb(list(proof.differences)),
        ),
    )


CONDITIONS = """
select
    coalesce(difference ->> 'tenantId', 'unattributed'),
    count(distinct usage_date),
    max(usage_date),
    min(difference ->> 'mart')
from ops.day_proofs
cross join jsonb_array_elements(differences) as difference
where status = 'different' and is_current
group by 1
order by 1
"""


def proof_conditions(connection: psycopg.Connection) -> list[Condition]:
    """Return a condition per tenant whose marts are not what raw gives, until the days are built again or proven equal."""
    return [
        Condition(
            tenant_id,
            "drift",
            "critical",
            None,
            f"Figures differ from a rebuild of the raw records on {days} day{'s' if days > 1 else ''}, last on {last}",
            {"days": days, "lastDate": last.isoformat(), "mart": mart},
            subject="proof",
        )
        for tenant_id, days, last, mart in connection.execute(CONDITIONS)
    ]
