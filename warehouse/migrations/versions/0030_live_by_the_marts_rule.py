"""What is live goes by the marts' own rule."""

from alembic import op

from warehouse.migrations import statements

revision = "0030"
down_revision = "0032"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0030_live_by_the_marts_rule"))
