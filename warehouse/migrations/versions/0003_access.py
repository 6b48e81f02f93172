"""The cap check, as one function for the API and the SDK."""

from alembic import op

from warehouse.migrations import statements

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0003_access"))
