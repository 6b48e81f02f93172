"""Callers' keys are of a tenant and service."""

from alembic import op

from warehouse.migrations import statements

revision = "0018"
down_revision = "0022"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0018_event_keys"))
