"""Which folders may be told other persons' records.

A folder says itself which project it is: whoever hands somebody a checkout can write any remote into
it, above all one that he works for.  So what *other persons* left is told only in a folder that the
person at this machine has named once (`claudetools project trust`); what he left himself is told
anywhere.  Trust is of a project in one folder, so that a second folder that claims the same
remote asks again; worktrees that their repository knows share its trust.  A folder that is no
repository is known by this machine and its path, which nobody else can claim.

The same for clients: a person who binds a folder to a client at his own terminal trusts it with that
client's records; what a session binds for itself does not.
"""

from __future__ import annotations

import os

from domain.recall import is_foreign
from hooks.files import log_trouble, now_us, read_object, write_object
from hooks.project import BINDINGS_FILE, Project, above, identify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from domain.recall import Place, Record

TRUST_FILE = "trust.json"
MORE_TO_READ = 200
"""How many records are read where other persons' are left out: enough of one's own should be among them."""
_PROJECTS, _CLIENTS = "projects", "clients"


class Sight:
    """Whose records a folder may be told: other persons' of its project, and of its client, or not."""

    __slots__ = ("client", "project")

    def __init__(self, *, project: bool = True, client: bool = True) -> None:
        self.project = project
        self.client = client

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self.project and self.client

    def shows(self, record: Record, place: Place) -> bool:
        """Whether a record may be told here."""
        if self.is_whole or not is_foreign(record, place):
            return True
        of_project = self.project and bool(place.project) and record.project == place.project
        return of_project or (self.client and bool(place.client) and record.client == place.client)

    def shown(self, records: Iterable[Record], place: Place) -> list[Record]:
        """Those of them that may be."""
        return [record for record in records if self.shows(record, place)]

    def owner_id(self, place: Place) -> str:
        """Whose records alone are asked for, where other persons' are told of nothing here; "" for everybody's."""
        whole = (self.project and bool(place.project)) or (self.client and bool(place.client))
        return "" if whole else place.owner_id


def sight(home: str, project: Project, folder: str, client: str) -> Sight:
    """What a folder may be told, whose client is `client` ("" for none).  Never raises."""
    known = _known(home, folder_of=project)
    trusted = not project.is_claimed or project.project_id in _entry(known, _PROJECTS, project.anchor)
    return Sight(
        project=trusted,
        client=not client or any(client in _entry(known, _CLIENTS, place) for place in above(folder)),
    )


def trust(home: str, project: Project) -> None:
    """Trust a folder with what other persons left of its project.  Raises OSError."""
    _change(home, _PROJECTS, project.anchor, project.project_id, wanted=True)


def untrust(home: str, project: Project) -> None:
    """Take that back.  Raises OSError."""
    _change(home, _PROJECTS, project.anchor, project.project_id, wanted=False)


def trust_client(home: str, folder: str, client: str) -> None:
    """Trust a folder, and what is below it, with what other persons left of a client; of none any more for "".

    Raises OSError.
    """
    _change(home, _CLIENTS, os.path.realpath(folder), client, wanted=bool(client), alone=True)


def listed(home: str) -> Iterator[tuple[str, str, str, int]]:
    """Everything that is trusted: (folder, "project" or "client", its id or name, since when)."""
    known = read_object(os.path.join(home, TRUST_FILE))
    for kind, name in ((_PROJECTS, "project"), (_CLIENTS, "client")):
        folders = known.get(kind)
        for folder in sorted(folders) if isinstance(folders, dict) else ():
            for one, at_us in sorted(_entry(known, kind, folder).items()):
                yield (folder, name, one, at_us if isinstance(at_us, int) else 0)


def adopt(home: str, machine_id: str) -> None:
    """Where nothing of trust is kept yet: trust what this machine worked in before, as far as it still knows.

    That are the folders of sessions of the last two weeks, and those that were bound to clients.  Only where the file
    is missing: one that is damaged trusts nothing.  Raises OSError.
    """
    if os.path.lexists(os.path.join(home, TRUST_FILE)):
        return
    from hooks.shelf import folders

    at_us = now_us()
    projects: dict[str, dict[str, int]] = {}
    for folder, project_id in folders(home):
        found = identify(folder, machine_id)
        if found.is_claimed and found.project_id == project_id:
            projects.setdefault(found.anchor, {})[project_id] = at_us
    bound = read_object(os.path.join(home, BINDINGS_FILE)).get("folders")
    clients = {
        folder: {client: at_us}
        for folder, client in (bound.items() if isinstance(bound, dict) else ())
        if isinstance(client, str) and client
    }
    write_object(os.path.join(home, TRUST_FILE), {_PROJECTS: projects, _CLIENTS: clients})


def _known(home: str, folder_of: Project) -> dict[str, object]:
    path = os.path.join(home, TRUST_FILE)
    if not os.path.lexists(path):
        try:
            adopt(home, folder_of.machine_id)
        except OSError as error:
            log_trouble(home, "trust", error)
    return read_object(path)


def _entry(known: dict[str, object], kind: str, folder: str) -> dict[str, object]:
    folders = known.get(kind)
    found = folders.get(folder) if isinstance(folders, dict) else None
    return found if isinstance(found, dict) else {}


def _change(home: str, kind: str, folder: str, name: str, *, wanted: bool, alone: bool = False) -> None:
    path = os.path.join(home, TRUST_FILE)
    known = read_object(path)
    entry = {} if alone else dict(_entry(known, kind, folder))
    if wanted:
        entry[name] = now_us()
    else:
        entry.pop(name, None)
    folders = known.get(kind)
    kept = dict(folders) if isinstance(folders, dict) else {}
    kept.pop(folder, None)
    if entry:
        kept[folder] = entry
    write_object(path, {_PROJECTS: {}, _CLIENTS: {}, **known, kind: kept})
