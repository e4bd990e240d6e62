"""Where a database is: an embedded file, or MariaDB with its account and how it proves who it is.

Standard library only, and cheap to import: hooks come through here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PORT = 3306
SCHEMES = ("mariadb+pymysql", "mariadb", "mysql+pymysql", "mysql")
_FORM = "mariadb+pymysql://USER@HOST/DATABASE"
_FLAT = ("ca", "fingerprint", "host", "kind", "name", "password_file", "path", "port", "tls", "unix_socket", "user")
FINGERPRINT_DIGITS = 64


class Address:
    """One database.  `password` never shows in repr; `password_file` is read when it is dialled.

    `tls` says whether the connection is encrypted; then `fingerprint` (SHA-256 of the server's
    certificate, hex) or `ca` (a file) says what the server must prove, or else the system's own
    authorities do.
    """

    __slots__ = (*_FLAT, "password")

    def __init__(self, said: Mapping[str, object]) -> None:
        self.kind = _text(said, "kind") or "sqlite"
        self.path = _text(said, "path")
        self.host = _text(said, "host")
        port = said.get("port")
        self.port = port if isinstance(port, int) else PORT
        self.unix_socket = _text(said, "unix_socket")
        self.user = _text(said, "user")
        self.password = _text(said, "password")
        self.password_file = _text(said, "password_file")
        self.name = _text(said, "name")
        self.tls = said.get("tls") is True
        self.ca = _text(said, "ca")
        self.fingerprint = _text(said, "fingerprint")

    def __repr__(self) -> str:
        return f"Address({self.url})"

    @property
    def is_mariadb(self) -> bool:
        """Whether this is a server and not a file."""
        return self.kind == "mariadb"

    @property
    def url(self) -> str:
        """The address as it is written in settings: a path, or a URL without a password."""
        if not self.is_mariadb:
            return self.path
        from urllib.parse import quote, urlencode

        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORT or self.unix_socket else f":{self.port}"
        asked = {
            "unix_socket": self.unix_socket,
            "tls": ("on" if self.tls else "off") if self.tls != needs_tls(self.host, self.unix_socket) else "",
            "tls_ca": self.ca,
            "tls_fingerprint": self.fingerprint,
        }
        query = urlencode({name: value for name, value in asked.items() if value})
        where = f"{quote(self.user, safe='')}@{host}{port}/{quote(self.name, safe='')}"
        return f"mariadb+pymysql://{where}" + (f"?{query}" if query else "")

    @property
    def place(self) -> str:
        """For people: which database on which host, without account and options."""
        if not self.is_mariadb:
            return self.path
        return f"{self.name} on {self.unix_socket or f'{self.host}:{self.port}'}"

    def changed(self, **more: object) -> Address:
        """The same address with something else in it: another account, a certificate to expect."""
        return Address({**{name: getattr(self, name) for name in self.__slots__}, **more})

    def flat(self) -> dict[str, object]:
        """What a JSON file may hold of it: everything but the password."""
        return {name: getattr(self, name) for name in _FLAT}


def from_flat(said: object) -> Address:
    """The address that `flat` gave, or a plain path.  Raises ValueError for anything else."""
    if isinstance(said, str):
        return Address({"path": said})
    if isinstance(said, dict):
        return Address(said)
    raise ValueError("the database's address is neither a path nor an object")


def parse_address(text: str, *, base: str) -> Address:
    """Reads an address: a URL, or a file name below the folder `base`.

    Raises Invalid for a URL that does not name account, host and database, or that holds a
    password: an address is shown, kept in settings and typed in shells.
    """
    if "://" not in text:
        return Address({"path": text if text.startswith("/") else f"{base}/{text}"})
    from urllib.parse import parse_qsl, unquote, urlsplit

    try:
        parts = urlsplit(text)
        port = parts.port or PORT
        asked = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        host = parts.hostname or ""
    except ValueError:
        raise _wrong(f"is not a URL of the form {_FORM}") from None
    if parts.scheme not in SCHEMES:
        raise _wrong(f"has another scheme than {_FORM}")
    if parts.password is not None:
        raise _wrong("holds a password; leave it out: it is asked for, or given by --database-password-file")
    unknown = sorted(set(asked) - {"unix_socket", "tls", "tls_ca", "tls_fingerprint", "charset"})
    if unknown:
        raise _wrong("has an option that is not known; known are unix_socket, tls, tls_ca, tls_fingerprint")
    name = unquote(parts.path.lstrip("/"))
    user = unquote(parts.username or "")
    socket = asked.get("unix_socket", "")
    if not name or "/" in name or not user or not (host or socket):
        raise _wrong(f"must name account, host and database: {_FORM}")
    if not all(part.isprintable() and len(part) <= _MOST for part in (name, user, host, socket)):
        raise _wrong("holds what no name of an account, host or database can hold")
    fingerprint = asked.get("tls_fingerprint", "").replace(":", "").lower()
    if fingerprint and (len(fingerprint) != FINGERPRINT_DIGITS or not set(fingerprint) <= set("0123456789abcdef")):
        raise _wrong("has a tls_fingerprint that is not the 64 hexadecimal digits of a SHA-256")
    said = asked.get("tls", "")
    if said not in ("", "on", "off"):
        raise _wrong("says tls= with something else than on or off")
    proof = bool(fingerprint or asked.get("tls_ca"))
    if said == "off" and proof:
        raise _wrong("turns TLS off and says how the server proves itself: one of the two")
    tls = said == "on" or (said == "" and (proof or needs_tls(host, socket)))
    return Address(
        {
            "kind": "mariadb",
            "host": host or "localhost",
            "port": port,
            "unix_socket": socket,
            "user": user,
            "name": name,
            "tls": tls,
            "ca": asked.get("tls_ca", ""),
            "fingerprint": fingerprint,
        }
    )


_MOST = 255


def needs_tls(host: str, unix_socket: str) -> bool:
    """Whether a connection leaves this machine, and so must be encrypted unless somebody says otherwise."""
    return not (unix_socket or host in ("localhost", "::1") or host.startswith("127."))


def _wrong(reason: str) -> Exception:
    from domain.errors import Invalid

    return Invalid(f"the database's address {reason}", fields={"database": reason}, hint=f"--database {_FORM}")


def _text(said: Mapping[str, object], name: str) -> str:
    value = said.get(name)
    return value if isinstance(value, str) else ""
