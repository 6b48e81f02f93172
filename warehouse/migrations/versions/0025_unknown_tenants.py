"""The kind of alert for events of a tenant that the directory does not know."""

from alembic import op

from warehouse.migrations import statements

revision = "0025"
down_revision = "0020"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0025_unknown_tenants"))
