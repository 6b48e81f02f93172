"""`metering events`: import, flush, status."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from cli.errors import CommandFailed, UsageError
from cli.events import flush, import_file, status
from usage_metering import UsageEvent, UsageTracker


@pytest.fixture(autouse=True)
def _environment(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_DATABASE_URL", database)
    monkeypatch.setenv("METERING_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("METERING_PII_KEY", "key")
    monkeypatch.setenv("COLUMNS", "140")


def stored(database: str) -> int:
    with psycopg.connect(database) as connection:
        return int(connection.execute("select count(*) from raw.usage_events").fetchone()[0])  # type: ignore[index]


def write(path: Path, *keys: str) -> Path:
    events = [UsageEvent.make(service="internal", now=datetime.now(UTC), event_key=key) for key in keys]
    path.write_text("".join(json.dumps(event.to_cloudevent()) + "\n" for event in events))
    return path


def test_import(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "events.ndjson", "a", "b")
    import_file(file)
    import_file(file)
    assert stored(database) == 2
    assert "duplicates" in capsys.readouterr().out


def test_import_of_bad_lines_takes_the_rest_and_fails(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "events.ndjson", "a")
    with file.open("a") as lines:
        lines.write("{}\n")
    with pytest.raises(CommandFailed, match="1 of 2 lines were rejected"):
        import_file(file)
    assert stored(database) == 1
    assert "line 2: specversion" in capsys.readouterr().out


def test_import_of_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        import_file(tmp_path / "none")


def test_flush_and_status(database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    status()
    assert "nothing waits" in capsys.readouterr().out
    monkeypatch.delenv("METERING_DATABASE_URL")
    tracker = UsageTracker()
    tracker.record("acme", "internal")
    monkeypatch.setenv("METERING_DATABASE_URL", database)
    status()
    assert "alive" in capsys.readouterr().out
    with pytest.raises(CommandFailed, match="1 events are still in"):
        flush(timeout=0)
    tracker.close(0)
    status()
    assert "1 events belong to ended processes" in capsys.readouterr().out
    flush(timeout=0)
    assert stored(database) == 1
    status()
    assert "nothing waits" in capsys.readouterr().out


def test_flush_without_a_database_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_TRACKER_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    tracker = UsageTracker()
    tracker.record("acme", "internal")
    tracker.close(0)
    with pytest.raises(CommandFailed, match="the database does not accept events"):
        flush(timeout=0)


def test_what_cannot_be_read_is_kept_and_named(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = UsageTracker(spool_dir=tmp_path / "spool", flush_interval=1000, database_url="postgresql://127.0.0.1:1/x")
    for _ in range(3):
        tracker.record(tenant_id="acme")
    tracker.close(0)
    (segment,) = (tmp_path / "spool").glob("*.log")
    content = segment.read_bytes()
    segment.write_bytes(content[:-40])
    status()
    assert "1 pieces or files of it cannot be read" in capsys.readouterr().out
    for _ in range(2):
        flush(timeout=0)
        assert f"{segment.name}.damaged: set aside" in capsys.readouterr().out
    assert stored(database) == 2
    assert segment.with_name(f"{segment.name}.damaged").read_bytes() == content[:-40]
    status()
    out = capsys.readouterr().out
    assert "nothing waits" in out
    assert f"{segment.name}.damaged: set aside" in out
