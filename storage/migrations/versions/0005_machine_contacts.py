"""When each machine was last here, and with which release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Adds the table; repeatable."""
    op.create_table(
        "machine_contacts",
        sa.Column("machine_id", sa.String(length=40), nullable=False),
        sa.Column("seen_us", sa.BigInteger(), nullable=False),
        sa.Column("program", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("machine_id"),
        if_not_exists=True,
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_nopad_bin",
    )
