"""The cap under concurrency: live usage, reservations and decisions."""

from alembic import op

from warehouse.migrations import statements

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0005_guard"))
