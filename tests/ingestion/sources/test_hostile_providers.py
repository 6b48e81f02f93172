"""Whatever a provider answers, its reader ends within its bounds: answered, not answered, or a record set aside; never a dead run.

Each case is one answer to the provider's main list, read by its own reader from a server of this test, without a database: what
is not answered is never replaced there (`test_run.py`).
"""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ingestion.config import IngestSettings
from ingestion.sources.reading import Reading, Unit
from ingestion.sources.registry import SOURCES, ReadRequest
from ingestion.windows import Window, midnight
from usage_metering.pii import Hasher

DAY = date(2026, 11, 3)
NOON = "2026-11-03T12:00:00Z"
START = int(midnight(DAY).timestamp())
ANSWERED, NOT_ANSWERED, SET_ASIDE = "answered", "not answered", "set aside"
PATIENCE = 8.0
"""Seconds; the bounds given to the reader are under one."""

ACCOUNT = "AC1"
MESSAGE = {
    "sid": "SM1",
    "status": "sent",
    "num_segments": "1",
    "price": "-0.0083",
    "date_sent": "Tue, 03 Nov 2026 12:00:00 +0000",
}
RESULT = {"project_id": "p", "api_key_id": "k", "model": "m", "input_tokens": 5, "output_tokens": 1}
TRANSACTION = {
    "id": "txn_1",
    "type": "charge",
    "currency": "usd",
    "amount": 9,
    "fee": 1,
    "net": 8,
    "created": START + 60,
}
GROUP = {"dimensions": {"bucketName": "b", "actionType": "PutObject"}, "sum": {"requests": 5}}


@dataclass(frozen=True)
class Provider:
    """A provider's main list: where it is, what a page is, which table it fills, and what a record of it looks like.

    ``quantity`` and ``name`` are the places of a number and of a text that every record must have.
    """

    name: str
    path: str
    unit: Unit
    record: dict[str, Any]
    quantity: tuple[str, ...]
    text: tuple[str, ...] | None
    page: Callable[[list[Any]], Any]
    quiet: dict[str, Any] = field(default_factory=dict)

    def body(self, *records: Any) -> bytes:
        return json.dumps(self.page(list(records))).encode()

    def odd(self, raw: bytes, path: tuple[str, ...] | None) -> bytes:
        """Return a page of one good record and one with ``raw`` at ``place``, or ``raw`` itself where there is no place."""
        record: Any = "@@"
        for key in reversed(path or ()):
            record = {key: record}
        changed = _merged(self.record, record) if path else record
        records = [changed] if self.name == "sendgrid" else [self.record, changed]
        return self.body(*records).replace(b'"@@"', raw)


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return first | {
        key: _merged(first[key], value) if isinstance(value, dict) and isinstance(first.get(key), dict) else value
        for key, value in second.items()
    }


def _twilio_page(name: str) -> Callable[[list[Any]], Any]:
    return lambda records: {name: records, "next_page_uri": None}


def _openai_page(records: list[Any]) -> Any:
    return {"data": [{"start_time": START, "results": records}], "has_more": False, "next_page": None}


def _graphql(records: list[Any]) -> Any:
    groups = {"r2OperationsAdaptiveGroups": records, "r2StorageAdaptiveGroups": []}
    return {"data": {"viewer": {"accounts": [groups]}}}


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider(
            "twilio",
            f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json",
            Unit("twilio_messages", ACCOUNT, DAY),
            MESSAGE,
            ("num_segments",),
            ("sid",),
            _twilio_page("messages"),
            {
                "/Accounts.json": {"accounts": [{"sid": ACCOUNT, "status": "active"}], "next_page_uri": None},
                "/IncomingPhoneNumbers.json": _twilio_page("incoming_phone_numbers")([]),
                "/Calls.json": _twilio_page("calls")([]),
                "/Recordings.json": _twilio_page("recordings")([]),
                "/Daily.json": _twilio_page("usage_records")([]),
            },
        ),
        Provider(
            "openai",
            "/organization/usage/completions",
            Unit("openai_usage_completions", "default", DAY),
            RESULT,
            ("input_tokens",),
            ("model",),
            _openai_page,
            {"": _openai_page([])},
        ),
        Provider(
            "sendgrid",
            "/v3/stats",
            Unit("sendgrid_stats", "parent", DAY),
            {"metrics": {"requests": 5}},
            ("metrics", "requests"),
            None,
            lambda records: [{"date": DAY.isoformat(), "stats": records}],
            {"": []},
        ),
        Provider(
            "stripe",
            "/v1/balance_transactions",
            Unit("stripe_balance_transactions", "platform", DAY),
            TRANSACTION,
            ("net",),
            ("type",),
            lambda records: {"data": records, "has_more": False},
            {"": {"data": [], "has_more": False}},
        ),
        Provider(
            "cloudflare",
            "/graphql",
            Unit("r2_operations", "CF1", DAY),
            GROUP,
            ("sum", "requests"),
            ("dimensions", "actionType"),
            _graphql,
        ),
    )
}

