"""How a load gets into the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import psycopg
import pyarrow
import pyarrow.parquet
import pytest
from psycopg.conninfo import conninfo_to_dict

from ingestion.database import loader_url
from ingestion.load.staging import CONNECTIONS, Credentials, batches, dataset_name, dbapi, drop, stage


@pytest.mark.parametrize("password", ["plain", "p%40ss%3Aw%2Frd", "two%20words", "100%25", "p%C3%A4ss"])
def test_dlt_connects_with_whatever_password_libpq_takes(password: str) -> None:
    url = f"postgresql://me:{password}@db.example.com:5433/metering"
    parts = conninfo_to_dict(Credentials.of(loader_url(url)).to_native_representation())
    wanted = conninfo_to_dict(url)
    assert {name: parts[name] for name in wanted} == wanted
    assert parts["options"] == "-crole=metering_loader"
    own = Credentials.of(loader_url(f"{url}?options=-c%20statement_timeout%3D1%2B1")).to_native_representation()
    assert conninfo_to_dict(own)["options"] == "-c statement_timeout=1+1 -crole=metering_loader"


def test_the_loaders_sessions_keep_the_urls_own_options(database: str) -> None:
    mark = "&" if "?" in database else "?"
    url = loader_url(f"{database}{mark}options=-cstatement_timeout%3D7s")
    with psycopg.connect(url) as connection:
        assert connection.execute("select current_user, current_setting('statement_timeout')").fetchone() == (
            "metering_loader",
            "7s",
        )


def test_a_load_of_several_tables_connects_once(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection of ADBC's reads all types of the server three times, however little is loaded."""
    made: list[dict[str, Any]] = []
    connect = dbapi.connect

    def counted(**options: Any) -> Any:
        made.append(options)
        return connect(**options)

    monkeypatch.setattr(dbapi, "connect", counted)
    tables = [dlt.resource([pyarrow.table({"key": [1, 2, number]})], name=f"table_{number}") for number in range(5)]
    dataset = dataset_name("test", "load")
    stage(tables, dataset=dataset, database_url=database)
    assert len(made) == 1
    assert dataset not in CONNECTIONS
    with psycopg.connect(database) as connection:
        for number in range(5):
            found = connection.execute(f"select array_agg(key order by key) from {dataset}.table_{number}".encode())
            assert found.fetchone() == (sorted([1, 2, number]),)
        drop(connection, dataset)


def test_of_a_file_one_group_of_rows_is_in_memory_at_a_time(tmp_path: Path) -> None:
    groups, rows = 40, 5_000
    sids = [f"SM{number:032x}" for number in range(groups * rows)]
    table = pyarrow.table({"sid": sids})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=rows, compression="none")
    size = table.nbytes
    del table
    found: list[str] = []
    most = 0
    before = pyarrow.total_allocated_bytes()
    with pyarrow.parquet.ParquetFile(tmp_path / "rows.parquet") as file:
        for batch in batches(file):
            most = max(most, pyarrow.total_allocated_bytes() - before)
            found += batch["sid"].to_pylist()
    assert found == sids
    assert most < size / 8


@dlt.source(name="things")
def records(*rows: int) -> Any:
    """Tables of so many rows each; one of none yields nothing."""
    return [
        dlt.resource(iter([pyarrow.table({"key": range(count)})] if count else []), name=f"table_{number}")
        for number, count in enumerate(rows)
    ]


def test_a_read_without_rows_makes_no_pipeline_and_no_schema(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dataset_name("test", "nothing")
    with monkeypatch.context() as patch:
        patch.setattr(dlt, "pipeline", None)
        stage(records(0, 0, 0), dataset=dataset, database_url=database)
    with psycopg.connect(database) as connection:
        assert connection.execute("select from pg_namespace where nspname = %s", (dataset,)).fetchall() == []


def test_of_a_read_only_the_tables_that_have_rows_are_made(database: str) -> None:
    dataset = dataset_name("test", "some")
    stage(records(0, 3, 0, 2), dataset=dataset, database_url=database)
    with psycopg.connect(database) as connection:
        made = connection.execute(
            "select table_name from information_schema.tables where table_schema = %s and table_name like 'table%%' order by 1",
            (dataset,),
        ).fetchall()
        assert made == [("table_1",), ("table_3",)]
        assert connection.execute(f"select array_agg(key order by key) from {dataset}.table_1".encode()).fetchone() == (
            [0, 1, 2],
        )
        drop(connection, dataset)
