"""What a program is fed: a recipe's templates filled with a credential's values, escaped for where they go.

Everything made here is a `Plain`, as secret as what it was made of, and the masker must know it too.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from urllib.parse import quote, unquote, urlsplit

from domain.credentials import TYPES, Head
from domain.errors import Invalid
from domain.hosts import allows
from domain.plain import Plain
from domain.recipes import MADE_WORDS, PLACEHOLDER, SECRET_FIELDS, Recipe, bad_url

BUNDLE = "bundle"
PKCS12_PASSPHRASE = "claudetools"  # noqa: S105  # known to everybody, and meant to be
"""Of the bundles that are made for a program: it protects nothing, but programs want one."""
_DEFAULT_PORTS = {
    "mariadb": "3306",
    "mysql": "3306",
    "postgresql": "5432",
    "postgres": "5432",
    "https": "443",
    "http": "80",
}


def fields_of(recipe: Recipe, head: Head) -> list[str]:
    """The secret fields that a recipe opens of a credential, as few as its feeds name.  Raises Invalid where one is not set."""
    kind = TYPES[head.type]
    wanted: list[str] = []
    for feed in recipe.feeds:
        for word in PLACEHOLDER.findall(feed.template):
            name = word.partition(":")[0]
            if name in ("main", "basic"):
                wanted.append(kind.main)
            elif name == "totp":
                wanted.append("totp_seed")
            elif name == BUNDLE:
                wanted += ["private_key", *(["passphrase"] if "passphrase" in head.fields else [])]
            elif name in ("user", "secret") or (
                name in ("host", "port", "database") and head.type == "connection_string"
            ):
                wanted.append("connection_string")
            elif name == "access_token" and head.type == "oauth":
                wanted.append("refresh_token" if "client_secret" not in head.fields else "client_secret")
            elif name in SECRET_FIELDS:
                wanted.append(name)
    if any(feed.into == "agent" for feed in recipe.feeds) and "passphrase" in head.fields:
        wanted.append("passphrase")
    fields = list(dict.fromkeys(wanted))
    if missing := [name for name in fields if name not in head.fields]:
        raise Invalid(
            f"{head.reference} has nothing in {', '.join(missing)}, which {recipe.name} needs",
            fields={"reference": "a credential with these fields"},
            hint=f"claudetools credential show {head.reference}",
        )
    return fields


def words_of(recipe: Recipe, head: Head, filled: Mapping[str, str]) -> dict[str, str]:
    """What stands for the placeholders of the arguments: gaps and open fields.  Raises Invalid for a host that is not allowed."""
    url = head.external_url
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    host = host or ("" if "://" in url else url.partition("/")[0].partition(":")[0])
    words = {
        **head.open,
        "username": head.username,
        "host": host,
        "url": url,
        "port": str(head.ports[0]) if head.ports else "",
        "reference": head.reference,
        "database": "",
    }
    used = recipe.placeholders()
    wrong = {}
    if "host" in used and head.type != "connection_string" and not allows(recipe.hosts, host):
        wrong["external_url"] = "its host is not among those that the recipe allows"
    if "url" in used and bad_url(recipe.hosts, url):
        wrong["external_url"] = "the URL is " + bad_url(recipe.hosts, url)
    arguments = {word for text in recipe.argv for word in PLACEHOLDER.findall(text)}
    for name in arguments & set(words):
        if words[name].startswith(("-", "@")) or any(ord(letter) < 32 for letter in words[name]):  # noqa: PLR2004
            wrong[name] = "begins with - or @, or holds control characters"
    if wrong:
        raise Invalid(
            f"{head.reference} cannot be used with {recipe.name}",
            fields=wrong,
            hint=f"claudetools credential show {head.reference}; claudetools recipe show {recipe.name}",
        )
    return {**words, **filled}


def arguments(recipe: Recipe, words: Mapping[str, str], files: Mapping[str, str]) -> list[str]:
    """The arguments, without the program.  `files` has the path of each `file:NAME`."""
    known = {**words, **files}
    return [PLACEHOLDER.sub(lambda found: known.get(found[1], ""), text) for text in recipe.argv]


def parts_of(connection_string: Plain) -> dict[str, Plain]:
    """User, secret, host, port and database of a connection string in the form of a URL.  Raises Invalid."""
    try:
        parts = urlsplit(connection_string.expose())
        port = parts.port
    except ValueError:
        parts = None
    if parts is None or not parts.hostname:
        raise Invalid(
            "that connection string is not in the form of a URL",
            fields={"connection_string": "driver://user:password@host:port/database"},
        )
    scheme = parts.scheme.partition("+")[0]
    return {
        "user": Plain(unquote(parts.username or "")),
        "secret": Plain(unquote(parts.password or "")),
        "host": Plain(parts.hostname),
        "port": Plain(str(port) if port else _DEFAULT_PORTS.get(scheme, "")),
        "database": Plain(unquote(parts.path.lstrip("/"))),
    }


def meanings(
    head: Head, opened: Mapping[str, Plain], words: Mapping[str, str], totp: Callable[[Plain], Plain]
) -> dict[str, Plain]:
    """What every placeholder of a feed stands for.  Raises Invalid."""
    kind = TYPES[head.type]
    found: dict[str, Plain] = {name: Plain(text) for name, text in words.items()} | dict(opened)
    main = opened.get(kind.main)
    if main is not None:
        found["main"] = main
        pair = f"{head.username}:{main.expose()}".encode()
        found["basic"] = Plain(base64.b64encode(pair).decode())
    if "totp_seed" in opened:
        found["totp"] = totp(opened["totp_seed"])
    if "connection_string" in opened:
        found |= parts_of(opened["connection_string"])
    return found


def render(template: str, known: Mapping[str, Plain]) -> Plain:
    """A template filled.  What stands for nothing is left empty.  Raises Invalid for a value that cannot be put there."""
    if template == "{bundle}":  # which is no text
        return known[BUNDLE]

    def put(word: str) -> str:
        name, _, escape = word.partition(":")
        value = known.get(name)
        return _ESCAPES[escape](value.expose()) if value is not None else ""

    return Plain(PLACEHOLDER.sub(lambda found: put(found[1]), template))


def secrets_in(known: Mapping[str, Plain], opened: Mapping[str, Plain]) -> list[tuple[str, Plain]]:
    """What of it must not be seen: the opened fields, and what was made of them."""
    names = [*opened, *(name for name in known if name in MADE_WORDS and name not in ("main", "user"))]
    return [(name, known[name]) for name in dict.fromkeys(names) if known.get(name)]


def _one_line(text: str) -> str:
    if any(letter in text for letter in "\r\n\0"):
        raise Invalid("a value with line breaks cannot be put into an option file", fields={"value": "one line"})
    return text


def _curl(text: str) -> str:
    """For a quoted value of curl's config file (curl(1), --config)."""
    return _one_line(text).replace("\\", "\\\\").replace('"', '\\"')


def _cnf(text: str) -> str:
    """For a quoted value of MariaDB's option files, whose backslash escapes too."""
    return _one_line(text).replace("\\", "\\\\").replace('"', '\\"')


_ESCAPES: dict[str, Callable[[str], str]] = {
    "": str,
    "curl": _curl,
    "cnf": _cnf,
    "json": lambda text: json.dumps(text)[1:-1],
    "url": lambda text: quote(text, safe=""),
}
