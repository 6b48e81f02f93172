"""Retries wait as the provider asks, bodies are decoded once and exactly, and failures say what to do without secrets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import pytest
from requests.auth import HTTPBasicAuth

from ingestion.config import IngestSettings
from ingestion.failures import PermanentProviderError, ProviderError, TransientProviderError
from ingestion.sources.http import Provider

Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def answering(*answers: Answer | Callable[[], Answer]) -> Iterator[tuple[str, list[float]]]:
    """A server that gives ``answers`` in turn (the last one for ever); yields its URL and the moments of the requests."""
    moments: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            moments.append(time.monotonic())
            answer = answers[min(len(moments), len(answers)) - 1]
            status, headers, body = answer() if callable(answer) else answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", moments
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def read(url: str, *, attempts: int = 3, backoff: float = 0.0, name: str = "twilio") -> list[Any]:
    """Return the pages of one list."""
    settings = IngestSettings.model_validate(
        {
            "METERING_TENANT_DIRECTORY": "/nowhere",
            "METERING_PII_KEY": "key",
            "METERING_REQUEST_ATTEMPTS": attempts,
            "METERING_REQUEST_BACKOFF_SECONDS": backoff,
            f"{name.upper()}_BASE_URL": url,
        }
    )
    return list(Provider(name, settings, HTTPBasicAuth("AC1", "s3cret")).pages("/list.json", {"PageSize": 10}))


OK: Answer = (200, {}, b'{"amount": 3.75e-8, "many": 0.30000000000000004, "count": 2}')


def test_numbers_are_decoded_exactly() -> None:
    with answering(OK) as (url, _):
        assert read(url) == [{"amount": Decimal("3.75e-8"), "many": Decimal("0.30000000000000004"), "count": 2}]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_what_may_pass_is_tried_again(status: int) -> None:
    with answering((status, {}, b"no"), (status, {}, b"no"), OK) as (url, moments):
        assert len(read(url)) == 1
    assert len(moments) == 3


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_does_not_pass_is_transient(status: int) -> None:
    with answering((status, {}, b"no")) as (url, moments), pytest.raises(TransientProviderError) as failure:
        read(url)
    assert len(moments) == 3
    assert failure.value.status == status


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_is_refused_is_not_asked_again(status: int) -> None:
    with answering((status, {}, b"no")) as (url, moments), pytest.raises(PermanentProviderError) as failure:
        read(url)
    assert len(moments) == 1
    assert failure.value.status == status


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        pytest.param("openai", lambda: {"Retry-After": "1"}, id="seconds"),
        pytest.param("openai", lambda: {"Retry-After": formatdate(time.time() + 2, usegmt=True)}, id="a date"),
        pytest.param("sendgrid", lambda: {"X-RateLimit-Reset": str(int(time.time()) + 2)}, id="SendGrid's reset"),
        pytest.param("sendgrid", lambda: {"X-RateLimit-Reset": "0"}, id="a reset that is over"),
    ],
)
def test_a_provider_that_says_when_is_waited_for(name: str, headers: Callable[[], dict[str, str]]) -> None:
    with answering(lambda: (429, headers(), b"slow down"), OK) as (url, moments):
        read(url, name=name)
    assert 0.8 <= moments[1] - moments[0] <= 5


def test_without_a_word_from_the_provider_the_wait_grows() -> None:
    with answering((429, {}, b""), (429, {}, b""), (429, {}, b""), OK) as (url, moments):
        read(url, attempts=4, backoff=0.1)
    first, second, third = (after - before for before, after in pairwise(moments))
    assert 0.1 <= first < second < third


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param((200, {}, b'{"messages": [{"sid": "SM1"'), id="half a body"),
        pytest.param((200, {}, b"<html>maintenance</html>"), id="a proxy's page"),
        pytest.param((200, {"Content-Length": "1000"}, b"{"), id="a cut connection"),
        pytest.param((200, {}, b""), id="nothing"),
    ],
)
def test_a_broken_answer_is_asked_for_again(broken: Answer) -> None:
    with answering(broken, OK) as (url, moments):
        assert len(read(url)) == 1
    assert len(moments) == 2
    with answering(broken) as (url, _), pytest.raises(TransientProviderError):
        read(url)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b'{"body": "cut \\ud83d", "price": -0.0075}', {"body": "cut \ud83d", "price": Decimal("-0.0075")}),
        (b'{"body": "\xff", "price": 1.5}', {"body": "\ufffd", "price": Decimal("1.5")}),
    ],
)
def test_a_body_with_half_an_emoji_is_no_reason_to_lose_its_page(body: bytes, wanted: dict[str, Any]) -> None:
    with answering((200, {}, body)) as (url, _):
        assert read(url) == [wanted]


def test_a_server_that_is_away_is_transient_and_named() -> None:
    with answering(OK) as (url, _):
        pass
    with pytest.raises(TransientProviderError, match="is TWILIO_BASE_URL right and up"):
        read(url)


@pytest.mark.parametrize("url", ["127.0.0.1:9", "http://", "ftp://localhost/"])
def test_an_unusable_base_url_is_named(url: str) -> None:
    with pytest.raises(ProviderError, match="TWILIO_BASE_URL"):
        read(url)


@pytest.mark.parametrize("status", [401, 404, 500])
def test_an_error_is_one_line_without_a_secret(status: int) -> None:
    with answering((status, {}, b"the key s3cret is wrong")) as (url, _), pytest.raises(ProviderError) as failure:
        read(url, attempts=1)
    chain = [failure.value, failure.value.__cause__]
    assert not [error for error in chain if "s3cret" in str(error)]
    assert "\n" not in str(failure.value)
    assert "/list.json" in str(failure.value)
