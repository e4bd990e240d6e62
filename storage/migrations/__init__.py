"""Alembic, driven by the program itself: no ini file, one step a revision, each repeatable."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from domain.errors import Unavailable
from storage.engine import is_mariadb
from storage.transaction import begin

PATIENCE_S = 600.0
"""How long one step may take: adding an index to a large table does."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "storage:migrations")
    config.set_main_option("path_separator", "os")
    return config


def head_revision() -> str:
    """The revision that this program's schema is at."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def known(revision: str) -> bool:
    """Whether this program can bring a database of that revision to its own; "" is an empty one."""
    revisions = ScriptDirectory.from_config(_config()).walk_revisions()
    return not revision or any(script.revision == revision for script in revisions)


def current_revision(connection: Connection) -> str:
    """The revision that a database is at; "" for an empty one."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Brings a database to this program's revision, or to an earlier one.  Raises Unavailable where it cannot.

    On MariaDB each step of a revision is final by itself and may be repeated; one program at a time
    does this.
    """
    config = _config()
    with begin(engine, write=True, wait_s=PATIENCE_S) as transaction:
        connection = transaction.connection
        if is_mariadb(connection):
            got = connection.execute(text("SELECT GET_LOCK('claudetools.upgrade', 30)")).scalar()
            if got != 1:
                raise Unavailable("another machine is upgrading this database", hint="try again in a minute")
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            transaction.commit()
        finally:
            if is_mariadb(connection) and not connection.invalidated:
                connection.execute(text("SELECT RELEASE_LOCK('claudetools.upgrade')"))
