"""Which project a folder belongs to."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hooks.project import bind, client_of, default_branch, identify, is_default_branch, normalised


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        env=os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null"},
    )


def repository(folder: Path, remote: str = "", head: str = "ref: refs/heads/main") -> Path:
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text(head + "\n")
    config = "[core]\n\tbare = false\n" + (f'[remote "origin"]\n\turl = {remote}\n' if remote else "")
    (folder / ".git" / "config").write_text(config)
    return folder


SAME = [
    "https://github.com/acme/shop.git",
    "https://github.com/acme/shop",
    "https://GitHub.com/acme/shop.git/",
    "https://somebody:token@github.com/acme/shop.git",
    "https://github.com:443/acme/shop",
    "ssh://git@github.com/acme/shop.git",
    "ssh://git@github.com:22/acme/shop.git",
    "git@github.com:acme/shop.git",
    "github.com:acme/shop",
    "git://github.com/acme/shop",
]


@pytest.mark.parametrize("url", SAME)
def test_all_ways_to_name_a_remote_are_one_project(url: str):
    assert normalised(url) == "github.com/acme/shop"


@pytest.mark.parametrize(
    "url",
    [
        "https://gitlab.com/acme/shop",
        "https://github.com/acme/Shop",
        "https://github.com:8443/acme/shop",
        "https://github.com/other/shop",
    ],
)
def test_other_remotes_are_other_projects(url: str):
    assert normalised(url) != "github.com/acme/shop"


def test_two_clones_of_a_remote_are_one_project_on_any_machine(tmp_path: Path):
    one = identify(str(repository(tmp_path / "a", SAME[0])), "ma_1")
    other = identify(str(repository(tmp_path / "deep" / "b", SAME[7])), "ma_2")
    assert one.project_id == other.project_id
    assert one.name == "shop"


def test_a_folder_below_belongs_to_its_repository(tmp_path: Path):
    root = repository(tmp_path / "a", SAME[0])
    (root / "src" / "deep").mkdir(parents=True)
    assert identify(str(root / "src" / "deep"), "ma_1").project_id == identify(str(root), "ma_1").project_id


def test_clones_of_a_local_repository_are_one_project_on_this_machine_only(tmp_path: Path):
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "shop.git"], check=True)
    for name in ("a", "b"):
        git(tmp_path, "clone", "-q", str(tmp_path / "shop.git"), name)
    one, other = identify(str(tmp_path / "a"), "ma_1"), identify(str(tmp_path / "b"), "ma_1")
    assert one.project_id == other.project_id
    assert one.project_id != identify(str(tmp_path / "a"), "ma_2").project_id


def test_a_worktree_belongs_to_its_repository_and_has_its_own_branch(tmp_path: Path):
    main = tmp_path / "main"
    main.mkdir()
    git(main, "init", "-q", "-b", "main")
    git(main, "-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "--allow-empty", "-m", "x")
    git(main, "worktree", "add", "-q", "-b", "topic", str(tmp_path / "tree"))
    here, there = identify(str(main), "ma_1"), identify(str(tmp_path / "tree"), "ma_1")
    assert here.project_id == there.project_id
    assert (here.branch, there.branch) == ("", "topic")


def test_a_repository_without_remote_keeps_an_id_that_moves_with_it(tmp_path: Path):
    root = repository(tmp_path / "a")
    before = identify(str(root), "ma_1").project_id
    root.rename(tmp_path / "elsewhere")
    assert identify(str(tmp_path / "elsewhere"), "ma_2").project_id == before
    assert sorted(path.name for path in (tmp_path / "elsewhere" / ".git").iterdir()) == [
        "HEAD",
        "claudetools-project",
        "config",
    ]


def test_a_repository_of_another_user_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = repository(tmp_path / "theirs")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    known = identify(str(made), "ma_1")
    assert not (made / ".git" / "claudetools-project").exists()
    assert identify(str(made), "ma_1").project_id == known.project_id


def test_same_named_repositories_are_not_mixed_up(tmp_path: Path):
    one, other = repository(tmp_path / "x" / "app"), repository(tmp_path / "y" / "app")
    assert identify(str(one), "ma_1").project_id != identify(str(other), "ma_1").project_id


def test_a_folder_without_repository_is_a_project_of_this_machine(tmp_path: Path):
    assert identify(str(tmp_path), "ma_1").project_id == identify(str(tmp_path), "ma_1").project_id
    assert identify(str(tmp_path), "ma_1").project_id != identify(str(tmp_path), "ma_2").project_id
    assert identify(str(tmp_path), "ma_1").project_id != identify(str(tmp_path.parent), "ma_1").project_id


@pytest.mark.parametrize("branch", ["main", "master", "trunk"])
def test_the_default_branch_is_none(tmp_path: Path, branch: str):
    assert identify(str(repository(tmp_path / "a", head=f"ref: refs/heads/{branch}")), "ma_1").branch == ""


def test_the_default_branch_is_what_the_remote_says(tmp_path: Path):
    root = repository(tmp_path / "a", head="ref: refs/heads/develop")
    assert identify(str(root), "ma_1").branch == "develop"
    (root / ".git" / "refs" / "remotes" / "origin").mkdir(parents=True)
    (root / ".git" / "refs" / "remotes" / "origin" / "HEAD").write_text("ref: refs/remotes/origin/develop\n")
    assert identify(str(root), "ma_1").branch == ""
    assert default_branch(str(root / ".git")) == "develop"
    assert is_default_branch("develop", str(root))
    assert not is_default_branch("topic/x", str(root))


def test_a_detached_head_is_on_no_branch(tmp_path: Path):
    assert (
        identify(str(repository(tmp_path / "a", head="0123456789012345678901234567890123456789")), "ma_1").branch == ""
    )


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"gitdir:", b"gitdir: /nowhere", b"[" * 9000, b"gitdir: \0"])
def test_a_strange_git_file_breaks_nothing(tmp_path: Path, content: bytes):
    (tmp_path / ".git").write_bytes(content)
    assert identify(str(tmp_path), "ma_1").project_id.startswith("pj_")


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path):
    root = repository(tmp_path / "a")
    (root / ".git" / "config").unlink()
    os.mkfifo(root / ".git" / "config")
    (root / ".git" / "HEAD").unlink()
    os.mkfifo(root / ".git" / "HEAD")
    assert identify(str(root), "ma_1").project_id.startswith("pj_")


def test_a_folder_that_is_gone_is_still_a_project():
    assert identify("/nowhere/at/all", "ma_1").name == "all"
    assert identify("", "ma_1").project_id.startswith("pj_")


def test_a_folder_bound_to_a_client_binds_what_is_below_it(tmp_path: Path):
    (tmp_path / "acme" / "deep").mkdir(parents=True)
    bind(str(tmp_path), client="ACME", folder=str(tmp_path / "acme"))
    assert client_of(str(tmp_path), str(tmp_path / "acme" / "deep")) == "ACME"
    assert client_of(str(tmp_path), str(tmp_path)) == ""
    bind(str(tmp_path), client="Dental", folder=str(tmp_path / "acme" / "deep"))
    assert client_of(str(tmp_path), str(tmp_path / "acme" / "deep")) == "Dental"
    bind(str(tmp_path), client="", folder=str(tmp_path / "acme" / "deep"))
    assert client_of(str(tmp_path), str(tmp_path / "acme" / "deep")) == "ACME"


def test_a_session_bound_to_a_client_goes_before_its_folder(tmp_path: Path):
    bind(str(tmp_path), client="ACME", folder=str(tmp_path))
    bind(str(tmp_path), client="Dental", session_id="s-1")
    assert client_of(str(tmp_path), str(tmp_path), "s-1") == "Dental"
    assert client_of(str(tmp_path), str(tmp_path), "s-2") == "ACME"


def test_damaged_bindings_bind_nothing(tmp_path: Path):
    (tmp_path / "bindings.json").write_text('{"folders": [1], "sessions": "x"')
    assert client_of(str(tmp_path), str(tmp_path), "s") == ""
