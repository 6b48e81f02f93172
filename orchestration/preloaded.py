"""What the process of a run has imported before it starts: see `orchestration.code_server`. Nothing is computed or opened here.

What later imports of a run bring is named as well: the storage of Dagster and the drivers of a load.
"""

# ruff: noqa: F401
import gc

import adbc_driver_postgresql
import dagster._grpc.impl
import dagster_postgres
import sqlalchemy.dialects.postgresql.psycopg2

import orchestration.code_server
import orchestration.definitions

# A copy shares these objects until it writes to them, and looking for garbage among them writes to each.
gc.collect()
gc.freeze()
