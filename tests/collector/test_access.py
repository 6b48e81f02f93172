"""The guard over HTTP: the same answers as in process, and a cap that holds however many ask."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.collector.conftest import event, token
from tests.sdk.conftest import Base
from usage_metering import UsageGuard
from usage_metering.guard import CAP_REACHED

ACCESS = "/api/v1/access"
SMS = {"tenantId": "acme", "channel": "sms"}


def ask(client: TestClient, what: str, **body: Any) -> dict[str, Any]:
    answer = client.post(f"{ACCESS}/{what}", json=body)
    assert answer.status_code in (200, 204), answer.text
    return answer.json() if answer.content else {}


def test_check_answers_as_the_guard_does(client: TestClient, base: Base) -> None:
    base.make_marts(cap=100, used=90)
    assert ask(client, "check", **SMS, units=10) == {
        "allowed": True,
        "status": "warning",
        "used": "90",
        "reserved": "0",
        "cap": "100",
        "reason": None,
        "message": None,
        "cacheSeconds": 0,
    }
    refused = ask(client, "check", **SMS, units="10.5")
    assert (refused["allowed"], refused["message"], refused["cacheSeconds"]) == (False, CAP_REACHED, 5)
    guard = UsageGuard(base.url, timeout=20)
    access = guard.check("acme", "sms", "10.5")
    guard.close()
    assert (access.allowed, access.used, access.cap) == (False, Decimal(refused["used"]), Decimal(refused["cap"]))


def test_how_long_an_answer_may_be_kept(client: TestClient, base: Base) -> None:
    base.make_marts(cap=100, used=10)
    assert ask(client, "check", **SMS)["cacheSeconds"] == 5
    assert ask(client, "check", tenantId="acme", channel="email")["cacheSeconds"] == 30
    assert ask(client, "check", tenantId="nobody", channel="sms")["cacheSeconds"] == 0


def test_a_reservation_is_settled_released_or_told_by_its_event(client: TestClient, base: Base) -> None:
    base.make_marts(cap=100, used=90)

    def held() -> str:
        return str(ask(client, "check", **SMS)["reserved"])

    first, second, third = (ask(client, "reserve", **SMS, units=3, ttlSeconds=60)["reservationId"] for _ in range(3))
    assert held() == "9"
    assert ask(client, "reserve", **SMS, units=3) | {"used": "", "reserved": ""} == {
        "allowed": False,
        "status": "warning",
        "used": "",
        "reserved": "",
        "cap": "100",
        "reason": CAP_REACHED,
        "message": CAP_REACHED,
        "cacheSeconds": 0,
        "reservationId": None,
    }
    ask(client, "release", reservationId=first)
    assert held() == "6"
    ask(client, "settle", reservationId=second, units=2, externalId="SM" + "2" * 32)
    sent = event(type="twilio_sms.outbound", reservation=third, data={"units": 1, "external_id": "SM" + "3" * 32})
    assert client.post("/api/v1/events", json=sent).status_code == 200
    after = ask(client, "check", **SMS)
    assert (after["used"], after["reserved"]) == ("93", "0")
    # The event of what was settled is not counted beside it.
    same = event(type="twilio_sms.outbound", id="e2", data={"units": 2, "external_id": "SM" + "2" * 32})
    assert client.post("/api/v1/events", json=same).status_code == 200
    assert ask(client, "check", **SMS)["used"] == "93"
    ask(client, "release", reservationId="reservation-of-nobody")


def test_exactly_the_cap_passes_under_many_callers(client: TestClient, base: Base) -> None:
    base.make_marts(cap=40, used=0)

    def reserve(_: int) -> bool:
        return bool(ask(client, "reserve", **SMS)["allowed"])

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(reserve, range(64))) == 40


@pytest.mark.parametrize(
    ("what", "body", "status"),
    [
        ("check", {"tenantId": "acme"}, 422),
        ("check", {**SMS, "channel": "fax"}, 422),
        ("check", {**SMS, "units": -1}, 422),
        ("check", {**SMS, "units": "many"}, 422),
        ("check", {**SMS, "unit": 1}, 422),
        ("check", {**SMS, "tenantId": ""}, 422),
        ("check", [], 422),
        ("reserve", {**SMS, "direction": "up"}, 422),
        ("reserve", {**SMS, "ttlSeconds": 0}, 422),
        ("settle", {"reservationId": "r"}, 422),
        ("settle", {"reservationId": "r", "units": 1e300}, 422),
        ("release", {"reservationId": "r" * 101}, 422),
    ],
)
def test_wrong_questions_are_named(client: TestClient, base: Base, what: str, body: Any, status: int) -> None:
    base.make_marts(cap=100)
    answer = client.post(f"{ACCESS}/{what}", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text


def test_a_token_asks_for_its_tenants_only(client: TestClient, base: Base) -> None:
    base.make_marts(cap=100)
    for what in ("check", "reserve"):
        assert client.post(f"{ACCESS}/{what}", json=SMS, headers=token("globex")).status_code == 403


def test_a_token_ends_its_tenants_reservations_only(client: TestClient, base: Base) -> None:
    base.make_marts(cap=100, used=90)
    held = ask(client, "reserve", **SMS, units=3)["reservationId"]
    for what, body in (("settle", {"units": 0}), ("release", {})):
        answer = client.post(f"{ACCESS}/{what}", json={"reservationId": held, **body}, headers=token("globex"))
        assert (answer.status_code, answer.json()["detail"]) == (403, "This token is not for the reservation's tenant.")
        gone = {"reservationId": "reservation-of-nobody", **body}
        assert client.post(f"{ACCESS}/{what}", json=gone, headers=token("globex")).status_code == 204
    sent = event(type="twilio_sms.outbound", subject="globex", reservation=held, data={"units": 1})
    answer = client.post("/api/v1/events", json=sent, headers=token("globex"))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "reservation")
    assert base.keys() == []
    assert ask(client, "check", **SMS)["reserved"] == "3"
    answer = client.post(f"{ACCESS}/release", json={"reservationId": held}, headers=token("acme"))
    assert answer.status_code == 204
    assert ask(client, "check", **SMS)["reserved"] == "0"


def test_an_event_is_not_settled_as_if_it_were_a_reservation(client: TestClient, base: Base) -> None:
    base.make_marts(cap=100, used=90)
    key = "SM" + "4" * 32
    sent = event(type="twilio_sms.outbound", data={"units": 5, "external_id": key})
    assert client.post("/api/v1/events", json=sent).status_code == 200
    ask(client, "settle", reservationId=key, units=0)
    assert ask(client, "check", **SMS)["used"] == "95"


@pytest.mark.parametrize("client", ["1000"], indirect=True)
def test_without_the_database_the_fail_mode_answers(client: TestClient, base: Base) -> None:
    base.make_marts(cap=100)
    with base.away():
        answer = ask(client, "check", **SMS)
        assert answer["reason"].startswith("the usage check is unavailable")
        assert answer["cacheSeconds"] == 0
        assert client.post(f"{ACCESS}/settle", json={"reservationId": "r", "units": 1}).status_code == 503
