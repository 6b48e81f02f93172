"""OpenAI's usage beside completions and embeddings."""

from alembic import op

from warehouse.migrations import statements

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0017_openai_usage"))
