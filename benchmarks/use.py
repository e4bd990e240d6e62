"""Sealed use: sealing beside bare AES-GCM, a recipe beside the program alone, and the masker's speed."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from rich.console import Console
from rich.table import Table

from benchmarks.store import agent, store
from benchmarks.timing import Figure, show
from domain import sealing
from domain.audit import Receipt, Ticket
from domain.drafts import Draft
from domain.masking import Masker, Matcher
from domain.plain import Plain
from mcp_server.bootstrap import App

PERSON, PASSWORD = "bench", "only for measuring"
RUNS = 60
VALUES, MEGABYTES = 200, 20
SECONDS = 1.0
OVERHEAD_MS, MASKED_MB_S = 60.0, 20.0


def main() -> None:
    """Prints the tables."""
    _envelope()
    with store() as app:
        _recipe(app)
    _masker()


def _rate(act: object) -> float:
    """How often a second."""
    assert callable(act)
    done, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        for _ in range(20):
            act()
        done += 20
    return done / (time.perf_counter() - begun)


def _envelope() -> None:
    key, value = sealing.fresh_key(), Plain(secrets.token_urlsafe(24))
    bound = sealing.Bound("va_1", "cl_1", "cr_1", "password", 1, "password")
    blob = sealing.seal(key, value, bound)
    receipt = Receipt("au_1", "ch_1", 1, b"")  # no audit log is measured here

    def unseal() -> Plain:
        return sealing.unseal(Ticket(receipt, "cr_1", "password", 1, blob), key, blob, bound)

    bare, nonce, padded = AESGCM(key), os.urandom(12), bytes(64)
    closed = bare.encrypt(nonce, padded, b"aad")
    rates = {
        "seal": _rate(lambda: sealing.seal(key, value, bound)),
        "bare AES-256-GCM, encrypt": _rate(lambda: AESGCM(key).encrypt(os.urandom(12), padded, b"aad")),
        "unseal": _rate(unseal),
        "bare AES-256-GCM, decrypt": _rate(lambda: AESGCM(key).decrypt(nonce, closed, b"aad")),
    }
    table = Table(title="one value, a second", title_justify="left")
    table.add_column("what")
    table.add_column("a second", justify="right")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.0f}")
    Console(width=100).print(table)


def _recipe(app: App) -> None:
    """One program by a recipe, in turn with the same program started bare."""
    person = app.identity.actor(app.identity.login(PERSON, PASSWORD))
    draft = Draft("password", "Box", client="acme", username="u", values={"password": Plain(secrets.token_urlsafe(24))})
    reference = app.credentials.create(person, draft).description.reference
    program = shutil.which("git", path="/usr/bin:/usr/local/bin:/bin") or "git"
    arguments = ["hash-object", "--stdin"]
    app.recipes.add(person, {"name": "hash", "program": program, "argv": arguments, "feeds": [{"into": "stdin"}]})
    app.recipes.approve(person, "hash")
    actor = agent(app)
    ours, bare = [], []
    for run in range(-5, RUNS):
        begun = time.perf_counter()
        app.use.by_recipe(actor, "hash", reference, {}, "for measuring")
        between = time.perf_counter()
        subprocess.run([program, *arguments], input=b"x" * 32, capture_output=True, check=True)
        if run >= 0:
            ours.append((between - begun) * 1000)
            bare.append((time.perf_counter() - between) * 1000)
    own, floor = Figure("a recipe", tuple(ours)), Figure("the program alone", tuple(bare))
    show("sealed use", floor, [own], {})
    print(f"overhead, median: {own.median - floor.median:.1f} ms (target: at most {OVERHEAD_MS:.0f})")


def _masker() -> None:
    """Ordinary output, with and without values in it."""
    chance = secrets.SystemRandom()
    values = [secrets.token_urlsafe(chance.randrange(10, 40)) for _ in range(VALUES)]
    begun = time.perf_counter()
    matcher = Matcher([(f"acme/box/{at}#password", value.encode()) for at, value in enumerate(values)])
    built = time.perf_counter() - begun
    lines = [
        f'2026-11-{day:02d}T10:{minute:02d}:07Z web{minute % 7} GET /items/{minute * 37}?page={day} 200 {minute * 911} "curl/8"\n'
        for day in range(1, 29)
        for minute in range(60)
    ]
    text = "".join(lines).encode()
    plain = text * (MEGABYTES * 1_000_000 // len(text))
    rows = []
    for name, data in (("a log without values", plain), ("the same, a value every 10 kB", _with(plain, values))):
        masker = Masker(matcher)
        begun = time.perf_counter()
        for at in range(0, len(data), 65_536):
            masker.feed(data[at : at + 65_536])
        masker.finish()
        rows.append((name, len(data) / 1e6 / (time.perf_counter() - begun), sum(masker.hits.values())))
    table = Table(title=f"the masker, {VALUES} values (built in {built * 1000:.0f} ms)", title_justify="left")
    for column in ("what", "MB/s", "masked"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name, speed, hits in rows:
        table.add_row(name, f"{speed:.1f}", f"{hits}")
    Console(width=100).print(table)
    print(f"target: at least {MASKED_MB_S:.0f} MB/s")


def _with(data: bytes, values: list[str]) -> bytes:
    pieces = [data[at : at + 10_000] for at in range(0, len(data), 10_000)]
    return b"".join(piece + values[at % len(values)].encode() + b"\n" for at, piece in enumerate(pieces))
