"""A reservation that could not be counted or would not end is refused; one that is asked for again holds its room once."""

from alembic import op

from warehouse.migrations import statements

revision = "0033"
down_revision = "0023"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0033_reservations"))
