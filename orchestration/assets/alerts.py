"""`ops/usage_alerts`: what the marts of this build give reason to tell somebody."""

from collections import Counter

import dagster as dg
import psycopg

from ingestion.config import IngestSettings
from ingestion.windows import as_of
from orchestration import alerts, proofs
from orchestration.alerts import outbox
from orchestration.alerts.senders import AlertSettings, make_senders
from orchestration.assets.ingestion import DIRECTORY_KEYS, OWNERS, SINGLE_RUN, AssetEvents
from orchestration.assets.marts import RAW_KEYS, mart_keys
from orchestration.failures import classified
from orchestration.resources import Warehouse

USAGE_ALERTS = dg.AssetKey(["ops", "usage_alerts"])


def build_alerts_asset(partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return `ops/usage_alerts`, after the marts. Partitioned like the rest so that a backfill stays one run."""

    @dg.multi_asset(
        name="usage_alerts",
        specs=[
            dg.AssetSpec(
                USAGE_ALERTS,
                deps=[*mart_keys(), *RAW_KEYS, *DIRECTORY_KEYS],
                group_name="ops",
                kinds={"postgres"},
                owners=OWNERS,
                description="Open and resolved alerts of all kinds, and the critical ones sent: see docs/alerts.md.",
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "no_drift",
                asset=USAGE_ALERTS,
                description="Tracked usage agrees with the providers' figures within the tolerance.",
            )
        ],
        partitions_def=partitions,
        backfill_policy=SINGLE_RUN,
    )
    def usage_alerts(warehouse: Warehouse) -> AssetEvents:
        settings = AlertSettings.from_environment()
        with classified(), psycopg.connect(warehouse.url, autocommit=True) as connection:
            conditions = [*alerts.holding(connection, as_of().date()), *proofs.proof_conditions(connection)]
            settled = alerts.settle(connection, alerts.ALERT_TYPES, conditions, media=settings.media())
            senders = make_senders(settings, IngestSettings.from_environment())
            delivered = outbox.deliver(connection, senders)
        drift = [found for found in conditions if found.alert_type == "drift" and found.severity == "warning"]
        yield dg.MaterializeResult(
            asset_key=USAGE_ALERTS,
            metadata={
                "opened": settled.opened,
                "resolved": settled.resolved,
                "open": settled.open,
                "messages_sent": delivered.sent,
                "messages_waiting": delivered.failed,
                **Counter(f"open_{found.alert_type}" for found in conditions),
            },
        )
        yield dg.AssetCheckResult(
            asset_key=USAGE_ALERTS,
            check_name="no_drift",
            passed=not drift,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"drifting": [f"{found.tenant_id} {found.channel}: {found.message}" for found in drift]},
        )

    return usage_alerts
