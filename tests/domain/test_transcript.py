"""Claude Code's transcript: what becomes a turn and what does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain.lines import LONGEST_LINE, split_lines
from domain.transcript import MOST_OPEN, Reader, Transcript, microseconds, read

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


@pytest.mark.parametrize(
    "text",
    [
        ".\n" + " \n" * 500_000,
        "words " + "<system-reminder " * 200_000,
        "<command-name>x</command-name>" + "<command-args>" * 200_000,
    ],
    ids=["blank lines", "marks that do not end", "arguments that do not end"],
)
def test_no_prompt_takes_longer_than_its_length(text: str):
    kinds(parse(row("user", text)))  # else it would not come to an end


def test_a_time_before_all_computers_is_none():
    assert microseconds("0001-01-01T00:00:00+14:00") == 0


def test_what_is_not_to_be_remembered_may_be_said_further_down():
    told = parse(row("user", "The door:\n\n \t please  don't remember this: 4711"), row("user", "now the tests"))
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


def test_what_was_typed_while_claude_worked_is_a_prompt():
    def queued(prompt: Any, **more: Any) -> dict[str, Any]:
        return {
            "type": "attachment",
            "attachment": {"type": "queued_command", "prompt": prompt, **more},
            "timestamp": AT,
        }

    told = parse(
        queued("and the docs as well", commandMode="prompt", origin={"kind": "human"}),
        queued([{"type": "text", "text": "and the tests"}, {"type": "image", "source": {"data": "AAAA"}}]),
        queued("OURS", commandMode="task-notification"),
        queued("OURS", commandMode="bash"),
        queued("OURS", isMeta=True),
        queued("OURS", origin={"kind": "peer"}),
        queued("<task-notification>OURS</task-notification>", commandMode="prompt"),
    )
    assert kinds(told) == [("prompt", "and the docs as well"), ("prompt", "and the tests")]


@pytest.mark.parametrize("kind", ["task-notification", "channel", "peer", "auto-continuation", "something-new"])
def test_what_another_program_sent_is_no_prompt(kind: str):
    told = parse(row("user", "OURS", origin={"kind": kind}), row("user", "mine", origin={"kind": "human"}))
    assert kinds(told) == [("prompt", "mine")]


@pytest.mark.parametrize(
    "bookkeeping",
    [
        {"type": kind, **more}
        for kind, more in {
            "progress": {"data": {"type": "agent_progress", "message": {"message": {"content": "OURS"}}}},
            "file-history-snapshot": {"snapshot": {"trackedFileBackups": {"OURS": {}}}},
            "file-history-delta": {"messageId": "OURS"},
            "last-prompt": {"lastPrompt": "OURS"},
            "pr-link": {"prUrl": "OURS"},
            "tag": {"tag": "OURS"},
            "agent-name": {"agentName": "OURS"},
            "mode": {"mode": "OURS"},
            "cost-state": {"totalCostUSD": 1},
            "content-replacement": {"replacements": ["OURS"]},
            "tools-used": {"tools": ["OURS"]},
            "relocated": {"relocatedCwd": "OURS"},
            "continued-in": {"sessionId": "OURS"},
            "system": {"subtype": "local_command", "content": "<local-command-stdout>OURS</local-command-stdout>"},
        }.items()
    ],
)
def test_bookkeeping_is_read_over(bookkeeping: dict[str, Any]):
    told = parse(bookkeeping, row("user", "mine"))
    assert "OURS" not in repr(told)
    assert kinds(told) == [("prompt", "mine")]


@pytest.mark.parametrize(
    "attached",
    ["edited_text_file", "file", "task_reminder", "nested_memory", "skill_listing", "hook_system_message", "plan_mode"],
)
def test_what_the_client_attached_was_said_by_nobody(attached: str):
    told = parse({"type": "attachment", "attachment": {"type": attached, "content": "OURS", "snippet": "OURS"}})
    assert told.turns == ()


def test_what_the_client_said_in_claudes_place_is_no_answer():
    limit = row("assistant", [{"type": "text", "text": "You've hit your session limit"}], isApiErrorMessage=True)
    nothing = row("assistant", [{"type": "text", "text": "No response requested."}])
    nothing["message"]["model"] = "<synthetic>"
    assert kinds(parse(row("assistant", [{"type": "text", "text": "It is done."}]), limit, nothing)) == [
        ("answer", "It is done.")
    ]


def test_titles_are_the_newest_of_any_kind():
    told = parse(
        {"type": "summary", "summary": "Old title", "leafUuid": "x"},
        {"type": "ai-title", "aiTitle": "Made title"},
        {"type": "custom-title", "customTitle": "Given title"},
    )
    assert told.title == "Given title"


def test_what_a_branch_copied_is_told_by_the_session_it_was_copied_from():
    copied = {"forkedFrom": {"sessionId": "parent", "messageUuid": "u"}, "sessionId": "fork"}
    rows = [row("user", "COPIED", **copied), row("assistant", [{"type": "text", "text": "COPIED"}], **copied)]
    rows.append(row("user", "and now something else", sessionId="fork"))
    assert kinds(parse(*rows)) == [("prompt", "and now something else")]


def test_what_a_forked_session_copied_is_told_by_the_session_it_was_copied_from():
    told = parse(
        row("user", "COPIED", sessionId="fork"),
        use("t1", "Bash", command="COPIED"),
        row("assistant", [{"type": "text", "text": "COPIED"}], sessionId="fork", requestSessionId="parent"),
        row("user", "and now something else", sessionId="fork"),
        row("assistant", [{"type": "text", "text": "done"}], sessionId="fork", requestSessionId="fork"),
    )
    assert kinds(told) == [("prompt", "and now something else"), ("answer", "done")]
    assert "COPIED" not in repr(told)


def test_what_was_copied_is_told_where_its_own_session_is_not_there():
    reader = Reader(has_own_file=lambda session: session != "gone")
    rows = [
        row("user", "first", forkedFrom={"sessionId": "gone"}),
        row("assistant", [{"type": "text", "text": "second"}], sessionId="fork", requestSessionId="gone"),
    ]
    assert [turn.text for one in rows for turn in reader.take(json.dumps(one).encode())] == ["first", "second"]


def test_results_come_in_the_order_in_which_they_came():
    told = parse(
        use("t1", "Bash", command="slow"), use("t2", "Bash", command="quick"), result("t2", "b"), result("t1", "a")
    )
    assert [turn.arguments["command"] for turn in told.turns] == ["quick", "slow"]


def test_calls_without_results_are_told_at_the_end_and_only_so_many_wait():
    told = parse(*(use(f"t{number}", "Bash", command=str(number)) for number in range(200)), result("t199", "ok"))
    assert sorted(int(str(turn.arguments["command"])) for turn in told.turns) == list(range(200))
    reader = Reader()
    for number in range(200):
        reader.take(json.dumps(use(f"t{number}", "Bash", command="x")).encode())
    assert len(reader.unfinished()) == MOST_OPEN


def test_images_and_references_in_results_are_no_text():
    blocks = [
        {"type": "image", "source": {"type": "base64", "data": "IMAGE"}},
        {"type": "text", "text": "a chart"},
        {"type": "tool_reference", "tool_name": "X"},
    ]
    told = parse(use("t1", "Read", file_path="/p/a.png"), result("t1", blocks), row("user", [blocks[0]]))
    assert kinds(told) == [("tool", "a chart")]
    assert "IMAGE" not in repr(told)


def test_of_an_output_that_the_client_kept_elsewhere_what_the_model_saw_is_told():
    shown = "<persisted-output>\nOutput too large (90KB). Full output saved to: /x/t1.txt\n\nPreview:\nline 1\n</persisted-output>"
    assert kinds(parse(use("t1", "Bash", command="x"), result("t1", shown))) == [("tool", shown)]


def test_a_row_that_begins_with_nul_is_read():
    assert [turn.text for turn in read([b"\0\0" + json.dumps(row("user", "hello there")).encode()]).turns] == [
        "hello there"
    ]


def test_rows_of_2025_are_read_as_they_were_written():
    told = parse(
        {"type": "summary", "summary": "The parser", "leafUuid": "x"},
        {"type": "user", "message": {"role": "user", "content": "Fix the parser"}, "isSidechain": False, "userType": "external",
         "cwd": "/p", "sessionId": "s", "version": "1.0.35", "uuid": "u1", "timestamp": AT},
        {"type": "assistant", "message": {"content": [
            {"type": "text", "text": "I do."}, {"type": "tool_use", "id": "t1", "name": "TodoWrite", "input": {"todos": []}}]},
         "costUSD": 0.1, "durationMs": 3, "timestamp": AT},
        {"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "t1", "content": "Todos have been modified"}]},
         "toolUseResult": {"oldTodos": [], "newTodos": []}, "timestamp": AT},
        {"type": "user", "isSidechain": True, "message": {"content": "SUBTASK"}, "timestamp": AT},
    )  # fmt: skip
    assert [(turn.kind, turn.tool or turn.text) for turn in told.turns] == [
        ("prompt", "Fix the parser"),
        ("answer", "I do."),
        ("tool", "TodoWrite"),
        ("task", "SUBTASK"),
    ]
    assert told.title == "The parser"


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
