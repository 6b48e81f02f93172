"""Landing tables of the providers and the tenant directory."""

from alembic import op

from warehouse.migrations import statements

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0001_landing"))
