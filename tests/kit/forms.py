"""The 25 forms in which a value may turn up, made by the standard library alone and knowing nothing of our own encoders.

`forms(value)` gives every form; `assert_absent(canary, haystack)` is for tests that search what the product wrote.
"""

from __future__ import annotations

import base64
import codecs
import gzip
import html
import json
import shlex
import textwrap
import urllib.parse

REQUIRED = (
    "raw",
    "base64",
    "base64 at offset 1",
    "base64 at offset 2",
    "base64url",
    "base64 wrapped at 20",
    "base64 of UTF-16LE",
    "hex",
    "HEX",
    "hex with separators",
    "xxd dump",
    "\\x escapes",
    "percent upper",
    "percent lower",
    "JSON escape",
    "HTML escape",
    "shell quoting",
    "Python repr",
    "UTF-16LE bytes",
    "split by ANSI colours",
    "one character a line",
    "upper-cased",
)
CHEAP = ("reversed", "ROT13")
NEVER = ("gzip+base64",)


def xxd(data: bytes) -> bytes:
    """What `xxd` prints: 16 bytes a line, in pairs, with the printable ones beside."""
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        pairs = " ".join(row[i : i + 2].hex() for i in range(0, len(row), 2))
        shown = "".join(chr(b) if 0x20 <= b < 0x7F else "." for b in row)
        lines.append(f"{at:08x}: {pairs:<39}  {shown}\n")
    return "".join(lines).encode()


def forms(value: bytes) -> dict[str, bytes]:
    """Every form of a value, by the name it has in the design; the value is UTF-8 text."""
    text = value.decode()
    wide = text.encode("utf-16-le")
    every = "".join(f"%{b:02X}" for b in value)
    made = {
        "raw": value,
        "base64": base64.b64encode(value),
        "base64 at offset 1": base64.b64encode(b":" + value),
        "base64 at offset 2": base64.b64encode(b"a:" + value),
        "base64url": base64.urlsafe_b64encode(value).rstrip(b"="),
        "base64 wrapped at 20": "\n".join(textwrap.wrap(base64.b64encode(value).decode(), 20)).encode(),
        "base64 of UTF-16LE": base64.b64encode(wide),
        "hex": value.hex().encode(),
        "HEX": value.hex().upper().encode(),
        "hex with separators": value.hex(":").encode(),
        "xxd dump": xxd(b"token=" + value),
        "\\x escapes": "".join(f"\\x{b:02x}" for b in value).encode(),
        "percent upper": urllib.parse.quote(text, safe="").encode(),
        "percent lower": every.lower().encode(),
        "JSON escape": json.dumps(text)[1:-1].encode(),
        "HTML escape": html.escape(text).encode(),
        "shell quoting": shlex.quote(text).encode(),
        "Python repr": repr(text).encode(),
        "UTF-16LE bytes": wide,
        "split by ANSI colours": "".join(f"\x1b[{31 + i % 7}m{c}\x1b[0m" for i, c in enumerate(text)).encode(),
        "one character a line": "\n".join(text).encode(),
        "upper-cased": text.upper().encode(),
        "reversed": text[::-1].encode(),
        "ROT13": codecs.encode(text, "rot13").encode(),
        "gzip+base64": base64.b64encode(gzip.compress(value, mtime=0)),
    }
    assert tuple(made) == REQUIRED + CHEAP + NEVER
    return made


