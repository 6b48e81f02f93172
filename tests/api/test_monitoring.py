"""Prometheus' rules and Grafana's dashboard against what the API, the collector and a product's tracker really serve."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from api.auth.tokens import mint_tracker
from api.main import create_app
from collector.main import create_app as create_collector
from tests.api.conftest import SECRET, bearer, make_settings, seed
from tests.collector.conftest import event
from tests.paths import ROOT
from usage_metering import UsageTracker

RULES = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = ROOT / "deploy/grafana/usage-metering.json"
# Prometheus' own: every series has these labels, and every target this series.
TARGET_LABELS = {"job", "instance"}
TARGET_SERIES = {"up"}
SERIES = re.compile(r"(?<![\w:{.$])(?:up|(?:metering|http|process)_\w+)\b")
FROM_US = re.compile(r"\bmetering_\w+")

Served = dict[str, set[str]]


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Return the dashboard's panels that show something."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> list[tuple[str, str, str]]:
    """Return each query: whose it is, its text, and the text that its labels are shown in."""
    shown = [
        (panel["title"], target["expr"], target.get("legendFormat", ""))
        for panel in panels()
        for target in panel["targets"]
    ]
    groups = yaml.safe_load(RULES.read_text())["groups"]
    told = [
        (rule["alert"], rule["expr"], rule["annotations"]["summary"].replace("$labels.", ""))
        for group in groups
        for rule in group["rules"]
    ]
    return shown + told


@pytest.fixture
def served(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Served:
    """The labels of every series that is served by processes over one database, after a use of each kind."""
    seed(database)
    with psycopg.connect(database) as connection:
        connection.execute("insert into ops.source_days values ('twilio', '2026-11-10', now(), now(), '2026-11-20')")
        connection.execute(
            "insert into ops.access_decisions (tenant_id, channel, units, allowed) values ('acme', 'sms', 1, false)"
        )
    variables = {
        "METERING_DATABASE_URL": database,
        "METERING_JWT_SECRET": SECRET,
        "METERING_PII_KEY": "a key for tests",
        "METERING_AS_OF": "2026-11-20T12:00:00Z",
        "METERING_SPOOL_DIR": str(tmp_path),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with TestClient(create_app(make_settings(database))) as client:
        client.get("/api/billing/usage/status", headers=bearer("tenant_admin", "acme"))
        texts = [client.get("/metrics").text]
    tracker_token = {"authorization": f"Bearer {mint_tracker((), (), timedelta(hours=1), SECRET)}"}
    with TestClient(create_collector(), headers=tracker_token) as client:
        client.post("/api/v1/events", json=event()).raise_for_status()
        texts.append(client.get("/metrics").text)
    with UsageTracker() as tracker:
        texts.append(generate_latest(tracker.registry).decode())
    served: Served = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                served.setdefault(sample.name, set()).update(sample.labels)
    return served


def test_every_series_and_label_is_served(served: Served) -> None:
    for whose, expression, shown in expressions():
        names = set(SERIES.findall(expression))
        assert names, whose
        assert names <= served.keys() | TARGET_SERIES, whose
        labels = TARGET_LABELS.union(*(served.get(name, set()) for name in names))
        groups = re.findall(r"\bby \(([^)]*)\)", expression)
        asked = {label.strip() for group in groups for label in group.split(",")}
        asked |= set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!=|!~|=)", expression))
        asked |= set(re.findall(r"\{\{\s*(\w+)\s*\}\}", shown))
        assert asked <= labels, whose


def test_everything_served_of_ours_is_looked_at(served: Served) -> None:
    used = {name for _, expression, _ in expressions() for name in FROM_US.findall(expression)}
    ours = {name for name in served if name.startswith("metering_") and not name.endswith("_created")}
    # Of a tracker's counts the one that must stay 0 is watched; spans are a matter of whoever sends them.
    assert {
        name for name in ours - used if not name.startswith(("metering_tracking_", "metering_collector_spans"))
    } == set()


def test_panels_stand_beside_each_other() -> None:
    cells: set[tuple[int, int]] = set()
    board = json.loads(DASHBOARD.read_text())["panels"]
    for panel in board:
        place = panel["gridPos"]
        taken = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert cells.isdisjoint(taken), panel["title"]
        assert place["x"] + place["w"] <= 24
        cells |= taken
    assert len({panel["id"] for panel in board}) == len(board)


def test_rules_say_what_to_do(rules: list[dict[str, Any]]) -> None:
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical")
        for runbook in re.findall(r"docs/[\w/.-]+\.md", rule["annotations"]["summary"]):
            assert (ROOT / runbook).is_file(), runbook


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool, of Prometheus")
def test_prometheus_takes_them() -> None:
    done = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", str(RULES.with_name("prometheus.yml"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
