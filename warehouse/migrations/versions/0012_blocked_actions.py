"""What the cap has blocked, for the API."""

from alembic import op

from warehouse.migrations import statements

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0012_blocked_actions"))
