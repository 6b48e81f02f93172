"""The meter catalogue is complete and copied as it is; what each service needs elsewhere is there."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from pathlib import Path

import jinja2
import psycopg
import pytest
import yaml

from builds import meters, variables
from costs.rules.services import ITEMIZED, METERS
from ingestion.run import PROVIDERS
from usage_metering import taxonomy
from usage_metering.places_sku import METHODS, SINGLE, TIERS

ROOT = Path(__file__).parents[2]
DBT = ROOT / "dbt_project"
MODELS = DBT / "models"
KEEPS = {row["service"]: row["keeps"] for row in METERS}
OF_RECORDS = [name for name, keeps in KEEPS.items() if keeps == "records"]
OF_SUMS = [name for name, keeps in KEEPS.items() if keeps == "sums"]
# What the rows of a service, channel or unit say alike.
OF_A = {
    "service": (
        *("provider", "source", "keeps", "bills", "unbilled_tiers", "service_label"),
        *("long_context_from", "sums_tell_long_calls"),
        *("focus_provider", "focus_service", "focus_category", "focus_subcategory"),
    ),
    "channel": ("direction", "unused_statuses", "price_days", "shown", "channel_label"),
    "provider": ("resource_types",),
    "source": ("source_label",),
    "unit": ("focus_unit",),
}
WORDS = {
    "is_channel_unit": {"true", "false"},
    "is_reconciled_with_service": {"true", "false"},
    "bills": {"records", "items", ""},
    "sums_tell_long_calls": {"true", "false"},
    "requests": {"one", "units", "none"},
    "direction": {"outbound", "none", taxonomy.BY_OPERATION},
    "keeps": {"records", "sums", "held", ""},
}


@pytest.mark.parametrize("copy", meters.copies(""), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_copy_of_the_catalogue_is_the_catalogue(copy: Path) -> None:
    wanted = meters.copies(meters.SEED.read_text(encoding="utf-8"))
    assert copy.read_text(encoding="utf-8") == wanted[copy], f"{copy.relative_to(ROOT)} is another: run `make copies`"


def test_macros_and_sdk_read_their_copies() -> None:
    assert taxonomy.METERS == METERS
    rows: list[list[dict[str, object]]] = []
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    environment.globals["return"] = lambda value: rows.append(value) or ""
    environment.from_string(meters.MACRO.read_text()).module.meters()  # type: ignore[attr-defined]
    assert [(row["service"], row["unit"]) for row in rows[0]] == [(row["service"], row["unit"]) for row in METERS]


def test_an_action_of_r2_is_of_one_class_that_the_catalogue_knows() -> None:
    with meters.R2_ACTIONS.open(encoding="utf-8", newline="") as file:
        rows = [(row["action"], row["class"]) for row in csv.DictReader(file)]
    assert dict(rows) == taxonomy.R2_CLASSES
    assert len(rows) == len(taxonomy.R2_CLASSES)
    (known,) = [row["operations"].split() for row in METERS if row["channel"] == "storage_ops"]
    assert {name for _, name in rows} == set(known)


@pytest.mark.parametrize(("of", "column"), [(of, column) for of, columns in OF_A.items() for column in columns])
def test_rows_of_one_service_channel_or_unit_say_the_same(of: str, column: str) -> None:
    values_of: dict[str, set[str]] = defaultdict(set)
    for row in METERS:
        values_of[row[of]].add(row[column])
    assert {name: values for name, values in values_of.items() if len(values) > 1} == {}


@pytest.mark.parametrize(("column", "words"), WORDS.items())
def test_a_column_has_only_words_that_are_read(column: str, words: set[str]) -> None:
    assert {row[column] for row in METERS} <= words


def test_a_channel_has_one_unit_of_its_own_whatever_the_service() -> None:
    units = {(row["channel"], row["unit"]) for row in METERS if row["is_channel_unit"] == "true"}
    assert sorted(channel for channel, _ in units) == sorted({row["channel"] for row in METERS})


@pytest.mark.parametrize("channel", sorted({row["channel"] for row in METERS}))
def test_what_macros_ask_of_a_channel_alone_holds_for_all_its_services(channel: str) -> None:
    of_its_own_unit = [row for row in METERS if row["channel"] == channel and row["is_channel_unit"] == "true"]
    assert len({(row["requests"], row["is_reconciled_with_service"]) for row in of_its_own_unit}) == 1


@pytest.mark.parametrize("row", METERS, ids=lambda row: f"{row['service']}-{row['operations']}")
def test_a_meter_is_said_completely(row: dict[str, str]) -> None:
    assert None not in row, "more fields than columns"
    empty = {column for column, value in row.items() if not value}
    assert empty <= {
        "operations",
        "resource_types",
        "keeps",
        "bills",
        "unbilled_tiers",
        "unused_statuses",
        "raw_table",
        "next_unit_operation",
        "next_unit_components",
        "long_context_from",
    }
    if row["keeps"]:
        assert row["resource_types"], "what of the provider's a tenant may own"
        assert row["provider"] in PROVIDERS, "ingestion/sources/registry.py"
        assert row["raw_table"] in PROVIDERS[row["provider"]].tables, "ingestion/sources/"


def test_every_provider_that_is_read_has_a_meter() -> None:
    assert set(PROVIDERS) <= {row["provider"] for row in METERS}, "dbt_project/seeds/meters.csv"


@pytest.mark.parametrize(
    ("service", "file"),
    [
        *((name, "int_provider_records.sql") for name in OF_RECORDS),
        # A number's days are no records that could be looked up.
        *((name, "int_provider_record_keys.sql") for name in OF_RECORDS if name != "twilio_phone"),
        *((name, "int_aggregate_usage.sql") for name in OF_SUMS),
    ],
)
def test_what_a_provider_keeps_joins_the_rest(service: str, file: str) -> None:
    assert f"'{service}'" in (MODELS / "intermediate" / file).read_text(), f"{service} has no branch in {file}"


@pytest.mark.parametrize("service", OF_SUMS)
def test_what_a_provider_sums_is_held_against_the_mart(service: str) -> None:
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


@pytest.mark.parametrize("copy", [variables.COMPOSE, variables.EXAMPLE], ids=lambda path: path.name)
def test_the_providers_variables_are_passed_on_and_documented(copy: Path) -> None:
    assert copy.read_text(encoding="utf-8") == variables.copies()[copy], f"{copy.name} has others: run `make copies`"


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
    of_records = {row["raw_table"] for row in METERS if row["keeps"] == "records"}
    assert of_records == {table for table, _ in noted}, "ops.record_tables"
    assert all((f"raw.{table}", column) in indexed for table, column in noted)


def test_the_price_book_knows_only_skus_that_there_are() -> None:
    with (DBT / "seeds" / "price_book.csv").open(newline="") as lines:
        priced = {row["operation"] for row in csv.DictReader(lines) if row["service"] == "google_places"}
    assert priced <= {f"{method}_{tier}" for method, tiers in METHODS.items() for tier in (*tiers, TIERS[-1])} | set(
        SINGLE
    )
    assert priced


@pytest.mark.parametrize("service", ITEMIZED)
def test_what_is_billed_by_line_item_is_among_the_items(service: str) -> None:
    items = (MODELS / "intermediate" / "int_cost_items.sql").read_text()
    assert f"'{service}'" in items, f"{service} has no branch in int_cost_items.sql"


@pytest.mark.parametrize("row", METERS, ids=lambda row: f"{row['service']}-{row['operations']}")
def test_the_length_of_a_long_call_is_of_named_models_then_of_all(row: dict[str, str]) -> None:
    """The first that fits holds: one of all models before a named one would hide it."""
    limits = [re.fullmatch(r"(?:([a-z0-9.-]+):)?[1-9]\d*", limit) for limit in row["long_context_from"].split()]
    assert all(limits), row["long_context_from"]
    assert [bool(limit and limit[1]) for limit in limits] == [True] * (len(limits) - 1) + [False] * bool(limits)
