"""Alembic environment: runs on the connection that `Database` hands over."""

from alembic import context

from connector.store import schema_compositions, schema_web  # noqa: F401 - their tables are among the metadata
from connector.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
