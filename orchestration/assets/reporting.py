"""What several assets report in the same way: figures of each day, and the providers that failed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg

from builds import ledger
from builds.figures import DayFigures


def add_figures(context: dg.AssetExecutionContext, key: dg.AssetKey, figures: Mapping[date, DayFigures]) -> None:
    """Give each day's materialization its own rows and cost: the UI plots numbers, by partition and over time.

    A float is what it plots; exact amounts are in the marts.
    """
    for day, of_day in figures.items():
        metadata: dict[str, Any] = {"dagster/partition_row_count": of_day.rows}
        if of_day.cost_usd is not None:
            metadata["cost_usd"] = float(of_day.cost_usd)
        context.add_asset_metadata(metadata, asset_key=key, partition_key=day.isoformat())


def load_id_of(run_id: str) -> str:
    """Return the load id under which a Dagster run's ingests are recorded."""
    return run_id.replace("-", "")[:16]


def raise_for_failed_providers(database_url: str, run_id: str) -> None:
    """Fail the step for the providers that did not answer in this run.

    Raises:
        dg.Failure: a line for each.
    """
    failed = ledger.failures(database_url, load_id_of(run_id))
    if failed:
        raise dg.Failure(
            description="\n".join(f"{provider}: {error}" for provider, error in failed.items()),
            metadata={"providers": list(failed)},
            allow_retries=False,
        )
