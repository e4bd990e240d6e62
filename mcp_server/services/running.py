"""Runs a program that is fed secrets: no shell, nothing secret among its arguments, a clean environment, its tree ended.

Descriptors are anonymous files in memory where the system has them (memfd_create(2)), else files 0600 in a private
directory that goes with the run.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from domain.errors import Invalid, Unavailable
from domain.plain import Plain

KEPT_BYTES = 200_000
"""Of each stream; what a program prints beyond is counted and dropped."""
GRACE_S = 0.5
_CHUNK = 65_536
_AGENT_WAITS_S = 5.0


@dataclass(slots=True)
class Fed:
    """What a program is fed.  `files` by the names that stand in `{file:NAME}`; `key` is an SSH key without passphrase."""

    env: dict[str, Plain] = field(default_factory=dict)
    stdin: Plain | None = None
    files: dict[str, Plain] = field(default_factory=dict)
    key: Plain | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended.  `code` is its exit code, negative for a signal; `dropped` the bytes that were not kept."""

    code: int
    seconds: float
    stopped: bool
    out: bytes = field(repr=False)
    err: bytes = field(repr=False)
    dropped: int = 0


def run(
    program: str,
    arguments: Callable[[Mapping[str, str]], Sequence[str]],
    fed: Fed,
    *,
    seconds: float,
    path: str,
    home: str = "",
    folder: str = "",
    agent: tuple[str, str] | None = None,
) -> Ended:
    """Runs a program to its end, or ends its whole process group after `seconds`.

    `arguments` makes them of the paths of the files; `home` and `folder` are the run's own empty directory without them;
    `agent` are the programs ssh-agent and ssh-add.  Raises Invalid where it cannot be started.
    """
    with _directory() as own, contextlib.ExitStack() as held:
        descriptors: list[int] = []
        files = {f"file:{name}": _file(value, own, name, descriptors, held) for name, value in fed.files.items()}
        env = {"PATH": path, "HOME": home or own, "LANG": os.environ.get("LANG", "C.UTF-8"), "TMPDIR": own}
        if fed.key is not None and agent is not None:
            env["SSH_AUTH_SOCK"] = held.enter_context(_agent(agent, fed.key, own, path))
        env |= {name: value.expose() for name, value in fed.env.items()}
        begun = time.monotonic()
        try:
            child = subprocess.Popen(  # the program was approved, or a person said yes; no shell
                [program, *arguments(files)],
                stdin=subprocess.PIPE if fed.stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=env,
                cwd=folder or own,
                pass_fds=descriptors,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = (
                error.strerror if isinstance(error, OSError) and error.strerror else "its arguments cannot be passed on"
            )
            raise Invalid(f"the program could not be started: {reason}", fields={"program": reason}) from None
        try:
            return _to_the_end(child, fed.stdin, begun, seconds)
        except BaseException:  # once alone: a number that was given back may be another's group by then
            _end(child)
            raise


def _to_the_end(child: subprocess.Popen[bytes], stdin: Plain | None, begun: float, seconds: float) -> Ended:
    kept = {"out": bytearray(), "err": bytearray()}
    dropped = 0
    left = memoryview(stdin.expose_bytes()) if stdin is not None else memoryview(b"")
    until, stopped = begun + seconds, False
    with selectors.DefaultSelector() as ready:
        for name, stream in (("out", child.stdout), ("err", child.stderr)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                ready.register(stream, selectors.EVENT_READ, name)
        if child.stdin is not None:
            os.set_blocking(child.stdin.fileno(), False)
            ready.register(child.stdin, selectors.EVENT_WRITE, "in")
        while ready.get_map():
            now = time.monotonic()
            if now >= until:
                stopped = stopped or child.poll() is None
                break
            for key, _ in ready.select(min(0.1, until - now)):
                if key.data == "in":
                    left = _write(key.fd, left)
                    if not left and child.stdin is not None:
                        ready.unregister(child.stdin)
                        with contextlib.suppress(OSError):
                            child.stdin.close()
                    continue
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    ready.unregister(key.fileobj)
                    continue
                room = KEPT_BYTES - len(kept[key.data])
                kept[key.data] += chunk[: max(0, room)]
                dropped += max(0, len(chunk) - max(0, room))
            if child.poll() is not None:  # what it left running may hold the pipes open for ever
                until = min(until, time.monotonic() + GRACE_S)
        if child.poll() is None and not stopped:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, begun + seconds - time.monotonic()))
            stopped = child.poll() is None
    _end(child)
    return Ended(child.returncode, time.monotonic() - begun, stopped, bytes(kept["out"]), bytes(kept["err"]), dropped)


def _write(descriptor: int, left: memoryview) -> memoryview:
    try:
        return left[os.write(descriptor, left[:_CHUNK]) :]
    except BlockingIOError:
        return left
    except OSError:  # it does not read: that is its own affair
        return memoryview(b"")


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends the process group, first asking."""
    for sign, patience in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
            if sign == signal.SIGTERM:
                continue
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


@contextlib.contextmanager
def _directory() -> Iterator[str]:
    place = tempfile.mkdtemp(prefix="claudetools-run-")  # 0700
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _file(value: Plain, own: str, name: str, descriptors: list[int], held: contextlib.ExitStack) -> str:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("claudetools", 0)
        held.callback(os.close, descriptor)
        os.fchmod(descriptor, 0o600)
        with os.fdopen(os.dup(descriptor), "wb") as stream:
            stream.write(value.expose_bytes())
        os.lseek(descriptor, 0, os.SEEK_SET)
        descriptors.append(descriptor)
        return f"/proc/self/fd/{descriptor}"
    file = Path(own, name)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(value.expose_bytes())
    return str(file)


@contextlib.contextmanager
def agent_with(programs: tuple[str, str], key: Plain, path: str) -> Iterator[str]:
    """The socket of an SSH agent with this key alone, for as long as the block runs.  Raises Invalid, Unavailable."""
    with _directory() as own, _agent(programs, key, own, path) as socket:
        yield socket


@contextlib.contextmanager
def _agent(programs: tuple[str, str], key: Plain, own: str, path: str) -> Iterator[str]:
    """An SSH agent with one key, for as long as the block runs.  The key goes from memory to memory."""
    socket = str(Path(own, "agent"))
    env = {"PATH": path, "HOME": own, "SSH_AUTH_SOCK": socket}
    agent = subprocess.Popen(  # the system's own agent
        [programs[0], "-D", "-a", socket],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=env,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + _AGENT_WAITS_S
        while not Path(socket).exists():
            if agent.poll() is not None or time.monotonic() > until:
                raise Unavailable("the SSH agent did not start", hint="ssh-agent -D shows why")
            time.sleep(0.005)
        added = subprocess.run(  # the same
            [programs[1], "-q", "-"], input=key.expose_bytes(), env=env, capture_output=True, timeout=10, check=False
        )
        if added.returncode:
            raise Invalid(
                "the SSH agent did not take the key", fields={"private_key": "not a private key that ssh-add reads"}
            )
        yield socket
    finally:
        _end_agent(agent)


def _end_agent(agent: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(agent.pid, signal.SIGKILL)
    agent.wait(5)
