"""Usage tracked at the source: events by month, their keys, and the days they touched."""

from alembic import op

from warehouse.migrations import statements

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0004_events"))
