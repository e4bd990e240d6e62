"""Ways in which a value could be led out of a use: by a recipe each is refused or comes to nothing; without one it is told."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Denied, Invalid, Unavailable
from mcp_server.cli.recipe import _ready
from mcp_server.services.use import Injection
from tests.kit.forms import assert_absent
from tests.strongroom.vault import Vault
from tests.use.conftest import Web, serving
from tests.use.test_recipes import PURPOSE, VALUE, approve, create, use


def definition(program: str, **said: Any) -> dict[str, Any]:
    """A recipe that feeds a value to a program."""
    return {"name": "leaky", "program": program, "argv": [], "feeds": [{"into": "stdin"}]} | said


@pytest.mark.parametrize(
    "name", ["sh", "bash", "env", "tee", "find", "xargs", "awk", "python3", "perl", "cat", "dd", "timeout"]
)
def test_a_program_that_runs_or_copies_whatever_it_is_told_is_no_recipe(vault: Vault, name: str) -> None:
    program = shutil.which(name, path="/usr/bin:/bin")
    assert program
    with pytest.raises(Invalid) as refused:
        vault.app.recipes.add(vault.person, definition(program))
    assert "program" in refused.value.fields


def test_neither_is_a_link_to_one_nor_a_program_that_others_could_replace(vault: Vault, tmp_path: Path) -> None:
    link, own, shared = tmp_path / "curl", tmp_path / "own", tmp_path / "shared"
    link.symlink_to("/bin/sh")
    shared.mkdir()
    for program in (own, shared / "tool"):
        program.write_text("#!/bin/true\n")
        program.chmod(0o755)
    shared.chmod(0o777)
    for program in (link, shared / "tool", tmp_path / "missing"):
        with pytest.raises(Invalid) as refused:
            vault.app.recipes.add(vault.person, definition(str(program)))
        assert "program" in refused.value.fields
    own.chmod(0o757)
    with pytest.raises(Invalid):
        vault.app.recipes.add(vault.person, definition(str(own)))


def test_a_program_that_became_another_after_its_approval_is_not_run(vault: Vault, tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.write_text("#!/bin/true\n")
    program.chmod(0o755)
    vault.app.recipes.add(vault.person, definition(str(program)))
    vault.app.recipes.approve(vault.person, "leaky")
    reference = create(vault, "password", {"password": VALUE})
    program.unlink()
    program.symlink_to("/usr/bin/tee")
    with pytest.raises(Denied):
        use(vault, "leaky", reference)


@pytest.mark.parametrize(
    "said",
    [
        {"argv": ["--password={main}"]},
        {"argv": ["{basic}"]},
        {"argv": ["{password}"]},
        {"feeds": [{"into": "env:LD_PRELOAD"}]},
        {"feeds": [{"into": "env:PATH"}]},
        {"feeds": [{"into": "env:GIT_SSH_COMMAND"}]},
        {"feeds": [{"into": "file:../x"}]},
        {"feeds": [{"into": "/etc/passwd"}]},
        {"feeds": [{"into": "stdin", "template": "{nothing}"}]},
        {"argv": ["{where}"], "gaps": {"where": {"kind": "url"}}},
        {"argv": ["{what}"], "gaps": {"what": {}}},
        {"argv": ["{what}"], "gaps": {"what": {"pattern": "("}}},
        {"hosts": ["*"]},
        {"hosts": ["evil.example/@good.example"]},
        {"seconds": 0},
        {"surprise": 1},
    ],
)
def test_what_would_put_a_value_where_it_does_not_belong_is_no_recipe(vault: Vault, said: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        vault.app.recipes.add(vault.person, definition("/usr/bin/curl", **said))
    assert refused.value.fields


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        "https://127.0.0.1@evil.example/",
        "https://user:pw@127.0.0.1/",
        "https://127.0.0.1.evil.example/",
        "https://127.0.0.1\\@evil.example/",
        "https://evil.example/#127.0.0.1",
        "file:///proc/self/environ",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "-K/tmp/config",
        "--config=/tmp/config",
        "-o/tmp/out",
        "@/etc/passwd",
        "https://127.0.0.1/\n--next",
        "https://127.0.0.1/ -o /tmp/out",
        "https://127.0.0.1/proc/self/environ/../proc/1/environ",
        "",
    ],
)
def test_a_url_leads_nowhere_but_to_the_hosts_of_its_recipe(vault: Vault, address: str) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="u")
    recipe = approve(vault, "curl-basic", hosts=["127.0.0.1"])
    with pytest.raises(Invalid) as refused:
        use(vault, recipe, reference, address=address)
    assert "address" in refused.value.fields


def test_a_host_with_a_port_is_allowed_on_that_port_alone(vault: Vault) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="u")
    recipe = approve(vault, "mariadb", hosts=["127.0.0.1:3306"])
    with pytest.raises(Invalid) as refused:
        use(vault, recipe, reference, server="127.0.0.1", tcp_port="3307", sql="select 1")
    assert refused.value.fields == {"server": "not a host that the recipe allows with this port"}
    fetch = approve(vault, "curl-basic", hosts=["127.0.0.1:8443"])
    with pytest.raises(Invalid) as refused:
        use(vault, fetch, reference, address="https://127.0.0.1:8444/")
    assert "address" in refused.value.fields


def test_a_password_is_not_sent_in_the_clear(vault: Vault) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="u")
    recipe = approve(vault, "curl-basic", hosts=["127.0.0.1"])
    used = use(vault, recipe, reference, address="http://127.0.0.1:9/")
    assert used.code == 1, used.errors
    assert "http" in used.errors


def test_a_redirect_is_not_followed(vault: Vault, web: Web, tmp_path: Path) -> None:
    with serving(tmp_path / "elsewhere") as other:
        reference = create(vault, "password", {"password": VALUE}, username="u")
        recipe = approve(vault, "curl-basic", hosts=["127.0.0.1"], more=["--insecure"])
        use(vault, recipe, reference, address=f"{web.url}/away?{other.url}/take")
        assert len(web.asked) == 1
        assert not other.asked


@pytest.mark.parametrize(
    ("ready", "given"),
    [
        ("ssh", {"server": "-oProxyCommand=tee /tmp/x", "command": "id"}),
        ("ssh", {"server": "127.0.0.1 -oProxyCommand=id", "command": "id"}),
        ("ssh", {"server": "evil.example", "command": "id"}),
        ("ssh", {"server": "127.0.0.1", "command": "id; cat /proc/$PPID/environ"}),
        ("git-https", {"repository": "--upload-pack=tee /tmp/x"}),
        ("git-https", {"repository": "ext::sh -c tee% /tmp/x"}),
        ("git-https", {"repository": "https://evil.example/r.git"}),
        ("mariadb", {"server": "127.0.0.1", "sql": "\\! id"}),
        ("mariadb", {"server": "127.0.0.1", "sql": "system id"}),
        ("mariadb", {"server": "127.0.0.1", "sql": "tee /tmp/x"}),
        ("mariadb", {"server": "127.0.0.1", "sql": "select 1\nsystem id"}),
        ("mariadb", {"server": "127.0.0.1", "sql": "select 1 into outfile '/tmp/x'"}),
        ("mariadb", {"server": "127.0.0.1", "sql": "select 1", "schema": "x --tee=/tmp/x"}),
        ("mariadb", {"server": "evil.example", "sql": "select 1"}),
        ("psql", {"server": "127.0.0.1", "sql": "copy (select 1) to program 'id'"}),
        ("psql", {"server": "127.0.0.1", "sql": "select 1 \\g |id"}),
    ],
)
def test_a_gap_takes_no_option_command_or_other_host(vault: Vault, ready: str, given: dict[str, str]) -> None:
    type_, values = ("ssh_key", {"private_key": "k" * 40}) if ready == "ssh" else ("password", {"password": VALUE})
    reference = create(vault, type_, values, username="u")
    recipe = approve(vault, ready, hosts=["127.0.0.1"])
    with pytest.raises(Invalid) as refused:
        use(vault, recipe, reference, **given)
    assert refused.value.fields


def test_neither_the_path_nor_files_at_home_nor_variables_of_whoever_starts_it_change_what_is_run(
    vault: Vault, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = tmp_path / "taken"
    (tmp_path / "curl").write_text(f"#!/bin/sh\ncat > {taken}\n")
    (tmp_path / "curl").chmod(0o755)
    (tmp_path / ".curlrc").write_text(f"trace-ascii = {taken}\n")
    (tmp_path / ".gitconfig").write_text(f"[core]\npager = tee {taken}\n[credential]\nhelper = !tee {taken}\n")
    for name, text in {"PATH": f"{tmp_path}:/usr/bin", "HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9",
                       "CURL_HOME": str(tmp_path), "GIT_PAGER": f"tee {taken}", "GIT_TRACE_CURL": str(taken)}.items():  # fmt: skip
        monkeypatch.setenv(name, text)
    reference = create(vault, "password", {"password": VALUE}, username="u")
    recipe = approve(vault, "curl-basic", hosts=["127.0.0.1"], more=["--cacert", str(web.authority.file)])
    assert use(vault, recipe, reference, address=f"{web.url}/x").output == "hello from /x\n"
    git = approve(vault, "git-https", hosts=["127.0.0.1"], more=["-c", f"http.sslCAInfo={web.authority.file}"])
    use(vault, git, reference, repository=f"{web.url}/none.git")
    assert not taken.exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["tee", "{out}"],
        ["env"],
        ["sh", "-c", "cat"],
        ["sh", "-c", "printenv VALUE | rev"],
        ["find", "/etc/hostname", "-exec", "printenv", "VALUE", ";"],
        ["sh", "-c", "tr '\\0' '\\n' < /proc/self/environ"],
        ["git", "-c", "core.pager=printenv VALUE", "--paginate", "version"],
    ],
)
def test_any_other_program_counts_as_having_taken_the_value(vault: Vault, tmp_path: Path, argv: list[str]) -> None:
    reference = create(vault, "password", {"password": VALUE})
    out = tmp_path / "out"
    used = vault.app.use.by_argv(
        vault.agent,
        [text.replace("{out}", str(out)) for text in argv],
        [Injection(reference, "env:VALUE"), Injection(reference, "stdin")],
        PURPOSE,
    )
    assert used.exposed
    assert vault.app.credentials.describe(vault.person, reference).exposed
    reversed_on_purpose = "rev" in argv[-1]  # nobody can know every spelling: that is why it counts as taken
    if not reversed_on_purpose:
        assert_absent(VALUE, f"{used.output}{used.errors}".encode())


def test_a_value_among_the_arguments_is_refused(vault: Vault) -> None:
    reference = create(vault, "password", {"password": VALUE})
    with pytest.raises(Invalid) as refused:
        vault.app.use.by_argv(vault.agent, ["echo", VALUE], [Injection(reference, "stdin")], PURPOSE)
    assert VALUE not in f"{refused.value}{refused.value.fields}"
    assert not vault.app.credentials.describe(vault.person, reference).exposed


@pytest.mark.parametrize(
    ("argv", "injections", "purpose"),
    [
        ([], [("stdin", "")], PURPOSE),
        (["no-such-program-anywhere"], [("stdin", "")], PURPOSE),
        (["true"], [], PURPOSE),
        (["true"], [("stdin", "")], " "),
        (["true"], [("stdin", ""), ("stdin", "")], PURPOSE),
        (["true"], [("env:LD_PRELOAD", "")], PURPOSE),
        (["true"], [("stdin", "private_key")], PURPOSE),
        (["tr\0ue"], [("stdin", "")], PURPOSE),
    ],
)
def test_what_cannot_be_run_opens_nothing(
    vault: Vault, argv: list[str], injections: list[tuple[str, str]], purpose: str
) -> None:
    reference = create(vault, "password", {"password": VALUE})
    with pytest.raises(Invalid) as refused:
        vault.app.use.by_argv(
            vault.agent, argv, [Injection(reference, into, name) for into, name in injections], purpose
        )
    assert refused.value.fields
    assert not vault.app.credentials.describe(vault.person, reference).exposed
    assert not [entry for entry in vault.entries() if (entry["action"], entry["outcome"]) == ("credential.use", "ok")]


def test_nothing_starts_without_its_entry(vault: Vault, tmp_path: Path) -> None:
    reference = create(vault, "password", {"password": VALUE})
    mark = tmp_path / "ran"
    with vault.store.stalled(), pytest.raises(Unavailable):
        vault.app.use.by_argv(vault.agent, ["touch", str(mark)], [Injection(reference, "stdin")], PURPOSE)
    assert not mark.exists()


def test_the_ready_made_recipes_are_recipes(vault: Vault) -> None:
    from domain.hosts import HTTP
    from domain.ready import READY
    from domain.recipe_forms import read_recipe

    for one in READY.values():
        said = {
            "name": one.name,
            "about": one.about,
            "types": list(one.types),
            **one.said,
            "program": HTTP if one.programs == (HTTP,) else "/usr/bin/anything",
        }
        assert read_recipe(said | {"hosts": ["db.acme.example"]}).name == one.name
    with pytest.raises(Invalid, match="no ready-made"):
        _ready("nothing", [])
