"""What is live counts as what is built."""

from alembic import op

from warehouse.migrations import statements

revision = "0027"
down_revision = "0019"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0027_live_as_built"))
