"""`metering prices`: the price book checked, brought up to date for review, and a change of it held against last month."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli import environment
from cli.amounts import change, usd
from cli.errors import CommandFailed, UsageError

if TYPE_CHECKING:
    from costs.rules.price_book import Price
    from costs.rules.price_sync import Proposal
    from costs.scenarios import Comparison

prices = typer.Typer(no_args_is_help=True, help="The price book: check, sync with published prices, diff.")
out = Console(width=None if sys.stdout.isatty() else 140)
err = Console(stderr=True, width=None if sys.stderr.isatty() else 140)

MonthOption = Annotated[str | None, typer.Option("--month", help="A month such as 2026-10.")]


@prices.command()
def check() -> None:
    """Hold the price book against the rules: overlaps, gaps, negative or unknown entries. Needs no database."""
    from costs.rules.price_book import PriceBookError
    from costs.seeds import check_price_book

    try:
        count = check_price_book()
    except PriceBookError as error:
        raise CommandFailed("\n".join(error.problems)) from None
    out.print(f"price_book.csv: {count} prices, nothing wrong", highlight=False)


@prices.command()
def sync(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the proposals, write nothing.")] = False,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Only this model; an alias takes its model's prices.")
    ] = None,
) -> None:
    """Propose rows for AI providers' models from the package genai-prices (offline), as a change of the seed to review."""
    from costs.rules.price_book import FILE, check, parse_book
    from costs.rules.price_sync import apply, propose
    from costs.rules.published import VENDORS, UnknownModel, published_models, source
    from costs.seeds import check_price_book, plans_of, seed_path
    from usage_metering.clock import as_of

    check_price_book()
    path = seed_path(FILE)
    text = path.read_text()
    try:
        models = published_models(model or ())
    except UnknownModel as error:
        raise UsageError(str(error)) from None
    book, today = parse_book(text), as_of().date()
    proposals = [
        proposal
        for vendor in VENDORS
        for proposal in propose(
            book,
            (model for model in models if model.service == vendor.service),
            today=today,
            source=source(vendor.service),
        )
    ]
    if not proposals:
        sources = ", ".join(source(name) for name in dict.fromkeys(model.service for model in models))
        out.print(f"the price book is up to date for {len(models)} models ({sources})", highlight=False)
        return
    out.print(proposal_table(proposals))
    if dry_run:
        out.print(f"{len(proposals)} rows proposed, nothing written (--dry-run)", highlight=False)
        return
    proposed = apply(text, proposals)
    check(parse_book(proposed), plans=plans_of(seed_path("plans.csv").read_text()))
    path.write_text(proposed)
    out.print(
        f"{len(proposals)} rows proposed in {path}: review `git diff`, see what they do with `metering prices diff`, then commit",
        highlight=False,
        soft_wrap=True,
    )


def proposal_table(proposals: list[Proposal]) -> Table:
    """Return the proposals: a row each."""
    table = Table(title="Proposed prices, USD per million tokens", title_justify="left")
    for name in ("Model", "Operation", "Component", "From", "To", "Why"):
        table.add_column(name)
    table.add_column("Price", justify="right")
    for proposal in proposals:
        price = proposal.price
        table.add_row(
            price.model,
            price.operation,
            _component(price),
            _day(price.effective_from),
            _day(price.effective_to),
            proposal.reason,
            f"{price.unit_price_usd:f}",
        )
    return table


@prices.command()
def diff(
    month: MonthOption = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Another price book than the one in the work tree.")
    ] = None,
) -> None:
    """Show what the price book in the work tree would make of last month's cost, per tenant, before it is taken."""
    import psycopg

    from costs.rules.price_book import FILE, check, differences, parse_book
    from costs.scenarios import built_prices, compare, month_of
    from costs.seeds import plans_of, seed_path

    if file is not None and not file.is_file():
        raise UsageError(f"there is no file {file}")
    path = file or seed_path(FILE)
    text = path.read_text()
    book = parse_book(text, path.name)
    check(book, plans=plans_of(seed_path("plans.csv").read_text()), name=path.name)
    url = prepared_database()
    with psycopg.connect(url) as connection:
        chosen_month = month_of(connection, month, before=1)
        gone, added = differences(built_prices(connection), (price for _, price in book))
    out.print(price_changes(gone, added) if gone or added else "the last build used these prices: none differs")
    comparison = compare(url, chosen_month, seeds={FILE: text})
    out.print(cost_table(comparison))
    warn_if_moved(comparison)


def price_changes(gone: list[Price], added: list[Price]) -> Table:
    """Return what differs between two price books, by key."""
    table = Table(title="Prices that differ from the last build's", title_justify="left")
    for name in ("", "Service", "Operation", "Model", "Plan", "Component", "From", "To"):
        table.add_column(name)
    table.add_column("Price, USD", justify="right")
    rows = [*(("-", price) for price in gone), *(("+", price) for price in added)]
    for sign, price in sorted(rows, key=lambda row: (row[1].key, row[1].begins, row[0] == "+")):
        table.add_row(
            sign,
            price.service,
            price.operation or "any",
            price.model or "any",
            price.plan or "any",
            _component(price),
            _day(price.effective_from),
            _day(price.effective_to),
            f"{price.unit_price_usd.normalize():f} per {price.per:,f}".replace(".000000000000000000", ""),
        )
    return table


def kinds_of_units(units: Mapping[str, Decimal]) -> str:
    """Return quantities by kind, one a line: what is not alike is not added up."""
    return "\n".join(f"{quantity:,.0f} {unit}" for unit, quantity in sorted(units.items()))


def cost_table(comparison: Comparison) -> Table:
    """Return each tenant's cost in the marts and with the other prices, and the sums of both."""
    table = Table(title=f"Cost of {comparison.month.name}, USD", title_justify="left")
    table.add_column("Tenant")
    for name in ("In the marts", "With these prices", "Difference", "%", "Unpriced"):
        table.add_column(name, justify="right")
    sums = [Decimal(0), Decimal(0)]
    for tenant in comparison.tenants():
        now, then = comparison.now.get(tenant), comparison.then.get(tenant)
        old, new = now.cost_usd if now else None, then.cost_usd if then else None
        sums[0] += old or 0
        sums[1] += new or 0
        table.add_row(
            tenant, usd(old), usd(new), *change(old, new), kinds_of_units(then.unpriced_units if then else {})
        )
    table.add_section()
    table.add_row("all", usd(sums[0]), usd(sums[1]), *change(*sums), "")
    return table


def prepared_database() -> str:
    """Return the owner's URL of a migrated database."""
    from cli.instance import require_migrated

    environment.prepare()
    url = os.environ["METERING_DATABASE_URL"]
    require_migrated(url)
    return url


def warn_if_moved(comparison: Comparison) -> None:
    """Say so where not all differences are the proposal's."""
    if comparison.moved_on:
        err.print(
            f"warning: raw holds other usage of {comparison.month.name} than the marts were built from, so not every difference"
            f" is the prices': run `metering rebuild --from {comparison.month.window.start} --to {comparison.month.status_day} --only build`"
            " first",
            highlight=False,
            soft_wrap=True,
        )


def _component(price: Price) -> str:
    return f"{price.component}, {price.tier}" if price.tier else price.component


def _day(day: date | None) -> str:
    return day.isoformat() if day else ""
