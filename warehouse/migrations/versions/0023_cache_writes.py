"""Tokens that were written to OpenAI's cache."""

from alembic import op

from warehouse.migrations import statements

revision = "0023"
down_revision = "0027"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0023_cache_writes"))
