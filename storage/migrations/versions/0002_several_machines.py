"""Several machines: invitations, counters that tell of a change, and finding what was forgotten."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

EXACT = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    """Adds what is not there yet; repeatable."""
    op.create_table(
        "marks",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        if_not_exists=True,
        **EXACT,
    )
    op.execute(
        "INSERT INTO marks (name, value) SELECT 'sealed', (SELECT count(*) FROM credential_versions) "
        "FROM (SELECT 1 AS one) AS once WHERE NOT EXISTS (SELECT 1 FROM marks WHERE name = 'sealed')"
    )
    op.create_table(
        "invitations",
        sa.Column("invitation_id", sa.String(length=40), nullable=False),
        sa.Column("person_id", sa.String(length=40), nullable=False),
        sa.Column("label", sa.String(length=255), nullable=False),
        sa.Column("share", sa.LargeBinary(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("used_us", sa.BigInteger(), nullable=True),
        sa.Column("machine_id", sa.String(length=40), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=64), nullable=False),
        sa.PrimaryKeyConstraint("invitation_id"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_index("ix_context_state", "context_records", ["state", "updated_us"], unique=False, if_not_exists=True)
