"""Builds name the static relations that they found or made; marts that stand already get their contracts' checks."""

from alembic import op

from warehouse.migrations import statements

revision = "0035"
down_revision = "0031"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0035_static_nodes"))
