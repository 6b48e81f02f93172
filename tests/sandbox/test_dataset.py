"""The data: deterministic, complete in its odd cases, the same after a round trip through files."""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from sandbox import Dataset
from sandbox.dataset import ENCODER
from sandbox.lists import DIRECTORY_COLUMNS, IDENTITY, LISTS
from sandbox.times import day_of, parse_rfc2822

from .conftest import FIRST, LAST, SETTLED

CAPS = {"starter": 1000, "pro": 5000, "elite": 20_000}


def as_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_same_arguments_give_identical_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    arguments = {"first": date(2026, 10, 1), "last": date(2026, 10, 9), "scale": 0.3}
    Dataset.generate(**arguments).dump(tmp_path / "a")
    Dataset.generate(**arguments).dump(tmp_path / "b")
    Dataset.generate(**arguments, seed=8).dump(tmp_path / "c")
    assert as_bytes(tmp_path / "a") == as_bytes(tmp_path / "b")
    assert as_bytes(tmp_path / "a") != as_bytes(tmp_path / "c")


def test_dump_and_load_round_trip(generated: Dataset, tmp_path: Path) -> None:
    generated.missing_buckets = {"openai_costs": ["2026-10-03"]}
    generated.dump(tmp_path / "a")
    generated.missing_buckets = {}
    loaded = Dataset.load(tmp_path / "a")
    loaded.dump(tmp_path / "b")
    assert as_bytes(tmp_path / "a") == as_bytes(tmp_path / "b")
    assert loaded.missing_buckets == {"openai_costs": ["2026-10-03"]}
    assert loaded.twilio_messages == generated.twilio_messages
    assert isinstance(loaded.openai_costs[0]["amount"]["value"], Decimal)
    for name in LISTS:
        json.loads((tmp_path / "a" / f"{name}.json").read_text())


def test_an_absent_file_is_an_empty_list_and_a_bad_one_is_named(tmp_path: Path) -> None:
    assert Dataset.load(tmp_path).twilio_messages == []
    (tmp_path / "twilio_calls.json").write_text("{}")
    with pytest.raises(ValueError, match=r"twilio_calls\.json: expected a JSON list"):
        Dataset.load(tmp_path)
    (tmp_path / "twilio_calls.json").write_text("[")
    with pytest.raises(ValueError, match=r"twilio_calls\.json: not JSON"):
        Dataset.load(tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        Dataset.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "arguments",
    [
        {"tenants": 5, "first": FIRST, "last": LAST},
        {"first": LAST, "last": FIRST},
        {"first": FIRST, "last": LAST, "scale": -1.0},
    ],
)
def test_arguments_that_make_no_data_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Dataset.generate(**arguments)  # type: ignore[arg-type]


def test_directory_files(generated: Dataset, tmp_path: Path) -> None:
    generated.write_directory(tmp_path)
    rows = {}
    for name, columns in DIRECTORY_COLUMNS.items():
        with (tmp_path / f"{name}.csv").open(newline="") as lines:
            reader = csv.DictReader(lines)
            rows[name] = list(reader)
            assert tuple(reader.fieldnames or ()) == columns
    assert {row["plan"] for row in rows["tenants"]} == {"starter", "pro", "elite", "agency", ""}
    assert "suspended" in {row["status"] for row in rows["tenants"]}
    ids = {row["tenant_id"] for row in rows["tenants"]}
    assert len(ids) == 6
    assert {row["tenant_id"] for row in [*rows["tenant_resources"], *rows["tenant_limits"]]} <= ids
    kinds = Counter((row["provider"], row["resource_type"]) for row in rows["tenant_resources"])
    assert kinds["openai", "project"] == kinds["sendgrid", "subuser"] == 6
    assert kinds["twilio", "subaccount"] == 1
    assert kinds["twilio", "messaging_service"] >= 2


def test_one_number_moves_between_tenants_and_has_traffic_on_both_sides(generated: Dataset) -> None:
    owners = [row for row in generated.tenant_resources if row["valid_from"] or row["valid_to"]]
    before, after = sorted(owners, key=lambda row: row["valid_from"])
    assert before["resource_id"] == after["resource_id"]
    assert before["valid_to"] == after["valid_from"] != ""
    assert before["tenant_id"] != after["tenant_id"]
    days = {
        day_of(parse_rfc2822(message["date_sent"]) or 0)
        for message in generated.twilio_messages
        if after["resource_id"] in (message["from"], message["to"]) and message["date_sent"]
    }
    assert min(days) < date.fromisoformat(after["valid_from"]) <= max(days)


def test_many_tenants_share_nothing() -> None:
    dataset = Dataset.generate(tenants=45, first=LAST, last=LAST, scale=0.01)
    assert len({row["tenant_id"] for row in dataset.tenants}) == 45
    owned = [(row["resource_type"], row["resource_id"]) for row in dataset.tenant_resources if not row["valid_from"]]
    assert len(owned) == len(set(owned))


def test_records_are_unique(generated: Dataset) -> None:
    for name, columns in IDENTITY.items():
        keys = [tuple(record.get(column) for column in columns) for record in getattr(generated, name)]
        assert len(keys) == len(set(keys)), name


