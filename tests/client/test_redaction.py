"""A vault value that a session prints is in no record, and reaches no later request."""

from __future__ import annotations

import os
import urllib.parse
from pathlib import Path

import pytest

from tests.kit.forms import REQUIRED, forms
from tests.kit.laptop import Laptop, tool
from tests.kit.model import calls, says

VALUE = "Zq7!wPx/9&tR2 <kMv>"
REFERENCE = "acme/billing/deploy"
AS_A_PATH = urllib.parse.quote(VALUE).encode()
PRINT = {
    "raw": "cat deploy.env",
    "base64": "base64 -w0 deploy.env",
    "URL-encoded": 'python3 -c \'import urllib.parse as u; print(u.quote(open("deploy.env").read(), safe=""))\'',
    "URL-encoded as a path": "python3 -c 'import urllib.parse as u; print(u.quote(open(\"deploy.env\").read()))'",
}


def found_in(content: bytes) -> list[str]:
    """The forms of the value that stand in some bytes."""
    every = forms(VALUE.encode())
    return [name for name in REQUIRED if every[name] in content] + ["as a path"] * (AS_A_PATH in content)


@pytest.fixture
def project(laptop: Laptop) -> Path:
    """A repository in which the value lies in a file, and a vault that holds it too."""
    laptop.log_in()
    laptop.claudetools(
        "credential", "add", "Billing", "--client", "Acme", "--name", "deploy", "--username", "deploy", "--value-file", "-",
        stdin=VALUE,
    )  # fmt: skip
    repository = laptop.clone("shop", laptop.remote("shop"))
    (repository / "deploy.env").write_text(VALUE)
    return repository


def test_a_printed_value_is_in_no_record_and_in_no_later_request(laptop: Laptop, project: Path):
    printing = [calls("Bash", command=command, description=f"Print it {how}") for how, command in PRINT.items()]
    with laptop.stream(
        *printing,
        says("The deployment reads its password from deploy.env; the three prints agree."),
        says("No, I have not."),
        cwd=project,
    ) as session:
        session.say("Show me how the deployment reads its password")
        printed = laptop.model.main()[-1].text
        session.say(f"paste-ok: Have you seen {VALUE} elsewhere?")
    every = {name: form.decode() for name, form in forms(VALUE.encode()).items() if name in REQUIRED}
    assert VALUE in printed, "the session did not print the value, so nothing was tested"
    assert every["base64"] in printed
    assert every["percent upper"] in printed
    assert AS_A_PATH.decode() in printed
    laptop.settle()

    run = laptop.run(
        "How does the deployment read its password?",
        calls(tool("context_recall"), query="deployment password deploy.env"),
        says("from deploy.env"),
        cwd=project,
    )
    laptop.settle()

    for name, content in laptop.kept().items():
        assert not found_in(content), f"{name} holds the value"
    for request in run.main:
        assert not found_in(request.raw.encode())
    for request in laptop.requests:
        assert not found_in(request.notes.encode())
    assert f"{{{{credential:{REFERENCE}#password}}}}" in run.last.result + run.first.notes


def test_files_of_the_data_directory_are_for_their_owner_alone(laptop: Laptop, project: Path):
    laptop.run("Show me the deployment", says("It reads deploy.env."), cwd=project)
    laptop.settle()

    for path in [laptop.data, *laptop.data.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, f"{path} is {path.stat().st_mode & 0o777:o}"
        assert path.stat().st_uid == os.geteuid()
