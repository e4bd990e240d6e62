"""Runs the revisions on the connection that `storage.migrations.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # The caller owns the transaction: on SQLite all steps commit together or not at all.
    transactional_ddl=False,
)
context.run_migrations()
