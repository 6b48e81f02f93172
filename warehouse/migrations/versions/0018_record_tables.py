"""Which tables hold the records that tracked events name, Stripe's among them."""

from alembic import op

from warehouse.migrations import statements

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0018_record_tables"))
