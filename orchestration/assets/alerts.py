"""`ops/usage_alerts`: what the marts of this build give reason to tell somebody, and telling it."""

import os
from collections.abc import Sequence

import dagster as dg
import psycopg

from costs import alerts, proofs
from costs.alerts.outbox import Delivery, deliver
from costs.alerts.senders import AlertSettings
from orchestration.assets.ingestion import OWNERS, SINGLE_RUN, AssetEvents
from orchestration.assets.marts import mart_keys
from orchestration.catalog.freshness import FRESH
from orchestration.catalog.runbooks import Runbook, runbook_metadata, with_runbook
from orchestration.failures import classified
from orchestration.partitions import start_date
from orchestration.resources import Warehouse
from usage_metering.clock import as_of

USAGE_ALERTS = dg.AssetKey(["ops", "usage_alerts"])


def build_alerts_asset(partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return `ops/usage_alerts`, after the marts. Partitioned like the rest so that a backfill stays one run."""

    @dg.multi_asset(
        name="usage_alerts",
        specs=[
            dg.AssetSpec(
                USAGE_ALERTS,
                deps=mart_keys(),
                group_name="ops",
                kinds={"postgres"},
                owners=OWNERS,
                freshness_policy=FRESH,
                metadata=runbook_metadata(Runbook.ALERTS),
                description=with_runbook(
                    "Alerts as of now, whatever days were built: thresholds, spikes, anomalies, caps, unpriced usage "
                    "and drift; opened, resolved, and sent. What is about the system itself: sensor operational_alerts.",
                    Runbook.ALERTS,
                ),
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "no_drift",
                asset=USAGE_ALERTS,
                description="Tracked usage agrees with the providers' figures within the tolerance.",
            ),
            dg.AssetCheckSpec(
                "alerts_are_sent",
                asset=USAGE_ALERTS,
                description="No message about an alert waits for credentials, a number, an address, or a provider.",
            ),
        ],
        partitions_def=partitions,
        backfill_policy=SINGLE_RUN,
    )
    def usage_alerts(context: dg.AssetExecutionContext, warehouse: Warehouse) -> AssetEvents:
        settings = AlertSettings.from_environment()
        with classified(), psycopg.connect(warehouse.url, autocommit=True) as connection:
            conditions = alerts.evaluate(connection, as_of().date())
            settled = None
            if conditions is not None:
                settled = alerts.settle(
                    connection, alerts.ALERT_TYPES, [*conditions, *doubts(connection)], routes=settings.routes()
                )
            delivery = deliver(connection, settings.senders())
        if settled is None:
            context.log.warning("the marts are of a later day than this run: no alert was opened or resolved")
        waits = reasons_to_wait(settings, delivery)
        if waits:
            context.log.warning(f"alerts wait to be sent: {'; '.join(waits)}")
        yield dg.MaterializeResult(
            asset_key=USAGE_ALERTS,
            metadata={
                "evaluated": settled is not None,
                "opened": settled.opened if settled else 0,
                "resolved": settled.resolved if settled else 0,
                "open": settled.open if settled else 0,
                "sent": delivery.sent,
                "waiting": sum(delivery.waiting.values()),
            },
        )
        drift = [condition for condition in conditions or () if condition.alert_type == "drift"]
        yield dg.AssetCheckResult(
            asset_key=USAGE_ALERTS,
            check_name="no_drift",
            passed=not drift,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"drifting": [f"{one.tenant_id} {one.channel}: {one.message}" for one in drift]},
        )
        yield dg.AssetCheckResult(
            asset_key=USAGE_ALERTS,
            check_name="alerts_are_sent",
            passed=not waits,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"waiting": list(waits)},
        )

    return usage_alerts


def doubts(connection: psycopg.Connection) -> list[alerts.Condition]:
    """Return what is of the type `drift` beside what the marts say: proofs, days about to be lost, totals below their parts."""
    today = as_of().date()
    return [
        *proofs.proof_conditions(connection),
        *alerts.retention_conditions(connection, today, start_date()),
        *alerts.totals_below_parts(connection, today),
    ]


def reasons_to_wait(settings: AlertSettings, delivery: Delivery) -> Sequence[str]:
    """Return why messages wait, one line each; no value of a variable is in them."""
    lines = [
        f"{count} by {medium}, {obstacle}"
        for medium, count in delivery.waiting.items()
        if (obstacle := settings.obstacle(medium))
    ]
    return [*lines, *delivery.errors]


def has_been_built() -> bool:
    """Whether there are marts to read alerts from."""
    with psycopg.connect(os.environ["METERING_DATABASE_URL"]) as connection:
        return connection.execute("select 1 from ops.current_build").fetchone() is not None
