"""The examples in other languages, run as their readers run them: metered by the collector, and stopped at the cap with its sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
import uvicorn

from api.auth.tokens import mint_tracker
from collector.main import create_app
from sandbox import Dataset, Sandbox, running
from sandbox.running import listen
from tests.collector.conftest import SECRET
from tests.paths import ROOT
from tests.proof import IS_PROOF
from tests.sdk.conftest import Base
from usage_metering import UsageGuard
from usage_metering.guard import CAP_REACHED

NOW = "2026-11-20T10:00:00Z"
NODE = shutil.which("node")
NPM = shutil.which("npm")
PHP = shutil.which("php")
CAP, CALLERS = (1_000, 32) if IS_PROOF else (160, 16)
needs_node = pytest.mark.skipif(not (NODE and NPM), reason="needs Node.js with npm")

# As many at once as there are callers; each prints how often it was allowed.
IN_JAVASCRIPT = """
const [url, token, callers, calls] = process.argv.slice(1)
const body = JSON.stringify({ tenantId: 'acme', channel: 'sms' })
const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
let allowed = 0
await Promise.all(Array.from({ length: Number(callers) }, async () => {
  for (let call = 0; call < Number(calls); call++) {
    const response = await fetch(url, { method: 'POST', headers, body })
    if (!response.ok) throw new Error(await response.text())
    allowed += (await response.json()).allowed
  }
}))
console.log(allowed)
"""


@contextmanager
def collecting(base: Base, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve a collector over the base; gives its address."""
    for name, value in {
        "METERING_DATABASE_URL": base.url,
        "METERING_JWT_SECRET": SECRET,
        "METERING_PII_KEY": "a key for tests",
        "METERING_AS_OF": NOW,
        "METERING_GUARD_TIMEOUT_MS": "20000",  # tests share their machine
        "METERING_COLLECTOR_REQUESTS_PER_SECOND": "10000",
    }.items():
        monkeypatch.setenv(name, value)
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_app(), log_config=None, log_level="error"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def token(*services: str) -> str:
    return mint_tracker(("acme",), services, timedelta(hours=1), SECRET)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running(Dataset()) as served:
        yield served


def run(command: list[str], collector: str, services: tuple[str, ...], sandbox: Sandbox) -> tuple[int, list[str], str]:
    """Return the exit status, the lines printed, and what went to stderr."""
    environment = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR")},
        **sandbox.environment(),
        "METERING_COLLECTOR_URL": collector,
        "METERING_COLLECTOR_TOKEN": token(*services),
        "OPENAI_API_KEY": "sk-proj-example",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout.splitlines(), done.stderr.strip()


@needs_node
@pytest.mark.timeout(240)
def test_typescript(base: Base, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "typescript"
    shutil.copytree(ROOT / "docs/examples/typescript", folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    installed = subprocess.run(
        [str(NPM), "ci", "--prefer-offline", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if installed.returncode != 0:
        pytest.skip(f"npm cannot install the example's packages here: {installed.stderr.strip()[-200:]}")
    subprocess.run([str(NPM), "run", "--silent", "build"], cwd=folder, check=True, timeout=60)
    base.make_marts(channel="ai", cap=1_000)
    with collecting(base, monkeypatch) as collector:
        command = [str(NODE), str(folder / "dist/product.js"), "acme", *["How long is a month?"] * 50]
        status, answers, error = run(command, collector, ("openai",), sandbox)
    assert (status, error) == (3, CAP_REACHED)
    rows = base.rows(
        "select service, operation, feature, model, event_key = 'openai:' || external_id, units = input_tokens + output_tokens,"
        " units > 0 from raw.usage_events"
    )
    assert len(rows) == len(answers) > 0
    assert {row[:3] for row in rows} == {("openai", "chat_completion", "chat")}
    [(used,)] = base.rows("select sum(units) from raw.usage_events")
    # Refused is what would have gone beyond it: the prompt's seven tokens at most, and 500 of the answer.
    assert 1_000 - 507 < used <= 1_000
    with closing(UsageGuard(base.url, timeout=20)) as guard:
        access = guard.check("acme", "ai")
    assert access.used == used
    assert access.reserved == 0


@pytest.mark.skipif(not PHP, reason="needs PHP")
def test_php(base: Base, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    base.make_marts(cap=3)
    with collecting(base, monkeypatch) as collector:
        numbers = ["+15005550006", "+15005550007"]
        command = [str(PHP), str(ROOT / "docs/examples/php/product.php"), "acme", *numbers, *["Tomorrow at ten."] * 5]
        status, sent, error = run(command, collector, ("twilio_sms",), sandbox)
    assert (status, error) == (3, CAP_REACHED)
    assert len(sent) == 3
    rows = base.rows("select external_id, service, operation, feature, units from raw.usage_events order by 1")
    assert rows == [(sid, "twilio_sms", "outbound", "reminders", 1) for sid in sorted(sent)]


@needs_node
@pytest.mark.timeout(240)
def test_a_cap_under_callers_in_two_languages(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    base.make_marts(cap=CAP)
    each = CAP // CALLERS  # so that both languages together ask for twice the cap
    with collecting(base, monkeypatch) as collector:
        url = f"{collector}/api/v1/access/reserve"
        script = subprocess.Popen(
            [str(NODE), "-e", IN_JAVASCRIPT, url, token("twilio_sms"), str(CALLERS), str(each)],
            stdout=subprocess.PIPE,
            text=True,
        )

        def ask(_: int) -> int:
            headers = {"authorization": f"Bearer {token('twilio_sms')}"}
            with httpx2.Client(headers=headers, timeout=30) as client:
                answers = [client.post(url, json={"tenantId": "acme", "channel": "sms"}) for _ in range(each)]
            return sum(answer.raise_for_status().json()["allowed"] for answer in answers)

        with ThreadPoolExecutor(CALLERS) as pool:
            in_python = sum(pool.map(ask, range(CALLERS)))
        in_javascript = int(script.communicate(timeout=120)[0])
    assert in_python + in_javascript == CAP
    assert in_python > 0
    assert in_javascript > 0
