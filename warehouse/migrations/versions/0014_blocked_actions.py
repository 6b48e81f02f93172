"""What the cap has blocked, for the API."""

from alembic import op

from warehouse.migrations import statements

revision = "0014"
down_revision = "0010"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0014_blocked_actions"))
