"""`metering close`: close a month, or prove that a closed one is as it was; `metering costs`: what costs were as of an instant."""

from __future__ import annotations

import getpass
import json
import os
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli import environment
from cli.amounts import exact
from cli.errors import CommandFailed, UsageError
from cli.options import FIRST_YEAR, parse_month

# As many as a person reads; the rest is counted.
SHOWN_FINDINGS = 20


def close(
    words: Annotated[
        list[str], typer.Argument(metavar="[verify] MONTH", help="2026-10 closes it, `verify 2026-10` verifies.")
    ],
    accept_provisional: Annotated[
        bool, typer.Option("--accept-provisional", help="Accept pending usage whose provider's record never came.")
    ] = False,
    root: Annotated[
        str | None, typer.Option("--root", help="verify: the root that closing printed, kept elsewhere.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="verify: also fail on changes made by recorded runs.")
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without", metavar="PROVIDER", help="Leave out a provider that was not read on every day; repeatable."
        ),
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help="Who closes it; default: the account's name.")] = None,
) -> None:
    """Close a month: its figures stay; later changes are adjustments of an open month. Or verify a closed one."""
    if len(words) == 2 and words[0] == "verify":
        _verify(parse_month(words[1], "close verify"), root, strict)
    elif len(words) == 1 and words[0] != "verify":
        if root or strict:
            raise UsageError("--root and --strict belong to `metering close verify 2026-10`")
        _close(parse_month(words[0], "close"), accept_provisional, without or [], by)
    else:
        raise UsageError(f"write `metering close 2026-10` or `metering close verify 2026-10`, not {' '.join(words)}")


def costs(
    at: Annotated[str, typer.Option("--at", help="An instant, UTC: 2026-11-05T12:00, or a date (its midnight).")],
    month: Annotated[str, typer.Option("--month", help="The month: 2026-10.")],
) -> None:
    """What each tenant's complete days of a month cost by the figures of an instant, and what was booked about them by then."""
    from cli.instance import require_migrated
    from warehouse.migrate import connect

    moment = _instant(at)
    first = date.fromisoformat(f"{parse_month(month, '--month')}-01")
    environment.prepare()
    require_migrated(os.environ["METERING_DATABASE_URL"])
    with connect(os.environ["METERING_DATABASE_URL"]) as connection:
        rows = connection.execute(
            "select tenant_id, sum(coalesce(cost_usd, 0) - adjustment_usd), sum(adjustment_usd), sum(cost_usd), ops.sum_units(unpriced_units)::text"
            " from ops.cost_as_of(%(at)s, %(first)s, (%(first)s::date + interval '1 month' - interval '1 day')::date)"
            " group by tenant_id order by sum(cost_usd) desc nulls last, tenant_id",
            {"at": moment, "first": first},
        ).fetchall()
    table = Table("tenant", "cost USD", "adjustments USD", "total USD", "unpriced")
    for column in table.columns[1:]:
        column.justify = "right"
    for tenant, cost, adjustment, total, unpriced in rows:
        kinds = json.loads(unpriced, parse_float=Decimal, parse_int=Decimal)
        units_by_kind = "\n".join(f"{exact(quantity)} {unit}" for unit, quantity in sorted(kinds.items()))
        table.add_row(tenant, *(exact(value) or "" for value in (cost, adjustment, total)), units_by_kind)
    Console(width=140).print(table)


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--at takes an instant such as 2026-11-05T12:00, not {text}") from None
    if not FIRST_YEAR <= moment.year < date.max.year:
        raise UsageError(f"--at takes an instant such as 2026-11-05T12:00, not {text}")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _prepare() -> str:
    from cli.instance import require_migrated

    environment.prepare()
    url = os.environ["METERING_DATABASE_URL"]
    require_migrated(url)
    return url


def _close(month: str, accept_provisional: bool, without: list[str], by: str | None) -> None:
    from ingestion.config import IngestSettings
    from ingestion.run import PROVIDERS
    from ingestion.windows import lookback_days
    from usage_metering.clock import as_of

    if unknown := sorted(set(without) - PROVIDERS.keys()):
        raise UsageError(f"--without takes one of {', '.join(sorted(PROVIDERS))}, not {unknown[0]}")
    url = _prepare()
    from builds.scratch import ScratchFailed
    from costs.closing import CloseRefused, close_month
    from orchestration.partitions import start_date

    settings = IngestSettings.from_environment()
    try:
        closed = close_month(
            url,
            month,
            as_of=as_of(),
            start_date=start_date(),
            lookback_days=lookback_days(),
            closed_by=by or getpass.getuser(),
            accept_provisional=accept_provisional,
            configured=[name for name in PROVIDERS if settings.credentialed(name)],
            without=without,
        )
    except (CloseRefused, ScratchFailed) as error:
        raise CommandFailed(str(error)) from None
    # print, not rich: a root is copied, and must not be wrapped.
    print(f"{month} is closed: {closed.item_count} rows, root {closed.root}")
    print(
        f"Keep the root where this database's owner cannot write; `metering close verify {month} --root …` asks for it."
    )


def _verify(month: str, root: str | None, strict: bool) -> None:
    url = _prepare()
    from costs.closing import CloseRefused, verify_month

    try:
        result = verify_month(url, month, expected_root=root)
    except CloseRefused as error:
        raise CommandFailed(str(error)) from None
    for line in result.changes:
        print(f"since the close, on record: {line}")
    wrong = [*result.findings, *(result.changes if strict else ())]
    if wrong:
        more = [f"and {len(wrong) - SHOWN_FINDINGS} more"] if len(wrong) > SHOWN_FINDINGS else []
        raise CommandFailed("\n".join([f"{month} has changed since it was closed:", *wrong[:SHOWN_FINDINGS], *more]))
    print(
        f"{month} is as it was closed on {result.closed_at.astimezone(UTC).date()}: {result.item_count} rows, root {result.root}"
    )
