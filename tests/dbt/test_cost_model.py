"""The rules of docs/cost-model.md by cost_model_examples.md: dbt builds its records with its prices, answers are compared to the digit."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from builds import dbt_manifest
from builds.build import run_build
from ingestion.windows import Window
from tests.conftest import built_once
from tests.dbt.conftest import Project, libraries_of_dbt
from warehouse.urls import with_database

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cost-model.md"
EXAMPLES = Path(__file__).with_name("cost_model_examples.md")
AS_OF = datetime(2026, 8, 11, 12, tzinfo=UTC)
WINDOW = Window.of_days(date(2026, 5, 1), AS_OF.date())
SEEDS = ("price_book", "plans", "plan_limits")
Row = Mapping[str, Any]

# What an example leaves out.
ORDINARY: dict[str, dict[str, Any]] = {
    "tenants": {"plan": None, "status": "active", "usage_hard_stop_enabled": False},
    "tenant_resources": {},
    "tenant_limits": {},
    "twilio_messages": {
        "direction": "outbound-api",
        "status": "delivered",
        "num_segments": 1,
        "num_media": 0,
        "price": None,
        "price_unit": "USD",
        "load_id": "page",
    },
    "twilio_calls": {
        "direction": "outbound-api",
        "status": "completed",
        "price": None,
        "price_unit": "USD",
        "load_id": "page",
    },
    "twilio_recordings": {"price": None, "price_unit": "USD", "load_id": "page"},
    "twilio_phone_numbers": {"load_id": "page"},
    "openai_usage_completions": {
        "account_id": "org",
        "cached_input_tokens": 0,
        "output_tokens": 0,
        "num_model_requests": 1,
        "load_id": "page",
    },
    "openai_costs": {"account_id": "org", "currency": "usd", "load_id": "page"},
    "sendgrid_subuser_stats": {"load_id": "page"},
    "sendgrid_stats": {"account_id": "parent", "load_id": "page"},
    "openai_usage_moderations": {"account_id": "org", "load_id": "page"},
    "openai_usage_images": {"account_id": "org", "load_id": "page"},
    "openai_usage_audio_speeches": {"account_id": "org", "load_id": "page"},
    "openai_usage_audio_transcriptions": {"account_id": "org", "load_id": "page"},
    "openai_usage_vector_stores": {"account_id": "org", "num_model_requests": 0, "load_id": "page"},
    "openai_usage_code_interpreter_sessions": {"account_id": "org", "num_model_requests": 0, "load_id": "page"},
    "openai_usage_file_search_calls": {"account_id": "org", "num_model_requests": 0, "load_id": "page"},
    "openai_usage_web_search_calls": {"account_id": "org", "load_id": "page"},
    "stripe_balance_transactions": {
        "account_id": "platform",
        "currency": "usd",
        "net_minor": 0,
        "application_fee_minor": 0,
        "load_id": "page",
    },
    "r2_storage": {"account_id": "cf", "load_id": "page"},
    "r2_operations": {"account_id": "cf", "action_status": "", "response_status": 200, "load_id": "page"},
    "usage_events": {
        "service": "twilio_sms",
        "operation": "outbound",
        "channel": "sms",
        "direction": "outbound",
        "source": "twilio",
        "units": 1,
        "load_id": "page",
    },
    "source_reads": {"account_id": "org", "provider": "openai", "load_id": "page", "row_count": 1},
}


# Tables whose day is that of an instant.
DATED_BY = {
    "twilio_messages": "date_sent",
    "twilio_calls": "start_time",
    "twilio_recordings": "date_created",
    "stripe_balance_transactions": "created",
    "r2_storage": "measured_at",
}


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", EXAMPLES.read_text(), re.DOTALL | re.MULTILINE)


def examples() -> list[dict[str, Any]]:
    # BaseLoader: every figure stays the text that it is on the page.
    return [yaml.load(block, yaml.BaseLoader) for block in blocks("yaml example")]


def name_of(example: Mapping[str, Any]) -> str:
    return "-".join(dict.fromkeys(tenant["tenant_id"] for tenant in example["given"]["tenants"]))


@contextmanager
def priced_by_the_page(folder: Path) -> Iterator[None]:
    """A copy of the dbt project with the page's seeds, for the length of a build."""
    shutil.copytree(
        dbt_manifest.PROJECT,
        folder,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("target", "logs", "dbt_packages"),
    )
    for seed in SEEDS:
        [content] = blocks(f"csv {seed}")
        (folder / "seeds" / f"{seed}.csv").write_text(content)
    # The page has plans of its own, and says nothing of alerts.
    thresholds = folder / "seeds" / "alert_thresholds.csv"
    header, of_any_plan, *_ = thresholds.read_text().splitlines()
    thresholds.write_text(f"{header}\n{of_any_plan}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_PROJECT_DIR", str(folder))
        patch.setenv("DBT_PROFILES_DIR", str(folder))
        yield


