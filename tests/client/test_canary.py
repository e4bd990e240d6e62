"""Canaries go through every tool of a session; afterwards they are nowhere but where they must be."""

from __future__ import annotations

import itertools
import json
import re

import pytest

from domain.credentials import TYPES
from tests.kit.forms import REQUIRED, forms
from tests.kit.laptop import Laptop, tool
from tests.kit.model import Turn, calls, says

PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n"
SHAPED = {
    "private_key": PEM.format("cAnArYb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz"),
    "token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.cAnArY4gV3rYl0ngS1gnatur3",
    "connection_string": "mysql://canary:cAnArY-9Rk2xWq8@db.example.org:3306/shop",
    "totp_seed": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
}


def value_of(kind: str, name: str) -> str:
    """A value for a secret field, told apart from every other."""
    shaped = SHAPED.get(name)
    if shaped is None:
        return f"cAnArY/{kind}+{name}=7f3a9c"
    number = list(TYPES).index(kind)
    if name == "totp_seed":
        return shaped[:-1] + "ABCDEFGH"[number]
    return shaped.replace("cAnArY", f"cAnArY{number}")


CANARIES = {(kind, name): value_of(kind, name) for kind, it in TYPES.items() for name in it.secrets()}
REFERENCE = re.compile(r"[a-z0-9-]+/[a-z0-9-]+/bird")
SEEDED = CANARIES["password", "password"]


def creations() -> list[Turn]:
    """One credential of each type, with every secret field given."""
    return [
        calls(
            tool("credential_create"),
            type=kind,
            client="Acme",
            service_name=f"Canary {kind}",
            name="bird",
            purpose=f"moved in; the old one was {CANARIES[kind, it.main]}",
            **{name: CANARIES[kind, name] for name in it.secrets()},
        )
        for kind, it in TYPES.items()
    ]


def uses() -> list[Turn]:
    """Every other tool, given a vault value where people put one: in purposes, notes, tags, texts and questions."""
    bird = "acme/canary-password/bird"
    return [
        calls(tool("status")),
        calls(tool("credential_search"), query=SEEDED),
        calls(tool("credential_search"), query="canary", limit=50),
        calls(tool("credential_get"), reference=bird),
        calls(
            tool("credential_update"), reference=bird, tags=["old", SEEDED], username="canary", purpose=f"was {SEEDED}"
        ),
        calls(tool("credential_reveal"), reference=bird, purpose=f"compare with {SEEDED}"),
        calls(tool("credential_rotate"), reference=bird, generate=True, purpose=f"{SEEDED} was seen"),
        calls(tool("credential_delete"), reference=bird, purpose=f"{SEEDED} is gone"),
        calls(tool("registry_save"), kind="service", name="Mail", client="Acme", note=f"the login is {SEEDED}"),
        calls(tool("registry_find"), query=SEEDED),
        calls(
            tool("incident_open"),
            type="unauthorized_access",
            title=f"{SEEDED} was used",
            description=f"Somebody knew {SEEDED}.",
            findings=f"It is in a wiki: {SEEDED}",
            indicators=[f"account={SEEDED}"],
            credentials=[bird],
        ),
        calls(tool("incident_search"), query=SEEDED),
        calls(
            tool("context_save"),
            kind="fact",
            title=f"Login {SEEDED}",
            text=f"The password is {SEEDED}, they say.",
            tags=[SEEDED],
        ),
        calls(tool("context_recall"), query=f"password {SEEDED}"),
        calls(tool("audit_search"), subject=SEEDED),
        calls(tool("audit_search"), action="credential.", limit=50),
    ]


def mistakes() -> list[Turn]:
    """Malformed input that holds a value: no error may repeat it."""
    looks = json.dumps({"password": SEEDED})
    return [
        calls(tool("credential_get"), reference=SEEDED),
        calls(tool("credential_get"), reference={"of": SEEDED}),
        calls(tool("credential_create"), type=SEEDED, service_name="x"),
        calls(tool("credential_create"), type="password", service_name={"x": SEEDED}, password=SEEDED),
        calls(tool("credential_create"), type="password", service_name="y", ports=[SEEDED], password=SEEDED),
        calls(tool("credential_create"), type="password", service_name="z", expires_at=SEEDED, password=SEEDED),
        calls(tool("credential_create"), type="jwt", service_name="w", password=SEEDED),
        calls(
            tool("credential_create"), type="password", client="Acme", service_name="JSON", name="like", password=looks
        ),
        calls(tool("credential_rotate"), reference="acme/canary-password/bird", length=SEEDED),
        calls(tool("credential_update"), reference="acme/canary-password/bird", nosuch=SEEDED),
        calls(tool("audit_search"), since=SEEDED),
        calls(tool("incident_open"), title="t", type=SEEDED, severity=SEEDED),
        calls(tool("incident_update"), incident_id=SEEDED, state=SEEDED),
        calls(tool("context_get"), record_id=SEEDED),
        calls(tool("context_save"), kind=SEEDED, title="t", text="t"),
        calls(tool("registry_save"), kind=SEEDED, name="x"),
        calls(tool("registry_find"), cursor=SEEDED),
    ]


