"""Claude Code's transcript: what becomes a turn and what does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain.transcript import LONGEST_LINE, Transcript, read, split_lines

# Speed is measured elsewhere; a failing example is shown as it is found.
WITHOUT_HURRY = settings(deadline=None, max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])

AT = "2026-11-23T21:31:05.626Z"


def row(kind: str, content: Any, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "message": {"role": kind, "content": content},
        "timestamp": AT,
        "cwd": "/p",
        "gitBranch": "topic",
        **more,
    }


def use(call: str, tool: str, /, **given_: Any) -> dict[str, Any]:
    return row("assistant", [{"type": "tool_use", "id": call, "name": tool, "input": given_}])


def result(call: str, content: Any, *, failed: bool = False) -> dict[str, Any]:
    return row("user", [{"type": "tool_result", "tool_use_id": call, "content": content, "is_error": failed}])


def parse(*rows: Any) -> Transcript:
    return read(json.dumps(one).encode() for one in rows)


def kinds(transcript: Transcript) -> list[tuple[str, str]]:
    return [(turn.kind, turn.text) for turn in transcript.turns]


def test_prompts_answers_and_calls_become_turns_in_order():
    told = parse(
        row("user", "do it"),
        row("assistant", [{"type": "text", "text": "I will"}]),
        use("t1", "Bash", command="ls"),
        result("t1", [{"type": "text", "text": "a.py"}]),
        row("assistant", [{"type": "text", "text": "done"}]),
    )
    assert kinds(told) == [("prompt", "do it"), ("answer", "I will"), ("tool", "a.py"), ("answer", "done")]
    assert told.turns[2].arguments == {"command": "ls"}
    assert told.branches == ("topic",)
    assert told.folder == "/p"


def test_a_failed_call_is_marked():
    told = parse(use("t1", "Bash", command="false"), result("t1", "Exit code 1", failed=True))
    assert told.turns[0].failed


@pytest.mark.parametrize(
    "skipped",
    [
        {
            "type": "attachment",
            "attachment": {"type": "hook_additional_context", "content": ["OURS"]},
            "rendered": [{"content": "OURS"}],
        },
        {"type": "queue-operation", "operation": "enqueue", "content": "OURS"},
        {"type": "system", "subtype": "stop_hook_summary", "content": "OURS"},
        {"type": "something-new", "message": {"content": "OURS"}},
        row("user", "OURS", isMeta=True),
        row("user", "<local-command-stdout>OURS</local-command-stdout>"),
        row("user", "<task-notification>OURS</task-notification>"),
        row("user", "<command-name>/clear</command-name>\n<command-args></command-args>"),
        row("user", "<system-reminder>OURS</system-reminder>"),
        row("assistant", [{"type": "thinking", "thinking": "OURS"}]),
        row("user", "[Request interrupted by user]"),
        row("user", 7),
        {"type": "user"},
        {"type": "user", "message": "OURS"},
        "OURS",
        None,
        [1, 2],
    ],
)
def test_what_nobody_said_is_no_turn(skipped: Any):
    assert parse(skipped).turns == ()


def test_the_words_given_to_a_command_are_the_persons():
    told = parse(row("user", "<command-name>/review</command-name><command-args>the parser</command-args>"))
    assert kinds(told) == [("prompt", "/review the parser")]


def test_a_compactions_summary_is_no_prompt():
    told = parse(row("user", "This session is being continued ... Summary: x", isCompactSummary=True))
    assert [turn.kind for turn in told.turns] == ["summary"]


@pytest.mark.parametrize("server", ["mcp__plugin_claudetools_claudetools__", "mcp__claudetools__"])
def test_of_our_own_tools_nothing_is_kept_but_name_and_reference(server: str):
    told = parse(
        use("t1", server + "credential_create", name="x", value="HIDDEN-VALUE", reference="acme/gitea/admin"),
        result("t1", '{"value": "HIDDEN-VALUE"}'),
        use("t2", server + "context_save", title="t", text="HIDDEN-VALUE", reference="acme/x/y"),
        result("t2", "HIDDEN-VALUE", failed=True),
    )
    assert "HIDDEN-VALUE" not in repr(told)
    assert told.turns[0].arguments == {"reference": "acme/gitea/admin"}
    assert told.turns[1].arguments == {}


def test_a_reference_that_is_none_is_not_kept():
    told = parse(use("t1", "mcp__claudetools__credential_reveal", reference='{"password": "HIDDEN-VALUE"}'))
    assert "HIDDEN-VALUE" not in repr(told)


def test_private_parts_are_dropped_even_without_an_end():
    told = parse(row("user", "a <private>HIDDEN</private> b"), row("user", "c <private>HIDDEN to the end"))
    assert kinds(told) == [("prompt", "a  b"), ("prompt", "c")]


def test_what_is_not_to_be_remembered_is_dropped_up_to_the_next_prompt():
    told = parse(
        row("user", "Don't remember this: the door code"),
        row("assistant", [{"type": "text", "text": "HIDDEN"}]),
        row("user", "now the tests"),
    )
    assert kinds(told) == [("prompt", "now the tests")]


def test_a_word_of_direction_in_a_refused_call_is_the_persons():
    refusal = (
        "The user doesn't want to proceed with this tool use. To tell you how to proceed, the user said:\nuse port 9443"
    )
    told = parse(use("t1", "Bash", command="x"), result("t1", refusal, failed=True))
    assert kinds(told)[-1] == ("prompt", "use port 9443")


def test_rows_of_a_subagent_are_marked():
    told = parse(
        row("user", "SUBTASK", isSidechain=True),
        row("assistant", [{"type": "text", "text": "sub done"}], isSidechain=True),
    )
    assert [(turn.kind, turn.aside) for turn in told.turns] == [("task", True), ("answer", True)]


def test_torn_and_strange_lines_are_counted_and_passed_over():
    good = json.dumps(row("user", "hello there")).encode()
    told = read([b"", b"{", good[: len(good) // 2], b"\xff\xfe\x00", b"[" * 100_000, good, good[:-1]])
    assert [turn.text for turn in told.turns] == ["hello there"]
    assert told.unreadable == 5


def test_control_characters_and_halves_of_pairs_are_taken_out():
    told = parse(row("user", "a\x00b\x1b[31mred\x1b[0m\ud800c"))
    assert told.turns[0].text == "abredc"


def test_a_line_that_is_too_long_is_passed_over_and_the_next_one_read():
    chunks = [b"x" * 600, b"y" * 600, b"\nshort\n"]
    assert list(split_lines(chunks, longest=1000)) == [b"", b"short"]
    assert LONGEST_LINE > 1_000_000


@WITHOUT_HURRY
@given(st.lists(st.binary(max_size=60), max_size=20))
def test_lines_are_the_same_wherever_the_bytes_are_cut(chunks: list[bytes]):
    whole = b"".join(chunks)
    expected = whole.split(b"\n")
    if expected and expected[-1] == b"":
        expected.pop()
    assert list(split_lines(chunks)) == expected


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "message", "content", "text", "input", "id", "name", "tool_use_id", "timestamp"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@WITHOUT_HURRY
@given(
    st.lists(
        values
        | st.fixed_dictionaries(
            {"type": st.sampled_from(["user", "assistant"]), "message": values, "timestamp": values}
        ),
        max_size=8,
    )
)
def test_no_row_whatever_breaks_the_reading(rows: list[Any]):
    parse(*rows)


@WITHOUT_HURRY
@given(st.lists(st.binary(max_size=80), max_size=10))
def test_no_bytes_whatever_break_the_reading(lines: list[bytes]):
    read(lines)


@WITHOUT_HURRY
@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=5), st.integers(min_value=0, max_value=400))
def test_a_transcript_cut_anywhere_gives_a_prefix_of_its_turns(said: list[str], cut: int):
    data = b"".join(json.dumps(row("user", f"say {text}")).encode() + b"\n" for text in said)
    whole = read(split_lines([data])).turns
    part = read(split_lines([data[:cut]])).turns
    assert whole[: len(part)] == part
