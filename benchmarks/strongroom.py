"""Audited reveals beside bare inserts with the same commit settings."""

from __future__ import annotations

import os

from benchmarks.store import agent, store
from benchmarks.timing import calls, show
from domain.drafts import Draft, Generate
from storage.schema import audit_entries
from storage.transaction import begin

RUNS = 300


def main() -> None:
    """Prints the table."""
    with store() as app:
        actor = agent(app)
        made = app.credentials.create(
            actor, Draft("password", "Gitea", client="acme", username="admin", generate=Generate())
        )
        reference = made.description.reference

        def insert() -> None:
            # One row of an audit entry's size, durably committed: what no audited act can beat.
            with begin(app.engine, write=True) as transaction:
                transaction.connection.exec_driver_sql("INSERT INTO bench (body) VALUES (?)", (os.urandom(700),))
                transaction.commit()

        with begin(app.engine, write=True) as transaction:
            transaction.connection.exec_driver_sql("CREATE TABLE bench (id INTEGER PRIMARY KEY, body BLOB)")
            transaction.commit()
        floor = calls("bare insert and commit", insert, runs=RUNS)
        reveal = calls(
            "audited reveal",
            lambda: app.credentials.reveal(actor, reference, purpose="measure"),
            runs=RUNS,
        )
        search = calls("audited search", lambda: app.credentials.search(actor, "gitea"), runs=RUNS)
        verify = calls("verify the whole log", app.audit.verify, runs=3)
        with begin(app.engine, write=False) as transaction:
            count = transaction.connection.execute(audit_entries.select().with_only_columns(audit_entries.c.seq)).all()
        show(
            f"strongroom: {1000 / reveal.median:.0f} audited reveals a second, "
            f"{1000 / floor.median:.0f} bare inserts; {len(count)} audit entries",
            floor,
            [reveal, search, verify],
            {},
        )
