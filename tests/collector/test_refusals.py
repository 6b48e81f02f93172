"""Who may ask, how often, and what the collector does not start with."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from fastapi.testclient import TestClient

from api.auth.tokens import mint, mint_tracker
from api.kit.problems import UnreadableBody
from cli import tokens as cli_tokens
from cli.errors import UsageError
from collector.bodies import unpacked
from collector.event_types import UnusableTypes, read_types, translated
from collector.limits import Limiter
from collector.main import create_app
from collector.problems import BodyTooLarge, TooManyRequests
from collector.settings import SettingsError
from tests.collector.conftest import SECRET, event

EVENTS = "/api/v1/events"


@pytest.mark.parametrize(
    "path", [EVENTS, *(f"/api/v1/access/{name}" for name in ("check", "reserve", "settle", "release"))]
)
def test_a_token_is_needed_and_must_be_a_tracker_s(client: TestClient, path: str) -> None:
    del client.headers["authorization"]
    assert client.post(path, json={}).status_code == 401
    assert client.post(path, json={}, headers={"authorization": "Bearer x"}).status_code == 401
    hour = timedelta(hours=1)
    expired = mint_tracker([], [], hour, SECRET, now=_long_ago())
    assert client.post(path, json={}, headers={"authorization": f"Bearer {expired}"}).status_code == 401
    others = mint("root_admin", None, hour, SECRET)
    answer = client.post(path, json={}, headers={"authorization": f"Bearer {others}"})
    assert (answer.status_code, answer.json()["title"]) == (403, "Your role may not do this")


def _long_ago() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


def test_metering_token_makes_a_tracker_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_JWT_SECRET", SECRET)
    claims = jwt.decode(
        cli_tokens.mint_tracker("acme, globex", "internal", "1h"), SECRET, ["HS256"], audience="usage-api"
    )
    assert (claims["role"], claims["tenants"], claims["services"]) == ("tracker", ["acme", "globex"], ["internal"])
    every = jwt.decode(cli_tokens.mint_tracker(None, None, "1h"), SECRET, ["HS256"], audience="usage-api")
    assert not {"tenants", "services"} & set(every)
    for tenants, services, message in (
        ("summary", None, "reserved"),
        ("acme,", None, "--tenant"),
        (None, "fax", "unknown service fax"),
    ):
        with pytest.raises(UsageError, match=message):
            cli_tokens.mint_tracker(tenants, services, "1h")


def test_a_gzip_file_is_read_to_its_end() -> None:
    both = gzip.compress(b"[1, ") + gzip.compress(b"2]")
    assert unpacked(both, 6) == b"[1, 2]"
    for packed, refusal in (
        (both[:-3], UnreadableBody),
        (both + b"more", UnreadableBody),
        (both[:-8] + bytes(8), UnreadableBody),  # another checksum
        (gzip.compress(bytes(7)), BodyTooLarge),
        (b"", UnreadableBody),
    ):
        with pytest.raises(refusal):
            unpacked(packed, 6)


def test_a_caller_has_so_many_requests_a_second() -> None:
    now = 100.0
    limiter = Limiter(2, clock=lambda: now)
    limiter.take("a")
    limiter.take("a")
    with pytest.raises(TooManyRequests):
        limiter.take("a")
    limiter.take("b")
    now += 0.5
    limiter.take("a")
    with pytest.raises(TooManyRequests):
        limiter.take("a")
    now += 3600
    for _ in range(2):
        limiter.take("a")
    with pytest.raises(TooManyRequests):
        limiter.take("a")


def test_a_caller_of_less_than_one_a_second_has_one_at_once() -> None:
    limiter = Limiter(0.5, clock=lambda: 100.0)
    assert limiter.take("a") == 0
    with pytest.raises(TooManyRequests):
        limiter.take("a")


def test_too_many_requests_are_429(client: TestClient) -> None:
    client.app.state.limiter = Limiter(1, clock=lambda: 0.0)  # type: ignore[attr-defined]
    assert client.post(EVENTS, json=event()).status_code == 200
    answer = client.post(EVENTS, json=event())
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


def test_each_answer_says_what_is_left(client: TestClient) -> None:
    client.app.state.limiter = Limiter(2, clock=lambda: 0.0)  # type: ignore[attr-defined]
    answers = [client.post(EVENTS, json=event(id=str(number))) for number in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit"] for answer in answers] == [
        '"token";r=1;t=1',
        '"token";r=0;t=1',
        '"token";r=0;t=1',
    ]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"token";q=2;w=1'}
    assert "ratelimit" not in client.post(EVENTS, json=event(), headers={"authorization": "Bearer x"}).headers
    assert "ratelimit" not in client.get("/healthz").headers


@pytest.mark.parametrize(
    ("per_second", "policy"), [(200, '"token";q=200;w=1'), (0.5, '"token";q=1;w=2'), (1.5, '"token";q=1;w=1')]
)
def test_a_limit_is_told_in_whole_requests(per_second: float, policy: str) -> None:
    assert Limiter(per_second).headers(0)["RateLimit-Policy"] == policy


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "METERING_COLLECTOR_MAX_BYTES",
            "many",
            "METERING_COLLECTOR_MAX_BYTES must be a whole number of bytes, at least 1024",
        ),
        ("METERING_COLLECTOR_CONNECTIONS", "0", "METERING_COLLECTOR_CONNECTIONS must be a whole number from 1 to 100"),
        (
            "METERING_COLLECTOR_REQUESTS_PER_SECOND",
            "0",
            "METERING_COLLECTOR_REQUESTS_PER_SECOND must be a number above 0",
        ),
        (
            "METERING_COLLECTOR_PUBLIC_URL",
            "collector.example.com/",
            "METERING_COLLECTOR_PUBLIC_URL must be an address without a path, such as https://collector.example.com",
        ),
        (
            "METERING_COLLECTOR_TYPES",
            "/nowhere/types.json",
            "METERING_COLLECTOR_TYPES: /nowhere/types.json: cannot be read",
        ),
        ("METERING_JWT_SECRET", "", "METERING_JWT_SECRET (or METERING_JWKS_URL) is not set"),
        ("METERING_DATABASE_URL", "", "METERING_DATABASE_URL (or METERING_TRACKER_DATABASE_URL) is not set"),
        ("METERING_DATABASE_URL", "mysql://x", "METERING_DATABASE_URL is not a PostgreSQL URL"),
    ],
)
def test_it_does_not_start_without_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv("METERING_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("METERING_JWT_SECRET", SECRET)
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        create_app()
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_types_of_other_clients_are_translated() -> None:
    types = read_types()
    prompt = {"type": "prompt", "data": {"tokens": "120", "model": "llama", "type": "input", "route": "/chat"}}
    assert translated(prompt, types)["data"] == {
        "service": "openai_compatible",
        "operation": "chat_completion",
        "input_tokens": 120,
        "model": "llama",
        "metadata": {"type": "input", "route": "/chat"},
    }
    answered = {"type": "tokens", "data": {"tokens": 5, "type": "output"}}
    assert translated(answered, types)["data"]["output_tokens"] == 5
    request = {"type": "request", "data": {"method": "GET", "duration_ms": 12}}
    assert translated(request, types)["data"]["units"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", 'not {"version": 1'),
        ('{"version": 2, "types": []}', 'not {"version": 1'),
        ('{"version": 1, "types": [{}]}', "types[0]: needs type, service and operation"),
        ('{"version": 1, "types": [{"type": "a", "service": "fax", "operation": "b"}]}', "unknown service 'fax'"),
        (
            '{"version": 1, "types": [{"type": "a", "service": "internal", "operation": "b", "fields": {"price": "p"}}]}',
            "unknown field 'price'",
        ),
        ("no json", "cannot be read as JSON"),
    ],
)
def test_a_file_of_types_that_cannot_be_used_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "types.json"
    path.write_text(content)
    with pytest.raises(UnusableTypes) as refused:
        read_types(path)
    assert str(path) in str(refused.value)
    assert message in str(refused.value)
