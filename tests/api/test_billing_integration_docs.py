"""docs/examples/stripe_meters.py is executed: the API on one side, a stand-in for Stripe's meters on the other."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import uvicorn

from api.main import create_app
from tests.api.conftest import bearer, execute, make_settings

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "stripe_meters.py"
NOW = "2026-11-20T12:00:00+00:00"


class Meters:
    """Stripe's rules of meter events with a daily window: identifiers are unique, a day's newest event holds."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.received: list[str] = []
        self.days: dict[tuple[str, str, int], int] = {}
        self.drops = 0  # how many of the next events are taken without an answer

    def take(self, form: dict[str, list[str]]) -> tuple[int, bytes]:
        event = {name: values[0] for name, values in form.items()}
        allowed = {"event_name", "identifier", "timestamp", "payload[stripe_customer_id]", "payload[value]"}
        assert set(event) == allowed
        assert len(event["identifier"]) <= 100
        at = int(event["timestamp"])
        assert self.now - 35 * 86_400 <= at <= self.now + 300
        if event["identifier"] in self.received:
            message = f"An event already exists with identifier {event['identifier']}."
            return 400, b'{"error": {"message": "%s"}}' % message.encode()
        self.received.append(event["identifier"])
        self.days[(event["event_name"], event["payload[stripe_customer_id]"], at // 86_400)] = int(
            event["payload[value]"]
        )
        return 200, b"{}"

    def totals(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for (meter, _, _), units in self.days.items():
            found[meter] = found.get(meter, 0) + units
        return found


@contextmanager
def stripe(meters: Meters) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/billing/meter_events"
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, answer = meters.take(parse_qs(body, strict_parsing=True))
            if meters.drops:
                meters.drops -= 1
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def served(database_url: str) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(create_app(make_settings(database_url)), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def run_page() -> dict[str, Any]:
    """Run the example as a process of its own would, and return its names, with what it leaves to a person as `by_hand`."""
    names: dict[str, Any] = {"__name__": "docs"}
    exec(compile(EXAMPLE.read_text(), str(EXAMPLE), "exec"), names)
    names["by_hand"] = names["nightly"]()
    return names


@pytest.fixture
def meters() -> Meters:
    return Meters(now=1_795_176_000)  # NOW


@pytest.fixture
def world(own_database: str, meters: Meters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with stripe(meters) as stripe_url, served(own_database) as api_url:
        for name, value in {
            "METERING_API_URL": api_url,
            "METERING_API_TOKEN": bearer("root_admin")["Authorization"].removeprefix("Bearer "),
            "STRIPE_BASE_URL": stripe_url,
            "STRIPE_API_KEY": "sk_test_stand_in",
            "BILLING_LEDGER": str(tmp_path / "billing.db"),
            "BILLING_NOW": NOW,
        }.items():
            monkeypatch.setenv(name, value)
        yield own_database


def set_units(database: str, day: str, channel: str, units: int) -> None:
    execute(
        database,
        f"update marts.usage_summary set unit_count = {units}"
        f" where tenant_id = 'acme' and date = '{day}' and channel = '{channel}'",
    )


def test_final_days_are_sent_once(world: str, meters: Meters) -> None:
    names = run_page()
    # 2026-11-01 and 2026-10-31 are final, 2026-11-19 is not; 2026-10-15 is older than Stripe takes.
    assert meters.totals() == {"sms_segments": 1400}
    assert names["by_hand"] == [names["identifier"]("acme", "2026-10-15", "mms", 1)]
    run_page()
    assert len(meters.received) == 2


def test_a_lost_answer_is_sent_again_by_the_same_name(world: str, meters: Meters, tmp_path: Path) -> None:
    meters.drops = 1
    with suppress(OSError):
        run_page()
    assert len(meters.received) == 1
    with sqlite3.connect(tmp_path / "billing.db") as ledger:
        assert ledger.execute("select count(*) from meter_events where sent_at is not null").fetchone() == (0,)
    run_page()
    assert meters.totals() == {"sms_segments": 1400}
    assert len(meters.received) == len(set(meters.received)) == 2


def test_a_changed_day_is_sent_again_there_and_back(world: str, meters: Meters) -> None:
    run_page()
    for units in (410, 400, 0):
        set_units(world, "2026-11-01", "sms", units)
        run_page()
        assert meters.totals() == {"sms_segments": 1000 + units}
    assert len(set(meters.received)) == 5


def test_another_refusal_is_not_swallowed(world: str, meters: Meters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "take", lambda _: (400, b'{"error": {"message": "No such meter"}}'))
    with pytest.raises(OSError, match="400"):
        run_page()
