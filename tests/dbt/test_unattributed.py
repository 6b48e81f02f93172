"""marts.unattributed_usage: what used what nobody owns, with no cost lost and none made up."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.dbt.conftest import ALL, Project
from warehouse.urls import as_role

# As `Hasher` writes them: after the name of its key.
OURS, THEIRS = "k1:ours", "k1:theirs"
RESOURCES = (
    "select resource_type, resource_id, service, sum(unit_count), sum(request_count), sum(estimated_cost_usd),"
    " sum(unpriced_unit_count) from marts.unattributed_usage group by 1, 2, 3 order by 1, 2, 3"
)


def as_owner(project: Project, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(as_role(project.url, "metering_api"), autocommit=True) as connection:
        connection.execute("set metering.role = 'root_admin'")
        return connection.execute(statement.encode()).fetchall()


@pytest.fixture
def lost(project: Project) -> Project:
    """Usage of numbers, a project, a subuser and tenants that the directory does not know, beside somebody's."""
    with project.in_one_session():
        project.message("SMours", "2026-03-01 10:00", account_id="ACmain", from_number_hash=OURS, num_segments=2)
        project.message("SMalso", "2026-03-02 10:00", account_id="ACmain", from_number_hash=OURS, num_segments=1)
        project.message("SMtheirs", "2026-03-02 11:00", account_id="ACmain", from_number_hash=THEIRS)
        project.message(
            "SMservice",
            "2026-03-02 12:00",
            account_id="ACmain",
            from_number_hash="h-pool",
            messaging_service_sid="MGlost",
        )
        project.message("SMsomebodys", "2026-03-02 12:00")
        project.insert(
            "twilio_phone_numbers",
            [
                {
                    "account_id": "ACmain",
                    "sid": "PNours",
                    "phone_number": "+15550100",
                    "phone_number_hash": OURS,
                    "number_type": "local",
                    "held_from": "2026-03-01",
                    "last_seen_on": "2026-03-03",
                    "load_id": "test",
                }
            ],
        )
        project.insert(
            "sendgrid_subuser_stats",
            [{"account_id": "lost-mail", "usage_date": "2026-03-01", "requests": 7, "load_id": "test"}],
        )
        for number, tenant in enumerate(("typo", "typo", "")):
            project.event(
                f"place {number}",
                f"2026-03-03 0{number}:00:00",
                tenant_id=tenant,
                service="google_places",
                operation="text_search",
                channel="places",
                direction="none",
                source="google_places",
            )
    project.build(*ALL)
    return project


def test_every_resource_has_what_it_used(lost: Project) -> None:
    found = {row[:3]: (row[3], row[4]) for row in as_owner(lost, RESOURCES)}
    assert found == {
        ("messaging_service", "MGlost", "twilio_sms"): (1, 1),
        ("phone_number", OURS, "twilio_sms"): (3, 2),
        ("phone_number", OURS, "twilio_phone"): (3, 3),
        ("phone_number", THEIRS, "twilio_sms"): (1, 1),
        ("subuser", "lost-mail", "sendgrid"): (7, 7),
        ("tenant", "", "google_places"): (1, 1),
        ("tenant", "typo", "google_places"): (2, 2),
    }


@pytest.mark.parametrize("world", ["lost", "tracked"])
def test_their_cost_is_that_of_what_nobody_owns(request: pytest.FixtureRequest, world: str) -> None:
    lost: Project = request.getfixturevalue(world)
    of_days = lost.execute(
        "select date, service, sum(unit_count), sum(request_count), sum(estimated_cost_usd), sum(unpriced_unit_count)"
        " from marts.usage_daily where tenant_id = 'unattributed' group by 1, 2 order by 1, 2"
    )
    listed = as_owner(
        lost,
        "select date, service, sum(unit_count), sum(request_count), sum(estimated_cost_usd), sum(unpriced_unit_count)"
        " from marts.unattributed_usage group by 1, 2 order by 1, 2",
    )
    assert len(of_days) > 5
    for whole, parts in zip(of_days, listed, strict=True):
        assert parts[:4] == whole[:4]
        assert parts[5] == whole[5]
        # Shares are written to 18 decimals.
        assert (parts[4] is None) == (whole[4] is None)
        assert abs((parts[4] or 0) - (whole[4] or 0)) < Decimal("1e-15")


def test_a_line_of_several_is_shared_out_by_units(lost: Project) -> None:
    rows = as_owner(
        lost,
        "select resource_id, estimated_cost_usd / unit_count from marts.unattributed_usage"
        " where service = 'twilio_sms' and date = '2026-03-02'",
    )
    assert len(rows) == 3
    assert len({price for _, price in rows}) == 1


def test_only_the_owner_sees_it(lost: Project) -> None:
    with psycopg.connect(as_role(lost.url, "metering_api"), autocommit=True) as connection:
        count = b"select count(*) from marts.unattributed_usage"
        assert connection.execute(count).fetchone() == (0,)
        connection.execute("set metering.tenant_id = 'a'")
        assert connection.execute(count).fetchone() == (0,)
        connection.execute("set metering.role = 'root_admin'")
        assert connection.execute(count).fetchone() != (0,)
    ((options,),) = lost.execute(
        "select reloptions::text from pg_class where oid = 'marts.unattributed_usage'::regclass"
    )
    assert "security_barrier=true" in options
