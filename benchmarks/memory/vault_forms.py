"""A vault's value in the 22 required forms, through real capture into a real vault, and where it is found afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.drafts import Draft
from domain.plain import Plain
from domain.text import index_tokens
from hooks import spool
from hooks.project import identify
from tests.kit.forms import REQUIRED, assert_absent, forms
from tests.kit.mariadb import MariaDB
from tests.kit.stores import Databases, OnMariaDB, OnSQLite
from tests.strongroom.vault import Vault, make_template

VALUE = "kQ7#vT9!wZ&2x\"Lp's@8"
_AROUND = "The gateway of the shop was moved to port 9443 and answers again."


def run() -> dict[str, dict[str, tuple[str, ...]]]:
    """For each kind of database: by form, the places in which the value was found.  Each form is a session of its own."""
    found = {"sqlite": _through(OnSQLite())}
    with MariaDB() as server:
        found["mariadb"] = _through(OnMariaDB(server))
    return found


def _through(database: Databases) -> dict[str, tuple[str, ...]]:
    with _place(database) as (vault, root):
        vault.app.credentials.create(vault.person, Draft("password", "Gateway", values={"password": Plain(VALUE)}))
        made = forms(VALUE.encode())
        return {name: tuple(_places(vault, root, made[name].decode())) for name in REQUIRED}


@contextmanager
def _place(database: Databases) -> Iterator[tuple[Vault, Path]]:
    root = Path(tempfile.mkdtemp(prefix="claudetools-bench-"))
    try:
        template = make_template(root / "home", database)
        vault = Vault(template, template.home)
        try:
            yield vault, root
        finally:
            vault.close()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _places(vault: Vault, root: Path, form: str) -> Iterator[str]:
    folder = root / "shop"
    folder.mkdir(exist_ok=True)
    _session(vault, root, folder, form)
    if vault.app.capture.drain().captured != 1:
        yield "no record: the session was not captured"
    block = _injected(vault, folder)
    tokens = set(index_tokens(form)) - set(index_tokens(_said(""))) - set(index_tokens("credential password gateway"))
    terms = {entry.partition(":")[0] for row in vault.rows("context_records") for entry in str(row["terms"]).split()}
    terms |= {str(row["term"]) for row in vault.rows("context_frequencies")}
    if any(len(token) > 5 and token in terms for token in tokens):  # shorter ones are anybody's
        yield "index terms"
    for name, kept in (
        ("database", vault.store.contents()),
        ("spool", _files(vault.home / "spool")),
        ("shelf", _files(vault.home / "shelf")),
        ("injected text", block.encode()),
    ):
        if form.encode() in kept or _holds(kept):
            yield name
    if "{{credential:" not in block:
        yield "injected text without the live reference"


def _said(form: str) -> str:
    return f"{_AROUND}\nIt was opened with\n{form}\nand the retries stay at three."


def _session(vault: Vault, root: Path, folder: Path, form: str) -> None:
    """What the client writes: a prompt, a call with the value, its failed result, and an answer."""
    session_id = str(uuid.uuid4())
    transcript = root / f"{session_id}.jsonl"
    at = "2026-11-23T10:00:00.000Z"
    command = f"gateway login <<'EOF'\n{form}\nEOF"
    rows = [
        {"type": "user", "message": {"content": _said(form)}, "cwd": str(folder)},
        {"type": "assistant", "message": {"content": [_use("t1", "Bash", {"command": command})]}},
        {"type": "user", "message": {"content": [_result("t1", f"Error: refused\n{form}\n")]}},
        {"type": "assistant", "message": {"content": [{"type": "text", "text": _said(form)}]}},
    ]
    transcript.write_text("".join(json.dumps(row | {"timestamp": at}) + "\n" for row in rows))
    spool.put(
        str(vault.home),
        identify(str(folder), vault.app.settings.machine_id),
        session_id=session_id,
        transcript_path=str(transcript),
        folder=str(folder),
        client="",
        event="Stop",
    )


def _use(call: str, name: str, given: dict[str, str]) -> dict[str, object]:
    return {"type": "tool_use", "id": call, "name": name, "input": given}


def _result(call: str, text: str) -> dict[str, object]:
    return {"type": "tool_result", "tool_use_id": call, "content": text, "is_error": True}


def _injected(vault: Vault, folder: Path) -> str:
    """What the SessionStart hook prints, as a process of its own."""
    event = {
        "session_id": str(uuid.uuid4()),
        "transcript_path": str(folder / "none.jsonl"),
        "cwd": str(folder),
        "hook_event_name": "SessionStart",
        "source": "startup",
    }
    command = [sys.executable, "-I", "-m", "hooks", "SessionStart", str(vault.home / "hooks.json")]
    environment = {"PATH": os.environ["PATH"], "HOME": str(vault.home.parent)}
    done = subprocess.run(
        command, input=json.dumps(event).encode(), capture_output=True, check=True, env=environment, cwd=folder
    )
    return done.stdout.decode()


def _files(place: Path) -> bytes:
    return b"\n".join(file.read_bytes() for file in sorted(place.rglob("*")) if file.is_file())


def _holds(kept: bytes) -> bool:
    try:
        assert_absent(VALUE, kept)
    except AssertionError:
        return True
    return False
