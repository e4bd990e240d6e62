"""Every table, on one page.

Guarded tables carry `revision` and `mac`: a MAC over the whole row under the row key, and a
revision that the row's last change entry in the audit log repeats.  `storage.guard` checks both.
Times are integer microseconds UTC.  Lists and maps inside a row are canonical JSON text.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql

SCHEMA_VERSION = 3
"""What this program writes; compared with min_reader and min_writer of the database."""
REVISION = "0009"
"""The migration that this program's tables are at."""
MIN_READER = MIN_WRITER = 1
"""The oldest program that a database made by this one still lets in: its tables were only added to."""

metadata = MetaData()

# MariaDB's LONGTEXT and LONGBLOB where a value can pass 64 kB; SQLite has one kind of each.
LongText = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
Blob = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
Hash = LargeBinary(64)
Id = String(40)
Name = String(255)


def _free(size: int) -> String:
    """Text in which values are struck: the marks that stand for them make it longer than what was given."""
    return String(size).with_variant(mysql.TEXT(), "mysql", "mariadb")


# Byte-wise collation, in which "a" and "a " differ: ids, references and terms are compared exactly, on both databases.
_EXACT: dict[str, Any] = {  # Any: SQLAlchemy types each of these keywords apart
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def _us(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _guard() -> tuple[Column[int], Column[bytes]]:
    return Column("revision", Integer, nullable=False), Column("mac", Hash, nullable=False)


compatibility = Table(
    "compatibility",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("min_reader", Integer, nullable=False),
    Column("min_writer", Integer, nullable=False),
    **_EXACT,
)

# One row where a vault is arriving in this database or has left it (storage.transfer); else none.
transfer = Table(
    "transfer",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("vault_id", Id, nullable=False),
    Column("place", Text, nullable=False),
    _us("at_us"),
    Column("mac", Hash, nullable=False),
    **_EXACT,
)

vault = Table(
    "vault",
    metadata,
    Column("vault_id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("tier", String(16), nullable=False),
    Column("default_exposure", String(16), nullable=False),
    _us("created_us"),
    *_guard(),
    Column("default_rules", Text, nullable=True),  # a late column (domain.framing)
    **_EXACT,
)

key_slots = Table(
    "key_slots",
    metadata,
    Column("slot_id", Id, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("label", Name, nullable=False),
    Column("wrapped", LargeBinary(512), nullable=False),
    _us("created_us"),
    **_EXACT,
)

machines = Table(
    "machines",
    metadata,
    Column("machine_id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("public_key", LargeBinary(64), nullable=False),
    Column("state", String(16), nullable=False),
    _us("created_us"),
    *_guard(),
    **_EXACT,
)

persons = Table(
    "persons",
    metadata,
    Column("person_id", Id, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("password_hash", Name, nullable=False),
    Column("state", String(16), nullable=False),
    _us("created_us"),
    *_guard(),
    **_EXACT,
)

agents = Table(
    "agents",
    metadata,
    Column("agent_id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("owner_id", Id, nullable=False),
    Column("machine_id", Id, nullable=False),
    Column("secret_hash", Name, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("state", String(16), nullable=False),
    _us("created_us"),
    _us("revoked_us", nullable=True),
    *_guard(),
    UniqueConstraint("name", "machine_id", name="uq_agents_name_machine"),
    **_EXACT,
)

clients = Table(
    "clients",
    metadata,
    Column("client_id", Id, primary_key=True),
    Column("slug", String(64), nullable=False, unique=True),
    Column("name", _free(255), nullable=False),
    Column("url", Text, nullable=False),
    Column("note", Text, nullable=False),
    _us("created_us"),
    _us("updated_us"),
    **_EXACT,
)


def _belonging(name: str, key: str) -> Table:
    return Table(
        name,
        metadata,
        Column(key, Id, primary_key=True),
        Column("client_id", Id, nullable=False),
        Column("slug", String(64), nullable=False),
        Column("name", _free(255), nullable=False),
        Column("url", Text, nullable=False),
        Column("note", Text, nullable=False),
        _us("created_us"),
        _us("updated_us"),
        UniqueConstraint("client_id", "slug", name=f"uq_{name}_client_slug"),
        **_EXACT,
    )


services = _belonging("services", "service_id")
infrastructure = _belonging("infrastructure", "infrastructure_id")

client_keys = Table(
    "client_keys",
    metadata,
    Column("client_key_id", String(64), primary_key=True),
    Column("client_id", Id, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("wrapped", LargeBinary(512), nullable=False),
    _us("created_us"),
    *_guard(),
    UniqueConstraint("client_id", "version", name="uq_client_keys_version"),
    **_EXACT,
)

credentials = Table(
    "credentials",
    metadata,
    Column("credential_id", Id, primary_key=True),
    Column("reference", String(200), nullable=False, unique=True),
    Column("type", String(32), nullable=False),
    Column("client_id", Id, nullable=False),
    Column("service_id", Id, nullable=False),
    Column("infrastructure_id", Id, nullable=False),
    Column("service_name", _free(255), nullable=False),
    Column("username", Text, nullable=False),
    Column("external_url", Text, nullable=False),
    Column("ports", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("open", LongText, nullable=False),
    Column("requires_vpn", Boolean, nullable=False),
    Column("requires_2fa", Boolean, nullable=False),
    _us("expires_us", nullable=True),
    Column("rotate_every_days", Integer, nullable=True),
    _us("last_rotated_us", nullable=True),
    Column("exposure", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("fields", Text, nullable=False),
    Column("current_version", Integer, nullable=False),
    _us("created_us"),
    _us("updated_us"),
    _us("deleted_us", nullable=True),
    *_guard(),
    Column("rules", Text, nullable=True),  # a late column (domain.framing)
    Index("ix_credentials_client", "client_id"),
    **_EXACT,
)

credential_versions = Table(
    "credential_versions",
    metadata,
    Column("credential_id", Id, nullable=False),
    Column("version", Integer, nullable=False),
    Column("client_key_version", Integer, nullable=False),
    Column("wrapped_key", LargeBinary(512), nullable=False),
    _us("created_us"),
    _us("exposed_us", nullable=True),
    PrimaryKeyConstraint("credential_id", "version"),
    **_EXACT,
)

sealed_fields = Table(
    "sealed_fields",
    metadata,
    Column("credential_id", Id, nullable=False),
    Column("version", Integer, nullable=False),
    Column("field", String(32), nullable=False),
    Column("blob", Blob, nullable=False),
    Column("blind", Hash, nullable=False),
    PrimaryKeyConstraint("credential_id", "version", "field"),
    Index("ix_sealed_fields_blind", "blind", mysql_length={"blind": 32}, mariadb_length={"blind": 32}),
    **_EXACT,
)

# What a person let another one, or himself, do with a credential for a while (domain.rules).
approvals = Table(
    "approvals",
    metadata,
    Column("approval_id", Id, primary_key=True),
    Column("credential_id", Id, nullable=False),
    Column("kind", String(16), nullable=False),  # step_up | approval
    Column("person_id", Id, nullable=False),
    Column("by_id", Id, nullable=False),
    Column("purpose", Text, nullable=False),
    _us("given_us"),
    _us("until_us"),
    _us("withdrawn_us", nullable=True),
    *_guard(),
    Index("ix_approvals_credential", "credential_id", "person_id", "until_us"),
    **_EXACT,
)

# Whose one-time codes a person shows besides the password; the seed is sealed under the root key.
second_factors = Table(
    "second_factors",
    metadata,
    Column("person_id", Id, primary_key=True),
    Column("sealed", LargeBinary(512), nullable=False),
    Column("state", String(16), nullable=False),  # active | removed
    Column("last_step", BigInteger, nullable=False),  # of the newest code that was taken: none is taken twice
    _us("created_us"),
    *_guard(),
    **_EXACT,
)

# What machines say of themselves; it gives no authority.
machine_contacts = Table(
    "machine_contacts",
    metadata,
    Column("machine_id", Id, primary_key=True),
    _us("seen_us"),
    Column("program", String(32), nullable=False),
    **_EXACT,
)

# A rotation of keys under way or done, and how far it has come (storage.runs).
key_runs = Table(
    "key_runs",
    metadata,
    Column("run_id", Id, primary_key=True),
    Column("level", String(16), nullable=False),
    Column("scope", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("place", Text, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    _us("created_us"),
    _us("updated_us"),
    *_guard(),
    **_EXACT,
)

# Counters that tell other processes of a change: `sealed` grows with every new version of a credential, `root` with every
# turn of the root key.
marks = Table(
    "marks",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
    **_EXACT,
)

# What a machine was invited with.  `share` is half of what opens the invitation's root key; it is overwritten at its end.
invitations = Table(
    "invitations",
    metadata,
    Column("invitation_id", Id, primary_key=True),
    Column("person_id", Id, nullable=False),
    Column("label", Name, nullable=False),
    Column("share", LargeBinary(64), nullable=False),
    Column("state", String(16), nullable=False),
    _us("created_us"),
    _us("expires_us"),
    _us("used_us", nullable=True),
    Column("machine_id", Id, nullable=False),
    *_guard(),
    **_EXACT,
)

# Uses of credentials that a person wrote; `definition` says what one does, as canonical JSON.
recipes = Table(
    "recipes",
    metadata,
    Column("recipe_id", Id, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("definition", LongText, nullable=False),
    Column("author", Id, nullable=False),
    Column("approver", Id, nullable=False),
    _us("created_us"),
    _us("updated_us"),
    *_guard(),
    UniqueConstraint("name", name="uq_recipes_name"),
    **_EXACT,
)

audit_chains = Table(
    "audit_chains",
    metadata,
    Column("chain_id", Id, primary_key=True),
    Column("machine_id", Id, nullable=False),
    Column("actor_id", Id, nullable=False),
    Column("process", Name, nullable=False),
    _us("opened_us"),
    Column("body", Text, nullable=False),
    Column("hash", Hash, nullable=False),
    Column("signature", LargeBinary(64), nullable=False),
    **_EXACT,
)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("chain_id", Id, nullable=False),
    Column("seq", BigInteger, nullable=False, autoincrement=False),
    Column("entry_id", Id, nullable=False),
    _us("at_us"),
    Column("action", String(40), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("actor_kind", String(16), nullable=False),
    Column("actor_id", Id, nullable=False),
    Column("actor_name", Name, nullable=False),
    Column("owner_id", Id, nullable=False),
    Column("owner_name", Name, nullable=False),
    Column("machine_id", Id, nullable=False),
    Column("machine_name", Name, nullable=False),
    Column("session_id", Name, nullable=False),
    Column("verified", Name, nullable=False),
    Column("tier", String(16), nullable=False),
    Column("client_id", Id, nullable=False),
    Column("subject_type", String(32), nullable=False),
    Column("subject_id", String(64), nullable=False),
    Column("subject_name", _free(255), nullable=False),
    Column("subject_revision", Integer, nullable=True),
    Column("purpose", Text, nullable=False),
    Column("format", Integer, nullable=False),
    Column("body", LongText, nullable=False),
    Column("prev_hash", Hash, nullable=False),
    Column("hash", Hash, nullable=False),
    Column("signature", LargeBinary(64), nullable=False),
    PrimaryKeyConstraint("chain_id", "seq"),
    UniqueConstraint("entry_id", name="uq_audit_entries_entry"),
    Index("ix_audit_entries_at", "at_us"),
    Index("ix_audit_entries_subject", "subject_type", "subject_id", "subject_revision"),
    **_EXACT,
)


def _text(name: str, size: int) -> Column[str]:
    return Column(name, String(size), nullable=False, server_default="")


def _told(name: str, size: int) -> Column[str]:
    return Column(name, _free(size), nullable=False, server_default="")


def _long(name: str) -> Column[str]:
    return Column(name, LongText, nullable=False, default="")


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


# Not guarded: an incident gives no authority.  Its revision tells a change that came in between.
incidents = Table(
    "incidents",
    metadata,
    Column("incident_id", Id, primary_key=True),
    Column("client_id", Id, nullable=False, server_default=""),
    Column("service_id", Id, nullable=False, server_default=""),
    Column("infrastructure_id", Id, nullable=False, server_default=""),
    Column("type", String(32), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("title", _free(300), nullable=False),
    _long("description"),
    _long("findings"),
    _long("root_cause"),
    _long("remediation"),
    Column("owner_id", Id, nullable=False, server_default=""),
    Column("owner_name", Name, nullable=False, server_default=""),
    _us("occurred_us"),
    _us("opened_us"),
    _us("updated_us"),
    _us("contained_us", nullable=True),
    _us("resolved_us", nullable=True),
    Column("revision", Integer, nullable=False),
    Index("ix_incidents_state", "state", "opened_us"),
    Index("ix_incidents_client", "client_id", "opened_us"),
    **_EXACT,
)

incident_timeline = Table(
    "incident_timeline",
    metadata,
    Column("entry_id", Id, primary_key=True),
    Column("incident_id", Id, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    _us("occurred_us"),
    Column("occurred_text", String(64), nullable=False),
    Column("precision", String(16), nullable=False),
    _us("recorded_us"),
    Column("source", _free(200), nullable=False),
    Column("actor_kind", String(16), nullable=False),
    Column("actor_id", Id, nullable=False),
    Column("actor_name", Name, nullable=False),
    Column("technique", String(32), nullable=False),
    Column("corrects", Id, nullable=False),
    Column("audit_entry", Id, nullable=False),
    _long("text"),
    UniqueConstraint("incident_id", "seq", name="uq_incident_timeline_seq"),
    **_EXACT,
)

incident_indicators = Table(
    "incident_indicators",
    metadata,
    Column("indicator_id", Id, primary_key=True),
    Column("incident_id", Id, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("value", Text, nullable=False),
    Column("value_key", String(64), nullable=False),  # SHA-256 hex of kind and normalised value
    Column("tlp", String(16), nullable=False),
    Column("note", Text, nullable=False),
    _us("first_seen_us"),
    _us("last_seen_us"),
    _us("added_us"),
    UniqueConstraint("incident_id", "value_key", name="uq_incident_indicators_value"),
    Index("ix_incident_indicators_value", "value_key"),
    **_EXACT,
)

incident_links = Table(
    "incident_links",
    metadata,
    Column("incident_id", Id, nullable=False),
    Column("kind", String(16), nullable=False),  # credential | agent | audit | context
    Column("target_id", String(64), nullable=False),
    Column("target_name", _free(255), nullable=False),
    Column("waived", Text, nullable=False),  # the reason, where a person waived its rotation
    _us("added_us"),
    PrimaryKeyConstraint("incident_id", "kind", "target_id"),
    Index("ix_incident_links_target", "kind", "target_id"),
    **_EXACT,
)

# One row a session, or a note kept on purpose; a forgotten one stays as an emptied tombstone.
# The long columns come last, so that reading heads does not touch their overflow pages.
context_records = Table(
    "context_records",
    metadata,
    Column(
        "number",
        BigInteger().with_variant(Integer(), "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    Column("record_id", Id, nullable=False, unique=True),
    Column("session_key", String(200), nullable=True, unique=True),
    Column("state", String(16), nullable=False, server_default="active"),
    Column("kind", String(16), nullable=False),
    _text("project", 80),
    _told("project_name", 200),
    _text("client", 200),
    _told("branch", 200),
    _text("machine_id", 40),
    _text("machine_name", 200),
    _text("agent_id", 40),
    _text("session_id", 128),
    _text("owner_id", 40),
    _text("owner_name", 200),
    _count("pinned"),
    _text("superseded_by", 40),
    _us("created_us"),
    _us("updated_us"),
    Column("transcript_size", BigInteger, nullable=False, server_default="0"),
    _count("raw_tokens"),
    _count("digest_tokens"),
    _count("person_length"),
    _count("rest_length"),
    _told("title", 300),
    _told("outcome", 600),
    _long("tags"),
    _long("files"),
    _long("commits"),
    _long("struck"),
    _long("provenance"),
    _long("digest"),
    _long("terms"),
    _long("body_person"),
    _long("body_rest"),
    _count(
        "indexed"
    ),  # 0 until context_postings has it; turns with each change that is indexed, so that another one shows
    Index("ix_context_project", "project", "updated_us"),
    Index("ix_context_client", "client", "updated_us"),
    Index("ix_context_state", "state", "updated_us"),
    Index("ix_context_indexed", "indexed", "state"),
    **_EXACT,
)

context_frequencies = Table(
    "context_frequencies",
    metadata,
    Column("term", String(64), primary_key=True),
    Column("documents", BigInteger, nullable=False),
    **_EXACT,
)

# Which records hold a term or a facet (domain.postings): rows of a term lie one behind the other.
context_postings = Table(
    "context_postings",
    metadata,
    Column("term", BigInteger, nullable=False),
    Column("block", Integer, nullable=False),
    Column("postings", LargeBinary(4096).with_variant(mysql.VARBINARY(4096), "mysql", "mariadb"), nullable=False),
    PrimaryKeyConstraint("term", "block"),
    sqlite_with_rowid=False,
    **_EXACT,
)

# What a record was indexed by before a program that knows no postings changed it; a trigger of migration 0006 writes it,
# and the next drain of a program that does takes it out of the index (storage.context).
context_stale = Table(
    "context_stale",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("number", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("project", String(80), nullable=False),
    Column("project_name", _free(200), nullable=False),
    Column("client", String(200), nullable=False),
    Column("branch", _free(200), nullable=False),
    Column("machine_id", String(40), nullable=False),
    Column("machine_name", String(200), nullable=False),
    Column("owner_id", String(40), nullable=False),
    Column("owner_name", String(200), nullable=False),
    _us("updated_us"),
    Column("tags", LongText, nullable=False),
    Column("files", LongText, nullable=False),
    Column("terms", LongText, nullable=False),
    **_EXACT,
)

# What release 0.1.0 searches.  On a server it is written for machines that still run it, and not read; a file that one
# machine alone has is not searched by another release, and its index stands empty.
# The terms are already analysed (domain.text), so the index only splits at spaces.
CONTEXT_TERMS_SQLITE = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS context_terms USING fts5"
    "(terms, tokenize = 'unicode61 remove_diacritics 0', detail = none)"
)
CONTEXT_TERMS_MARIADB = (
    "CREATE TABLE IF NOT EXISTS context_terms (number BIGINT NOT NULL PRIMARY KEY, terms LONGTEXT NOT NULL, "
    "FULLTEXT INDEX ix_context_terms (terms)) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
)
