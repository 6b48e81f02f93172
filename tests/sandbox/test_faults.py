"""Failures on request: what each kind looks like to a client, and which requests it hits."""

from __future__ import annotations

import socket
import time
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
import requests
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from sandbox import Sandbox
from sandbox.faults import Faults

from .conftest import Http

PATHS = {"twilio": "Messages.json", "openai": "/organization/costs", "sendgrid": "/v3/stats"}
PARAMS: dict[str, dict[str, Any]] = {
    "twilio": {},
    "openai": {"start_time": 1_790_000_000},
    "sendgrid": {"start_date": "2026-10-05"},
}


def ask(http: Http, provider: str) -> requests.Response:
    answer: requests.Response = getattr(http, provider)(PATHS[provider], **PARAMS[provider])
    return answer


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("provider", PATHS)
def test_each_provider_fails_in_its_own_words(own: Sandbox, own_http: Http, provider: str, status: int) -> None:
    own.faults.add(PATHS[provider], status=status)
    failed = ask(own_http, provider)
    assert failed.status_code == status
    assert "Retry-After" not in failed.headers
    body = failed.json()
    if provider == "twilio":
        assert body["status"] == status
        assert body["code"] == {429: 20429, 500: 20500, 503: 20503}[status]
    elif provider == "openai":
        assert body["error"]["type"] == ("rate_limit_error" if status == 429 else "server_error")
    else:
        assert body["errors"][0]["field"] is None
        assert ("X-RateLimit-Reset" in failed.headers) == (status == 429)
    assert ask(own_http, provider).status_code == 200, "one fault is one failure"


def test_headers_and_body_are_the_tests_choice(own: Sandbox, own_http: Http) -> None:
    reset = str(int(time.time()) + 7)
    own.faults.add("/v3/stats", status=429, headers={"X-RateLimit-Reset": reset, "Retry-After": "2"})
    failed = ask(own_http, "sendgrid")
    assert failed.headers["X-RateLimit-Reset"] == reset
    assert failed.headers["X-RateLimit-Remaining"] == "0"
    assert failed.headers["Retry-After"] == "2"
    own.faults.add("/v3/stats", status=200, body="<html>not JSON</html>")
    assert ask(own_http, "sendgrid").text == "<html>not JSON</html>"


def test_count_after_and_forever(own: Sandbox, own_http: Http) -> None:
    own.faults.add("Messages", status=500, count=2, after=1)
    assert [ask(own_http, "twilio").status_code for _ in range(4)] == [200, 500, 500, 200]
    own.faults.clear()
    own.faults.add("Messages", status=401, count=None)
    assert {ask(own_http, "twilio").status_code for _ in range(5)} == {401}
    own.faults.clear()
    assert ask(own_http, "twilio").status_code == 200


def test_match_is_a_part_of_path_and_query_and_hits_nothing_else(own: Sandbox, own_http: Http) -> None:
    own.faults.add("DateSent>=2026-10-05", status=500, count=None)
    assert own_http.twilio("Messages.json", **{"DateSent>": "2026-10-05"}).status_code == 500
    assert own_http.twilio("Messages.json", **{"DateSent>": "2026-10-06"}).status_code == 200
    assert ask(own_http, "openai").status_code == 200
    assert own.requests[-1] == "GET /v1/organization/costs?start_time=1790000000"


def test_a_fault_on_a_later_page_only(own: Sandbox, own_http: Http) -> None:
    own.faults.add("Page=1", status=503)
    first = own_http.twilio("Messages.json").json()
    assert own_http.twilio(first["next_page_uri"]).status_code == 503
    assert own_http.twilio(first["next_page_uri"]).status_code == 200


def test_a_cut_waits_for_the_whole_request(own: Sandbox) -> None:
    """Else the client is told of a reset or of an end, as the bytes happen to arrive."""
    own.faults.add("/v1/", cut="before")
    address = urlsplit(own.url)
    with socket.create_connection((address.hostname or "", address.port or 0), 10) as client:
        head = b"POST /v1/embeddings HTTP/1.1\r\nHost: sandbox\r\nContent-Length: 4000000\r\n\r\n"
        client.sendall(head + bytes(4_000_000))
        assert client.recv(1000) == b""


@pytest.mark.parametrize("cut", [True, "before", "middle"])
def test_cut_connections(own: Sandbox, own_http: Http, cut: bool | str, caplog: pytest.LogCaptureFixture) -> None:
    own.faults.add("/v1/", cut=cut, count=2)
    for _ in range(2):
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            ask(own_http, "openai")
    assert ask(own_http, "openai").status_code == 200
    assert not caplog.records, "a cut that was asked for is no error of the server"


def test_delay_alone_answers_late(own: Sandbox, own_http: Http) -> None:
    own.faults.add("/v1/", status=None, delay=0.3)
    began = time.monotonic()
    assert ask(own_http, "openai").status_code == 200
    assert time.monotonic() - began >= 0.3


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown fault fields: sttus"):
        Faults().add("x", sttus=500)
    with pytest.raises(ValueError, match="cut"):
        Faults().add("x", cut="sometimes")


def test_openai_sdk_retries_as_retry_after_says(own: Sandbox) -> None:
    environment = own.environment()
    own.faults.add("/organization/costs", status=429, headers={"Retry-After": "0"})
    with openai.OpenAI(
        api_key="x", admin_api_key=environment["OPENAI_ADMIN_KEY"], base_url=environment["OPENAI_BASE_URL"]
    ) as client:
        assert client.admin.organization.usage.costs(start_time=1_790_000_000).data
    assert len(own.requests) == 2


def test_twilio_sdk_sees_a_429(own: Sandbox) -> None:
    environment = own.environment()
    client = Client(environment["TWILIO_ACCOUNT_SID"], environment["TWILIO_AUTH_TOKEN"], http_client=TwilioHttpClient())
    client.api.base_url = own.url
    own.faults.add("/Messages.json", status=429)
    with pytest.raises(Exception, match="Unable to fetch page"):
        client.messages.list(limit=1)
    assert client.messages.list(limit=1)


def test_control_endpoints(own: Sandbox, own_http: Http) -> None:
    url = f"{own.url}/_sandbox/faults"
    added = requests.post(url, json={"match": "Messages", "status": 503, "count": None}, timeout=10)
    assert added.status_code == 201
    assert ask(own_http, "twilio").status_code == 503
    assert [fault["status"] for fault in requests.get(url, timeout=10).json()] == [503]
    assert requests.delete(url, timeout=10).json() == []
    assert ask(own_http, "twilio").status_code == 200
    assert requests.post(url, json={"macth": "x"}, timeout=10).status_code == 400
    assert requests.post(url, data="[", timeout=10).status_code == 400
