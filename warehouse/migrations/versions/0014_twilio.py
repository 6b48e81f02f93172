"""Twilio's recordings, how long each number is held, and the daily control totals."""

from alembic import op

from warehouse.migrations import statements

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0014_twilio"))
