"""`metering prove`: the proof job by hand, of random days or of the days that somebody asks about."""

from __future__ import annotations

import random

import psycopg
from rich.console import Console

from cli.errors import CommandFailed, UsageError
from cli.options import parse_day
from cli.prices import prepared_database


def run_prove(count: int, dates: list[str], *, console: Console) -> None:
    """Prove ``dates``, or ``count`` days at random; a line each.

    Raises:
        UsageError: not a date, or one whose figures may still change.
        CommandFailed: a day's marts are not what raw gives.
    """
    from costs import proofs
    from ingestion.windows import lookback_days

    chosen_days = {parse_day(text, "--date") for text in dates}
    url = prepared_database()
    lookback = lookback_days()
    with psycopg.connect(url) as connection:
        days = proofs.provable_days(connection, lookback)
        doubted = proofs.doubted_days(connection)
    if missing := sorted(chosen_days - {day.usage_date for day in days}):
        raise UsageError(
            f"{missing[0]} cannot be proven: it is not built as final, has changed since, or is in a closed month"
        )
    if chosen_days:
        chosen = [day for day in days if day.usage_date in chosen_days]
    else:
        chosen = proofs.choose(days, doubted, count, random.SystemRandom())
    if not chosen:
        console.print("no day can be proven yet: none is built as final", highlight=False)
        return
    results = proofs.prove(url, chosen, lookback_days=lookback)
    for proof in results:
        console.print(
            f"{proof.usage_date} {proof.status}: {proof.rows_compared} rows compared, {proof.rows_different} different",
            highlight=False,
        )
    if different := [str(proof.usage_date) for proof in results if proof.status == "different"]:
        raise CommandFailed(f"the marts of {', '.join(different)} differ from a rebuild of raw: see ops.proofs")
