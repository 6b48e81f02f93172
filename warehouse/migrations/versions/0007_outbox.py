"""What is told about alerts, and who has acknowledged them."""

from alembic import op

from warehouse.migrations import statements

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0007_outbox"))
