"""Starting and stopping: in a thread, in a process of its own, in the foreground."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import requests

from sandbox import Dataset, running
from sandbox.running import RemoteSandbox

from .conftest import SETTLED, Http

ROOT = Path(__file__).resolve().parents[2]
MESSAGE = {"sid": "SM1", "account_sid": "AC" + "a" * 32, "date_sent": "Sat, 10 Oct 2026 10:00:00 +0000"}


def test_environment_points_at_the_sandbox() -> None:
    with running(Dataset()) as sandbox:
        environment = sandbox.environment()
        assert environment["TWILIO_BASE_URL"] == environment["SENDGRID_BASE_URL"] == sandbox.url
        assert environment["OPENAI_BASE_URL"] == f"{sandbox.url}/v1"
        assert set(environment) == {
            "TWILIO_ACCOUNT_SID",
            "TWILIO_AUTH_TOKEN",
            "TWILIO_BASE_URL",
            "OPENAI_ADMIN_KEY",
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_ADMIN_KEY",
            "ANTHROPIC_BASE_URL",
            "METERING_ANTHROPIC_HOSTS",
            "SENDGRID_API_KEY",
            "SENDGRID_BASE_URL",
            "STRIPE_API_KEY",
            "STRIPE_BASE_URL",
            "CLOUDFLARE_API_TOKEN",
            "CLOUDFLARE_ACCOUNT_ID",
            "CLOUDFLARE_BASE_URL",
        }


def test_a_shell_can_ask_for_the_environment() -> None:
    with running(Dataset()) as sandbox:
        exports = requests.get(f"{sandbox.url}/_sandbox/environment", timeout=10).text
        script = exports + "env"
        shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={}, timeout=10)
        exported = dict(line.split("=", 1) for line in shell.stdout.splitlines())
        assert {name: exported.get(name) for name in sandbox.environment()} == sandbox.environment()


def test_starts_and_stops_quickly_and_leaves_nothing() -> None:
    threads = threading.active_count()
    began = time.monotonic()
    with running(Dataset(twilio_messages=[MESSAGE])) as one, running(Dataset()) as two:
        assert one.url != two.url
        assert Http(one).all_of("Messages.json", "messages") == [MESSAGE]
        held = requests.Session()
        held.get(f"{one.url}/_sandbox", timeout=10)  # a connection kept open does not hold up the end
    assert time.monotonic() - began < 5
    assert threading.active_count() == threads
    with pytest.raises(requests.ConnectionError):
        requests.get(one.url, timeout=10)
    held.close()


def test_stops_also_when_the_block_fails() -> None:
    with pytest.raises(KeyError), running(Dataset()) as sandbox:
        raise KeyError
    with pytest.raises(requests.ConnectionError):
        requests.get(sandbox.url, timeout=10)


def test_in_a_process_of_its_own() -> None:
    dataset = Dataset(twilio_accounts=[{"sid": MESSAGE["account_sid"]}], twilio_messages=[MESSAGE])
    with running(dataset, now=SETTLED, process=True) as sandbox:
        assert isinstance(sandbox, RemoteSandbox)
        http = Http(sandbox)
        assert http.all_of("Messages.json", "messages") == [MESSAGE]
        assert sandbox.now == SETTLED
        sandbox.now = datetime(2026, 10, 1, tzinfo=UTC)
        assert sandbox.now == datetime(2026, 10, 1, tzinfo=UTC)
        sandbox.faults.add("Messages", status=503)
        assert [fault.status for fault in sandbox.faults.listed()] == [503]
        assert http.twilio("Messages.json").status_code == 503
        sandbox.faults.clear()
        with pytest.raises(ValueError, match="unknown fault fields"):
            sandbox.faults.add("Messages", colour="red")
        sandbox.put("twilio_messages", {**MESSAGE, "status": "read"})
        assert http.all_of("Messages.json", "messages")[0]["status"] == "read"
        assert sandbox.delete("twilio_messages", sid="SM1") == 1
        assert http.all_of("Messages.json", "messages") == []
        sandbox.set_missing({"openai_costs": ["2026-10-03"]})
        assert "GET /2010-04-01/Accounts/" in sandbox.requests[0]
    with pytest.raises(requests.ConnectionError):
        requests.get(sandbox.url, timeout=10)


def test_the_process_leaves_when_its_starter_dies(tmp_path: Path) -> None:
    Dataset().dump(tmp_path)
    command = [
        sys.executable,
        "-m",
        "sandbox",
        "--data",
        str(tmp_path),
        "--port",
        "0",
        "--until-eof",
    ]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin
        assert child.stdout
        url = child.stdout.readline().strip()
        assert requests.get(f"{url}/_sandbox", timeout=10).status_code == 200
        child.stdin.close()
        assert child.wait(timeout=10) == 0


def test_serve_in_the_foreground_until_interrupted(tmp_path: Path) -> None:
    code = (
        "import datetime, sys; from sandbox import Dataset, serve;"
        "serve(Dataset(), '127.0.0.1', int(sys.argv[1]), datetime.datetime(2026, 10, 1))"
    )
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, "-c", code, str(port)], cwd=ROOT) as child:
        url = f"http://127.0.0.1:{port}/_sandbox"
        for _ in range(200):
            try:
                answer = requests.get(url, timeout=10)
                break
            except requests.ConnectionError:
                time.sleep(0.05)
        assert answer.json()["now"] == "2026-10-01T00:00:00+00:00"
        os.kill(child.pid, signal.SIGTERM)
        child.wait(timeout=10)


def test_pages_of_a_thousand_are_served_in_milliseconds() -> None:
    dataset = Dataset.generate(first=date(2026, 10, 1), last=date(2026, 10, 31), scale=2)
    with running(dataset, now=SETTLED) as sandbox:
        http = Http(sandbox)
        http.all_of("Messages.json", "messages", PageSize=1000)
        began = time.monotonic()
        answer = http.twilio("Messages.json", PageSize=1000)
        seconds = time.monotonic() - began
        assert len(answer.json()["messages"]) == 1000
        assert seconds < 0.5  # about 10 ms on an idle machine, of which most is the client's