def test_the_odd_cases_are_there_at_any_scale() -> None:
    dataset = Dataset.generate(first=FIRST, last=LAST, scale=0.01)
    messages, calls = dataset.twilio_messages, dataset.twilio_calls
    statuses = {message["status"] for message in messages}
    assert statuses >= {"delivered", "received", "failed", "undelivered", "canceled", "scheduled"}
    assert any(m["status"] == "scheduled" and m["date_sent"] is None for m in messages)
    assert any(m["num_media"] != "0" and m["direction"] == "inbound" for m in messages)
    assert any(m["num_segments"] not in ("0", "1") for m in messages)
    assert any(m["price"] is None and m["status"] == "delivered" for m in messages)
    for note in ("visible_from", "price_from", "vanishes_at", "status_history"):
        assert any(note in m.get("_sandbox", {}) for m in messages), note
    children = [call for call in calls if call["parent_call_sid"]]
    parents = {call["sid"]: call for call in calls}
    own = {number["phone_number"] for number in dataset.twilio_phone_numbers}
    assert all(not {child["from"], child["to"]} & own for child in children)
    assert any(parents[child["parent_call_sid"]]["start_time"][:16] != child["start_time"][:16] for child in children)
    assert any(call["status"] == "completed" and call["duration"] == "0" for call in calls)


def test_unattributed_usage_of_every_provider(generated: Dataset) -> None:
    owned = {row["resource_id"] for row in generated.tenant_resources}
    assert any(not {m["from"], m["to"], m["account_sid"]} & owned for m in generated.twilio_messages)
    assert {r["project_id"] for r in generated.openai_usage_completions} - owned
    total = sum(record["metrics"]["requests"] for record in generated.sendgrid_stats)
    assert total > sum(record["metrics"]["requests"] for record in generated.sendgrid_subuser_stats)


def test_current_month_shows_tenants_below_near_and_over_their_caps() -> None:
    for last in (date(2026, 10, 3), date(2026, 10, 31)):
        dataset = Dataset.generate(first=date(2026, 9, 1), last=last)
        used: Counter[str] = Counter()
        owner = {
            row["resource_id"]: row["tenant_id"]
            for row in dataset.tenant_resources
            if row["resource_type"] in ("phone_number", "subaccount")
            and not (row["valid_to"] and row["valid_to"] <= last.replace(day=1).isoformat())
            and row["valid_from"] <= last.replace(day=1).isoformat()
        }
        for message in dataset.twilio_messages:
            sent = parse_rfc2822(message["date_sent"])
            if sent is None or day_of(sent) < last.replace(day=1) or message["num_media"] != "0":
                continue
            if message["direction"] == "inbound" or message["status"] == "failed":
                continue
            number = message["from"].removeprefix("whatsapp:")
            tenant = owner.get(message["account_sid"]) or owner.get(number)
            used[tenant or ""] += int(message["num_segments"])
        percent = {
            row["tenant_id"]: 100 * used[row["tenant_id"]] / CAPS[row["plan"]]
            for row in dataset.tenants
            if row["plan"] in CAPS
        }
        assert percent["harbor-fitness-club"] > 100
        assert 80 <= percent["acme"] <= 100
        assert percent["northwind-realty"] < 80


def test_weekdays_are_busier_than_weekends(generated: Dataset) -> None:
    per_weekday: Counter[int] = Counter()
    for record in generated.sendgrid_stats:
        per_weekday[date.fromisoformat(record["date"]).weekday()] += record["metrics"]["requests"]
    assert min(per_weekday[day] for day in range(5)) > 1.5 * max(per_weekday[5], per_weekday[6])


def test_tokens_add_up_and_costs_are_those_of_the_tokens(generated: Dataset) -> None:
    assert any("text-embedding" in record["model"] for record in generated.openai_usage_embeddings)
    for record in generated.openai_usage_completions:
        assert record["input_tokens"] == record["input_cached_tokens"] + record["input_uncached_tokens"]
    usage = next(r for r in generated.openai_usage_completions if r["model"] == "gpt-4o-mini-2024-07-18")
    same = ("date", "project_id", "api_key_id")
    cost = sum(
        record["amount"]["value"]
        for record in generated.openai_costs
        if record["line_item"].startswith(usage["model"]) and all(record[k] == usage[k] for k in same)
    )
    exact = (
        usage["input_uncached_tokens"] * Decimal("0.15")
        + usage["input_cached_tokens"] * Decimal("0.075")
        + usage["output_tokens"] * Decimal("0.6")
    ) / 1_000_000
    assert abs(cost - exact) < Decimal("1e-9")


def test_at_is_what_the_providers_would_answer(generated: Dataset) -> None:
    early = datetime.combine(FIRST + timedelta(days=3), datetime.min.time()).replace(tzinfo=SETTLED.tzinfo)
    seen = generated.at(early + timedelta(hours=12))
    assert 0 < len(seen.twilio_messages) < len(generated.twilio_messages)
    assert max(record["date"] for record in seen.openai_costs) == early.date().isoformat()
    assert not any("_sandbox" in record for name in LISTS for record in getattr(seen, name))
    assert any(message["price"] is None for message in seen.twilio_messages)
    settled = generated.at(SETTLED)
    gone = [m for m in generated.twilio_messages if "vanishes_at" in m.get("_sandbox", {})]
    assert len(settled.twilio_messages) == len(generated.twilio_messages) - len(gone)


def test_200k_messages_take_seconds() -> None:
    began = time.process_time()
    dataset = Dataset.generate(first=date(2026, 9, 1), last=date(2026, 10, 30), scale=8)
    assert len(dataset.twilio_messages) > 190_000
    assert time.process_time() - began < 20
    assert len(ENCODER.encode(dataset.twilio_messages[0])) < 1200
