"""Proofs: past days built anew from raw and held against the marts."""

from alembic import op

from warehouse.migrations import statements

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements("0010_proofs"))
