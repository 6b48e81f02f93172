"""Units without a price are told by kind: what is not alike is not added up."""

from alembic import op

from warehouse.migrations import statements

revision = "0032"
down_revision = "0033"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0032_unpriced_units"))
