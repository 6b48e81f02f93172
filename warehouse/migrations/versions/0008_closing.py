"""Price versions, restatements, closed months and their adjustments."""

from alembic import op

from warehouse.migrations import statements

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0008_closing"))
