"""A price book that cannot be built with is found before a provider is read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from rich.console import Console

from cli import rebuild
from costs import seeds
from costs.rules.price_book import PriceBookError
from ingestion.config import IngestSettings
from ingestion.windows import Window
from orchestration.assets import ingestion
from orchestration.partitions import daily_partitions

TODAY = datetime.now(UTC).date()


@pytest.fixture(autouse=True)
def _gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header, *rows = seeds.seed_path("price_book.csv").read_text().splitlines()
    names = header.split(",")
    row = dict.fromkeys(names, "") | {
        "service": "twilio_sms",
        "operation": "outbound",
        "model": "made-up",
        "component": "unit",
        "unit_price_usd": "1",
        "per": "1",
    }
    for first, last in (("2026-01-01", "2026-02-01"), ("2026-03-01", "")):
        row |= {"effective_from": first, "effective_to": last}
        rows.append(",".join(row[name] for name in names))
    plans = seeds.seed_path("plans.csv").read_text()
    (tmp_path / "price_book.csv").write_text("\n".join([header, *rows]) + "\n")
    (tmp_path / "plans.csv").write_text(plans)
    monkeypatch.setattr(seeds, "seed_path", tmp_path.joinpath)


def test_by_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERING_DATABASE_URL", "postgresql://nowhere/none")
    monkeypatch.setattr(rebuild, "require_migrated", lambda url: None)
    monkeypatch.setattr(IngestSettings, "from_environment", lambda: None)
    monkeypatch.setattr("orchestration.definitions.build_definitions", lambda: pytest.fail("a run was begun"))
    with pytest.raises(PriceBookError, match=r"made-up.* without a price from 2026-02-01"):
        rebuild.run_rebuild(Window.of_days(TODAY, TODAY), None, console=Console(quiet=True))


def test_by_a_run_of_dagsters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory comes before every provider."""
    monkeypatch.setattr(ingestion, "load_directory", lambda **_: pytest.fail("the directory was read"))
    result = dg.materialize(
        [ingestion.build_directory_assets(daily_partitions())],
        partition_key=TODAY.isoformat(),
        resources={"warehouse": SimpleNamespace(url=""), "providers": SimpleNamespace(settings=lambda: None)},
        raise_on_error=False,
    )
    (failure,) = result.get_step_failure_events()
    assert "without a price from 2026-02-01" in str(failure.step_failure_data.user_failure_data.description)