Send = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, body: bytes = b'{"message": "no"}', **headers: str) -> Send:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in (
            {"Content-Length": str(len(body))} | {k.replace("_", "-"): v for k, v in headers.items()}
        ).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


def ok(body: bytes, **headers: str) -> Send:
    return status(200, body, **headers)


def raw(*pieces: bytes, every: float = 0.0, ending: bool = True) -> Send:
    """Send bytes as they are; the last for ever where there is no ``ending``."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        for piece in pieces:
            handler.wfile.write(piece)
        while not ending:
            time.sleep(every)
            handler.wfile.write(pieces[-1])

    return send


def silent(handler: BaseHTTPRequestHandler) -> None:
    # Until the caller hangs up.
    handler.connection.settimeout(PATIENCE)
    handler.connection.recv(1)


def reset(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BOMB = gzip.compress(b"[" + b" " * 2**25)

# Answers that no provider's list is: whatever they are, nothing was answered.
BROKEN: dict[str, Send] = {
    **{
        f"status {code}": status(code)
        for code in (304, 400, 401, 402, 403, 404, 405, 408, 409, 410, 418, 422, 429, 451)
    },
    **{f"status {code}": status(code) for code in (500, 501, 502, 503, 504, 520, 599)},
    "a limit that ends in a year": status(429, Retry_After="31536000"),
    "a limit that ends at no time": status(429, Retry_After="soon"),
    "a limit that ended long ago": status(429, X_RateLimit_Reset="-99999999999999999999"),
    "status 999": status(999),
    "a redirection to another host": status(302, Location="http://127.0.0.2:9/steal"),
    "a redirection to itself": status(307, Location="/"),
    "a redirection to nowhere": status(301),
    "no content": status(204, b""),
    "nothing": ok(b""),
    "blanks": ok(b" \n\t "),
    "a proxy's page": ok(b"<html>maintenance</html>"),
    "half a body": ok(b'{"messages": [{"sid": "SM1'),
    "null": ok(b"null"),
    "true": ok(b"true"),
    "a number": ok(b"1e99999999999999999999"),
    "a number of 5,000 digits": ok(b"9" * 5000),
    "not a number": ok(b"NaN"),
    "a text": ok(b'"messages"'),
    "an empty list": ok(b"[]"),
    "an empty object": ok(b"{}"),
    "a list of numbers": ok(b"[1, 2]"),
    "a list of lists": ok(b"[[], []]"),
    "an error with status 200": ok(b'{"error": {"code": "overloaded"}}'),
    "GraphQL errors of no shape": ok(b'{"errors": 5, "data": null}'),
    "lists that are none": ok(b'{"messages": {}, "data": "x", "next_page_uri": null, "has_more": false}'),
    "JSON 900 levels deep": ok(nested(900)),
    "JSON 3,000 levels deep": ok(nested(3000)),
    "JSON a million levels deep": ok(b"[" * 1_000_000),
    "objects 3,000 levels deep": ok(b'{"data":' * 3000 + b"1" + b"}" * 3000),
    "no UTF-8": ok(b"\xff\xfe\x00"),
    "UTF-16": ok(json.dumps({"messages": []}).encode("utf-16")),
    "only NUL": ok(b"\0" * 1000),
    "two values": ok(b"{}{}"),
    "gzip that is none": ok(b"{}", Content_Encoding="gzip"),
    "half of gzip": ok(BOMB[:100], Content_Encoding="gzip"),
    "a gzip of 32 MB": ok(BOMB, Content_Encoding="gzip"),
    "an unknown encoding": ok(b"{}", Content_Encoding="rot13"),
    "a cut connection": ok(b"{", Content_Length="1000"),
    "a length that is not a number": ok(b"{}", Content_Length="many"),
    "a negative length": ok(b"{}", Content_Length="-5"),
    "chunks without a length": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
    "chunks that stop": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}"),
    "a body without end": raw(HEAD + b"\r\n[", b" " * 2**20, ending=False),
    "a byte now and then": raw(HEAD + b"Content-Length: 100000\r\n\r\n", b" ", every=0.05, ending=False),
    "a byte now and then, without a length": raw(HEAD + b"Connection: close\r\n\r\n", b" ", every=0.05, ending=False),
    "a header now and then": raw(b"HTTP/1.1 200 OK\r\n", b"X", every=0.05, ending=False),
    "headers without end": raw(b"HTTP/1.1 200 OK\r\n", b"X-More: more\r\n", ending=False),
    "a header line of a megabyte": raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**20 + b"\r\n\r\n{}"),
    "silence": silent,
    "silence after the headers": lambda handler: (raw(HEAD + b"Content-Length: 5\r\n\r\n")(handler), silent(handler))[
        0
    ],
    "a reset": reset,
    "a hang-up": raw(b""),
    "no HTTP": raw(b"220 mail.example ESMTP\r\n"),
    "a status that is not a number": raw(b"HTTP/1.1 OK fine\r\n\r\n{}"),
}

# Values that are no quantity, and values that are no name: their record is set aside and the one beside it is kept.
NO_QUANTITIES: dict[str, bytes] = {
    "1e1000000 as text": b'"1e1000000"',
    "a 20-digit exponent": b"1e99999999999999999999",
    "a 20-digit exponent as text": b'"1e99999999999999999999"',
    "a 20-digit exponent below 0": b"1e-99999999999999999999",
    "5,000 digits": b"9" * 5000,
    "5,000 digits as text": b'"' + b"9" * 5000 + b'"',
    "20 digits": b"99999999999999999999",
    "a fraction": b"1.5",
    "a word": b'"many"',
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "NaN as text": b'"NaN"',
    "true": b"true",
    "an object": b'{"a": 1}',
    "a list": b"[1]",
    "200 levels": nested(200),
    "a NUL": b'"\\u0000"',
    "half a surrogate pair": b'"\\ud83d"',
    "10 MB": b'"' + b"5" * 10_000_000 + b'"',
}
NO_NAMES: dict[str, bytes] = {
    "a number": b"5",
    "a 20-digit exponent": b"1e99999999999999999999",
    "NaN": b"NaN",
    "true": b"true",
    "an object": b'{"a": 1}',
    "a list": b"[1]",
    "200 levels": nested(200),
    "a NUL": b'"\\u0000"',
    "half a surrogate pair": b'"\\ud83d"',
    "10 MB": b'"' + b"S" * 10_000_000 + b'"',
}
NO_RECORDS: dict[str, bytes] = {
    "a text": b'"call me on +12015550199"',
    "null": b"null",
    "a number": b"5",
    "true": b"true",
    "a list": b'["call me"]',
    "a long text": b'"' + b"x" * 1_000_000 + b'"',
}


@dataclass
class Served:
    """A server of one provider: the main list answers in turn with ``sends`` (the last for ever), the others quietly."""

    url: str
    provider: Provider
    sends: list[Send] = field(default_factory=list)
    at: str = ""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    served = Served("", PROVIDERS["twilio"])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.close_connection = True
            path = self.path.partition("?")[0]
            if path == (served.at or served.provider.path):
                served.requests.append((self.path, dict(self.headers)))
                served.sends[min(len(served.requests), len(served.sends)) - 1](self)
                return
            quiet = next((body for end, body in served.provider.quiet.items() if path.endswith(end)), {})
            ok(json.dumps(quiet).encode())(self)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: Any) -> None:
            pass  # the reader hung up, as it should

    listening = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{listening.server_port}"
    yield served
    listening.shutdown()
    listening.server_close()
    thread.join()


def read(server: Served, provider: str, *sends: Send, at: str = "", **bounds: object) -> Reading:
    """Return what the provider's own reader made of the day; it must end in time."""
    server.provider, server.at = PROVIDERS[provider], at
    server.sends, server.requests = list(sends), []
    settings = IngestSettings.model_validate(
        {
            "METERING_TENANT_DIRECTORY": "/nowhere",
            "METERING_PII_KEY": "key",
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "CLOUDFLARE_ACCOUNT_ID": "CF1",
            f"{provider.upper()}_BASE_URL": server.url,
            "METERING_REQUEST_ATTEMPTS": 1,
            "METERING_REQUEST_MAX_SECONDS": 0.4,
            "METERING_LIST_MAX_SECONDS": 0.8,
            "METERING_LIST_MAX_PAGES": 5,
            "METERING_LIST_MAX_BYTES": 2**24,
            **bounds,
        }
    )
    reading = Reading()
    source = SOURCES[provider]
    began = time.monotonic()
    reader = source.reader(ReadRequest(settings, Window.of_days(DAY, DAY), reading, Hasher("key"), set(), DAY))
    with closing(reader.api):
        for part in source.parts(reader):
            # Twilio's tables are read in turn; of the others the one that is asked about is enough.
            for name, resource in part.resources.items():
                if provider in ("twilio", "sendgrid") or name == PROVIDERS[provider].unit.table:
                    list(resource)
    assert time.monotonic() - began < PATIENCE
    return reading


