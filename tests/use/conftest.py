"""Local programs and servers that credentials are used with: all real, all on loopback."""

from __future__ import annotations

import base64
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kit.certificates import Authority, Certificate
from tests.kit.mariadb import free_port
from tests.strongroom.conftest import opened, template, vault

__all__ = ["opened", "template", "vault"]


@dataclass
class Web:
    """A server over TLS that keeps what it was asked, and answers with whom it took the caller for."""

    url: str
    authority: Authority
    asked: list[dict[str, str]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def authorization(self) -> str:
        """The header of the last request."""
        return self.asked[-1].get("authorization", "")


class _Handler(http.server.BaseHTTPRequestHandler):
    web: Web
    folder: Path

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = {name.lower(): text for name, text in self.headers.items()} | {"path": self.path, "body": body.decode()}
        self.web.asked.append(said)
        if self.path == "/token":
            self._say(200, json.dumps({"access_token": "short-lived-token-0123456789", "token_type": "bearer"}))
        elif self.path.startswith("/away"):
            self._say(302, "", Location=urllib.parse.unquote(self.path.partition("?")[2]))
        elif self.path.startswith("/drip"):
            self.send_response(200)
            self.end_headers()
            while not self.web.ended.wait(0.05):  # a byte now and then, until nobody reads it any more
                try:
                    self.wfile.write(b".")
                except OSError:
                    return
        elif self.path.startswith("/echo"):
            self._say(200, f"you sent {said.get('authorization')}\n")
        elif self.path.startswith("/repository.git/"):
            self._git(said)
        else:
            self._say(200, f"hello from {self.path}\n")

    def _git(self, said: dict[str, str]) -> None:
        if not said.get("authorization", "").startswith("Basic "):
            self._say(401, "", **{"WWW-Authenticate": "Basic"})
            return
        file = self.folder / self.path.partition("?")[0].lstrip("/")
        self._say(200, file.read_text()) if file.is_file() else self._say(404, "")

    def _say(self, status: int, text: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def serving(place: Path, *, client_certificates: bool = False) -> Iterator[Web]:
    """A TLS server on a free port."""
    authority = Authority(place)
    own = authority.sign()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.file, own.key_file)
    if client_certificates:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.file)
    handler = type("Handler", (_Handler,), {"folder": place})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    web = Web(f"https://127.0.0.1:{server.server_address[1]}", authority)
    handler.web = web  # type: ignore[attr-defined]  # made above
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A TLS server whose authority no program knows by itself."""
    with serving(tmp_path / "web") as made:
        yield made


@pytest.fixture
def guarded_web(tmp_path: Path) -> Iterator[tuple[Web, Certificate]]:
    """A TLS server that lets in who has its authority's certificate, and such a certificate."""
    with serving(tmp_path / "guarded", client_certificates=True) as made:
        yield made, made.authority.sign("client")


@pytest.fixture
def repository(web: Web, tmp_path: Path) -> str:
    """The URL of a repository that only somebody with a password may read; by the dumb HTTP protocol."""
    work, bare = tmp_path / "work", tmp_path / "web" / "repository.git"

    def git(*words: str) -> None:
        identity = {
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@b",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@b",
        }
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **identity}
        subprocess.run(["git", *words], check=True, capture_output=True, env=env)

    git("init", "-q", "-b", "main", str(work))
    git("-C", str(work), "commit", "-q", "--allow-empty", "-m", "one")
    git("clone", "-q", "--bare", str(work), str(bare))
    git("-C", str(bare), "update-server-info")
    return f"{web.url}/repository.git"


@dataclass
class Shell:
    """An SSH server of this user's own."""

    port: int
    user: str
    known_hosts: Path
    authorize: Callable[[str], None]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A real sshd."""
    place = tmp_path / "sshd"
    place.mkdir(mode=0o700)
    host_key, authorized = place / "host", place / "authorized"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host_key)], check=True)
    authorized.touch(mode=0o600)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd, as root, wants to be locked up
    program = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/local/sbin")
    assert program, "sshd is missing: ./setup.sh --test installs it"
    port = free_port()
    settings = {
        "ListenAddress": "127.0.0.1", "Port": str(port), "HostKey": str(host_key), "PidFile": "none", "UsePAM": "no",
        "AuthorizedKeysFile": str(authorized), "StrictModes": "no", "PasswordAuthentication": "no", "PermitRootLogin": "yes",
        "KbdInteractiveAuthentication": "no", "LogLevel": "ERROR",
    }  # fmt: skip
    words = [word for name, text in settings.items() for word in ("-o", f"{name}={text}")]
    server = subprocess.Popen([program, "-D", "-e", "-f", "/dev/null", *words], stderr=subprocess.DEVNULL)
    try:
        _until_answers(port, server)
        known = place / "known"
        public = host_key.with_suffix(".pub").read_text().split()
        known.write_text(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
        import pwd

        yield Shell(
            port, pwd.getpwuid(os.getuid()).pw_name, known, lambda key: authorized.write_text(key + "\n") and None
        )
    finally:
        server.terminate()
        server.wait()


def _until_answers(port: int, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        with socket.socket() as tried:
            tried.settimeout(5)
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
    pytest.fail("sshd did not start")


def basic(user: str, password: str) -> str:
    """The header that user name and password make (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
