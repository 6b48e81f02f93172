"""The collector's OpenAPI document is true: its references lead somewhere, and whatever a route answers is in it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.collector.conftest import SECRET

BODIES = (b"", b"\x00", b"\xff\xfe", b"[]", b"{}", b"null", b'"text"', b"[[[", b'{"units": "NaN"}', b"a=1&b=2")
MEDIA_TYPES = (
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/x-protobuf",
    "application/x-www-form-urlencoded",
    "image/png",
)


@pytest.fixture
def set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The webhooks' secrets: without them their routes read no body."""
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", SECRET)
    monkeypatch.setenv("METERING_COLLECTOR_PUBLIC_URL", "https://usage.example.com")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", SECRET)


def test_each_reference_leads_somewhere(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    references = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(document)))
    assert "Problem" in references
    assert references <= document["components"]["schemas"].keys()


def test_whatever_is_sent_the_answer_is_documented(set_up: None, client: TestClient) -> None:
    paths: dict[str, Any] = client.get("/openapi.json").json()["paths"]
    routes = [(path, method, operation) for path, methods in paths.items() for method, operation in methods.items()]
    assert len(routes) > 12
    seen: set[int] = set()
    for path, method, operation in routes:
        for body in BODIES if method == "post" else BODIES[:1]:
            for media_type in MEDIA_TYPES:
                answer = client.request(method, path, content=body, headers={"content-type": media_type})
                what = (path, body, media_type, answer.text[:200])
                documented = operation["responses"].get(str(answer.status_code))
                assert documented is not None, what
                assert answer.status_code < 500 or (path, answer.status_code) == ("/webhooks/sendgrid/events", 503), (
                    what
                )
                kind = answer.headers.get("content-type", "").partition(";")[0]
                assert not answer.content or kind in documented["content"], what
                seen.add(answer.status_code)
    assert seen >= {200, 400, 403, 415, 422}
