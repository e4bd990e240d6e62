"""The one door of the command line: arguments in, exit code out, and every error told the same way.

stderr gets `claudetools: message` and the next command to type; with `--json`, the error as JSON.  Never a traceback, and
never what was typed: it may be a secret in the wrong place.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from typer import Abort
from typer._click.exceptions import (
    BadParameter,
    ClickException,
    MissingParameter,
    NoArgsIsHelpError,
    NoSuchOption,
    UsageError,
)

from domain.errors import ClaudeToolsError, Invalid, TooMany
from mcp_server import answers
from mcp_server.cli import COMMANDS, ask, root_command
from mcp_server.config import ASKING, HOME_VARIABLE, PASSPHRASE_VARIABLE, data_directory

INTERRUPTED = 130
"""What shells give a program that was ended by ^C."""
LOG_FILE = "cli.log"


def run(arguments: Sequence[str]) -> int:
    """Runs one command line.  Returns the exit code."""
    as_json = "--json" in arguments
    try:
        given = _without_home(list(arguments))
        if given[:1] != ["mcp"]:  # whose terminal, where it has one, is another program's
            _may_ask_for_a_passphrase()
        code = root_command().main(args=given, prog_name="claudetools", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, Abort):
        print("claudetools: stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except NoArgsIsHelpError as asked:
        asked.show()
        return answers.exit_code(Invalid(""))
    except ClickException as error:
        return tell(_usage(error), as_json=as_json)
    except Exception as error:  # noqa: BLE001  # the last door before the user
        return tell(error, as_json=as_json)
    return code if isinstance(code, int) else 0


def _may_ask_for_a_passphrase() -> None:
    """A vault that opens by a passphrase asks for it at the terminal, where there is one."""
    ASKING.passphrase = lambda: ask.hidden("The passphrase that opens the vault: ", f"{PASSPHRASE_VARIABLE}=FILE")


def tell(error: BaseException, *, as_json: bool) -> int:
    """Says what went wrong.  Returns the exit code."""
    error_id = where = ""
    error = answers.known(error)
    if not isinstance(error, ClaudeToolsError):
        error_id = answers.new_error_id()
        where = _keep(error, error_id)
    said = answers.to_json(error, error_id=error_id)
    if as_json:
        print(json.dumps({"error": said}, ensure_ascii=False), file=sys.stderr)
        return answers.exit_code(error)
    lines = [f"claudetools: {said['message']}"]
    if isinstance(error, ClaudeToolsError):
        lines += [f"  {name}: {why}" for name, why in error.fields.items() if f"{name}: {why}" not in error.message]
    if isinstance(error, TooMany):
        lines.append(f"  wait {error.seconds} s")
    if error_id:
        lines.append(f"  error {error_id}, {where}")
    if said["hint"]:
        lines.append(f"  next: {said['hint']}")
    print("\n".join(lines), file=sys.stderr)
    return answers.exit_code(error)


def _without_home(arguments: list[str]) -> list[str]:
    """Takes `--home DIR` out from wherever it stands.  Raises Invalid for text that is no UTF-8."""
    if any("\udc80" <= letter <= "\udcff" for argument in arguments for letter in argument):
        raise Invalid("an argument is not valid UTF-8", hint="claudetools --help")
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            return [*rest, argument, *remaining]
        if argument == "--home":
            home = next(remaining, "")
            if not home:
                raise Invalid("--home needs a directory", hint="claudetools --help")
            os.environ[HOME_VARIABLE] = home
        elif argument.startswith("--home="):
            os.environ[HOME_VARIABLE] = argument.removeprefix("--home=")
        else:
            rest.append(argument)
    return rest


def _usage(error: ClickException) -> Invalid:
    """A mistake on the command line, told without repeating it."""
    context = error.ctx if isinstance(error, UsageError) else None
    path = context.command_path if context is not None else "claudetools"
    hint = f"{path} --help"
    if isinstance(error, MissingParameter):
        name = _name(error)
        return Invalid(f"{name} is missing", hint=hint, fields={name: "needed"})
    if isinstance(error, BadParameter):
        name = _name(error)
        return Invalid(f"{name} cannot be used as it is", hint=hint, fields={name: _expected(error)})
    if isinstance(error, NoSuchOption):
        return Invalid(f"{path} has no such option", hint=hint)
    if path == "claudetools":
        return Invalid("there is no such command", hint=hint, fields={"command": "one of: " + ", ".join(COMMANDS)})
    return Invalid(f"{path} does not understand these arguments", hint=hint)


def _name(error: BadParameter) -> str:
    parameter = error.param
    if parameter is None:
        return "an argument"
    long = [name for name in parameter.opts if name.startswith("--")]
    return long[0] if long else (parameter.name or "an argument").lower().rstrip("_")


def _expected(error: BadParameter) -> str:
    kind = getattr(getattr(error.param, "type", None), "name", "") or "value"
    return f"must be of kind {kind}"


def _keep(error: BaseException, error_id: str) -> str:
    """Writes an unexpected error's type and places to the log file; its text may hold a value and stays out.

    Returns where it can be read: the log file, or in short here, where no data directory can take it.
    """
    lines = [f"{datetime.now(UTC).isoformat(timespec='seconds')} {error_id} python {sys.version.split()[0]}"]
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        lines.append(f"  {type(link).__module__}.{type(link).__qualname__}")
        frames = traceback.extract_tb(link.__traceback__)
        lines += [f"    {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        link = link.__cause__ or link.__context__
    file = data_directory() / "log" / LOG_FILE
    with suppress(OSError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as log:
            log.write("\n".join(lines) + "\n")
        return f"see {file}"
    return f"{type(error).__qualname__} at {lines[-1].strip()}"
