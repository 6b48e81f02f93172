"""Old addresses and `/`."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/settings/billing", "/settings/billing-usage"),
        ("/billing/usage", "/settings/billing-usage"),
        ("/admin/billing-usage", "/admin/system-usage"),
        ("/admin/billing-overview", "/admin/system-usage"),
        ("/billing/usage?period=2026-10&x=%26", "/settings/billing-usage?period=2026-10&x=%26"),
    ],
)
def test_old_addresses_lead_on_for_good(anonymous: TestClient, old: str, new: str) -> None:
    answer = anonymous.get(old)
    assert (answer.status_code, answer.headers["location"]) == (308, new)


def test_home_is_the_role_s(anonymous: TestClient) -> None:
    assert anonymous.get("/").headers["location"] == "/sign-in"


def test_a_tenants_home(as_acme: TestClient) -> None:
    assert as_acme.get("/").headers["location"] == "/settings/billing-usage"


def test_the_owners_home(as_root: TestClient) -> None:
    assert as_root.get("/").headers["location"] == "/admin/system-usage"
