"""A plain value shows itself in one way only."""

from __future__ import annotations

import ast
import copy
import io
import json
import logging
import pickle
import traceback
from functools import cache
from pathlib import Path

import pytest

import domain
from domain.plain import Plain

VALUE = "hunter2-hunter2"
ROOT = Path(domain.__file__).parent.parent


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        format,
        ascii,
        lambda p: f"{p}",
        lambda p: f"{p!r}",
        lambda p: f"{p:>40}",
        lambda p: "%s" % p,  # noqa: UP031  # every way of formatting is tried
        "{}".format,
        lambda p: str([p]),
        lambda p: str({"value": p}),
        lambda p: repr((p, p)),
    ],
)
def test_every_way_of_formatting_gives_a_placeholder(show):
    for value in (VALUE, VALUE.encode()):
        assert VALUE not in show(Plain(value))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_not_pickled(protocol):
    with pytest.raises(TypeError) as refused:
        pickle.dumps(Plain(VALUE), protocol)
    assert VALUE not in str(refused.value)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_it_is_not_copied(duplicate):
    with pytest.raises(TypeError):
        duplicate({"value": Plain(VALUE)} if duplicate is copy.deepcopy else Plain(VALUE))


def test_json_refuses_it_and_falls_back_to_the_placeholder():
    with pytest.raises(TypeError) as refused:
        json.dumps({"value": Plain(VALUE)})
    assert VALUE not in str(refused.value)
    assert VALUE not in json.dumps({"value": Plain(VALUE)}, default=str)


def test_it_has_no_attributes_to_list():
    with pytest.raises(TypeError):
        vars(Plain(VALUE))


def test_a_log_record_does_not_show_it():
    out = io.StringIO()
    log = logging.getLogger("test of plain")
    log.addHandler(logging.StreamHandler(out))
    log.error("value %s, %r", Plain(VALUE), {"value": Plain(VALUE)})
    assert out.getvalue()
    assert VALUE not in out.getvalue()


def test_a_traceback_with_its_local_variables_does_not_show_it():
    def use(value):
        raise ValueError(f"cannot use {value}")

    try:
        use(Plain(VALUE))
    except ValueError as error:
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "cannot use" in told
    assert VALUE not in told


def test_two_plain_values_are_never_equal_so_that_nobody_compares_them():
    one = Plain(VALUE)
    assert one == one  # noqa: PLR0124
    assert one != Plain(VALUE)
    assert one != VALUE
    assert len({one, Plain(VALUE)}) == 2


def test_length_and_emptiness_are_known():
    assert len(Plain("ü")) == 2
    assert not Plain("")
    assert Plain("x")


def test_expose_gives_the_value_as_text_and_as_bytes():
    assert Plain(VALUE).expose() == VALUE
    assert Plain("ü").expose_bytes() == "ü".encode()
    assert Plain(b"\x00\xff").expose_bytes() == b"\x00\xff"


