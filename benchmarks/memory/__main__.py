"""`python -m benchmarks.memory [--data DIR] [PART ...]`: the memory, measured.  All parts without a name.

The data is an argument, so that other data can be put in: a folder with `transcripts/`, `manifest.jsonl`,
`secrets.jsonl` and `locomo10.json`, or each of them by itself.  What is not there is said, and its part left out.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

from benchmarks.memory.dataset import Options

PARTS = ("retrieval", "compression", "redaction", "scale", "faults", "peers")


def main() -> None:
    """Runs the named parts, one after the other; each prints its table."""
    options, parts = _asked()
    for part in parts:
        print(f"\n## {part}\n", flush=True)
        begun = time.monotonic()
        try:
            importlib.import_module(f"benchmarks.memory.{part}").main(options)
        except FileNotFoundError as missing:
            print(f"left out: {missing}")
        print(f"\n({part}: {time.monotonic() - begun:.0f} s)", flush=True)


def _asked() -> tuple[Options, list[str]]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without one")
    parser.add_argument("--data", type=Path, help="the folder that holds the data")
    parser.add_argument("--transcripts", type=Path, help="folder of transcripts, one folder a repository")
    parser.add_argument("--manifest", type=Path, help="JSON lines, one a transcript")
    parser.add_argument("--secrets", type=Path, help="JSON lines of labelled texts")
    parser.add_argument("--locomo", type=Path, help="conversations with questions and their evidence")
    parser.add_argument("--scale", default="10000,100000,1000000", help="numbers of records, with commas")
    parser.add_argument("--rounds", type=int, default=500, help="rounds of faults")
    parser.add_argument("--budget", type=int, default=1000, help="tokens of a digest")
    said = parser.parse_args()
    unknown = [part for part in said.parts if part not in PARTS]
    if unknown:
        sys.exit(f"there is no part like this; there are: {', '.join(PARTS)}")
    data = said.data or Path()
    options = Options(
        transcripts=said.transcripts or data / "transcripts",
        manifest=said.manifest or data / "manifest.jsonl",
        secrets=said.secrets or data / "secrets.jsonl",
        locomo=said.locomo or data / "locomo10.json",
        scale=tuple(int(number) for number in said.scale.split(",") if number.strip()),
        rounds=said.rounds,
        budget=said.budget,
    )
    return options, said.parts or list(PARTS)


if __name__ == "__main__":
    main()
