"""Which project a folder belongs to, on which branch it is, and whose client it is.

A project is its remote: the hash of the normalised URL of `origin`.  Without one it is an id that
is made once and kept in the repository's common directory; without a repository, this machine and
the path.  Worktrees belong to their repository.  Read from small files; no program is started.
"""

from __future__ import annotations

import os
import re
import time

from hooks.files import read_object, read_small, remove, text_of, write_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ID_FILE = "claudetools-project"
BINDINGS_FILE = "bindings.json"
_LONGEST_CONFIG = 262_144
_ID = re.compile(r"pj_[0-9a-f]{32}\Z")
_SECTION = re.compile(r'\s*\[\s*(\w+)\s*(?:"((?:[^"\\]|\\.)*)")?\s*\]')
_URL = re.compile(r"\s*url\s*=\s*(.+?)\s*\Z", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://(?:[^/@]*@)?(\[[^\]]*\]|[^/:]*)(?::(\d+))?/*(.*)\Z", re.IGNORECASE)
_FOREIGN_PATH = re.compile(r"(?:[A-Za-z]:[\\/]|\\\\)[^\0\n]{0,4000}\Z")
_SCP_LIKE = re.compile(r"(?:[^/@]*@)?([^/:@\[\]]+|\[[^\]]*\]):(?!/?/)(.+)\Z")
_DEFAULT_BRANCHES = frozenset({"main", "master", "trunk"})
_DEFAULT_PORTS = frozenset({"22", "80", "443", "9418"})
_MOST_LEVELS = 64


class Project:
    """A project as a folder shows it.  `branch` is "" on the default branch, off any, and without a repository.

    `anchor` is the folder that stands for all its worktrees; of one that its repository does not
    know, itself.  `is_claimed` says that the id comes out of files of the folder, which may say
    anything; else it is this machine's own.
    """

    __slots__ = ("anchor", "branch", "is_claimed", "machine_id", "name", "project_id", "root")

    def __init__(
        self, project_id: str, name: str, root: str, branch: str = "", *, anchor: str = "", machine_id: str = ""
    ) -> None:
        self.project_id = project_id
        self.name = name
        self.root = root
        self.branch = branch
        self.anchor = anchor or root
        self.is_claimed = bool(anchor)
        self.machine_id = machine_id


def identify(folder: str, machine_id: str) -> Project:
    """The project of a folder.  Never raises for what lies there; makes an id in a repository without remote."""
    folder = os.path.realpath(folder.replace("\0", "") or os.sep)
    root, git = _repository(folder)
    if not git:
        path_id = _hashed("path", machine_id, folder)
        return Project(path_id, os.path.basename(folder) or folder, folder, machine_id=machine_id)
    common = _common_directory(git)
    branch = _branch(git, common)
    anchor = _anchor(root, git, common)
    url = _remote(read_small(os.path.join(common, "config"), _LONGEST_CONFIG))
    if url:
        where = normalised(url, common)
        local = where.startswith("/")
        # A token may be carried behind the path.
        name = re.split(r"[?#]", where, maxsplit=1)[0].rstrip("/").rsplit("/", 1)[-1].removesuffix(".git")
        remote_id = _hashed("remote", machine_id if local else "", where)
        return Project(remote_id, name, root, branch, anchor=anchor, machine_id=machine_id)
    own = _minted(common) or _hashed("path", machine_id, common)
    name = os.path.basename(os.path.dirname(common) if os.path.basename(common) == ".git" else common)
    return Project(own, name.removesuffix(".git"), root, branch, anchor=anchor, machine_id=machine_id)


def of_another_system(folder: str, machine_id: str) -> Project | None:
    r"""The project of a folder whose path is of another system's form (`C:\work\shop`), by that path; None for any other."""
    if not _FOREIGN_PATH.match(folder):
        return None
    name = re.split(r"[\\/]", folder.rstrip("\\/"))[-1]
    return Project(_hashed("path", machine_id, folder), name or folder, folder, machine_id=machine_id)


def normalised(url: str, base: str = "/") -> str:
    """A remote's URL without scheme, user, default port, `.git` and the host's case; a local one as an absolute path."""
    found = _SCHEME.match(url)
    if found:
        scheme, host, port, path = found.group(1).lower(), found.group(2).lower(), found.group(3), found.group(4)
        if scheme == "file":
            return _without_suffix(os.path.realpath("/" + path))
        at = f"{host}:{port}" if port and port not in _DEFAULT_PORTS else host
        return f"{at}/{_without_suffix(path)}"
    scp = _SCP_LIKE.match(url)
    if scp:
        return f"{scp.group(1).lower()}/{_without_suffix(scp.group(2).lstrip('/'))}"
    return _without_suffix(os.path.realpath(os.path.join(os.path.dirname(base), os.path.expanduser(url))))


def client_of(home: str, folder: str, session_id: str = "") -> str:
    """The client that a session or a folder (or one above it) is bound to; "" for none."""
    return binding_of(home, folder, session_id)[0]


def binding_of(home: str, folder: str, session_id: str = "") -> tuple[str, str]:
    """That client, and the folder that is bound to it: "" where it is the session, or nothing."""
    said = read_object(os.path.join(home, BINDINGS_FILE))
    sessions, folders = said.get("sessions"), said.get("folders")
    if isinstance(sessions, dict) and text_of(sessions, session_id):
        return (text_of(sessions, session_id), "")
    if isinstance(folders, dict) and folder:
        for place in above(folder):
            if text_of(folders, place):
                return (text_of(folders, place), place)
    return ("", "")


def above(folder: str) -> Iterator[str]:
    """A folder and those above it, as they really lie."""
    place = os.path.realpath(folder)
    for _ in range(_MOST_LEVELS):
        yield place
        upper = os.path.dirname(place)
        if upper == place:
            return
        place = upper


def bind(home: str, *, client: str, folder: str = "", session_id: str = "") -> None:
    """Bind a folder, or a session, to a client; an empty client takes the binding out.  Raises OSError.

    Sessions of which nothing is known any more leave the file.
    """
    path = os.path.join(home, BINDINGS_FILE)
    said = read_object(path)
    for name, key in (("folders", os.path.realpath(folder) if folder else ""), ("sessions", session_id)):
        bound = said.get(name)
        entries: dict[str, object] = dict(bound) if isinstance(bound, dict) else {}
        if name == "sessions":
            entries = {
                one: to for one, to in entries.items() if os.path.exists(os.path.join(home, "seen", f"{one}.json"))
            }
        if key and client:
            entries[key] = client
        elif key:
            entries.pop(key, None)
        said[name] = entries
    write_object(path, said)


def _repository(folder: str) -> tuple[str, str]:
    """The root of the work tree that holds a folder and its git directory; ("", "") for none."""
    place = folder
    for _ in range(_MOST_LEVELS):
        git = os.path.join(place, ".git")
        if os.path.isdir(git):
            # A directory of that name alone is no repository.
            if os.path.exists(os.path.join(git, "HEAD")):
                return (place, git)
        else:
            said = read_small(git, 4_096).strip()
            if said.startswith("gitdir:"):
                return (place, os.path.normpath(os.path.join(place, said[7:].strip())))
        above = os.path.dirname(place)
        if above == place:
            break
        place = above
    return ("", "")


def _common_directory(git: str) -> str:
    """What all worktrees of a repository share."""
    said = read_small(os.path.join(git, "commondir"), 4_096).strip()
    return os.path.realpath(os.path.join(git, said)) if said else os.path.realpath(git)


def _anchor(root: str, git: str, common: str) -> str:
    """The folder of a repository's own clone, for its worktrees too, where the repository itself names this one."""
    own = os.path.join(root, ".git")
    if git == own and not os.path.islink(own) and common == os.path.realpath(own):
        return root
    named = read_small(os.path.join(git, "gitdir"), 4_096).strip()  # what a repository keeps of each of its worktrees
    inside = os.path.realpath(git).startswith(os.path.join(common, "worktrees") + os.sep)
    if named and inside and not os.path.islink(own) and os.path.realpath(named) == os.path.realpath(own):
        return os.path.dirname(common) if os.path.basename(common) == ".git" else common
    return root


def _branch(git: str, common: str) -> str:
    head = read_small(os.path.join(git, "HEAD"), 4_096).strip()
    if not head.startswith("ref: refs/heads/"):
        return ""
    branch = head.removeprefix("ref: refs/heads/")[:200]
    return "" if branch == default_branch(common) or branch in _DEFAULT_BRANCHES else branch


def default_branch(common: str) -> str:
    """The default branch of `origin`, as far as the repository knows it."""
    said = read_small(os.path.join(common, "refs", "remotes", "origin", "HEAD"), 4_096).strip()
    return said.removeprefix("ref: refs/remotes/origin/") if said.startswith("ref: refs/remotes/origin/") else ""


def is_default_branch(branch: str, folder: str) -> bool:
    """Whether a branch is the default one of a folder's repository, or named as default branches are."""
    if not branch or branch in _DEFAULT_BRANCHES:
        return True
    _, git = _repository(os.path.realpath(folder)) if folder else ("", "")
    return bool(git) and branch == default_branch(_common_directory(git))


def _remote(config: str) -> str:
    """The URL of `origin` in a git configuration; of the only remote where there is one of another name."""
    remotes: dict[str, str] = {}
    name = ""
    for line in config.splitlines():
        section = _SECTION.match(line)
        if section:
            name = section.group(2) or "" if section.group(1).lower() == "remote" else ""
            line = line[section.end() :]  # noqa: PLW2901 - a value may stand behind its section
        url = _URL.match(line) if name else None
        if url and name not in remotes:
            remotes[name] = url.group(1).split(" #")[0].split(" ;")[0].strip().strip('"')
    if "origin" in remotes:
        return remotes["origin"]
    return next(iter(remotes.values())) if len(remotes) == 1 else ""


def _minted(common: str) -> str:
    """The id that a repository without remote keeps; made where there is none.  "" where it cannot be kept."""
    path = os.path.join(common, ID_FILE)
    known = read_small(path, 100).strip()
    if _ID.match(known):
        return known
    if not os.path.isfile(os.path.join(common, "HEAD")) or not _is_ours(common):
        # A `.git` file, or a transcript, may name any directory; only a repository of this user is written to.
        return ""
    made = _hashed("made", os.urandom(16).hex(), str(time.time_ns()))
    part = f"{path}.{os.getpid()}"
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, f"{made}\n".encode())
        finally:
            os.close(descriptor)
        # Two sessions may start at once: the first link stands, and both read it.
        os.link(part, path)
    except OSError:
        pass
    finally:
        remove(part)
    known = read_small(path, 100).strip()
    return known if _ID.match(known) else ""


def _is_ours(folder: str) -> bool:
    """Whether a folder belongs to this user, as Git asks of a repository before it trusts it."""
    try:
        return os.stat(folder).st_uid == os.geteuid()
    except OSError:
        return False


def _hashed(*parts: str) -> str:
    import hashlib

    told = "\0".join(f"{len(part)}:{part}" for part in parts)
    return f"pj_{hashlib.sha256(told.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def _without_suffix(path: str) -> str:
    return path.rstrip("/").removesuffix(".git").rstrip("/")