def outcome(reading: Reading, provider: str) -> str:
    rejected = reading.answered.get(PROVIDERS[provider].unit)
    if rejected is None:
        assert reading.errors or PROVIDERS[provider].unit in reading.unanswered
        return NOT_ANSWERED
    return SET_ASIDE if rejected else ANSWERED


each_provider = pytest.mark.parametrize("provider", PROVIDERS)


@each_provider
def test_a_usual_answer_is_answered(server: Served, provider: str) -> None:
    reading = read(server, provider, ok(PROVIDERS[provider].body(PROVIDERS[provider].record)))
    assert (outcome(reading, provider), reading.errors) == (ANSWERED, [])


@each_provider
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_none(server: Served, provider: str, name: str) -> None:
    assert outcome(read(server, provider, BROKEN[name]), provider) == NOT_ANSWERED


ROOM = {"METERING_REQUEST_MAX_SECONDS": 5, "METERING_LIST_MAX_SECONDS": 6}
"""For large answers, on a slow machine."""


@each_provider
@pytest.mark.parametrize("name", NO_QUANTITIES)
def test_a_record_with_an_odd_quantity_is_set_aside(server: Served, provider: str, name: str) -> None:
    one = PROVIDERS[provider]
    reading = read(server, provider, ok(one.odd(NO_QUANTITIES[name], one.quantity)), **ROOM)
    assert (outcome(reading, provider), reading.answered[one.unit]) == (SET_ASIDE, 1)


