"""The postings of the memory's terms, and what tells of records that a program without them has changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"

EXACT = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}
_LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_TOLD = sa.String(200).with_variant(mysql.TEXT(), "mysql", "mariadb")
_STALE = ("number", "kind", "project", "project_name", "client", "branch", "machine_id", "machine_name", "owner_id", "owner_name",
          "updated_us", "tags", "files", "terms")  # fmt: skip


def upgrade() -> None:
    """Adds what is not there yet; repeatable."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if "indexed" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("context_records")}:
        op.add_column("context_records", sa.Column("indexed", sa.Integer(), server_default="0", nullable=False))
    op.create_index("ix_context_indexed", "context_records", ["indexed", "state"], unique=False, if_not_exists=True)
    op.create_table(
        "context_postings",
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column(
            "postings", sa.LargeBinary(4096).with_variant(mysql.VARBINARY(4096), "mysql", "mariadb"), nullable=False
        ),
        sa.PrimaryKeyConstraint("term", "block"),
        if_not_exists=True,
        sqlite_with_rowid=False,
        **EXACT,
    )
    op.create_table(
        "context_stale",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("project", sa.String(length=80), nullable=False),
        sa.Column("project_name", _TOLD, nullable=False),
        sa.Column("client", sa.String(length=200), nullable=False),
        sa.Column("branch", _TOLD, nullable=False),
        sa.Column("machine_id", sa.String(length=40), nullable=False),
        sa.Column("machine_name", sa.String(length=200), nullable=False),
        sa.Column("owner_id", sa.String(length=40), nullable=False),
        sa.Column("owner_name", sa.String(length=200), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.Column("tags", _LONG, nullable=False),
        sa.Column("files", _LONG, nullable=False),
        sa.Column("terms", _LONG, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        if_not_exists=True,
        **EXACT,
    )
    # A program that knows the index turns `indexed` with every change of the terms.
    changed = "OLD.indexed <> 0 AND NEW.indexed = OLD.indexed AND NEW.terms <> OLD.terms"
    kept = f"INSERT INTO context_stale ({', '.join(_STALE)}) VALUES ({', '.join('OLD.' + name for name in _STALE)})"  # noqa: S608 - names of ours
    head = "CREATE TRIGGER IF NOT EXISTS context_records_stale AFTER UPDATE ON context_records FOR EACH ROW"
    if is_sqlite:
        op.execute(f"{head} WHEN {changed} BEGIN {kept}; END")
        op.execute("DELETE FROM context_terms")
        op.execute("INSERT INTO context_terms(context_terms) VALUES ('optimize')")
    else:
        op.execute(f"{head} IF {changed} THEN {kept}; END IF")
