"""The proof job: past days, chosen at random, built anew from raw and held against the marts, every night."""

import random

import dagster as dg
import psycopg

from costs import alerts, proofs
from costs.alerts.senders import AlertSettings
from ingestion.windows import lookback_days
from orchestration.assets.alerts import doubts
from orchestration.failures import classified
from orchestration.resources import Warehouse
from usage_metering.clock import as_of

DAYS_A_NIGHT = 3


class ProofConfig(dg.Config):
    """How many days a run proves, beside those whose last proof differed."""

    days: int = DAYS_A_NIGHT


@dg.op(
    description="Build past days into a scratch and compare them with the marts. Fails, naming them, where they differ."
)
def prove_days(context: dg.OpExecutionContext, config: ProofConfig, warehouse: Warehouse) -> None:
    """Choose, prove, alert; a difference fails the run so that it shows among the runs, too."""
    with classified():
        lookback = lookback_days()
        with psycopg.connect(warehouse.url, autocommit=True) as connection:
            days = proofs.provable_days(connection, lookback)
            doubted = proofs.doubted_days(connection)
        chosen = proofs.choose(days, doubted, config.days, random.SystemRandom())
        results = proofs.prove(warehouse.url, chosen, lookback_days=lookback)
        with psycopg.connect(warehouse.url, autocommit=True) as connection:
            alerts.settle(
                connection,
                ["drift"],
                [*alerts.drift_conditions(connection, as_of().date()), *doubts(connection)],
                routes=AlertSettings.from_environment().routes(),
            )
    for proof in results:
        context.log.info(f"{proof.usage_date}: {proof.status}, {proof.rows_compared} rows compared")
    context.add_output_metadata({"proven": [str(proof.usage_date) for proof in results], "provable_days": len(days)})
    if different := [proof for proof in results if proof.status == "different"]:
        raise dg.Failure(
            description="\n".join(
                f"{proof.usage_date}: {proof.rows_different} rows differ from a rebuild of raw (ops.proofs has them):"
                f" `metering rebuild --from {proof.usage_date} --to {proof.usage_date} --only build` after finding out why"
                for proof in different
            ),
            allow_retries=False,
        )


@dg.job(
    executor_def=dg.in_process_executor,
    description="Rebuild randomly chosen past days into a scratch schema and compare them with the marts.",
)
def proof() -> None:
    """One step: it reads raw and marts, and writes ops.proofs and its own scratch schemas."""
    prove_days()


nightly_proof = dg.ScheduleDefinition(
    name="nightly_proof",
    job=proof,
    # After the nightly run and what it was waiting for.
    cron_schedule="40 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=f"{DAYS_A_NIGHT} past days, chosen at random, and those whose last proof differed.",
)
