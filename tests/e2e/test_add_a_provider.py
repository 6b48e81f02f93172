"""docs/add-a-provider.md, followed literally in a copy of the repository: its toy provider's usage and cost come out where people look."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from builds import meters, variables
from tests.e2e.recipe import RecipeError, Step, steps_of
from tests.e2e.system import ROOT
from tests.paths import python_path
from warehouse.migrations import head
from warehouse.urls import dagster_storage_url

# Whole builds, on a slow machine beside others: what hangs is still ended.
pytestmark = pytest.mark.timeout(600)

PAGE = ROOT / "docs" / "add-a-provider.md"
LEFT_OUT = shutil.ignore_patterns(
    *(".git", ".venv", ".local", ".installed", "build", "target", "logs", "screenshots", "*.egg-info"),
    *("__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".import_linter_cache"),
)
FIRST, LAST = "2026-11-01", "2026-11-03"
FILES_BY_HAND = 12
FILES_OF_OTHERS = 12
SECRET = "a secret for tests that is long enough"


def label(number: int, day: int, shop: str = "shop_a", kind: str = "domestic", **others: Any) -> dict[str, Any]:
    """Return a label as Parcelry lists it, bought at noon and billed a cent more than the list price of a domestic one."""
    bought = {"state": "bought", "price": "0.36", "currency": "usd", "bought_at": f"2026-11-{day:02}T12:00:00Z"}
    return {"id": f"lbl_{number}", "shop": shop, "kind": kind, **bought, **others}


LABELS = [
    label(1, 1),
    label(2, 1),
    label(3, 1, state="voided", price=None),
    label(4, 1, kind="international", price=None),
    label(5, 1, shop="shop_b", bought_at="2026-11-02T00:30:00+01:00"),
    label(6, 2, shop="nobody's"),
    label(7, 3),
    label(8, 4),  # after the window
]


@dataclass
class Parcelry:
    """The toy provider's API, and what it was asked."""

    url: str = ""
    requests: list[str] = field(default_factory=list)

    def answer(self, path: str, key: str) -> tuple[int, dict[str, Any]]:
        """Return status and body. It is away at first, and its list grows while it is paged: a label stands on two pages."""
        self.requests.append(path)
        url = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if key != "Bearer parcelry-key" or url.path != "/v1/labels":
            return 401, {}
        if len(self.requests) == 1:
            return 503, {}
        found = [one for one in LABELS if query["from"] <= utc(one["bought_at"]) < query["to"]]
        start = int(query.get("cursor", "0"))
        end = start + 2
        return 200, {"labels": found[max(start - 1, 0) : end], "next_cursor": str(end) if end < len(found) else None}


def utc(instant: str) -> str:
    """Return an instant as the reader writes its bounds."""
    from datetime import UTC, datetime

    return datetime.fromisoformat(instant).astimezone(UTC).isoformat()


@pytest.fixture
def parcelry() -> Iterator[Parcelry]:
    """The toy provider, listening."""
    provider = Parcelry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = provider.answer(self.path, self.headers.get("Authorization", ""))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    provider.url = f"http://127.0.0.1:{server.server_port}"
    yield provider
    server.shutdown()
    server.server_close()


def copied(folder: Path, steps: Sequence[Step], *, copies: bool = True) -> Path:
    """Return a copy of the repository to which ``steps`` were done; ``copies``: and `make copies`."""
    copy = folder / "copy"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    for step in steps:
        step.do(copy)
    if copies:
        printed, _ = (process := World(copy, os.environ).start("-m", "builds.copies")).communicate(timeout=60)
        assert process.returncode == 0, printed
    return copy


def differing(copy: Path) -> set[str]:
    """Return the files that the copy has and the repository has not, or has otherwise."""
    return {
        path
        for folder, _, names in os.walk(copy)
        for name in names
        if (path := str((Path(folder) / name).relative_to(copy)))
        and not {"__pycache__", "target"} & set(Path(path).parts)
        and (not (ROOT / path).exists() or (ROOT / path).read_bytes() != (copy / path).read_bytes())
    }


@dataclass(frozen=True)
class World:
    """The copy, run as processes of its own."""

    copy: Path
    environ: Mapping[str, str]

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self.copy,
            env={**self.environ, "PYTHONPATH": python_path(self.copy)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str) -> str:
        """Return what a command printed. It must end well."""
        process = self.start(*command)
        printed, _ = process.communicate(timeout=200)
        assert process.returncode == 0, printed
        return printed

    def metering(self, *arguments: str) -> str:
        return self.run("-c", "from cli.main import run; run()", *arguments)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.environ["METERING_DATABASE_URL"]) as connection:
            return connection.execute(statement.encode()).fetchall()