# Where values leave.  A new place needs a line here, with the reason why a value must be known there.
EXPOSED_IN = {
    "domain/sealing.py seal": "the value is sealed",
    "domain/sealing.py _stretched": "a passphrase is stretched into a slot's key",
    "mcp_server/bootstrap/slots.py check_passphrase": "whether a passphrase is easy to guess",
    "mcp_server/bootstrap/turning.py _kept_recovery": "the recovery key that goes on is read",
    "mcp_server/cli/rotating.py _passphrase.given": "whether a passphrase was typed at all",
    "mcp_server/cli/slotting.py _passphrase": "a passphrase typed twice is compared with itself",
    "domain/drafts.py check_values": "NUL characters and the form of a TOTP seed are looked for",
    "domain/changes.py with_changes": "no value: the policy on exposure has that name",
    "mcp_server/services/levels.py Levels._set.change": "no value: the policy on exposure has that name",
    "mcp_server/services/factors.py address_of": "the seed is shown once to whom it belongs",
    "mcp_server/services/factors.py _step": "a code is compared with those of the seed",
    "mcp_server/keyring.py Keyring.seal_factor": "the seed of one-time codes is sealed",
    "mcp_server/keyring.py Keyring.blind": "the blind index is made of the value",
    "mcp_server/services/redaction.py Redaction._opened": "the matcher is made of every value, in memory alone",
    "domain/age.py encrypted": "the passphrase locks an exported file",
    "domain/age.py opened": "the passphrase opens an exported file",
    "domain/importing/keepass.py from_kdbx": "the password opens a KeePass database",
    "domain/importing/own.py written": "every exported value goes into the text that is encrypted next",
    "mcp_server/cli/credential_files.py _passphrase": "a passphrase typed twice is compared with itself",
    "mcp_server/services/credential_import.py CredentialImport._id": "the id of an import is made of the value, under the index key",
    "mcp_server/services/credential_import.py CredentialImport._strike": "values that are not stored yet are struck from open fields",
    "mcp_server/services/redaction.py _matcher": "a value that is not stored yet is struck too",
    "mcp_server/tools/credentials.py offer.credential_reveal": "the answer of the one tool that reveals",
    "mcp_server/bootstrap/installation.py _add_person": "the first person's password is hashed",
    "mcp_server/bootstrap/installation.py keep_agent": "the agent's secret goes into its 0600 file",
    "domain/invitations.py Enclosed.to_bytes": "the database accounts' passwords are sealed into an invitation",
    "mcp_server/bootstrap/accounts.py _text": "a password made for a database account goes into the statement that sets it",
    "mcp_server/bootstrap/database.py keep_accounts": "the database accounts' passwords go into their 0600 files",
    "mcp_server/bootstrap/database.py prepare": "the password that an invitation brought dials the database",
    "mcp_server/bootstrap/database.py with_accounts": "the password of a new database account is tried",
    "mcp_server/bootstrap/joining.py enter": "the recovery key that was typed is read",
    "mcp_server/bootstrap/joining.py find_person": "the password of who joins is checked",
    "mcp_server/bootstrap/reaching.py reach": "the database's password dials the server",
    "mcp_server/cli/joining.py _invitation": "the code that was typed is read",
    "mcp_server/cli/joining.py entry.given": "the invitation that was pasted is read",
    "mcp_server/cli/machine.py _hand_over": "an invitation's code is shown once or written to the file that was asked for",
    "mcp_server/cli/backup.py _recovery_key": "the recovery key that was typed is read",
    "mcp_server/cli/agent.py enroll": "the agent's secret goes into its 0600 file",
    "mcp_server/cli/ask.py password": "a password typed twice is compared with itself",
    "domain/strength.py judge": "how easily it is guessed",
    "domain/feeding.py meanings": "user name and value are put together as a header wants them, and kept Plain",
    "domain/feeding.py parts_of": "a connection string is taken apart into Plain parts",
    "domain/feeding.py render.put": "a template is filled, and kept Plain",
    "mcp_server/services/exchange.py access_token": "the token endpoint is asked",
    "mcp_server/services/running.py _agent": "an SSH agent takes the key",
    "mcp_server/services/running.py _file": "a program reads it from a file in memory",
    "mcp_server/services/running.py _to_the_end": "a program reads it from its input",
    "mcp_server/services/running.py run": "a program finds it in its environment",
    "mcp_server/services/use.py Use._told": "the masker looks for it",
    "mcp_server/services/use.py _fed": "a variable cannot hold a NUL character",
    "mcp_server/services/use.py _totp": "a code is made of the seed, and kept Plain",
    "mcp_server/services/asking.py ask": "a request is made with it",
    "mcp_server/services/bundling.py bundle": "a certificate is bundled with its key, and kept Plain",
    "mcp_server/services/bundling.py without_passphrase": "the key is opened with its passphrase, and kept Plain",
    "mcp_server/services/persons.py Persons.add": "a first password is hashed",
    "mcp_server/services/persons.py Persons.set_password": "a new password is hashed",
    "mcp_server/cli/factor.py add": "the seed is shown once to whom it belongs",
    "mcp_server/cli/clipboard.py copy": "a person asked for it on the clipboard, with the password",
    "mcp_server/cli/generating.py command": "a person asked for a new one to look at",
    "mcp_server/cli/credential.py reveal": "a person asked for it, with the password",
    "mcp_server/cli/credential.py _show_values": "a person asked for it, with the password",
    "mcp_server/cli/init.py _password.given": "the first person's password is checked or kept in a 0600 file",
    "mcp_server/cli/init.py deliver.keep": "the recovery key is shown once or written to the file that was asked for",
    "mcp_server/cli/keys.py recover": "the recovery key that was typed is read",
    "mcp_server/cli/login.py login": "the password that was typed is checked",
    "mcp_server/cli/acting.py at_the_terminal": "the password that was typed is checked",
}


@cache
def exposures() -> dict[str, int]:
    """Every use of `.expose` and `.expose_bytes`: file and function."""
    found: dict[str, int] = {}
    for room in ("domain", "storage", "hooks", "mcp_server"):
        for file in sorted((ROOT / room).rglob("*.py")):
            _walk(ast.parse(file.read_text(encoding="utf-8")), str(file.relative_to(ROOT)), "", found)
    return found


def _walk(node: ast.AST, file: str, inside: str, found: dict[str, int]) -> None:
    for child in ast.iter_child_nodes(node):
        name = inside
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{inside}.{child.name}".lstrip(".")
        if isinstance(child, ast.Attribute) and child.attr in ("expose", "expose_bytes"):
            found[f"{file} {name}"] = found.get(f"{file} {name}", 0) + 1
        _walk(child, file, name, found)


def test_values_are_exposed_in_the_listed_places_only():
    new = sorted(set(exposures()) - set(EXPOSED_IN))
    assert not new, "a value leaves in a new place; add it with its reason, or keep it Plain: " + "; ".join(new)


def test_no_listed_place_is_out_of_date():
    assert not sorted(set(EXPOSED_IN) - set(exposures()))
