"""Negative use is refused."""

from alembic import op

from warehouse.migrations import statements

revision = "0019"
down_revision = "0025"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0019_no_negative_units"))
