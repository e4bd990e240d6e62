"""Indicators of compromise: typed values, checked by their type, shown defanged.

Values are accepted defanged too (`hxxps://bad[.]example`), are kept in their true form, and get a
TLP 2.0 mark (FIRST, Traffic Light Protocol).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from domain.errors import Invalid
from domain.framing import frame

KINDS = ("ip", "domain", "url", "email", "hash", "file", "account")
TLP = ("clear", "green", "amber", "amber+strict", "red")
MAX_VALUE = 2048
MAX_ACCOUNT = 255
MAX_DOMAIN = 253
MAX_NOTE = 2000

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?:[a-z]{{2,63}}|xn--[a-z0-9-]{{1,59}})")
_HASH_LENGTHS = (32, 40, 64, 96, 128)
_REASONS = {
    "ip": "an IPv4 or IPv6 address, or a network such as 192.0.2.0/24",
    "domain": "a domain name such as bad.example.com",
    "url": "an http, https or ftp URL",
    "email": "an address such as someone@example.com",
    "hash": "a hexadecimal MD5, SHA-1, SHA-256, SHA-384 or SHA-512",
    "file": "a file name or path, without control characters",
    "account": "an account name, without control characters",
}


@dataclass(frozen=True, slots=True)
class IndicatorDraft:
    """An indicator as it is handed in; without a kind it is told from the value."""

    value: str
    kind: str = ""
    tlp: str = "amber"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Indicator:
    """An indicator of an incident.  `value` is its true form: show `defang(kind, value)`."""

    indicator_id: str
    incident_id: str
    kind: str
    value: str
    tlp: str
    note: str
    first_seen_us: int
    last_seen_us: int
    added_us: int


def check(draft: IndicatorDraft) -> tuple[str, str]:
    """The kind and the true, normalised value.  Raises Invalid; the value is not repeated."""
    wrong: dict[str, str] = {}
    if draft.kind and draft.kind not in KINDS:
        wrong["kind"] = "one of: " + ", ".join(KINDS)
    if draft.tlp not in TLP:
        wrong["tlp"] = "one of: " + ", ".join(TLP)
    if len(draft.note) > MAX_NOTE or "\x00" in draft.note:
        wrong["note"] = f"at most {MAX_NOTE} characters, without NUL"
    kind = draft.kind or guess(draft.value)
    value = None if wrong else _normal(kind, draft.value)
    if not wrong and value is None:
        wrong["indicators"] = "must be " + _REASONS[kind] if kind else "give the kind: " + ", ".join(KINDS)
    if wrong or value is None:
        listed = "; ".join(f"{name}: {why}" for name, why in wrong.items())
        raise Invalid(f"that indicator cannot be used: {listed}", fields=wrong)
    return kind, value


def guess(value: str) -> str:
    """The kind that a value looks like; "" where it could be anything (a file, an account)."""
    return next((k for k in ("ip", "url", "email", "hash", "domain") if _normal(k, value)), "")


def key(kind: str, value: str) -> str:
    """What finds the same indicator in other incidents: SHA-256 of kind and normal value, in hex."""
    return hashlib.sha256(frame(kind, value)).hexdigest()


def defang(kind: str, value: str) -> str:
    """The form that nobody clicks by accident: hxxps://bad[.]example/x."""
    if kind == "url":
        scheme, colon, rest = value.partition("://")
        host, slash, path = rest.partition("/")
        return scheme.replace("tt", "xx") + colon + host.replace(".", "[.]") + slash + path
    if kind == "email":
        return value.replace("@", "[@]").replace(".", "[.]")
    if kind == "ip" and ":" in value:
        return value.replace(":", "[:]")
    if kind in ("ip", "domain"):
        return value.replace(".", "[.]")
    return value


def refang(text: str) -> str:
    """A defanged value as it truly is."""
    text = re.sub(r"[\[({]\s*(\.|:|@|://)\s*[\])}]", r"\1", text)
    text = re.sub(r"(?i)[\[(]\s*dot\s*[\])]", ".", text)
    text = re.sub(r"(?i)[\[(]\s*at\s*[\])]", "@", text)
    return re.sub(r"(?i)^(h)xx(ps?)(?=:)", r"\1tt\2", text)


def has_controls(text: str) -> bool:
    """Whether it holds a control character, a line break included."""
    return _CONTROLS.search(text) is not None


def _normal(kind: str, raw: str) -> str | None:
    value = raw.strip()
    if not value or len(value) > MAX_VALUE or has_controls(value):
        return None
    if kind == "file":
        return value
    if kind == "account":
        return value if len(value) <= MAX_ACCOUNT else None
    if kind == "hash":
        low = value.lower()
        return low if len(low) in _HASH_LENGTHS and re.fullmatch(r"[0-9a-f]+", low) else None
    checks = {"ip": _ip, "domain": _domain, "url": _url, "email": _email}
    return checks[kind](refang(value)) if kind in checks else None


def _ip(value: str) -> str | None:
    try:
        if "/" in value:
            return str(ipaddress.ip_network(value, strict=False))
        return str(ipaddress.ip_address(value))
    except ValueError:
        return None


def _domain(value: str) -> str | None:
    try:
        name = value.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    return name if len(name) <= MAX_DOMAIN and _DOMAIN.fullmatch(name) else None


def _url(value: str) -> str | None:
    if re.search(r"\s", value):
        return None
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https", "ftp") or not (_domain(host) or _ip(host) or host == "localhost"):
        return None
    # Only scheme and host are the same in any case; the path is not.
    return parts.scheme.lower() + "://" + parts.netloc.lower() + value.split("://", 1)[1][len(parts.netloc) :]


def _email(value: str) -> str | None:
    local, at, host = value.rpartition("@")
    name = _domain(host)
    if not at or name is None or not re.fullmatch(r"[^\s@\"(),:;<>\[\\\]]{1,64}", local):
        return None
    return f"{local}@{name}"
