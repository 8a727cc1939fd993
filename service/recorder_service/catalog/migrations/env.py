"""Read by Alembic: runs the migrations on the connection it was handed."""

from alembic import context

from recorder_service.catalog.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite, too, undoes DDL on rollback: a migration that fails leaves the old schema.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
