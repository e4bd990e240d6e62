"""One release of the program, driven line by line: `PYTHON driver.py CHECKOUT HOME`, orders as JSON on stdin.

It runs the release that lies in CHECKOUT, whatever is installed, and answers each order with one line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

CHECKOUT, HOME = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.insert(0, str(CHECKOUT))

from domain.drafts import Draft  # noqa: E402  # only now is it that release's
from domain.errors import ClaudeToolsError  # noqa: E402
from domain.plain import Plain  # noqa: E402
from mcp_server import __file__ as own  # noqa: E402
from mcp_server.bootstrap import App, build  # noqa: E402
from mcp_server.bootstrap.installation import create  # noqa: E402
from mcp_server.bootstrap.wanted import Wanted  # noqa: E402
from mcp_server.config import load_settings  # noqa: E402

PASSWORD = "correct horse battery"


class Release:
    """The orders."""

    app: App

    def found(self, database: str, password: str) -> None:
        """Makes a vault."""
        asked = {"database": database, "database_password": Plain(password)} if database else {}
        create(
            Wanted(home=HOME, person="anna", password=lambda: Plain(PASSWORD), deliver=lambda _key: None, **asked),
            lambda _step: None,
        )

    def open(self) -> None:
        """Opens it."""
        self.app = build(load_settings(HOME))
        secret = self.app.settings.agent_secret_file.read_text().strip()
        self.agent = self.app.identity.actor(self.app.identity.prove(secret))

    def add(self, name: str, value: str) -> str:
        """Adds a credential; gives its reference."""
        draft = Draft("password", name, client="acme", username="admin", values={"password": Plain(value)})
        return self.app.credentials.create(self.agent, draft).description.reference

    def rotate(self, reference: str, value: str) -> None:
        """Gives a credential a new value."""
        self.app.credentials.rotate(self.agent, reference, value=Plain(value))

    def reveal(self, reference: str) -> str:
        """Opens it; the tests' values are no secrets."""
        return self.app.credentials.reveal(self.agent, reference, purpose="to compare").value.expose()

    def strike(self, text: str) -> str:
        """What is left of a text."""
        return self.app.redaction.text(text)

    def save(self, title: str) -> str:
        """Keeps a note."""
        return self.app.context.save(
            self.agent, kind="decision", title=title, text=f"about {title}", tags=(), cwd="/srv", client=""
        ).record.record_id

    def recall(self, question: str) -> list[str]:
        """The titles of what is known."""
        found = self.app.context.recall(self.agent, question, cwd="/srv")
        return [hit.title for hit in getattr(found, "hits", found)]  # the release before gave the hits themselves

    def forget(self, record_id: str) -> None:
        """Forgets a note."""
        self.app.context.forget(self.agent, record_id, "a test")

    def verify(self) -> list[str]:
        """What is wrong with the log."""
        return [str(finding) for finding in self.app.audit.verify().findings]

    def program(self) -> str:
        """Which release this is: where it lies."""
        return str(Path(own).parents[1])


def main() -> None:
    """Answers orders until there are none."""
    release = Release()
    for line in sys.stdin:
        order, *arguments = json.loads(line)
        try:
            answer = {"is": getattr(release, order)(*arguments)}
        except ClaudeToolsError as error:
            answer = {"refused": error.message, "hint": error.hint}
        print(json.dumps(answer), flush=True)


main()
