"""What Stripe took for payments: its balance transactions."""

from alembic import op

from warehouse.migrations import statements

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0015_stripe"))
