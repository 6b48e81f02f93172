"""Forecasts of months and caps."""

from alembic import op

from warehouse.migrations import statements

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0009_forecasts"))
