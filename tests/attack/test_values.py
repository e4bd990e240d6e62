"""Values that stand where nobody looks for them: in references, at the end of long questions, in names of folders."""

from __future__ import annotations

import pytest

from domain.drafts import Draft
from domain.errors import NotFound
from domain.plain import Plain
from hooks.project import identify
from tests.services.conftest import Place
from tests.strongroom.vault import Vault

VALUE = "deadbeefcafe0123deadbeefcafe0123"


def keep(vault: Vault, value: str = VALUE) -> None:
    """Puts a value into the vault."""
    draft = Draft(type="shared_secret", service_name="Gitea", client="acme", values={"shared_secret": Plain(value)})
    vault.app.credentials.create(vault.agent, draft)


def dump(vault: Vault) -> str:
    """The whole database as text."""
    return repr(vault.dump(without=()))


@pytest.mark.parametrize("act", ["describe", "update", "rotate", "delete", "reveal"])
def test_a_value_in_the_form_of_a_reference_is_not_in_the_entry_of_the_refusal(vault: Vault, act: str) -> None:
    keep(vault)
    given: dict[str, dict[str, object]] = {
        "update": {"changes": {"username": "x"}},
        "rotate": {"value": Plain("another value")},
        "reveal": {"purpose": "to log in"},
    }
    with pytest.raises(NotFound):
        getattr(vault.app.credentials, act)(vault.agent, f"acme/gitea/{VALUE}", **given.get(act, {}))
    assert VALUE not in dump(vault)


def test_a_reference_that_is_not_there_stands_in_the_entry_of_the_refusal(vault: Vault) -> None:
    with pytest.raises(NotFound):
        vault.app.credentials.describe(vault.agent, "acme/gitea/nobody")
    assert "acme/gitea/nobody" in dump(vault)


@pytest.mark.parametrize(("room", "room_for"), [("credentials", 500), ("incidents", 500), ("audit", 200)])
def test_a_value_that_a_long_question_cuts_in_two_leaves_no_half(vault: Vault, room: str, room_for: int) -> None:
    keep(vault)
    question = "x " * (room_for // 2 - 8) + VALUE
    if room == "audit":
        vault.app.audit.search(vault.agent, subject=question)
    else:
        getattr(vault.app, room).search(vault.agent, question)
    assert VALUE[:8] not in dump(vault)


def test_a_title_that_holds_a_later_value_is_not_in_the_entry_of_its_reading(vault: Vault) -> None:
    value = "harbour lantern quartz"
    saved = vault.app.context.save(vault.agent, kind="fact", title=f"The {value} is lit", text="It is lit at night.")
    keep(vault, value)
    vault.app.context.get(vault.agent, saved.record.record_id)
    (entry,) = vault.app.audit.search(vault.person, action="context.get").items
    assert entry.subject_id == saved.record.record_id
    assert value not in entry.subject


def test_values_in_names_of_folders_and_branches_are_struck_from_the_record(place: Place) -> None:
    keep(place.vault)
    folder = place.folder("plain", remote=f"https://git.example/acme/x-{VALUE}.git")
    (folder / ".git" / "HEAD").write_text(f"ref: refs/heads/fix-{VALUE}\n")
    session = place.session("plain").work()
    session.note()
    assert place.app.capture.drain().captured == 1
    place.app.context.save(place.vault.agent, kind="fact", title="A fact", text="Some words.", cwd=str(folder))
    assert VALUE not in dump(place.vault)
    assert len(place.records()) == 2


def test_a_token_behind_a_remotes_path_is_not_in_the_projects_name(place: Place) -> None:
    folder = place.folder("plain", remote="https://git.example/acme/shop.git?private_token=Zx81Kq0pLm22#top")
    assert identify(str(folder), place.machine_id).name == "shop"


def test_a_git_file_that_names_a_foreign_directory_has_nothing_written_there(place: Place) -> None:
    foreign = place.root / "ssh"
    foreign.mkdir()
    hostile = place.root / "hostile"
    hostile.mkdir()
    (hostile / ".git").write_text(f"gitdir: {foreign}\n")
    first = identify(str(hostile), place.machine_id)
    assert list(foreign.iterdir()) == []
    assert first.project_id == identify(str(hostile), place.machine_id).project_id