def holds(content: bytes) -> list[str]:
    """Which canaries stand in some bytes, in whichever form."""
    return [
        f"{kind}.{name} {form}"
        for (kind, name), value in CANARIES.items()
        for form, spelled in forms(value.encode()).items()
        if form in REQUIRED and spelled in content
    ]


def later_uses(incident: str, record: str) -> list[Turn]:
    """What needs an id that an earlier call gave."""
    return [
        calls(
            tool("incident_update"),
            incident_id=incident,
            text=f"{SEEDED} is blocked",
            root_cause=f"{SEEDED} was guessed",
        ),
        calls(tool("incident_search"), incident_id=incident),
        calls(tool("context_get"), record_id=record),
        calls(tool("context_forget"), record_id=record, purpose=f"it held {SEEDED}"),
    ]


@pytest.fixture
def answered(laptop: Laptop) -> list[dict[str, object]]:
    """The results of all those calls, after their sessions have ended and been recorded."""
    laptop.model.compaction = f"<summary>The password {SEEDED} was moved.</summary>"
    turns = list(itertools.chain(creations(), uses()))
    with laptop.stream(*turns, says(f"They are back, {SEEDED} too."), *mistakes(), says("Enough.")) as session:
        session.say(f"Let the birds fly with {SEEDED}")
        first = laptop.model.main()[-1].results
        session.say("/compact")
        session.say("make some mistakes")
        second = laptop.model.main()[-1].results
    laptop.settle()
    assert session.run.server == "connected"
    assert len(first) == len(turns)
    told = "\n".join(json.dumps(result) for result in first)
    third = laptop.run("more", *later_uses(id_in(told, "in"), id_in(told, "cx")), says("done")).last.results
    laptop.settle()
    for result in [*first, *third]:
        text = str(result["content"])
        assert not result.get("is_error") or "requires permission" in text, text
    return [*first, *third, *second[-len(mistakes()) :]]


def id_in(text: str, prefix: str) -> str:
    """The first id of a kind that a text shows."""
    found = re.search(rf"\b{prefix}_[a-z2-7]{{26}}\b", text)
    assert found, f"no id of {prefix}_ was told in {text}"
    return found[0]


def test_canaries_stay_where_they_belong(laptop: Laptop, answered: list[dict[str, object]]):
    for number, result in enumerate(answered):
        assert not holds(json.dumps(result["content"], ensure_ascii=False).encode()), f"result {number} shows a value"
    for wrong in answered[-len(mistakes()) :]:
        assert "Traceback" not in json.dumps(wrong)
    for name, content in laptop.kept().items():
        assert not holds(content), f"{name} holds a value"
    for debug in (laptop.root / "runs").glob("*.debug"):
        told = [line for line in debug.read_text().splitlines() if "stderr" in line.lower()]
        assert not holds("\n".join(told).encode())
    assert any(b"Let the birds fly" in content for content in laptop.kept().values()), "the session was not recorded"
    verified = laptop.claudetools("audit", "verify", "--home", str(laptop.data))
    assert verified.returncode == 0


def test_canaries_given_to_commands_stay_where_they_belong(laptop: Laptop):
    laptop.log_in()
    said = []
    for kind in ("password", "oauth"):  # a command takes a second; the tools have had every type
        it, files = TYPES[kind], []
        for name in it.secrets():
            file = laptop.root / f"{kind}.{name}"
            file.write_text(CANARIES[kind, name])
            file.chmod(0o600)
            files += ["--value-file", f"{name}={file}"]
        purpose = ("--purpose", f"the old one was {CANARIES[kind, it.main]}")
        said.append(
            laptop.claudetools(
                "credential", "add", f"Canary {kind}", "--type", kind, "--name", "bird", *files, *purpose
            )
        )
    bird = REFERENCE.search(said[0].stdout)
    assert bird, said[0].stdout
    reference, why = bird[0], ("--purpose", f"not {SEEDED}")
    password = ("--password-file", str(laptop.root / "password"))
    shown = laptop.claudetools("credential", "reveal", reference, *why, *password)
    assert shown.stdout == SEEDED
    commands = (
        ("credential", "show", SEEDED),
        ("credential", "update", reference, "--tag", SEEDED, "--username", "canary", *why),
        ("credential", "rotate", reference, "--generate", *why),
        ("credential", "reveal", reference, "--field", SEEDED, *why, *password),
        ("credential", "rm", reference, "--yes", *why),
        ("client", "add", "Acme", "--note", f"the login is {SEEDED}"),
        ("incident", "open", "malware", f"It sent {SEEDED} out", "--description", SEEDED, "--findings", SEEDED),
        ("context", "recall", f"who knows {SEEDED}"),
        ("context", "show", SEEDED),
        ("audit", "search", "--subject", SEEDED),
        ("audit", "search", "--since", SEEDED),
        ("login", "--person", SEEDED, *password),
        (SEEDED,),
        ("keys", "recover", SEEDED),
    )
    said += [laptop.claudetools(*command, status=None) for command in commands]

    for ended in said:
        assert not holds((ended.stdout + ended.stderr).encode()), ended.args
        assert "Traceback" not in ended.stderr
    for name, content in laptop.kept().items():
        assert not holds(content), f"{name} holds a value"