def variants(value: bytes) -> dict[str, bytes]:
    """Other spellings of the same forms: other libraries, other separators, other widths."""
    text = value.decode()
    encoded = base64.b64encode(value).decode()
    percent = urllib.parse.quote(text, safe="")
    lowered = "".join(c if c.isalnum() else urllib.parse.quote(c, safe="").lower() for c in text)
    return {
        "base64url with padding": base64.urlsafe_b64encode(value),
        "base64 wrapped at 64": "\n".join(textwrap.wrap(base64.b64encode(b"x" * 70 + value).decode(), 64)).encode(),
        "base64 wrapped at 76": base64.encodebytes(b"x" * 71 + value),
        "base64 inside a longer text": base64.b64encode(b'{"user":"alice","token":"' + value + b'","ttl":3600}'),
        "hex with spaces": value.hex(" ").encode(),
        "hex with dashes": value.hex("-").upper().encode(),
        "hex as a C array": ", ".join(f"0x{b:02x}" for b in value).encode(),
        "xxd over two lines": xxd(b"0123456789" + value + b" and more after it"),
        "hexdump -C": hexdump(b"0123456789ab" + value + b"tail"),
        "\\X escapes": "".join(f"\\x{b:02X}" for b in value).encode(),
        "octal escapes": "".join(f"\\{b:03o}" for b in value).encode(),
        "percent of every byte": "".join(f"%{b:02X}" for b in value).encode(),
        "percent of reserved characters, lower": lowered.encode(),
        "percent twice": urllib.parse.quote(percent, safe="").encode(),
        "form encoding": urllib.parse.quote_plus(text).encode(),
        "JSON with \\u for everything": "".join(f"\\u{ord(c):04x}" for c in text).encode(),
        "JSON with escaped slashes": json.dumps(text).replace("/", "\\/").encode(),
        "JSON in JSON": json.dumps(json.dumps({"k": text})).encode(),
        "HTML decimal": "".join(f"&#{ord(c)};" for c in text).encode(),
        "HTML hex": "".join(f"&#x{ord(c):X};" for c in text).encode(),
        "shell backslashes": "".join(c if c.isalnum() else f"\\{c}" for c in text).encode(),
        "shell with '\\''": text.replace("'", "'\\''").encode(),
        "shell $'..'": ("$'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'").encode(),
        "Python repr of bytes": repr(value).encode(),
        "UTF-16BE bytes": text.encode("utf-16-be"),
        "lower-cased": text.lower().encode(),
        "colours in base64": "\x1b[32m".join(encoded).encode(),
        "one character a line, indented": "\n".join(f"   {c}" for c in text).encode(),
    }


def hexdump(data: bytes) -> bytes:
    """What `hexdump -C` prints."""
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        left, right = row[:8].hex(" "), row[8:].hex(" ")
        shown = "".join(chr(b) if 0x20 <= b < 0x7F else "." for b in row)
        lines.append(f"{at:08x}  {left:<23}  {right:<23}  |{shown}|\n")
    return "".join([*lines, f"{len(data):08x}\n"]).encode()


def assert_absent(canary: str | bytes, haystack: bytes, where: str = "") -> None:
    """Fails when the haystack holds the canary in any form; names the form and the place, never the canary."""
    value = canary.encode() if isinstance(canary, str) else canary
    packed = b"".join(haystack.split()).lower()
    for name, form in {**forms(value), **variants(value)}.items():
        if name in NEVER:
            continue
        if name in {"xxd dump", "xxd over two lines", "hexdump -C"}:
            continue  # found by the hex below, of which a dump is made
        found = form in haystack or b"".join(form.split()).lower() in packed
        assert not found, f"found as {name!r} {where}".rstrip()
    for offset in range(3):  # what base64 of a longer text keeps of it
        padded = base64.b64encode(b"\0" * offset + value + b"\0" * (-(offset + len(value)) % 3))
        core = padded[4 if offset else 0 : len(padded) if (offset + len(value)) % 3 == 0 else -4]
        assert core.lower() not in packed, f"found inside base64 {where}".rstrip()
        assert core.translate(bytes.maketrans(b"+/", b"-_")).lower() not in packed, (
            f"found in base64url {where}".rstrip()
        )
    squeezed = bytes(b for b in haystack.lower() if b in b"0123456789abcdef")
    assert value.hex().encode() not in squeezed, f"found in hex {where}".rstrip()
