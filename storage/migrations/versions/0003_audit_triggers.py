"""Triggers that refuse to change or delete what the audit log holds.

A tripwire against mistakes and against an account that may do too much; what a database
administrator does behind them, `audit verify` tells.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

_SAID = "audit entries are never changed or deleted"


def upgrade() -> None:
    """Adds the four triggers; repeatable."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table in ("audit_entries", "audit_chains"):
        for moment in ("update", "delete"):
            name = f"{table}_no_{moment}"
            head = f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {moment.upper()} ON {table} FOR EACH ROW "
            if is_sqlite:
                op.execute(f"{head} BEGIN SELECT RAISE(ABORT, '{_SAID}'); END")
            else:
                op.execute(f"{head} SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{_SAID}'")
