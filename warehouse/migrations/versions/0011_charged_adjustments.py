"""Adjustments of closed months say what they add to the charge."""

from alembic import op

from warehouse.migrations import statements

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0011_charged_adjustments"))
