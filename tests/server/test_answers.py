"""One table for three answers."""

from __future__ import annotations

import errno

import pytest

import domain.errors
from domain.errors import ClaudeToolsError, Invalid, NotFound, TooMany, Unavailable
from mcp_server import answers


def every_error(kind: type = ClaudeToolsError) -> list[type]:
    return [found for child in kind.__subclasses__() for found in (child, *every_error(child))]


def test_every_error_class_has_its_own_row() -> None:
    named = [kind for kind in every_error() if kind.__module__ == domain.errors.__name__]
    assert set(named) == set(answers.TABLE)
    assert all(answers.TABLE[kind].code == kind.code for kind in named)
    assert all((answers.TABLE[kind].retry == "yes") == kind.retryable for kind in named)


def test_exit_codes_and_codes_are_told_apart() -> None:
    rows = [*answers.TABLE.values(), answers.INTERNAL]
    assert len({row.exit for row in rows}) == len({row.code for row in rows}) == len(rows)
    assert 0 not in {row.exit for row in rows}


def test_a_subclass_answers_as_its_parent() -> None:
    class Narrow(NotFound):
        pass

    assert answers.exit_code(Narrow("gone")) == 5


def test_an_error_tells_code_message_hint_and_whether_to_retry() -> None:
    error = Unavailable("the database is away", hint="claudetools doctor", entry="ae_1")
    assert answers.to_json(error) == {
        "code": "unavailable",
        "message": "the database is away",
        "hint": "claudetools doctor",
        "retryable": True,
        "entry": "ae_1",
    }


def test_fields_and_seconds_are_told_where_there_are_any() -> None:
    assert answers.to_json(Invalid("no", fields={"port": "a number"}))["fields"] == {"port": "a number"}
    assert answers.to_json(TooMany("slow", seconds=7))["seconds"] == 7


@pytest.mark.parametrize("stranger", [ValueError("hunter2"), KeyboardInterrupt("hunter2"), ClaudeToolsError("hunter2")])
def test_of_a_stranger_nothing_but_the_id_is_told(stranger: BaseException) -> None:
    told = answers.to_json(stranger, error_id="er_1")
    assert told["code"] == "internal"
    assert told["error_id"] == "er_1"
    assert "hunter2" not in answers.to_text(told)
    assert answers.exit_code(stranger) == 1


def test_text_and_structure_tell_the_same() -> None:
    error = Invalid("bad port", hint="claudetools doctor", fields={"port": "1 to 65535"}, entry="ae_9")
    result = answers.to_result(error)
    assert result.is_error
    assert result.structured_content == {"error": answers.to_json(error)}
    for fact in ("invalid", "bad port", "port: 1 to 65535", "claudetools doctor", "ae_9"):
        assert fact in result.content[0].text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2027-01-31", "2027-01-31T00:00:00Z"),
        ("2027-01-31T08:00", "2027-01-31T08:00:00Z"),
        ("2027-01-31T08:00:00+02:00", "2027-01-31T06:00:00Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_dates_are_read_and_written_in_utc(text: str, told: str) -> None:
    assert answers.iso(answers.micros(text, "since")) == told


def test_no_date_is_no_time() -> None:
    assert answers.micros("  ", "since") is None
    assert answers.iso(None) == ""


@pytest.mark.parametrize("text", ["tomorrow", "0001-01-01T00:00:00+14:00x", "31.01.2027", "\x00"])
def test_a_date_that_cannot_be_read_names_its_field_and_not_its_text(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        answers.micros(text, "since")
    assert list(refused.value.fields) == ["since"]
    assert text not in refused.value.message + str(refused.value.fields)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_a_disk_that_takes_nothing_more_is_told_as_what_is_down(number: int) -> None:
    told = answers.to_json(OSError(number, "x", "/some/secret-name"))
    assert (told["code"], told["retryable"]) == ("unavailable", True)
    assert "takes nothing more" in str(told["message"])
    assert "secret-name" not in str(told)
    assert answers.exit_code(OSError(number, "x")) == answers.exit_code(Unavailable(""))
