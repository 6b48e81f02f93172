"""Alembic's entry: runs the versions on the connection that `warehouse.migrate` hands over, in one transaction."""

from alembic import context

from warehouse.migrate import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    version_table_schema="ops",
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
