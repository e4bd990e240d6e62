"""Whose records a folder is told: a checkout can name any remote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hooks import shelf, trust
from hooks.project import bind, identify
from tests.hooks.conftest import Desk, make_repository

REMOTE = "git@git.example:acme/shop.git"
DIGEST = "Asked: move the checkout\nOutcome: PROSE\nError: PRINTED\nEdited: checkout.py"
OTHERS: dict[str, Any] = {"owner_id": "pe_other", "owner_name": "Bea", "digest": DIGEST, "title": "move the checkout"}
OWN: dict[str, Any] = {"digest": "Asked: mend the till", "title": "mend the till"}


@pytest.fixture
def clone(desk: Desk, tmp_path: Path) -> Path:
    """A repository whose project two persons left records of, on a machine that knows of trust already."""
    folder = make_repository(tmp_path / "shop", remote=REMOTE)
    trust.adopt(str(desk.home), "ma_1")
    project = identify(str(folder), "ma_1").project_id
    desk.keep(project, **OTHERS)
    desk.keep(project, **OWN)
    return folder


def start(desk: Desk, folder: Path, **more: Any) -> tuple[str, str]:
    """The block of a starting session, and the line for its person about what was left out."""
    out = desk.run("SessionStart", desk.event("s-new", source="startup", cwd=folder), cwd=folder, **more)
    said = json.loads(out) if out else {}
    lines = str(said.get("systemMessage", "")).splitlines()
    left_out = next((line for line in lines if "other persons" in line), "")
    return said.get("hookSpecificOutput", {}).get("additionalContext", ""), left_out


def trusted(desk: Desk, folder: Path) -> None:
    trust.trust(str(desk.home), identify(str(folder), "ma_1"))


def worktree(clone: Path, name: str = "shop-fix") -> Path:
    """A worktree, as git makes it."""
    made = clone.parent / name
    made.mkdir()
    inside = clone / ".git" / "worktrees" / name
    inside.mkdir(parents=True)
    (inside / "HEAD").write_text("ref: refs/heads/fix\n")
    (inside / "commondir").write_text("../..\n")
    (inside / "gitdir").write_text(f"{made / '.git'}\n")
    (made / ".git").write_text(f"gitdir: {inside}\n")
    return made


def test_a_new_folder_is_told_ones_own_records_and_one_line_says_what_is_left_out(desk: Desk, clone: Path) -> None:
    block, line = start(desk, clone)
    assert "mend the till" in block
    assert "move the checkout" not in block
    assert line.startswith("ClaudeTools: 1 record of other persons is not shown: this folder is new on this machine")
    assert "claudetools project trust" in line
    assert "claudetools project trust" not in block, "that is for the person"


def test_a_trusted_folder_is_told_other_persons_words_and_facts(desk: Desk, clone: Path) -> None:
    trusted(desk, clone)
    block, line = start(desk, clone)
    assert "Asked: move the checkout" in block
    assert "Edited: checkout.py" in block
    assert "PROSE" not in block
    assert "PRINTED" not in block
    assert line == ""


def test_trust_can_be_taken_back(desk: Desk, clone: Path) -> None:
    trusted(desk, clone)
    trust.untrust(str(desk.home), identify(str(clone), "ma_1"))
    assert "move the checkout" not in start(desk, clone)[0]


def test_a_second_checkout_that_names_the_same_remote_asks_again(desk: Desk, clone: Path, tmp_path: Path) -> None:
    trusted(desk, clone)
    other = make_repository(tmp_path / "downloads" / "shop", remote="https://GIT.example/acme/shop")
    assert identify(str(other), "ma_1").project_id == identify(str(clone), "ma_1").project_id
    assert "move the checkout" not in start(desk, other)[0]


def test_a_worktree_shares_the_trust_of_its_repository(desk: Desk, clone: Path) -> None:
    trusted(desk, clone)
    (clone / "below").mkdir()
    for folder in (worktree(clone), clone / "below"):
        assert "move the checkout" in start(desk, folder)[0]


@pytest.mark.parametrize("way", ["no worktree", "another's worktree", "own worktrees", "link", "common", "id file"])
def test_a_folder_that_only_claims_to_belong_to_a_trusted_repository_does_not(
    desk: Desk, clone: Path, tmp_path: Path, way: str
) -> None:
    trusted(desk, clone)
    project_id = identify(str(clone), "ma_1").project_id
    evil = tmp_path / "evil"
    evil.mkdir()
    if way == "no worktree":
        (evil / ".git").write_text(f"gitdir: {clone / '.git'}\n")
    elif way == "another's worktree":
        worktree(clone)
        (evil / ".git").write_text(f"gitdir: {clone / '.git' / 'worktrees' / 'shop-fix'}\n")
    elif way == "own worktrees":
        inside = evil / "git" / "worktrees" / "x"
        inside.mkdir(parents=True)
        (inside / "HEAD").write_text("ref: refs/heads/main\n")
        (inside / "commondir").write_text(f"{clone / '.git'}\n")
        (inside / "gitdir").write_text(f"{evil / '.git'}\n")
        (evil / ".git").write_text(f"gitdir: {inside}\n")
    elif way == "link":
        (evil / ".git").symlink_to(clone / ".git")
    elif way == "common":
        (evil / ".git").mkdir()
        (evil / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        (evil / ".git" / "commondir").write_text(f"{clone / '.git'}\n")
    else:
        make_repository(evil / "x")
        (evil / "x" / ".git" / "claudetools-project").write_text(f"{project_id}\n")
        evil /= "x"
    assert identify(str(evil), "ma_1").project_id == project_id, "it would be taken for it"
    assert "move the checkout" not in start(desk, evil)[0]


def test_a_folder_without_a_repository_is_this_machines_own(desk: Desk) -> None:
    desk.keep(identify(str(desk.folder), "ma_1").project_id, **OTHERS)
    assert "move the checkout" in start(desk, desk.folder)[0]


def test_the_shelf_of_a_trusted_folder_is_not_told_in_another(desk: Desk, clone: Path, tmp_path: Path) -> None:
    trusted(desk, clone)
    other = make_repository(tmp_path / "downloads" / "shop", remote=REMOTE)
    assert "move the checkout" in start(desk, clone)[0]
    assert "mend the till" in start(desk, other)[0]
    (desk.home / "claudetools.db").rename(desk.home / "away.db")
    assert "move the checkout" in start(desk, clone)[0]
    told = start(desk, other)[0]
    assert "mend the till" in told
    assert "move the checkout" not in told


def test_folders_that_were_worked_in_before_trust_was_kept_are_trusted(desk: Desk, tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "shop", remote=REMOTE)
    project = identify(str(folder), "ma_1").project_id
    desk.keep(project, **OTHERS)
    seen = shelf.Seen({"folder": str(folder), "project": project})
    shelf.write_seen(str(desk.home), "s-old", seen)
    assert "move the checkout" in start(desk, folder)[0]
    other = make_repository(tmp_path / "downloads" / "shop", remote=REMOTE)
    shelf.write_seen(str(desk.home), "s-later", shelf.Seen({"folder": str(other), "project": project}))
    assert "move the checkout" not in start(desk, other)[0], "only what was there before"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"projects": 7}', '{"projects": {"x": []}}'])
def test_a_damaged_file_trusts_nothing_and_breaks_nothing(desk: Desk, clone: Path, damage: str) -> None:
    shelf.write_seen(
        str(desk.home), "s-old", shelf.Seen({"folder": str(clone), "project": identify(str(clone), "ma_1").project_id})
    )
    (desk.home / "trust.json").write_text(damage)
    trust.adopt(str(desk.home), "ma_1")  # as setup does
    assert (desk.home / "trust.json").read_text() == damage
    block, line = start(desk, clone)
    assert "mend the till" in block
    assert "move the checkout" not in block
    assert "1 record of other persons" in line


def test_a_folder_that_a_person_bound_to_a_client_is_told_other_persons_records_of_it(
    desk: Desk, clone: Path, tmp_path: Path
) -> None:
    desk.keep(
        "pj_elsewhere",
        **{**OTHERS, "client": "acme", "title": "renew the wildcard", "digest": "Asked: renew the wildcard"},
    )
    bind(str(desk.home), client="acme", folder=str(tmp_path))
    assert "renew the wildcard" not in start(desk, clone)[0], "bound, but not by a person"
    trust.trust_client(str(desk.home), str(tmp_path), "acme")
    block, line = start(desk, clone)
    assert "renew the wildcard" in block
    assert "move the checkout" not in block, "that is of the project alone"
    assert "1 record of other persons" in line
    trust.trust_client(str(desk.home), str(tmp_path), "")
    assert "renew the wildcard" not in start(desk, clone)[0]


def test_what_is_left_out_counts_as_not_told(desk: Desk, clone: Path) -> None:
    start(desk, clone)
    said = json.loads((desk.home / "seen" / "s-new.json").read_text())
    assert len(said["stamps"]) == 1


def test_many_records_of_others_do_not_keep_ones_own_out(desk: Desk, clone: Path) -> None:
    project = identify(str(clone), "ma_1").project_id
    for number in range(60):
        desk.keep(project, **{**OTHERS, "title": f"title {number}"})
    shutil.rmtree(desk.home / "seen", ignore_errors=True)
    block, line = start(desk, clone)
    assert "mend the till" in block
    assert "61 records of other persons are not shown" in line


def test_where_more_was_forgotten_than_one_answer_holds_the_whole_shelf_goes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        shelf.put_on_shelf(str(tmp_path), name, f"- cx_{name}")
    shelf.heard_of_forgotten(str(tmp_path), ["cx_one"], 1)
    assert shelf.from_shelf(str(tmp_path), "two").text
    shelf.heard_of_forgotten(str(tmp_path), [f"cx_{number}" for number in range(500)], 1)
    assert shelf.from_shelf(str(tmp_path), "two").text == ""
