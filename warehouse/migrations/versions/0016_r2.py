"""What R2 was asked, and what it held."""

from alembic import op

from warehouse.migrations import statements

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0016_r2"))
