"""Row-level security of the marts by one function, and bounds for what the tracker may make."""

from alembic import op

from warehouse.migrations import statements

revision = "0020"
down_revision = "0018"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0020_rights"))
