"""URLs of several hosts: a role's may name replicas, the owner's names the primary alone."""

from __future__ import annotations

import pytest

from warehouse.errors import WarehouseConfigError
from warehouse.urls import check


def test_a_role_s_url_may_name_several_hosts() -> None:
    url = "postgresql://metering_api:secret@replica:5432,primary:5433/metering"
    assert check(url, "METERING_API_DATABASE_URL") == url


@pytest.mark.parametrize("url", ["owner:secret@a,b/metering", "owner:secret@/metering?host=a%2Cb&port=1,2"])
def test_the_owner_s_names_one(url: str) -> None:
    with pytest.raises(WarehouseConfigError, match="METERING_DATABASE_URL names several hosts") as caught:
        check(f"postgresql://{url}")
    assert "secret" not in str(caught.value)


def test_each_port_is_one() -> None:
    with pytest.raises(WarehouseConfigError, match="METERING_API_DATABASE_URL is not a PostgreSQL URL"):
        check("postgresql://metering_api:secret@a:5432,b:99999/metering", "METERING_API_DATABASE_URL")
