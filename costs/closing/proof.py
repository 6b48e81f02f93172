"""Whether a month's marts are what raw gives: its days built anew into one scratch, and held against the marts, before it is closed."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import date, datetime

import psycopg

from builds.scratch import scratch
from costs import proofs
from costs.closing.readiness import Question
from costs.closing.relations import CloseRefused
from ingestion.windows import Window

# A proof says nothing any more once the day was built again, or another directory was loaded.
UNPROVEN = """
with directory as materialized (select ops.directory_digest() as digest)

select day::date, coalesce(days.build_id, ''), proven.status, proven.differences
from generate_series(%(first)s::timestamp, %(last)s::timestamp, interval '1 day') as day
left join ops.built_days as days on days.usage_date = day::date
left join lateral (
    select found.status, found.differences
    from ops.proofs as found
    inner join ops.day_proofs as newest on newest.usage_date = found.usage_date and newest.finished_at = found.finished_at
    where found.usage_date = day::date and newest.is_current and found.directory_digest = (select digest from directory)
) as proven on true
where proven.status is distinct from 'equal'
order by 1
"""


def prove_month(database_url: str, question: Question, *, as_of: datetime) -> None:
    """Build the month's days that are not proven since their last build into a scratch, compare them with the marts, and
    record what came of it as the nightly proofs do.

    Raises:
        CloseRefused: a day is another; names the mart, the first day, and the remedy.
        ScratchFailed: the scratch cannot be built; nothing is recorded.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        unproven = {day: build_id for day, build_id, _, _ in _unproven(connection, question)}
    if not unproven:
        return
    marts = proofs.daily_marts()
    proof_id = uuid.uuid4().hex[:16]
    with scratch(database_url) as made, psycopg.connect(database_url, autocommit=True) as connection:
        started, digest = connection.execute("select clock_timestamp(), ops.directory_digest()").fetchone() or (
            None,
            None,
        )
        # One build of all of them: final days do not depend on the as-of day, whenever each of them was built.
        made.build(
            Window.of_days(min(unproven), max(unproven)), as_of=as_of, select=[f"+{mart.name}" for mart in marts]
        )
        proven = []
        for day, build_id in unproven.items():
            provable = proofs.ProvableDay(day, build_id, as_of)
            proof = proofs.compare_day(connection, made, provable, marts, question.lookback_days)
            # Whether the day has moved meanwhile is asked under the locks of the close.
            status = "different" if proof.differences else "equal"
            proven.append((provable, replace(proof, status=status)))
    with psycopg.connect(database_url) as connection:
        for provable, proof in proven:
            proofs.record_proof(connection, proof_id, started, provable, proof)
        connection.execute("update ops.proofs set directory_digest = %s where proof_id = %s", (digest, proof_id))
    with psycopg.connect(database_url) as connection:
        refuse_unproven(connection, question)


def refuse_unproven(connection: psycopg.Connection, question: Question) -> None:
    """Refuse days that are not what raw gives, or that something came for while they were proven.

    Raises:
        CloseRefused: one line with the remedy.
    """
    rows = _unproven(connection, question)
    for day, _, status, differences in rows:
        if status == "different":
            mart = differences[0]["mart"]
            raise CloseRefused(
                f"{question.month} cannot be closed: marts.{mart} of {day} differs from a rebuild of raw (rows: ops.proofs); find the cause,"
                f" then run `metering rebuild --from {question.first} --to {question.last} --only build`"
            )
    if rows:
        days = [row[0] for row in rows]
        raise CloseRefused(
            f"{question.month} cannot be closed: it was built, or the tenant directory loaded, while it was being proven;"
            f" run `metering close {question.month}` again ({days[0]} is unproven)"
        )


def _unproven(
    connection: psycopg.Connection, question: Question
) -> list[tuple[date, str, str | None, list[dict[str, str]]]]:
    return connection.execute(UNPROVEN, {"first": question.first, "last": question.last}).fetchall()