def full(table: str, given: Row) -> dict[str, Any]:
    """Return a row of ``raw`` (or of ops.source_reads) from what the page says of it."""
    row = {**ORDINARY[table], **{name: None if value == "null" else value for name, value in given.items()}}
    if table in DATED_BY:
        row["usage_date"] = row[DATED_BY[table]][:10]
    if table == "twilio_phone_numbers":
        row["phone_number_hash"] = f"hash of {row['phone_number']}"
    if table == "source_reads":
        row["answered_at"] = AS_OF
    if table == "usage_events" and row["service"] == "openai":
        row.update(source="openai", operation="chat_completion", cached_input_tokens=0, output_tokens=0)
    for column, hashed in (("from_number", "from_number_hash"), ("to_number", "to_number_hash")):
        if row.get(column):
            row[hashed] = f"hash of {row[column]}"
    if row.get("resource_type") == "phone_number":
        row["resource_hash"] = f"hash of {row['resource_id']}"
    for instant in (*DATED_BY.values(), "occurred_at"):
        if instant in row:
            row[instant] = f"{row[instant]}+00"
    return row


def put(project: Project, example: Mapping[str, Any]) -> None:
    """Insert what an example is given."""
    for table, rows in example["given"].items():
        if table == "source_reads":
            for row in rows:
                read = full(table, row)
                project.execute(
                    f"insert into ops.source_reads ({', '.join(read)}) values ({', '.join(['%s'] * len(read))})",
                    *read.values(),
                )
            continue
        if table == "tenants":
            rows = [{"name": row["tenant_id"], **row} for row in rows]
            owned = [
                {"tenant_id": tenant, "provider": provider, "resource_type": kind, "resource_id": f"{prefix}-{tenant}"}
                for tenant in dict.fromkeys(row["tenant_id"] for row in rows)
                for provider, kind, prefix in (
                    ("twilio", "subaccount", "AC"),
                    ("openai", "project", "proj"),
                    ("sendgrid", "subuser", "sub"),
                )
            ]
            project.insert("tenant_resources", owned)
        project.insert(table, [full(table, row) for row in rows])


@pytest.fixture(scope="session")
def page(server: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """All examples of the page in one database, built once and only read."""

    def build(url: str) -> None:
        os.environ["METERING_DATABASE_URL"] = url
        for example in examples():
            put(Project(url), example)
        with priced_by_the_page(tmp_path_factory.mktemp("page") / "dbt_project"):
            run_build(url, WINDOW, as_of=AS_OF, build_id="page", tables=["twilio_messages"])

    with libraries_of_dbt():
        return Project(with_database(server, built_once(server, "page", template, build)))


def shown(value: object) -> str:
    """Return a value of the database as the page writes it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Decimal():
            return format(value.normalize(), "f")
        case _:
            return str(value)


def written(text: str) -> str:
    try:
        return format(Decimal(text).normalize(), "f")
    except ArithmeticError:
        return text


@pytest.mark.parametrize("number", range(len(examples())), ids=[name_of(example) for example in examples()])
def test_the_example(page: Project, number: int) -> None:
    for question in examples()[number]["then"]:
        found = [tuple(map(shown, row)) for row in page.execute(question["ask"])]
        assert found == [tuple(map(written, row)) for row in question["is"]], question["ask"]


def test_the_code_runs() -> None:
    names: dict[str, Any] = {"__name__": "docs"}
    found = blocks("python")
    assert len(found) >= 2
    for number, block in enumerate(found):
        exec(compile(block, f"cost_model_examples.md, block {number}", "exec"), names)


def test_every_fence_of_the_page_is_executed() -> None:
    fences = re.findall(r"^```(\w.*)$", EXAMPLES.read_text(), re.MULTILINE)
    assert set(fences) == {"yaml example", "python", *(f"csv {seed}" for seed in SEEDS)}
    assert len(examples()) >= 12


def test_the_page_names_routes_that_there_are() -> None:
    from api.main import create_app
    from tests.api.conftest import make_settings

    served = set(create_app(make_settings("postgresql://x@127.0.0.1:1/x")).openapi()["paths"])
    named = {route.split("?")[0] for route in re.findall(r"`(/api/[^`]*)`", PAGE.read_text())}
    assert named >= {"/api/billing/usage/forecast", "/api/billing/usage/summary"}
    assert named <= served
