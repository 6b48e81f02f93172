"""What is answered with a 2xx is committed once; what is not says why, and leaves nothing."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.collector.conftest import event, token
from tests.sdk.conftest import Base
from usage_metering import UsageEvent, UsageTracker
from usage_metering.redact import Redactor

BATCH = {"content-type": "application/cloudevents-batch+json"}
ONE = {"content-type": "application/cloudevents+json"}
EVENTS = "/api/v1/events"
STORED = (
    "select tenant_id, service, operation, units, feature, source, external_id from raw.usage_events order by event_key"
)


def test_an_event_is_stored_as_the_sdk_stores_it(client: TestClient, base: Base) -> None:
    answer = client.post(EVENTS, json=event(), headers=ONE)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "accepted": 1,
            "duplicates": 0,
            "rejected": 0,
            "results": [{"id": "export-1", "status": "accepted", "field": None, "detail": None}],
        },
    )
    assert base.rows(STORED) == [("acme", "internal", "export", Decimal(3), "reports", "internal", None)]
    assert base.keys() == ["internal:acme:/shop export-1"]


def test_an_event_counts_once_by_source_and_id_within_its_tenant(client: TestClient, base: Base) -> None:
    batch = [event(), event(), event(subject="globex"), event(source="/other"), event(data={"units": 4})]
    answer = client.post(EVENTS, json=batch, headers=BATCH)
    assert answer.status_code == 207
    assert [one["status"] for one in answer.json()["results"]] == [
        "accepted",
        "duplicate",
        "accepted",
        "accepted",
        "rejected",
    ]
    assert answer.json()["results"][4]["field"] == "id"
    assert base.rows("select sum(units) from raw.usage_events") == [(Decimal(9),)]
    again = client.post(EVENTS, json=batch[:4], headers=BATCH)
    assert (again.status_code, again.json()["duplicates"]) == (200, 4)


def test_an_event_that_is_sent_again_later_is_the_same(client: TestClient, base: Base) -> None:
    for time, expected in (("2026-11-20T09:00:00Z", "accepted"), ("2026-11-20T09:00:07Z", "duplicate")):
        answer = client.post(EVENTS, json=event(time=time), headers=ONE)
        assert answer.json()["results"][0]["status"] == expected
    assert base.rows("select occurred_at at time zone 'UTC' from raw.usage_events") == [
        (datetime.fromisoformat("2026-11-20T09:00"),)
    ]


def test_output_tokens_alone_are_a_quantity(client: TestClient, base: Base) -> None:
    data = {"tokens": "5", "type": "output", "model": "llama"}
    assert client.post(EVENTS, json=event(type="prompt", data=data), headers=ONE).status_code == 200
    assert base.rows("select units, output_tokens from raw.usage_events") == [(Decimal(5), 5)]


def test_the_provider_s_id_makes_it_one_with_what_the_sdk_recorded(
    client: TestClient, base: Base, tmp_path: Path
) -> None:
    sent = {"units": 2, "external_id": "SM" + "1" * 32}
    with UsageTracker(base.url, tmp_path / "spool") as tracker:
        tracker.record("acme", "twilio_sms", "outbound", 3, external_id=sent["external_id"], feature="broadcast")
        assert tracker.flush(20)
    for source in ("/shop", "/gateway", "/shop"):
        answer = client.post(EVENTS, json=event(type="twilio_sms.outbound", source=source, data=sent), headers=ONE)
        assert (answer.status_code, answer.json()["rejected"]) == (200, 0)
    # Each says it in its own words under a key of its own, and what counts is one record.
    key = sent["external_id"]
    assert base.keys() == [key, "twilio_sms:acme:/gateway export-1", "twilio_sms:acme:/shop export-1"]
    assert base.rows("select distinct record_key from raw.usage_events") == [(key,)]
    assert base.rows("select sum(units), count(*) from ops.live_usage") == [(Decimal(3), 1)]


def test_a_token_of_one_tenant_takes_no_other_tenant_s_key(client: TestClient, base: Base, tmp_path: Path) -> None:
    key = "SM" + "5" * 32
    sent = UsageEvent.make(
        service="twilio_sms",
        operation="outbound",
        tenant_id="globex",
        external_id=key,
        now=datetime.fromisoformat("2026-11-20T08:00Z"),
    )
    answer = client.post(EVENTS, json=sent.to_cloudevent(), headers={**ONE, **token("globex")})
    assert answer.status_code == 200
    with UsageTracker(base.url, tmp_path / "spool") as tracker:
        assert tracker.record("acme", "twilio_sms", "outbound", external_id=key) == key
        assert tracker.flush(20)
    assert base.rows("select tenant_id from raw.usage_events where event_key = %s", key) == [("acme",)]
    assert base.rows("select count(*) from raw.rejected_records") == [(0,)]


def test_an_exported_event_is_read_back_as_itself(client: TestClient, base: Base) -> None:
    exported = UsageEvent.make(
        service="internal",
        tenant_id="acme",
        units="1.5",
        event_key="k1",
        now=datetime.fromisoformat("2026-11-20T08:00Z"),
    )
    for expected in ("accepted", "duplicate"):
        answer = client.post(EVENTS, json=exported.to_cloudevent(), headers=ONE)
        assert answer.json()["results"][0]["status"] == expected
    assert base.keys() == ["k1"]


def test_binary_mode_and_gzip(client: TestClient, base: Base) -> None:
    attributes = {f"ce-{name}": str(value) for name, value in event().items() if name != "data"}
    headers = {**attributes, "content-type": "application/json", "content-encoding": "gzip"}
    answer = client.post(EVENTS, content=gzip.compress(json.dumps({"units": "0.1"}).encode()), headers=headers)
    assert answer.status_code == 200
    assert base.rows("select units from raw.usage_events") == [(Decimal("0.1"),)]


def test_a_client_that_takes_no_json_is_told_by_the_status_alone(client: TestClient) -> None:
    answer = client.post(EVENTS, json=event(), headers={**ONE, "accept": "application/problem+json"})
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_quantity_is_a_decimal(client: TestClient, base: Base) -> None:
    body = json.dumps(event(data={"units": 0})).replace('"units": 0', '"units": 0.123456789012345678')
    assert client.post(EVENTS, content=body, headers=ONE).status_code == 200
    assert base.rows("select units from raw.usage_events") == [(Decimal("0.123456789012345678"),)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"id": ""}, "id"),
        ({"id": 7}, "id"),
        ({"source": None}, "source"),
        ({"type": None}, "type"),
        ({"type": "sms"}, "type"),
        ({"type": "fax.outbound"}, "type"),
        ({"time": "yesterday"}, "time"),
        ({"time": "1999-01-01T00:00:00Z"}, "time"),
        ({"subject": 7}, "subject"),
        ({"subject": "a" * 501}, "subject"),
        ({"data": None}, "units"),
        ({"data": [1]}, "data"),
        ({"data": {}}, "units"),
        ({"data": {"units": -1}}, "units"),
        ({"data": {"units": "many"}}, "units"),
        ({"data": {"units": 1, "price": 2}}, "price"),
        ({"data": {"units": 1, "tenant_id": "globex"}}, "subject"),
        ({"data": {"units": 1, "metadata": "text"}}, "metadata"),
        ({"datacontenttype": "text/plain"}, "datacontenttype"),
        ({"reservation": 7}, "reservation"),
        ({"data": {"units": 1, "event_key": "mine"}}, "id"),
    ],
)
def test_what_is_no_event_is_refused_by_its_field(
    client: TestClient, base: Base, changes: dict[str, Any], field: str
) -> None:
    answer = client.post(EVENTS, json=[event(**changes), event(id="good")], headers=BATCH)
    assert answer.status_code == 207
    bad, good = answer.json()["results"]
    assert (bad["status"], bad["field"], good["status"]) == ("rejected", field, "accepted")
    assert len(base.keys()) == 1
    alone = client.post(EVENTS, json=event(**changes), headers=ONE)
    assert (alone.status_code, alone.headers["content-type"]) == (422, "application/problem+json")
    assert alone.json()["errors"][0]["field"] == field
    assert base.rows("select count(*) from raw.rejected_records") == [(0,)]


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", ONE, 400),
        (b"[" * 100_000, ONE, 400),
        (b'{"a": NaN}', ONE, 400),
        (b"[]", ONE, 400),
        (b"{}", BATCH, 400),
        (b"\xff\xfe", ONE, 400),
        (b"", ONE, 400),
        (b"<xml/>", {"content-type": "application/xml"}, 415),
        (b"{}", {**ONE, "content-encoding": "br"}, 415),
        (b"{}", {**ONE, "content-encoding": "gzip"}, 400),
        # Without a time: each worker must make the same case.
        (gzip.compress(b"{}", mtime=0)[:-4], {**ONE, "content-encoding": "gzip"}, 400),
        (gzip.compress(b" " * 5_000_000, mtime=0), {**ONE, "content-encoding": "gzip"}, 413),
        (b" " * 5_000_000, ONE, 413),
        (json.dumps([{}] * 5_001).encode(), BATCH, 400),
        (b"1", ONE, 422),
        (b"null", ONE, 422),
        (b'"\\ud800"', ONE, 422),
        (b'{"id": "\\u0000", "specversion": "1.0", "source": "s", "type": "internal.x", "data": {"units": 1e999999999}}', ONE, 422),
    ],
)  # fmt: skip
def test_hostile_bodies_are_refused_whole(
    client: TestClient, base: Base, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = client.post(EVENTS, content=content, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert base.keys() == []


def test_an_empty_batch_is_no_error(client: TestClient) -> None:
    assert client.post(EVENTS, json=[], headers=BATCH).json()["accepted"] == 0


def test_a_token_writes_for_its_tenants_and_services_only(client: TestClient, base: Base) -> None:
    headers = {**BATCH, **token("acme", services=("internal",))}
    batch = [event(), event(subject="globex"), event(subject="globex", id="2"), event(type="twilio_sms.outbound")]
    results = client.post(EVENTS, json=batch, headers=headers).json()["results"]
    assert [(one["status"], one["field"]) for one in results] == [
        ("accepted", None),
        ("rejected", "subject"),
        ("rejected", "subject"),
        ("rejected", "type"),
    ]
    assert base.rows("select distinct tenant_id, service from raw.usage_events") == [("acme", "internal")]


def test_who_names_no_tenant_is_the_only_one_of_the_token(client: TestClient, base: Base) -> None:
    silent = event(subject=None)
    assert client.post(EVENTS, json=silent, headers={**ONE, **token("acme", "globex")}).status_code == 422
    assert client.post(EVENTS, json=silent, headers={**ONE, **token("acme")}).status_code == 200
    assert client.post(EVENTS, json=silent, headers=ONE).status_code == 200
    assert base.rows("select tenant_id from raw.usage_events order by 1") == [("acme",), ("unattributed",)]


def test_a_token_of_one_tenant_takes_no_other_s_key(client: TestClient, base: Base) -> None:
    taken = event(type="usage-metering.usage.recorded", id="theirs", data={"service": "internal", "units": 1})
    assert client.post(EVENTS, json=taken, headers={**ONE, **token("acme")}).status_code == 200
    assert base.keys() == ["internal:acme:/shop theirs"]


def test_contents_and_numbers_are_not_kept(client: TestClient, base: Base) -> None:
    data = {"units": 1, "lead_id": "+1 901 555 0137", "metadata": {"prompt": "secret words", "to": "+19015550137"}}
    assert client.post(EVENTS, json=event(data=data, id="+19015550137"), headers=ONE).status_code == 200
    (stored,) = base.rows("select row_to_json(usage_events)::text from raw.usage_events")
    assert "9015550137" not in stored[0]
    assert "secret words" not in stored[0]


def test_an_absent_database_is_503_and_loses_nothing(client: TestClient, base: Base) -> None:
    with base.away():
        answer = client.post(EVENTS, json=event(), headers=ONE)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["title"]) == (503, "Not ready")
        assert client.get("/healthz").status_code == 200
    assert client.post(EVENTS, json=event(), headers=ONE).json()["accepted"] == 1
    assert client.get("/readyz").json() == {"status": "ready"}


def test_many_clients_at_once_count_each_event_once(client: TestClient, base: Base) -> None:
    def send(worker: int) -> int:
        batch = [event(id=f"e{(worker // 2) * 20 + number}") for number in range(20)]  # each batch is sent by two
        answer = client.post(EVENTS, json=batch, headers=BATCH)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["accepted"])

    with ThreadPoolExecutor(16) as pool:
        accepted = sum(pool.map(send, range(16)))
    assert accepted == len(base.keys()) == 160


def test_metrics_and_the_openapi_document(client: TestClient) -> None:
    client.post(EVENTS, json=event(), headers=ONE)
    assert 'handler="/api/v1/events",method="POST",status="200"' in client.get("/metrics").text
    paths = client.get("/openapi.json").json()["paths"]
    assert {f"/api/v1/access/{name}" for name in ("check", "reserve", "settle", "release")} | {EVENTS} <= set(paths)


def test_a_subject_may_be_a_key_of_the_directory(client: TestClient, base: Base) -> None:
    base.rows(
        "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id, resource_hash, valid_from, valid_to) values"
        " ('acme', 'openai', 'project', 'proj_1', null, null, '2026-11-20'),"
        " ('globex', 'openai', 'project', 'proj_1', null, '2026-11-20', null),"
        " ('globex', 'twilio', 'phone_number', '+12065550100', %s, null, null),"
        " ('globex', 'sendgrid', 'category', 'news', null, null, null),"
        " ('acme', 'sendgrid', 'subuser', 'news', null, null, null),"
        " ('acme', 'stripe', 'account', 'both', null, null, null),"
        " ('globex', 'sendgrid', 'subuser', 'both', null, null, null)",
        Redactor("a key for tests").number("+12065550100"),
    )
    sent = {
        "a": ("proj_1", "2026-11-19T23:59:59Z", "acme"),
        "b": ("proj_1", "2026-11-20T01:30:00+02:00", "acme"),
        "c": ("proj_1", "2026-11-20T09:00:00Z", "globex"),
        "d": ("+12065550100", "2026-11-20T09:00:00Z", "globex"),
        "e": ("category:news", "2026-11-20T09:00:00Z", "globex"),
        "f": ("news", "2026-11-20T09:00:00Z", "acme"),
        "g": ("both", "2026-11-20T09:00:00Z", "both"),
        "h": ("acme", "2026-11-20T09:00:00Z", "acme"),
    }
    batch = [event(id=id, subject=subject, time=time) for id, (subject, time, _) in sent.items()]
    assert client.post(EVENTS, json=batch, headers=BATCH).status_code == 200
    found = base.rows("select event_key, tenant_id from raw.usage_events order by right(event_key, 1)")
    assert [tenant for _, tenant in found] == [tenant for _, _, tenant in sent.values()], found
    # By its key or by its tenant: one event.
    again = [event(id=id, subject=tenant, time=time) for id, (_, time, tenant) in sent.items()]
    assert client.post(EVENTS, json=again, headers=BATCH).json()["duplicates"] == len(sent)


def test_a_key_is_written_for_by_its_owner_s_token_only(client: TestClient, base: Base) -> None:
    base.rows(
        "insert into raw.tenant_resources (tenant_id, provider, resource_type, resource_id)"
        " values ('acme', 'openai', 'project', 'proj_1')"
    )
    sent = event(subject="proj_1")
    assert client.post(EVENTS, json=sent, headers={**ONE, **token("globex")}).status_code == 422
    assert client.post(EVENTS, json=sent, headers={**ONE, **token("proj_1")}).status_code == 422
    assert client.post(EVENTS, json=sent, headers={**ONE, **token("acme")}).status_code == 200


def test_no_number_becomes_a_tenant_s_id(client: TestClient, base: Base) -> None:
    refused = client.post(EVENTS, json=event(subject="+1 206 555 0199"), headers=ONE)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "subject")
    assert "555" not in refused.text
    assert base.keys() == []