@pytest.mark.parametrize("provider", [name for name, one in PROVIDERS.items() if one.text])
@pytest.mark.parametrize("name", NO_NAMES)
def test_a_record_with_an_odd_name_is_set_aside(server: Served, provider: str, name: str) -> None:
    one = PROVIDERS[provider]
    reading = read(server, provider, ok(one.odd(NO_NAMES[name], one.text)), **ROOM)
    assert (outcome(reading, provider), reading.answered[one.unit]) == (SET_ASIDE, 1)


@each_provider
@pytest.mark.parametrize("name", NO_RECORDS)
def test_what_is_no_record_is_set_aside(server: Served, provider: str, name: str) -> None:
    one = PROVIDERS[provider]
    reading = read(server, provider, ok(one.odd(NO_RECORDS[name], None)), **ROOM)
    assert (outcome(reading, provider), reading.answered[one.unit]) == (SET_ASIDE, 1)


@each_provider
def test_a_value_too_deep_to_be_read_breaks_its_page(server: Served, provider: str) -> None:
    one = PROVIDERS[provider]
    assert outcome(read(server, provider, ok(one.odd(nested(3000), one.quantity)), **ROOM), provider) == NOT_ANSWERED


def page(provider: str, following: Any, number: int = 0) -> bytes:
    """Return a page of a list that goes on with ``following``."""
    if provider == "twilio":
        return json.dumps({"messages": [MESSAGE], "next_page_uri": following}).encode()
    if provider == "openai":
        return json.dumps({**_openai_page([RESULT]), "has_more": True, "next_page": following}).encode()
    return json.dumps({"data": [{**TRANSACTION, "id": following}], "has_more": True}).encode()


def link(provider: str, number: int) -> str:
    return f"{PROVIDERS['twilio'].path}?Page={number}" if provider == "twilio" else f"page_{number}"


LISTS = ("twilio", "openai", "stripe")
NO_CURSORS: dict[str, Any] = {
    "a number": 5,
    "an object": {"a": 1},
    "a list": ["page_2"],
    "true": True,
    "a line break": "a\nHost: b",
    "a NUL": "a\0",
    "1 MB": "p" * 2**20,
    "half a surrogate pair": "\ud83d",
}


