"""What the rooms say of the services is the same: dbt's list, Python's and the SDK's; each difference is named."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import jinja2
import psycopg
import pytest
import yaml

from costs.rules.services import SERVICES, UNITS
from ingestion.config import REQUIRED_VARIABLES
from ingestion.directory.parse import RESOURCE_TYPES
from ingestion.run import PROVIDERS
from usage_metering import taxonomy
from usage_metering.places_sku import METHODS, SINGLE, TIERS

ROOT = Path(__file__).parents[2]
DBT = ROOT / "dbt_project"
MODELS = DBT / "models"
KINDS = ("records", "sums", "held", "")


def dbt_services() -> dict[str, dict[str, Any]]:
    """Return the list of macros/services.sql."""
    found: list[dict[str, dict[str, Any]]] = []
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    environment.globals["return"] = lambda value: found.append(value) or ""
    module: Any = environment.from_string((DBT / "macros" / "services.sql").read_text()).module
    module.services()
    return found[0]


SERVICES_OF_DBT = dbt_services()
OF_RECORDS = [name for name, words in SERVICES_OF_DBT.items() if words["keeps"] == "records"]
OF_SUMS = [name for name, words in SERVICES_OF_DBT.items() if words["keeps"] == "sums"]


def test_services_and_their_channels_are_the_same_everywhere() -> None:
    of_dbt = {name: set(words["channels"]) for name, words in SERVICES_OF_DBT.items()}
    assert of_dbt == {name: set(service.channels) for name, service in SERVICES.items()}, "costs/rules/services.py"
    assert of_dbt == {name: set(channels) for name, channels in taxonomy.CHANNELS_OF.items()}, (
        "sdk/usage_metering/taxonomy.py"
    )
    usual = {name: service.channels[0] for name, service in SERVICES.items()}
    assert usual == {name: channels[0] for name, channels in taxonomy.CHANNELS_OF.items()}


def test_a_channel_has_one_unit_whatever_the_service() -> None:
    units = {
        (channel, fact["unit"]) for words in SERVICES_OF_DBT.values() for channel, fact in words["channels"].items()
    }
    assert units == set(UNITS.items()), "costs/rules/services.py"


@pytest.mark.parametrize("service", SERVICES_OF_DBT)
def test_a_service_is_said_completely(service: str) -> None:
    words = SERVICES_OF_DBT[service]
    assert words["keeps"] in KINDS
    assert len(words["focus"]) == 4
    if words["keeps"]:
        assert words["provider"] in RESOURCE_TYPES, "ingestion/directory/parse.py"
        assert words["provider"] in PROVIDERS, "ingestion/sources/registry.py"
    tables = {fact["raw_table"] for fact in words["channels"].values() if "raw_table" in fact}
    assert tables <= {table for spec in PROVIDERS.values() for table in spec.tables}
    if words["keeps"] == "records":
        assert all("raw_table" in fact for fact in words["channels"].values())


@pytest.mark.parametrize(
    ("service", "file"),
    [
        *((name, f"int_provider_record{suffix}.sql") for name in OF_RECORDS for suffix in ("s", "_keys")),
        *((name, "int_aggregate_usage.sql") for name in OF_SUMS),
    ],
)
def test_what_a_provider_keeps_joins_the_rest(service: str, file: str) -> None:
    assert f"'{service}'" in (MODELS / "intermediate" / file).read_text(), f"{service} has no branch in {file}"


@pytest.mark.parametrize("service", [*OF_RECORDS, *OF_SUMS])
def test_what_a_provider_keeps_is_held_against_the_mart(service: str) -> None:
    file = DBT / "tests" / "sums" / "usage_daily_equals_staging.sql"
    assert f"'{service}'" in file.read_text(), f"{service} has no branch in {file.name}"


def test_every_raw_table_is_described() -> None:
    described = {
        table["name"]
        for file in (MODELS / "staging").rglob("*.yml")
        for source in yaml.safe_load(file.read_text()).get("sources", [])
        if source["name"] == "raw"
        for table in source["tables"]
    }
    assert {table for spec in PROVIDERS.values() for table in spec.tables} <= described


@pytest.mark.parametrize("provider", PROVIDERS)
def test_credentials_are_passed_on_and_documented(provider: str) -> None:
    compose, operations = (ROOT / "docker-compose.yml").read_text(), (ROOT / "docs" / "operations.md").read_text()
    for variable in (*REQUIRED_VARIABLES[provider], f"{provider.upper()}_BASE_URL"):
        assert f"{variable}: ${{{variable}:-}}" in compose, "docker-compose.yml"
        assert f"`{variable}`" in operations, "docs/operations.md"


def test_every_raw_table_is_there_and_records_can_be_found_by_their_ids(database: str) -> None:
    with psycopg.connect(database) as connection:
        there = {name for (name,) in connection.execute("select tablename from pg_tables where schemaname = 'raw'")}
        noted = connection.execute("select table_name, key_column from ops.record_tables").fetchall()
        indexed = set(
            connection.execute(
                "select index.indrelid::regclass::text, attribute.attname from pg_index as index inner join pg_attribute as attribute"
                " on attribute.attrelid = index.indrelid and attribute.attnum = index.indkey[0]"
            ).fetchall()
        )
    assert {table for spec in PROVIDERS.values() for table in spec.tables} <= there, "a migration"
    of_records = {fact["raw_table"] for name in OF_RECORDS for fact in SERVICES_OF_DBT[name]["channels"].values()}
    assert of_records == {table for table, _ in noted}, "ops.record_tables"
    assert all((f"raw.{table}", column) in indexed for table, column in noted)


def test_the_price_book_knows_only_skus_that_there_are() -> None:
    with (DBT / "seeds" / "price_book.csv").open(newline="") as lines:
        priced = {row["operation"] for row in csv.DictReader(lines) if row["service"] == "google_places"}
    assert priced <= {f"{method}_{tier}" for method, tiers in METHODS.items() for tier in (*tiers, TIERS[-1])} | set(
        SINGLE
    )
    assert priced
