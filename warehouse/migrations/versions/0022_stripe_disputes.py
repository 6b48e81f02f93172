"""What finds the adjustments of one dispute."""

from alembic import op

from warehouse.migrations import statements

revision = "0022"
down_revision = "0017"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0022_stripe_disputes"))
