"""R2, from requests and measurements to the marts: classes, peaks, and what was tracked of them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.dbt.conftest import Project, built_world, copy_of

DAY = "2026-03-02"


def operation(action: str, requests: int, bucket: str = "bucket_a") -> dict[str, Any]:
    return {
        "account_id": "cf",
        "usage_date": DAY,
        "bucket": bucket,
        "action_type": action,
        "action_status": "success",
        "response_status": 200,
        "requests": requests,
        "load_id": "test",
    }


def store(project: Project) -> None:
    """A bucket of a's: 1,000 puts of which 300 were tracked, 50 gets, 7 deletes, and 60 GB at its peak."""
    project.insert(
        "tenant_resources",
        [{"tenant_id": "a", "provider": "cloudflare", "resource_type": "bucket", "resource_id": "bucket_a"}],
    )
    project.insert(
        "r2_operations",
        [
            operation("PutObject", 1_000),
            operation("GetObject", 50),
            operation("DeleteObject", 7),
            operation("TeleportObject", 2),
            operation("PutObject", 9, bucket="nobodys"),
        ],
    )
    project.insert(
        "r2_storage",
        [
            {
                "account_id": "cf",
                "usage_date": DAY,
                "bucket": "bucket_a",
                "measured_at": f"{DAY} {time}+00",
                "payload_bytes": payload,
                "metadata_bytes": 0,
                "load_id": "test",
            }
            for time, payload in (("02:00:00", 59_000_000_000), ("10:00:00", 60_000_000_000), ("18:00:00", 1))
        ],
    )
    project.event(
        "puts",
        f"{DAY} 10:00:00",
        service="cloudflare_r2",
        operation="class_a",
        channel="storage_ops",
        direction="none",
        source="cloudflare_r2",
        resource_id="bucket_a",
        units=300,
        feature="uploads",
    )


@pytest.fixture(scope="session")
def stored_template(server: str, standing_template: str) -> str:
    """Name of the database that `stored` copies."""
    return built_world(server, "stored", standing_template, store, days=(DAY, DAY))


@pytest.fixture
def stored(server: str, stored_template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The world of `store`, built."""
    yield from copy_of(server, stored_template, monkeypatch)


def test_the_providers_sums_stand_whatever_was_tracked(stored: Project) -> None:
    found = stored.execute(
        "select tenant_id, channel, operation, direction, feature, evidence, unit, unit_count, request_count, estimated_cost_usd"
        " from marts.usage_daily where service like 'cloudflare_r2%' order by 1, 2, 3, 5"
    )
    common = ("(untracked)", "residual")
    assert found == [
        ("a", "storage", "storage", "none", *common, "gb_days", 60, 0, Decimal("0.03")),
        ("a", "storage_ops", "class_a", "none", *common, "operations", 700, 700, Decimal("0.00315")),
        ("a", "storage_ops", "class_a", "none", "uploads", "provider", "operations", 300, 300, Decimal("0.00135")),
        ("a", "storage_ops", "class_b", "none", *common, "operations", 50, 50, Decimal("0.000018")),
        ("a", "storage_ops", "free", "none", *common, "operations", 7, 7, Decimal(0)),
        ("a", "storage_ops", "unclassified", "none", *common, "operations", 2, 2, None),
        ("unattributed", "storage_ops", "class_a", "none", *common, "operations", 9, 9, Decimal("0.0000405")),
    ]


def test_a_gb_month_in_focus_is_thirty_gb_days(stored: Project) -> None:
    assert stored.execute(
        'select "ConsumedQuantity", "ConsumedUnit", "PricingQuantity", "PricingUnit", "ListUnitPrice", "ListCost"'
        " from marts.focus_cost_and_usage where \"x_Channel\" = 'storage'"
    ) == [(60, "GB-Days", 2, "GB-Months", Decimal("0.015"), Decimal("0.03"))]


def test_storage_cost_of_the_month(stored: Project) -> None:
    [(cost, unpriced)] = stored.execute(
        "select storage_cost_cents, unpriced_unit_count from marts.tenant_monthly where tenant_id = 'a' and month = '2026-03'"
    )
    assert (cost, unpriced) == (Decimal("3.4518"), 2)


def test_reconciliation_compares_like_with_like(stored: Project) -> None:
    """60 GB are no 60 operations."""
    assert stored.execute(
        "select tenant_id, provider_units, tracked_units, state from marts.usage_reconciliation"
        " where service like 'cloudflare_r2%' order by 1"
    ) == [("a", Decimal(1059), 300, "partly_tracked"), ("unattributed", 9, 0, "provider_only")]
