"""The first schema: strongroom, audit log, registry, incidents, memory."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

EXACT = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def free(size: int) -> sa.String:
    """Text that grows where values are struck."""
    return sa.String(length=size).with_variant(mysql.TEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Makes every table that is not there yet; repeatable."""
    op.create_table(
        "agents",
        sa.Column("agent_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("owner_id", sa.String(length=40), nullable=False),
        sa.Column("machine_id", sa.String(length=40), nullable=False),
        sa.Column("secret_hash", sa.String(length=255), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=64), nullable=False),
        sa.PrimaryKeyConstraint("agent_id"),
        sa.UniqueConstraint("name", "machine_id", name="uq_agents_name_machine"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_table(
        "audit_chains",
        sa.Column("chain_id", sa.String(length=40), nullable=False),
        sa.Column("machine_id", sa.String(length=40), nullable=False),
        sa.Column("actor_id", sa.String(length=40), nullable=False),
        sa.Column("process", sa.String(length=255), nullable=False),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=64), nullable=False),
        sa.Column("signature", sa.LargeBinary(length=64), nullable=False),
        sa.PrimaryKeyConstraint("chain_id"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_table(
        "audit_entries",
        sa.Column("chain_id", sa.String(length=40), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.String(length=40), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("actor_kind", sa.String(length=16), nullable=False),
        sa.Column("actor_id", sa.String(length=40), nullable=False),
        sa.Column("actor_name", sa.String(length=255), nullable=False),
        sa.Column("owner_id", sa.String(length=40), nullable=False),
        sa.Column("owner_name", sa.String(length=255), nullable=False),
        sa.Column("machine_id", sa.String(length=40), nullable=False),
        sa.Column("machine_name", sa.String(length=255), nullable=False),
        sa.Column("session_id", sa.String(length=255), nullable=False),
        sa.Column("verified", sa.String(length=255), nullable=False),
        sa.Column("tier", sa.String(length=16), nullable=False),
        sa.Column("client_id", sa.String(length=40), nullable=False),
        sa.Column("subject_type", sa.String(length=32), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=False),
        sa.Column("subject_name", free(255), nullable=False),
        sa.Column("subject_revision", sa.Integer(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("format", sa.Integer(), nullable=False),
        sa.Column(
            "body",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.Column("prev_hash", sa.LargeBinary(length=64), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=64), nullable=False),
        sa.Column("signature", sa.LargeBinary(length=64), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "seq"),
        sa.UniqueConstraint("entry_id", name="uq_audit_entries_entry"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_index("ix_audit_entries_at", "audit_entries", ["at_us"], unique=False, if_not_exists=True)
    op.create_index(
        "ix_audit_entries_subject",
        "audit_entries",
        ["subject_type", "subject_id", "subject_revision"],
        unique=False,
        if_not_exists=True,
    )
    op.create_table(
        "client_keys",
        sa.Column("client_key_id", sa.String(length=64), nullable=False),
        sa.Column("client_id", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(length=512), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=64), nullable=False),
        sa.PrimaryKeyConstraint("client_key_id"),
        sa.UniqueConstraint("client_id", "version", name="uq_client_keys_version"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_table(
        "clients",
        sa.Column("client_id", sa.String(length=40), nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", free(255), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id"),
        sa.UniqueConstraint("slug"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_table(
        "compatibility",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("min_reader", sa.Integer(), nullable=False),
        sa.Column("min_writer", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_table(
        "context_frequencies",
        sa.Column("term", sa.String(length=64), nullable=False),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("term"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_table(
        "context_records",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("record_id", sa.String(length=40), nullable=False),
        sa.Column("session_key", sa.String(length=200), nullable=True),
        sa.Column("state", sa.String(length=16), server_default="active", nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("project", sa.String(length=80), server_default="", nullable=False),
        sa.Column("project_name", free(200), server_default="", nullable=False),
        sa.Column("client", sa.String(length=200), server_default="", nullable=False),
        sa.Column("branch", free(200), server_default="", nullable=False),
        sa.Column("machine_id", sa.String(length=40), server_default="", nullable=False),
        sa.Column("machine_name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("agent_id", sa.String(length=40), server_default="", nullable=False),
        sa.Column("session_id", sa.String(length=128), server_default="", nullable=False),
        sa.Column("owner_id", sa.String(length=40), server_default="", nullable=False),
        sa.Column("owner_name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("pinned", sa.Integer(), server_default="0", nullable=False),
        sa.Column("superseded_by", sa.String(length=40), server_default="", nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.Column("transcript_size", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("raw_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("digest_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("person_length", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rest_length", sa.Integer(), server_default="0", nullable=False),
        sa.Column("title", free(300), server_default="", nullable=False),
        sa.Column("outcome", free(600), server_default="", nullable=False),
        sa.Column(
            "tags",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "files",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "commits",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "struck",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "provenance",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "digest",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "terms",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "body_person",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "body_rest",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("record_id"),
        sa.UniqueConstraint("session_key"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_index("ix_context_client", "context_records", ["client", "updated_us"], unique=False, if_not_exists=True)
    op.create_index(
        "ix_context_project", "context_records", ["project", "updated_us"], unique=False, if_not_exists=True
    )
    op.create_table(
        "credential_versions",
        sa.Column("credential_id", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("client_key_version", sa.Integer(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(length=512), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("exposed_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("credential_id", "version"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_table(
        "credentials",
        sa.Column("credential_id", sa.String(length=40), nullable=False),
        sa.Column("reference", sa.String(length=200), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("client_id", sa.String(length=40), nullable=False),
        sa.Column("service_id", sa.String(length=40), nullable=False),
        sa.Column("infrastructure_id", sa.String(length=40), nullable=False),
        sa.Column("service_name", free(255), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("external_url", sa.Text(), nullable=False),
        sa.Column("ports", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column(
            "open",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.Column("requires_vpn", sa.Boolean(), nullable=False),
        sa.Column("requires_2fa", sa.Boolean(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=True),
        sa.Column("rotate_every_days", sa.Integer(), nullable=True),
        sa.Column("last_rotated_us", sa.BigInteger(), nullable=True),
        sa.Column("exposure", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("current_version", sa.Integer(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.Column("deleted_us", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=64), nullable=False),
        sa.PrimaryKeyConstraint("credential_id"),
        sa.UniqueConstraint("reference"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_index("ix_credentials_client", "credentials", ["client_id"], unique=False, if_not_exists=True)
    op.create_table(
        "incident_indicators",
        sa.Column("indicator_id", sa.String(length=40), nullable=False),
        sa.Column("incident_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("value_key", sa.String(length=64), nullable=False),
        sa.Column("tlp", sa.String(length=16), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("first_seen_us", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_us", sa.BigInteger(), nullable=False),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("indicator_id"),
        sa.UniqueConstraint("incident_id", "value_key", name="uq_incident_indicators_value"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_index(
        "ix_incident_indicators_value", "incident_indicators", ["value_key"], unique=False, if_not_exists=True
    )
    op.create_table(
        "incident_links",
        sa.Column("incident_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("target_id", sa.String(length=64), nullable=False),
        sa.Column("target_name", free(255), nullable=False),
        sa.Column("waived", sa.Text(), nullable=False),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "kind", "target_id"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_index(
        "ix_incident_links_target", "incident_links", ["kind", "target_id"], unique=False, if_not_exists=True
    )
    op.create_table(
        "incident_timeline",
        sa.Column("entry_id", sa.String(length=40), nullable=False),
        sa.Column("incident_id", sa.String(length=40), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("occurred_us", sa.BigInteger(), nullable=False),
        sa.Column("occurred_text", sa.String(length=64), nullable=False),
        sa.Column("precision", sa.String(length=16), nullable=False),
        sa.Column("recorded_us", sa.BigInteger(), nullable=False),
        sa.Column("source", free(200), nullable=False),
        sa.Column("actor_kind", sa.String(length=16), nullable=False),
        sa.Column("actor_id", sa.String(length=40), nullable=False),
        sa.Column("actor_name", sa.String(length=255), nullable=False),
        sa.Column("technique", sa.String(length=32), nullable=False),
        sa.Column("corrects", sa.String(length=40), nullable=False),
        sa.Column("audit_entry", sa.String(length=40), nullable=False),
        sa.Column(
            "text",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("entry_id"),
        sa.UniqueConstraint("incident_id", "seq", name="uq_incident_timeline_seq"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.String(length=40), nullable=False),
        sa.Column("client_id", sa.String(length=40), server_default="", nullable=False),
        sa.Column("service_id", sa.String(length=40), server_default="", nullable=False),
        sa.Column("infrastructure_id", sa.String(length=40), server_default="", nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("title", free(300), nullable=False),
        sa.Column(
            "description",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "findings",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "root_cause",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "remediation",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.Column("owner_id", sa.String(length=40), server_default="", nullable=False),
        sa.Column("owner_name", sa.String(length=255), server_default="", nullable=False),
        sa.Column("occurred_us", sa.BigInteger(), nullable=False),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.Column("contained_us", sa.BigInteger(), nullable=True),
        sa.Column("resolved_us", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("incident_id"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_index("ix_incidents_client", "incidents", ["client_id", "opened_us"], unique=False, if_not_exists=True)
    op.create_index("ix_incidents_state", "incidents", ["state", "opened_us"], unique=False, if_not_exists=True)
    op.create_table(
        "infrastructure",
        sa.Column("infrastructure_id", sa.String(length=40), nullable=False),
        sa.Column("client_id", sa.String(length=40), nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", free(255), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("infrastructure_id"),
        sa.UniqueConstraint("client_id", "slug", name="uq_infrastructure_client_slug"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_table(
        "key_slots",
        sa.Column("slot_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("label", sa.String(length=255), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(length=512), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("slot_id"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_table(
        "machines",
        sa.Column("machine_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("public_key", sa.LargeBinary(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=64), nullable=False),
        sa.PrimaryKeyConstraint("machine_id"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_table(
        "persons",
        sa.Column("person_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=64), nullable=False),
        sa.PrimaryKeyConstraint("person_id"),
        sa.UniqueConstraint("name"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_table(
        "sealed_fields",
        sa.Column("credential_id", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("field", sa.String(length=32), nullable=False),
        sa.Column(
            "blob",
            sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mariadb").with_variant(mysql.LONGBLOB(), "mysql"),
            nullable=False,
        ),
        sa.Column("blind", sa.LargeBinary(length=64), nullable=False),
        sa.PrimaryKeyConstraint("credential_id", "version", "field"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_index(
        "ix_sealed_fields_blind",
        "sealed_fields",
        ["blind"],
        unique=False,
        if_not_exists=True,
        mysql_length={"blind": 32},
        mariadb_length={"blind": 32},
    )
    op.create_table(
        "services",
        sa.Column("service_id", sa.String(length=40), nullable=False),
        sa.Column("client_id", sa.String(length=40), nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", free(255), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("service_id"),
        sa.UniqueConstraint("client_id", "slug", name="uq_services_client_slug"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_table(
        "vault",
        sa.Column("vault_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("tier", sa.String(length=16), nullable=False),
        sa.Column("default_exposure", sa.String(length=16), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=64), nullable=False),
        sa.PrimaryKeyConstraint("vault_id"),
        if_not_exists=True,
        **EXACT,
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS context_terms USING fts5"
            "(terms, tokenize = 'unicode61 remove_diacritics 0', detail = none)"
        )
    else:
        op.execute(
            "CREATE TABLE IF NOT EXISTS context_terms (number BIGINT NOT NULL PRIMARY KEY, terms LONGTEXT NOT NULL, "
            "FULLTEXT INDEX ix_context_terms (terms)) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
        )
