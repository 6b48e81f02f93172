"""One navigation, by role."""

from __future__ import annotations

import pytest

from api.dashboard.navigation import navigation
from api.dashboard.viewer import Viewer

TENANT = Viewer("acme-admin", "tenant_admin", "acme", b"", False, True)
ROOT = Viewer("root", "root_admin", None, b"", False, True)


def labels(viewer: Viewer) -> list[tuple[str, list[str]]]:
    return [(section.heading, [item.label for item in section.items]) for section in navigation(viewer, "/")]


def test_items_are_the_role_s() -> None:
    assert labels(TENANT) == [("Billing/Usage", ["Usage & Costs"])]
    assert [label for _, items in labels(ROOT) for label in items] == [
        "System usage",
        "Costs",
        "Unattributed",
        "Alerts",
        "Reconciliation",
        "Data freshness",
    ]


@pytest.mark.parametrize(
    ("viewer", "path", "active"),
    [
        (TENANT, "/settings/billing-usage", ["Usage & Costs"]),
        (TENANT, "/settings/nothing", []),
        (ROOT, "/admin/system-usage", ["System usage"]),
        (ROOT, "/admin/usage", ["Costs"]),
        (ROOT, "/admin/usage/acme", ["Costs"]),
        (ROOT, "/admin/usages", []),
        (ROOT, "/admin/unattributed", ["Unattributed"]),
        (ROOT, "/settings/billing-usage", ["System usage"]),
    ],
)
def test_the_active_one_is_marked(viewer: Viewer, path: str, active: list[str]) -> None:
    assert [item.label for section in navigation(viewer, path) for item in section.items if item.active] == active
