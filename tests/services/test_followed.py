"""Transcripts that grow: read in any pieces they come out as when they are read whole, in bounded memory, and once."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain.masking import Matcher
from domain.redaction import Redactor
from domain.striking import LONGEST_KEPT, MARGIN, Striking
from domain.transcript import Reader
from mcp_server.services.transcripts import Followed, Replaced, read_session

# Speed is measured elsewhere; a failing example is shown as it is found.
WITHOUT_HURRY = settings(deadline=None, max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate])
VALUE = "Tr0ub4dor&3-Zq8vWx2Lp%Kd7"
LABEL = "{{credential:acme/gateway/admin#password}}"
REDACTOR = Redactor(Matcher([("acme/gateway/admin#password", VALUE.encode())]), engine=False)


def row(kind: str, content: Any, second: int = 0, **more: Any) -> bytes:
    at = f"2026-11-23T{10 + second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.000Z"
    told = {"type": kind, "message": {"content": content}, "timestamp": at, "cwd": "/p", "gitBranch": "topic", **more}
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def call(number: int, tool: str, second: int, /, **given_: Any) -> bytes:
    return row("assistant", [{"type": "tool_use", "id": f"t{number}", "name": tool, "input": given_}], second)


def result(number: int, content: str, second: int, *, failed: bool = False) -> bytes:
    block = {"type": "tool_result", "tool_use_id": f"t{number}", "content": content, "is_error": failed}
    return row("user", [block], second)


def synthetic(rounds: int = 6) -> bytes:
    def rows() -> Iterator[bytes]:
        yield json.dumps({"type": "summary", "summary": "the gateway", "leafUuid": "x"}).encode() + b"\n"
        for number in range(rounds):
            at = number * 10
            yield row("user", f"Please change part {number} of the gateway, never the port", at)
            yield call(2 * number, "Bash", at + 1, command=f"make test-{number}", env={"deep": [VALUE]})
            yield call(2 * number + 1, "Edit", at + 2, file_path=f"/p/part{number}.py", new_string="def serve(): ...")
            yield result(2 * number + 1, "ok", at + 3)
            yield result(2 * number, f"Exit code 1\nConnectionError: refused {VALUE} ☎", at + 4, failed=number % 2 == 0)
            yield row(
                "assistant", [{"type": "text", "text": f"Part {number} answers now, and opens with {VALUE}."}], at + 5
            )

    return b"".join(rows())


def told(followed: Followed) -> tuple[Any, ...]:
    account = followed.account()
    return account.digest(title=followed.about.title), account.body(), followed.counts, followed.about


def whole(path: Path) -> tuple[Any, ...]:
    followed = Followed(path, REDACTOR)
    followed.catch_up()
    return told(followed)


@WITHOUT_HURRY
@given(cuts=st.lists(st.integers(min_value=0, max_value=20_000), max_size=6))
def test_wherever_a_transcript_is_cut_it_comes_out_as_when_it_is_read_whole(
    cuts: list[int], tmp_path_factory: pytest.TempPathFactory
):
    data, path = synthetic(), tmp_path_factory.mktemp("cut") / "s.jsonl"
    followed = Followed(path, REDACTOR)
    path.touch()
    for cut in sorted(cut % len(data) for cut in cuts):
        _grow(path, data[:cut])
        assert followed.catch_up() == cut
        assert told(followed)[:2] == whole(path)[:2]
    _grow(path, data)
    assert followed.catch_up() == len(data)
    assert told(followed) == whole(path)
    assert "Part 5 answers now, and opens with " + LABEL in told(followed)[1].rest
    assert VALUE not in repr(told(followed))


def _grow(path: Path, data: bytes) -> None:
    with path.open("r+b") as out:
        out.seek(0, os.SEEK_END)
        out.write(data[out.tell() :])


def test_of_a_transcript_that_grew_only_what_is_new_is_read(tmp_path: Path):
    path, data = tmp_path / "s.jsonl", synthetic(400)
    path.write_bytes(data)
    followed = Followed(path, REDACTOR)
    followed.catch_up()
    assert followed.bytes_read == len(data)
    more = row("user", "and one thing more, please", 5_000)
    _grow(path, data + more)
    followed.catch_up()
    assert followed.bytes_read == len(data) + len(more)
    assert followed.catch_up() == len(data) + len(more)
    assert followed.bytes_read == len(data) + len(more)


@pytest.mark.parametrize("change", ["shorter", "other file", "other beginning"])
def test_a_file_that_is_not_the_one_that_was_read_is_noticed(tmp_path: Path, change: str):
    path, data = tmp_path / "s.jsonl", synthetic()
    path.write_bytes(data)
    followed = Followed(path, REDACTOR)
    followed.catch_up()
    if change == "shorter":
        path.write_bytes(data[:-500])
    elif change == "other file":
        (tmp_path / "new").write_bytes(data + data)
        (tmp_path / "new").replace(path)
    else:
        path.write_bytes(b'{"type":"mode"}\n' + data + data)
    with pytest.raises(Replaced):
        followed.catch_up()


def test_a_row_without_its_line_end_is_read_once_it_is_whole(tmp_path: Path):
    path, data = tmp_path / "s.jsonl", synthetic(1)
    path.write_bytes(data[:-1])
    followed = Followed(path, REDACTOR)
    assert followed.catch_up() == len(data) - 1
    before = told(followed)
    _grow(path, data)
    assert followed.catch_up() == len(data)
    assert told(followed) == before == whole(path)


def test_a_call_that_waits_for_its_result_is_told_and_later_told_with_it(tmp_path: Path):
    path = tmp_path / "s.jsonl"
    asked = row("user", "Please deploy the gateway", 1) + call(1, "Bash", 2, command="make deploy")
    path.write_bytes(asked)
    followed = Followed(path, REDACTOR)
    followed.catch_up()
    assert "make deploy" in told(followed)[1].rest
    _grow(path, asked + result(1, "Exit code 2\nPermissionError: denied", 3, failed=True))
    followed.catch_up()
    assert told(followed)[1].rest.count("make deploy") == 1
    assert "PermissionError: denied" in told(followed)[0].text


def test_what_subagents_did_stands_where_it_happened(tmp_path: Path):
    path = tmp_path / "s.jsonl"
    folder = tmp_path / "s" / "subagents" / "flow"
    folder.mkdir(parents=True)
    path.write_bytes(
        row("user", "Please look at both halves", 1)
        + row("assistant", [{"type": "text", "text": "the first half is read"}], 10)
        + row("assistant", [{"type": "text", "text": "both are read"}], 30)
    )
    (folder / "agent-a.jsonl").write_bytes(row("assistant", [{"type": "text", "text": "half two is odd"}], 20))
    (tmp_path / "agent-b.jsonl").write_bytes(
        row("assistant", [{"type": "text", "text": "half one is even"}], 5, sessionId="s", isSidechain=True)
    )
    (tmp_path / "agent-c.jsonl").write_bytes(
        row("assistant", [{"type": "text", "text": "of another session"}], 5, sessionId="other", isSidechain=True)
    )
    expected = ["Please look at both halves", "half one is even", "the first half is read", "half two is odd"]
    assert [turn.text for turn in read_session(path)[0].turns] == [*expected, "both are read"]
    followed = Followed(path, REDACTOR)
    size = followed.catch_up()
    assert size == path.stat().st_size + (folder / "agent-a.jsonl").stat().st_size
    rest = told(followed)[1].rest
    assert [rest.index(text) for text in expected[1:]] == sorted(rest.index(text) for text in expected[1:])


def test_a_subagents_file_that_comes_later_is_read(tmp_path: Path):
    path = tmp_path / "s.jsonl"
    path.write_bytes(row("user", "Please look at both halves", 1))
    followed = Followed(path, REDACTOR)
    followed.catch_up()
    (tmp_path / "s" / "subagents").mkdir(parents=True)
    (tmp_path / "s" / "subagents" / "agent-a.jsonl").write_bytes(
        row("assistant", [{"type": "text", "text": "half two is odd"}], 20)
    )
    followed.catch_up()
    assert "half two is odd" in told(followed)[1].rest


def test_of_a_long_output_both_ends_are_kept_and_all_of_it_is_counted(tmp_path: Path):
    path = tmp_path / "s.jsonl"
    filler = "lorem ipsum dolor sit amet\n" * 40_000
    output = f"the head {VALUE}\n{filler}\n{VALUE} the tail"
    path.write_bytes(row("user", "Please print it all", 1) + call(1, "Bash", 2, command="print") + result(1, output, 3))
    followed = Followed(path, REDACTOR)
    followed.catch_up()
    digest, _, counts, _ = told(followed)
    assert counts["vault value"] == 2
    path.write_bytes(row("user", output, 1))
    followed = Followed(path, REDACTOR)
    followed.catch_up()
    prompt = told(followed)
    assert "the head " + LABEL in prompt[1].person
    assert LABEL + " the tail" in prompt[1].person
    assert VALUE not in repr(prompt)
    assert abs(prompt[0].raw_tokens - digest.raw_tokens) < 40
    assert digest.raw_tokens > 200_000


@pytest.mark.parametrize("shift", [-9, 9])
@pytest.mark.parametrize("edge", ["kept", "struck"])
def test_a_value_at_the_edge_of_what_is_kept_leaves_no_half_of_it(tmp_path: Path, edge: str, shift: int):
    path = tmp_path / "s.jsonl"
    head = LONGEST_KEPT // 3 + (MARGIN if edge == "struck" else 0)
    tail = LONGEST_KEPT - LONGEST_KEPT // 3 + (MARGIN if edge == "struck" else 0)
    words = "words " * 200_000
    text = words[: head + shift] + VALUE + words[: 900_000 - head - tail] + VALUE + words[: tail + shift]
    path.write_bytes(row("user", "Please print it", 1) + call(1, "Bash", 2, command="print") + result(1, text, 3))
    reader, striking = Reader(), Striking(REDACTOR.strike)
    told = [one for line in path.read_bytes().splitlines() for turn in reader.take(line) for one in striking.take(turn)]
    *_, printed = [*told, *striking.flush()]
    assert printed.text.count("words words") > 10_000
    assert len(printed.text) <= LONGEST_KEPT + len(LABEL) * 2
    assert not any(VALUE[start : start + 6] in printed.text for start in range(len(VALUE) - 6))


MEASURED = r"""
import re, sys
from pathlib import Path
from domain.redaction import Redactor
import mcp_server.bootstrap
from mcp_server.services.transcripts import Followed
followed = Followed(Path(sys.argv[1]), Redactor(None))
followed.catch_up()
body = followed.account().body()
# Of this program alone: what getrusage tells begins with the memory of the process that started it.
peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
print(peak // 1024, followed.account().digest().title, len(body.rest))
"""


def many_rows(path: Path) -> None:
    with path.open("wb") as out:
        out.write(row("user", "Please change the gateway everywhere", 1))
        output = "the gateway listens on the port that was asked for, and says so\n" * 120
        for number in range(3_000):
            out.write(call(number, "Bash", number, command=f"make part-{number % 300}"))
            out.write(result(number, output, number))
            out.write(json.dumps({"type": "progress", "data": {"output": output}}).encode() + b"\n")


def one_line_of_an_image(path: Path) -> None:
    image = {"type": "image", "source": {"type": "base64", "data": base64.b64encode(os.urandom(30_000_000)).decode()}}
    words = {"type": "text", "text": "Please change the gateway everywhere"}
    path.write_bytes(row("user", [image, words], 1))


def one_line_of_text(path: Path) -> None:
    path.write_bytes(
        row("user", "Please change the gateway everywhere", 1)
        + row("user", "words upon words \U0001f4de " * 2_400_000, 2)
    )


def the_longest_line(path: Path) -> None:
    path.write_bytes(
        row("user", "Please change the gateway everywhere", 1)
        + call(1, "Bash", 2, command="print")
        + result(1, "words \U0001f4de " * 210_000, 3)
    )


@pytest.mark.parametrize("write", [many_rows, one_line_of_an_image, one_line_of_text, the_longest_line])
def test_however_long_a_transcript_is_reading_it_takes_little_memory(tmp_path: Path, write: Any):
    path = tmp_path / "s.jsonl"
    write(path)
    done = subprocess.run([sys.executable, "-c", MEASURED, path], capture_output=True, text=True, check=True)
    megabytes, _, title = done.stdout.strip().partition(" ")
    assert title.startswith("Please change the gateway everywhere")
    assert int(megabytes) < 150