@pytest.mark.parametrize("provider", LISTS)
@pytest.mark.parametrize("cycle", [1, 2, 3])
def test_a_list_that_repeats_itself_is_no_answer(server: Served, provider: str, cycle: int) -> None:
    pages = [ok(page(provider, link(provider, number % cycle))) for number in range(50)]
    reading = read(server, provider, *pages)
    assert outcome(reading, provider) == NOT_ANSWERED
    assert len(server.requests) <= cycle + 1
    assert PROVIDERS[provider].path in reading.errors[0]


@pytest.mark.parametrize("provider", LISTS)
def test_a_list_that_always_goes_on_is_left_at_its_bound(server: Served, provider: str) -> None:
    reading = read(server, provider, *(ok(page(provider, link(provider, number))) for number in range(50)))
    assert outcome(reading, provider) == NOT_ANSWERED or provider == "openai"
    assert len(server.requests) == 5
    assert "did not end within 5 pages" in reading.errors[0]
    assert PROVIDERS[provider].path in reading.errors[0]


@pytest.mark.parametrize("provider", LISTS)
@pytest.mark.parametrize("name", NO_CURSORS)
def test_a_next_page_that_is_nowhere_is_no_answer(server: Served, provider: str, name: str) -> None:
    reading = read(server, provider, ok(page(provider, NO_CURSORS[name])), **ROOM)
    assert (outcome(reading, provider), len(server.requests)) == (NOT_ANSWERED, 1)


@pytest.mark.parametrize("provider", ["openai", "stripe"])
@pytest.mark.parametrize("more", ["missing", None, 1, "true", "false", 0, []])
def test_a_list_that_does_not_say_whether_it_goes_on_is_no_answer(server: Served, provider: str, more: Any) -> None:
    body = {**PROVIDERS[provider].page([PROVIDERS[provider].record]), "has_more": more}
    if more == "missing":
        del body["has_more"]
    assert outcome(read(server, provider, ok(json.dumps(body).encode())), provider) == NOT_ANSWERED


def test_a_twilio_page_without_its_next_page_uri_is_no_answer(server: Served) -> None:
    assert outcome(read(server, "twilio", ok(b'{"messages": []}')), "twilio") == NOT_ANSWERED


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.2:9/x",
        "//127.0.0.2/x",
        "https://127.0.0.1/x",
        "http://127.0.0.1:9/x",
        "ftp://127.0.0.1/",
        "http://[::1",
        "http://127.0.0.2:9\\@HOST/x",  # of which host it is, libraries do not agree
    ],
)
def test_the_credentials_do_not_leave_the_providers_host(
    server: Served, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[object] = []
    plain = socket.create_connection
    monkeypatch.setattr(
        "urllib3.util.connection.create_connection",
        lambda to, *rest, **more: (connected.append(to), plain(to, more.get("timeout")))[1],
    )
    address = address.replace("HOST", server.url.removeprefix("http://"))
    reading = read(server, "twilio", ok(page("twilio", address)))
    assert outcome(reading, "twilio") == NOT_ANSWERED
    assert "TWILIO_BASE_URL's host" in reading.errors[0]
    assert {f"http://{host}:{port}" for host, port in connected} == {server.url}  # type: ignore[has-type,misc,attr-defined]


def test_subusers_that_are_listed_without_end_are_told(server: Served) -> None:
    names = [{"username": f"u{number}"} for number in range(500)]
    reading = read(server, "sendgrid", ok(json.dumps(names).encode()), at="/v3/subusers")
    assert len(server.requests) == 2
    assert "/v3/subusers" in reading.errors[0]


@pytest.mark.parametrize(
    ("provider", "path", "odd"),
    [
        ("twilio", "/2010-04-01/Accounts.json", {"accounts": [{"sid": "@@"}], "next_page_uri": None}),
        ("stripe", "/v1/accounts", {"data": [{"id": "@@"}], "has_more": False}),
        ("sendgrid", "/v3/subusers", [{"username": "@@"}]),
    ],
)
@pytest.mark.parametrize("name", ["a number", "an object", "a list", "a NUL", "half a surrogate pair", "10 MB"])
def test_an_account_that_is_no_name_is_left_out_and_told(
    server: Served, provider: str, path: str, odd: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps(odd).encode().replace(b'"@@"', NO_NAMES[name])
    reading = read(server, provider, ok(body), at=path, **ROOM)
    assert path in caplog.text
    assert all(len(unit.account_id) < 100 for unit in reading.expected)
