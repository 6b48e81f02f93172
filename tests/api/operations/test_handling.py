"""Several alerts at once: acknowledged, put off, commented on; all or none, and by root admins alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.api.conftest import Headers, bearer, execute
from tests.api.operations.conftest import OperatorStarter
from tests.api.operations.test_acknowledgements import ALERTS

ROUTE = "/api/admin/usage/alerts"
MORE = """
insert into ops.usage_alerts (id, tenant_id, alert_type, severity, subject, message)
overriding system value values (3, 'unattributed', 'provider', 'warning', 'stripe', 'away')
"""


@pytest.fixture
def alerted(own_database: str) -> str:
    execute(own_database, *ALERTS.split(";\n"), MORE)
    return own_database


def written(url: str) -> tuple[Any, Any]:
    with psycopg.connect(url) as connection:
        acknowledged = connection.execute("select alert_id from ops.alert_acknowledgements order by 1").fetchall()
        notes = connection.execute("select alert_id, noted_by, comment from ops.alert_notes order by 1").fetchall()
    return [number for (number,) in acknowledged], notes


def test_no_token_401_and_a_tenant_403(alerted: str, start_operator: OperatorStarter, acme: Headers) -> None:
    body = {"ids": [1], "acknowledge": True}
    with start_operator(alerted) as client:
        assert client.post(ROUTE, json=body).status_code == 401
        assert client.post(ROUTE, json=body, headers=acme).status_code == 403
    assert written(alerted) == ([], [])


def test_all_that_last_are_acknowledged_and_a_comment_stays_at_each(
    alerted: str, start_operator: OperatorStarter
) -> None:
    with start_operator(alerted) as client:
        kim = bearer("root_admin", subject="kim")
        answer = client.post(ROUTE, headers=kim, json={"ids": [3, 1, 2, 1], "acknowledge": True, "comment": "known"})
        assert answer.status_code == 200, answer.text
        items = {item["id"]: item for item in answer.json()["items"]}
        assert {number: item["acknowledgedBy"] for number, item in items.items()} == {1: "kim", 2: None, 3: "kim"}
        listed = client.get(ROUTE, headers=kim).json()["items"]
        assert [(item["id"], item["subject"]) for item in listed] == [(3, "stripe"), (2, None), (1, None)]
        assert {note["comment"] for item in listed for note in item["notes"]} == {"known"}
    assert written(alerted) == ([1, 3], [(1, "kim", "known"), (2, "kim", "known"), (3, "kim", "known")])


def test_what_is_put_off_says_until_when(alerted: str, start_operator: OperatorStarter, root: Headers) -> None:
    before = datetime.now(UTC)
    with start_operator(alerted) as client:
        answer = client.post(ROUTE, headers=root, json={"ids": [1, 2], "snoozeHours": 24})
        (lasting, ended) = answer.json()["items"]
        until = datetime.fromisoformat(lasting["snoozedUntil"])
        assert timedelta(0) <= until - before - timedelta(hours=24) < timedelta(minutes=1)
        assert ended["snoozedUntil"] is None
        (listed,) = [item for item in client.get(ROUTE, headers=root).json()["items"] if item["id"] == 1]
        assert listed["snoozedUntil"] == lasting["snoozedUntil"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"ids": [1, 9], "acknowledge": True}, 404),
        ({"ids": [2**63], "acknowledge": True}, 404),
        ({"ids": [1]}, 422),
        ({"ids": [], "acknowledge": True}, 422),
        ({"ids": [0], "acknowledge": True}, 422),
        ({"ids": [1], "snoozeHours": 0}, 422),
        ({"ids": [1], "comment": ""}, 422),
        ({"ids": [1], "comment": "a\0b"}, 422),
        ({"ids": [1], "acknowledged": True}, 422),
    ],
)
def test_all_or_none(
    alerted: str, start_operator: OperatorStarter, root: Headers, body: dict[str, Any], status: int
) -> None:
    with start_operator(alerted) as client:
        assert client.post(ROUTE, headers=root, json=body).status_code == status
    assert written(alerted) == ([], [])
