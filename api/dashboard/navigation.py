"""The one navigation of all pages: items by role, with icons, the active one marked."""

from __future__ import annotations

from dataclasses import dataclass

from api.auth.tokens import Principal
from api.dashboard import paths
from api.dashboard.viewer import Viewer


@dataclass(frozen=True, slots=True)
class Item:
    """A page in the navigation. ``icon`` is a heroicon's name."""

    label: str
    path: str
    icon: str
    active: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Items under a heading."""

    heading: str
    items: tuple[Item, ...]


TENANT = (("Billing/Usage", (Item("Usage & Costs", paths.TENANT_PAGE, "chart-bar"),)),)
ROOT = (
    (
        "Usage",
        (
            Item("System usage", paths.SYSTEM_USAGE, "squares-2x2"),
            Item("Costs", paths.COSTS, "currency-dollar"),
            Item("Unattributed", paths.UNATTRIBUTED, "question-mark-circle"),
        ),
    ),
    (
        "Operations",
        (
            Item("Alerts", paths.ALERTS, "bell-alert"),
            Item("Reconciliation", paths.RECONCILIATION, "scale"),
            Item("Data freshness", paths.FRESHNESS, "clock"),
        ),
    ),
)


def home(viewer: Viewer | Principal) -> str:
    """Return the page that `/` leads to."""
    return paths.SYSTEM_USAGE if viewer.role == "root_admin" else paths.TENANT_PAGE


def navigation(viewer: Viewer, path: str) -> list[Section]:
    """Return what this viewer may go to. A page below an item's path (one tenant's details) marks the item."""
    # A root admin who looks at one tenant's page came from the list of all.
    shown = paths.SYSTEM_USAGE if viewer.is_root and path.startswith(paths.TENANT_PAGE) else path
    return [
        Section(
            heading,
            tuple(
                Item(item.label, item.path, item.icon, shown == item.path or shown.startswith(f"{item.path}/"))
                for item in items
            ),
        )
        for heading, items in (ROOT if viewer.is_root else TENANT)
    ]