@pytest.fixture
def world(system_database: str, tmp_path: Path, parcelry: Parcelry) -> World:
    """The copy with the recipe followed, over a database that is as the repository has it, and a provider to ask."""
    directory = tmp_path / "directory"
    directory.mkdir()
    (directory / "tenants.csv").write_text(
        "tenant_id,name,plan,status,usage_hard_stop_enabled\nacme,Acme,pro,active,true\nbolt,Bolt,,active,false\n"
    )
    (directory / "tenant_resources.csv").write_text(
        "tenant_id,provider,resource_type,resource_id,valid_from,valid_to\n"
        "acme,parcelry,shop,shop_a,,\nbolt,parcelry,shop,shop_b,,\n"
    )
    (directory / "tenant_limits.csv").write_text(
        "tenant_id,channel,metric,monthly_cap,warning_threshold_pct\nacme,labels,units,4,80\n"
    )
    environ = {
        **os.environ,
        "METERING_DATABASE_URL": system_database,
        "METERING_DAGSTER_STORAGE_URL": dagster_storage_url(system_database),
        "METERING_TENANT_DIRECTORY": str(directory),
        "METERING_START_DATE": FIRST,
        "METERING_AS_OF": "2026-11-10T12:00:00+00:00",
        "METERING_PII_KEY": "a key for tests",
        "METERING_JWT_SECRET": SECRET,
        "METERING_REQUEST_BACKOFF_SECONDS": "0.01",
        "METERING_SPOOL_DIR": str(tmp_path / "spool"),
        "DAGSTER_HOME": str(tmp_path / "dagster"),
        "PARCELRY_API_KEY": "parcelry-key",
        "PARCELRY_BASE_URL": parcelry.url,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return World(copied(tmp_path, steps_of(PAGE.read_text())), environ)


TRACK = """
from usage_metering import UsageTracker
with UsageTracker() as tracker:
    tracker.record(tenant_id="acme", service="parcel_labels", operation="domestic", external_id="lbl_2", feature="returns",
                   occurred_at="2026-11-01T11:59:59Z")
    tracker.record(tenant_id="acme", service="parcel_labels", operation="domestic", external_id="lbl_3", feature="returns",
                   occurred_at="2026-11-01T12:00:00Z")
"""


def test_the_recipe_adds_a_provider(world: World, parcelry: Parcelry) -> None:
    steps = steps_of(PAGE.read_text())
    checks = world.start(
        *("-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-k", "not raw_table_is_there"),
        *("tests/contracts", "tests/ingestion/sources/test_parcelry_source.py"),
    )
    world.metering("migrate")
    world.run("-c", TRACK)
    printed = world.metering("rebuild", "--from", FIRST, "--to", LAST)
    assert "skipped: set TWILIO_ACCOUNT_SID" in printed
    assert "PARCELRY" not in printed
    assert parcelry.requests.count(parcelry.requests[0]) == 2

    # What the rebuild has parsed, as dbt keeps it: it need not parse again.
    (parsed,) = (Path(world.environ["DAGSTER_HOME"]) / "dbt").glob("*.msgpack")
    target = world.copy / "dbt_project" / "target"
    target.mkdir()
    shutil.copyfile(parsed, target / "partial_parse.msgpack")
    unit_tests = world.start(
        *("-c", "from dbt.cli.main import cli; cli()", "test", "--select", "int_parcelry_labels,test_type:unit"),
        *(
            "--project-dir",
            "dbt_project",
            "--profiles-dir",
            "dbt_project",
            "--target-path",
            "target",
            "--log-path",
            "target",
        ),
    )

    # What counts is there once, with tenant, feature, list price and bill; what is voided is not, tracked or not.
    assert world.query(
        "select tenant_id, date::text, operation, feature, evidence, unit_count::float, estimated_cost_usd::text::float,"
        " billed_cost_usd::float from marts.usage_daily where service = 'parcel_labels' and channel = 'labels' order by 1, 2, 3, 4"
    ) == [
        ("acme", "2026-11-01", "domestic", "(untracked)", "provider", 1, 0.35, 0.36),
        ("acme", "2026-11-01", "domestic", "returns", "provider", 1, 0.35, 0.36),
        ("acme", "2026-11-01", "international", "(untracked)", "provider", 1, 1.2, None),
        ("acme", "2026-11-03", "domestic", "(untracked)", "provider", 1, 0.35, 0.36),
        ("bolt", "2026-11-01", "domestic", "(untracked)", "provider", 1, 0.35, 0.36),
        ("unattributed", "2026-11-02", "domestic", "(untracked)", "provider", 1, 0.35, 0.36),
    ]
    assert world.query(
        "select tenant_id, date::text, channel, unit, unit_count::float, request_count::int, estimated_cost_cents::float"
        " from marts.usage_summary order by 1, 2"
    ) == [
        ("acme", "2026-11-01", "labels", "labels", 3, 3, 190),
        ("acme", "2026-11-03", "labels", "labels", 1, 1, 35),
        ("bolt", "2026-11-01", "labels", "labels", 1, 1, 35),
        ("unattributed", "2026-11-02", "labels", "labels", 1, 1, 35),
    ]
    assert world.query(
        "select tenant_id, other_cost_cents::float, total_cost_cents::float from marts.tenant_monthly order by 1"
    ) == [("acme", 225, 225), ("bolt", 35, 35), ("unattributed", 35, 35)]
    assert world.query('select distinct "ServiceName" from marts.focus_cost_and_usage') == [("Parcelry Labels",)]

    with served(world) as get:
        summary = get("/api/billing/usage/summary?period=2026-11")
        (channel,) = [one for one in summary["channels"] if one["channel"] == "labels"]
        assert (channel["unit"], channel["used"], channel["cap"], channel["status"]) == ("labels", 4, 4, "warning")
        assert (channel["estimatedCostCents"], channel["estimatedCostUsd"]) == (225, "2.25")
        daily = get(f"/api/billing/usage/daily?from={FIRST}&to={LAST}")
        assert "labels" in json.dumps(daily)
        access = get("/api/billing/usage/channels/labels/access?units=1")
        assert access["allowed"] is False
        explained = get(f"/api/billing/usage/explain?date={FIRST}&channel=labels")
        assert "The shop is the tenant's on that day." in json.dumps(explained)
        assert {record["id"] for line in explained["lines"] for record in records_of(line)} == {
            "lbl_1",
            "lbl_2",
            "lbl_4",
        }

    for tests in (checks, unit_tests):
        printed, _ = tests.communicate(timeout=120)
        assert tests.returncode == 0, printed
    assert "PASS=1 " in printed
    # Of what `make copies` writes all but R2's actions, which are R2's.
    copies = {*meters.copies(""), *variables.copies()} - {meters.R2_ACTIONS_OF_SDK}
    written = {str(path.relative_to(ROOT)) for path in copies}
    assert differing(world.copy) == {step.path for step in steps} | written
    again = "what lists providers again should follow from the catalogue"
    assert len({step.path for step in steps}) <= FILES_BY_HAND, again
    own = {path for path in differing(world.copy) if "/parcelry/" in path or path.startswith("tests/")}
    assert len(differing(world.copy) - own) <= FILES_OF_OTHERS, again


def records_of(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(line["records"]["items"])


class served:
    """The copy's API, asked with a token of acme's."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __enter__(self) -> Any:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.process = self.world.start("-c", "from cli.main import run; run()", "serve", "--port", str(port))
        token = self.world.metering("token", "--role", "tenant_admin", "--tenant", "acme").strip()

        def get(path: str) -> Any:
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"}
            )
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)

        for _ in range(300):
            if self.process.poll() is not None:
                raise AssertionError(self.process.communicate()[0])
            with socket.socket() as door:
                if door.connect_ex(("127.0.0.1", port)) == 0:
                    return get
            time.sleep(0.1)
        raise AssertionError("the API does not listen")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.communicate(timeout=30)


FORGOTTEN = {
    "sdk/usage_metering/meters.csv": "run `make copies`",
    "docker-compose.yml": "docker-compose.yml has others: run `make copies`",
    "dbt_project/models/intermediate/int_provider_record_keys.sql": "parcel_labels has no branch in int_provider_record_keys.sql",
}


def test_a_forgotten_step_is_named(tmp_path: Path) -> None:
    copy = copied(tmp_path, [step for step in steps_of(PAGE.read_text()) if step.path not in FORGOTTEN], copies=False)
    process = World(copy, os.environ).start(
        *("-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-k", "not raw_table_is_there", "tests/contracts")
    )
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 1, printed
    assert [file for file, message in FORGOTTEN.items() if message not in printed] == []


def test_the_recipe_continues_the_newest_migration() -> None:
    """A migration that came since is the newest: then the recipe's follows that."""
    assert f"-- follows: {head()}\n" in PAGE.read_text()


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (
            "In `README.md`, after `no such line`:\n\n```text\nx\n```\n",
            "README.md has 0 lines that begin with no such line",
        ),
        ("Create `README.md`:\n\n```text\nx\n```\n", "README.md is there already"),
        ("Append to `nowhere.py`:\n\n```text\nx\n```\n", "nowhere.py is not there"),
        ("Then do this:\n\n```text\nx\n```\n", "what is to be done with the block after: Then do this:"),
    ],
)
def test_a_step_that_cannot_be_done_is_named(tmp_path: Path, page: str, message: str) -> None:
    (tmp_path / "README.md").write_text("a\n")
    with pytest.raises(RecipeError, match=re.escape(message)):
        [step.do(tmp_path) for step in steps_of(page)]
