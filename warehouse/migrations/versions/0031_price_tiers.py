"""How OpenAI processed a call (batch, flex, priority), of usage and of prices."""

from alembic import op

from warehouse.migrations import statements

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0031_price_tiers"))
