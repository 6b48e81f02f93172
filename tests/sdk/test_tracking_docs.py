"""docs/tracking.md is executed, from its first block to its last, and its FastAPI example, against the sandbox and a real database."""

from __future__ import annotations

import os
import re
import runpy
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from sandbox import Dataset, Sandbox, running
from tests.sdk.conftest import Base

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tracking.md"
NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
CAP = 12


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    number = {"sid": "PN1", "account_sid": "AC" + "0" * 32, "phone_number": "+12065550100"}
    with running(Dataset(twilio_phone_numbers=[number]), now=NOW) as served:
        yield served


@pytest.fixture
def deployment(base: Base, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of a product, and marts that hold a hard stop for acme."""
    for name, value in {
        **sandbox.environment(),
        "METERING_DATABASE_URL": base.url,
        "METERING_SPOOL_DIR": str(tmp_path / "spool"),
        "METERING_PII_KEY": "a key for tests",
        "METERING_AS_OF": NOW.isoformat(),
    }.items():
        monkeypatch.setenv(name, value)
    base.make_marts(cap=CAP)
    return base.url


def test_the_page_runs_and_says_what_is_recorded(
    deployment: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {"__name__": "docs"}
    found = blocks()
    assert len(found) >= 8
    for number, block in enumerate(found):
        exec(compile(block, f"docs/tracking.md, block {number}", "exec"), names)
        if number < len(found) - 1:
            assert names["tracker"].flush(30)  # so that the cap sees what was sent without asking the guard
    example = runpy.run_path(str(ROOT / "docs" / "examples" / "tracked_fastapi.py"))
    with TestClient(example["app"]) as client:
        assert client.get("/answer", headers={"x-tenant": "boreal"}).status_code == 200
        assert client.get("/stream", headers={"x-tenant": "boreal"}).status_code == 200
    assert example["tracker"].flush(30)
    example["tracker"].close()
    printed = capsys.readouterr().out
    assert "Usage cap reached for this channel. Please contact support or update your plan." in printed

    with psycopg.connect(deployment) as connection:
        rows = connection.execute(
            "select tenant_id, feature, service, operation, units, coalesce(model, ''), external_id, metadata::text"
            " from raw.usage_events"
        ).fetchall()
    by_feature = {(row[1], row[2]): row for row in rows if row[0] == "acme"}
    assert by_feature[("ai_sms", "openai")][5] == "gpt-4o-mini-2024-07-18"
    assert by_feature[("ai_sms", "twilio_sms")][3] == "outbound"
    assert by_feature[("receipts", "sendgrid")][4] == 2
    assert by_feature[("reminders", "twilio_voice")][4] == 0
    assert by_feature[("chat", "openai")][4] > 0
    assert len([row for row in rows if row[1] == "lead_scoring"]) == 2
    requests = {row[1] for row in rows if row[0] == "boreal"}
    assert requests == {"in the handler", "in a pool", "in the background", "in a stream"}
    reported = {(row[2], row[3]): (row[4], row[6]) for row in rows if row[1] is None}
    assert reported["stripe", "charge"] == (1, "txn_1")
    assert reported["cloudflare_r2", "class_a"] == (12, None)
    assert reported["twilio_phone", "local"][0] == 1
    assert by_feature[("legacy_sender", "twilio_sms")][6] == "SM" + "4" * 32

    # The cap held: what acme has sent of 12 segments is what the provider has taken.
    outbound = [row for row in rows if row[0] == "acme" and (row[2], row[3]) == ("twilio_sms", "outbound")]
    assert len([row for row in outbound if row[1] == "broadcast"]) == names["sent"] > 0
    assert sum(row[4] for row in outbound if row[1] in ("broadcast", "ai_sms")) == CAP
    taken = {message["sid"] for message in sandbox.dataset.twilio_messages}
    assert taken == {row[6] for row in outbound if row[1] in ("broadcast", "ai_sms")}
    assert not [row for row in rows if "+1" in (row[7] or "") or "@" in (row[7] or "")]


def test_the_page_names_what_there_is() -> None:
    """Every name that the page has in code spans of methods of the tracker exists."""
    from usage_metering import UsageTracker

    named = set(re.findall(r"tracker\.(\w+)\(", PAGE.read_text()))
    assert named >= {"record", "record_inbound_sms", "record_call_status", "flush", "close"}
    assert not [name for name in named if not hasattr(UsageTracker, name)]
    assert "TWILIO_BASE_URL" in PAGE.read_text()
    assert os.environ.get("TWILIO_BASE_URL") is None  # the page's environment has not leaked
