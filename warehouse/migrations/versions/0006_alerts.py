"""Alerts and their state."""

from alembic import op

from warehouse.migrations import statements

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0006_alerts"))
