#!/usr/bin/env bash
# dbt-core 1.11.16, dbt-postgres 1.11.0, flag validate_macro_args: a generic test cannot be described in the folder that is made for it.
#
# With the flag, dbt compares a macro's arguments in YAML with those in its Jinja, and takes undescribed ones over. Of a `{% test %}` that
# stands in `tests/generic/` it reads none: a description that names each argument exactly is "does not match the jinja definition", which
# `--warn-error` makes an error. The same file in `macros/`, where generic tests may stand as well, is read as expected. Seen:
#
#   1. tests/generic/at_least.sql, its three arguments in YAML      warns: the number of arguments does not match
#   2. macros/at_least.sql, the same YAML                           no warning
#   3. tests/generic/at_least.sql, a description without arguments  no warning, and the manifest has 0 arguments
#   4. macros/at_least.sql, a description without arguments         no warning, and the manifest has 3 arguments
#
# Why a user of usage metering cares: rules about money (no negative quantity, each day once, sums that agree) are generic tests with
# arguments, which a team wants described and held to the code, as linters of manifests ask; in CI with --warn-error that fails for a
# description that is right. What helps: such tests in `macros/`, or no arguments in their YAML.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index; nothing listens and no database is asked.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'dbt-core==1.11.16' 'dbt-postgres==1.11.0' 2>/dev/null
export DBT_SEND_ANONYMOUS_USAGE_STATS=false DO_NOT_TRACK=1
mkdir -p "$folder/meter/models"
cd "$folder/meter"
printf '%s\n' 'name: meter' 'version: "1.0"' 'profile: meter' 'flags: {validate_macro_args: true}' >dbt_project.yml
cat >profiles.yml <<'YAML'
meter:
  target: dev
  outputs:
    dev: {type: postgres, host: 127.0.0.1, port: 1, user: nobody, password: none, dbname: none, schema: meter, threads: 1}
YAML
echo "select 1 as units" >models/usage.sql
ARGUMENTS='    arguments: [{name: model, type: relation}, {name: column_name, type: string}, {name: least, type: integer}]'

# Prints whether dbt warns, and how many arguments the manifest has: of the test in folder $1, described with $2.
parsed() {
  rm -rf macros tests target
  mkdir -p macros tests/generic
  printf '%s\n' '{% test at_least(model, column_name, least) %}' \
    'select * from {{ model }} where {{ column_name }} < {{ least }}' '{% endtest %}' >"$1/at_least.sql"
  printf '%s\n' 'macros:' '  - name: test_at_least' '    description: No unit below a bound.' "$2" >macros/described.yml
  "$folder/venv/bin/dbt" parse --no-partial-parse >said.txt 2>&1
  warned=$(grep -c 'number of arguments in the yaml for macro test_at_least does not match' said.txt || true)
  "$folder/venv/bin/python" -c "
import json
macro = json.load(open('target/manifest.json'))['macros']['macro.meter.test_at_least']
print('warns' if $warned else 'no warning', len(macro['arguments']))"
}

seen=$(parsed tests/generic "$ARGUMENTS"; parsed macros "$ARGUMENTS"; parsed tests/generic ''; parsed macros '')
echo "$seen"
expected='warns 3
no warning 3
no warning 0
no warning 3'
if [ "$seen" != "$expected" ]; then
  echo "CHANGED"
  exit 1
fi
echo "as stated"
