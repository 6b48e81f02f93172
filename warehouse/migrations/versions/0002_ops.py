"""Bookkeeping: reads, runs, days and builds, and the views on them."""

from alembic import op

from warehouse.migrations import statements

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0002_ops"))
