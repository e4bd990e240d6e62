"""Nothing is masked in what ordinary programs print, and the table in the docs says what the matrix test finds."""

from __future__ import annotations

import random
import re
import shutil
import string
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from domain.masking import Masker, Matcher
from tests.kit.forms import CHEAP, NEVER, REQUIRED, forms

USE = Path(__file__).parents[2] / "docs" / "use.md"
LEAST = 5_000_000
SOURCES = Path(sysconfig.get_path("stdlib"))
WORDS = ("amber", "basin", "cedar", "delta", "ember", "flint", "grove", "heron", "inlet", "jetty", "knoll", "lotus")


def values() -> list[tuple[str, bytes]]:
    """200 values of the kinds that vaults hold, none of which anybody has printed."""
    made = random.Random(20261128)
    kinds = (
        lambda: "".join(made.choices(string.ascii_letters + string.digits + "!#$%&*+-=?@^_~", k=made.randint(8, 40))),
        lambda: "".join(made.choices(string.ascii_letters + string.digits, k=made.randint(8, 40))),
        lambda: "".join(made.choices("0123456789abcdef", k=made.choice((16, 32, 40, 64)))),
        lambda: " ".join(made.choices(WORDS, k=5)),
        lambda: "ghp_" + "".join(made.choices(string.ascii_letters + string.digits, k=36)),
    )
    return [(f"acme/box/n{n}#password", kinds[n % len(kinds)]().encode()) for n in range(200)]


def printed(*command: str) -> bytes:
    """What a program prints, as far as it goes; nothing of one that is not installed."""
    if shutil.which(command[0]) is None:
        return b""
    return subprocess.run(command, capture_output=True, check=False, timeout=60).stdout[:1_000_000]


@pytest.fixture(scope="module")
def ordinary() -> bytes:
    """5 MB of it, from programs that every Debian has."""
    parts = [
        printed("ls", "-lR", "/usr"),
        printed("ps", "axu"),
        printed("base64", "/bin/bash"),
        printed("od", "-A", "x", "-t", "x1z", "/bin/bash"),
        printed("find", "/etc", "-maxdepth", "3"),
        printed("cat", *map(str, sorted(SOURCES.glob("[a-m]*.py")))),
        printed(sys.executable, "-c", "import json, sys; print(json.dumps({k: str(v) for k, v in sys.modules.items()}, indent=1))"),
        printed("grep", "-rn", "def ", str(SOURCES), "--include=*.py"),
        printed("sha256sum", *map(str, sorted(SOURCES.glob("*.py")))),
        printed("cat", "/etc/services", "/etc/passwd"),
    ]  # fmt: skip
    made = b"\n".join(parts)
    assert len(parts[0]) > 100_000
    assert len(parts[2]) > 100_000
    while len(made) < LEAST:  # where little is installed
        made += b"\n" + made
    return made


def masked(stream: bytes, chunk: int) -> tuple[bytes, dict[str, int]]:
    masker = Masker(Matcher(values()))
    out = b"".join(masker.feed(stream[at : at + chunk]) for at in range(0, len(stream), chunk)) + masker.finish()
    return out, dict(masker.hits)


def test_nothing_is_masked_in_five_megabytes_of_ordinary_output(ordinary: bytes) -> None:
    out, hits = masked(ordinary, 65_536)
    assert hits == {}
    assert out == ordinary


def test_one_value_in_any_form_among_them_is(ordinary: bytes) -> None:
    middle = ordinary.index(b"\n", len(ordinary) // 2) + 1
    for number, form in enumerate(REQUIRED):
        label, value = values()[number * 5]
        stream = ordinary[middle - 50_000 : middle] + forms(value)[form] + b"\n" + ordinary[middle : middle + 50_000]
        assert list(masked(stream, 4_096)[1]) == [label], form


def test_the_docs_tell_of_each_form_what_the_matrix_finds() -> None:
    told = dict(re.findall(r"^\| (.+?) \| (yes|never) \|$", USE.read_text(), re.MULTILINE))
    assert told == {**dict.fromkeys(REQUIRED + CHEAP, "yes"), **dict.fromkeys(NEVER, "never")}
    assert f"{len(REQUIRED + CHEAP)} of {len(told)};" in USE.read_text()
