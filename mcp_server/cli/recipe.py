"""`claudetools recipe`: ways in which Claude may use credentials without seeing them, written and approved by persons."""

from __future__ import annotations

import json as encoder
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.credentials import TYPES
from domain.errors import Invalid
from mcp_server.cli import acting, ask, show

if TYPE_CHECKING:
    from domain.recipes import Recipe
    from mcp_server.services.use import Used

LARGEST = 200_000
app = typer.Typer(
    help="Recipes: programs that Claude may run with a credential without seeing its value.",
    no_args_is_help=True,
    add_completion=False,
)

Name = Annotated[str, typer.Argument(help="The recipe's name, as `list` shows it.")]
Arguments = Annotated[
    list[str] | None, typer.Option("--set", metavar="GAP=TEXT", help="What fills a gap; may be repeated.")
]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What it is called: a-z, 0-9 and -.")] = "",
    *,
    ready: Annotated[str, typer.Option("--ready", help="Make it of a ready-made one; `recipe ready` lists them.")] = "",
    file: Annotated[
        str, typer.Option("--file", metavar="FILE", help="Its definition as JSON, - for standard input.")
    ] = "",
    host: Annotated[
        list[str] | None, typer.Option("--host", help="A host it may speak to: db.example, *.example, db.example:3306.")
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option("--for", metavar="REFERENCE", help="A credential it is for, or a pattern: acme/*."),
    ] = None,
    argument: Annotated[
        list[str] | None,
        typer.Option("--argument", metavar="TEXT", help="A fixed argument more for a ready-made one; may be repeated."),
    ] = None,
    seconds: Annotated[int, typer.Option("--seconds", help="Its time limit; 0 for the definition's own.")] = 0,
    outcome_only: Annotated[bool, typer.Option("--outcome-only", help="Never show what it prints.")] = False,
    json: show.Json = False,
) -> None:
    """Write a recipe, as a draft: of a ready-made one, or from a definition.  It is used once a person has approved it."""
    said: dict[str, Any]
    if bool(ready) == bool(file):
        raise Invalid(
            "say what it is made of: one of --ready and --file",
            fields={"--ready": "a name that `recipe ready` lists", "--file": "a definition"},
            hint="claudetools recipe ready",
        )
    said = _ready(ready, argument or []) if ready else _read(file)
    if name:
        said["name"] = name
    given = {"hosts": host, "references": reference, "seconds": seconds or None}
    said |= {key: value for key, value in given.items() if value}
    if outcome_only:
        said["output"] = "outcome"
    with acting.logged_in() as (vault, actor):
        made = vault.recipes.add(actor, said)
    _show(made, as_json=json)
    if not json:
        show.note(f"a draft: look at it, then: claudetools recipe approve {made.name}")


@app.command()
def ready(*, json: show.Json = False) -> None:
    """List the ready-made recipes, and what each needs to be told."""
    from domain.ready import READY

    if json:
        items = [{"name": one.name, "about": one.about, "types": list(one.types), **one.said} for one in READY.values()]
        show.as_json({"items": items})
        return
    show.table(
        ("name", "for", "what it does", "gaps"),
        ((one.name, ", ".join(one.types), one.about, ", ".join(one.said.get("gaps", {}))) for one in READY.values()),
    )
    show.note("claudetools recipe add --ready NAME --host HOST --for 'acme/*'")


@app.command("list")
def list_(*, json: show.Json = False) -> None:
    """List every recipe, drafts and retired ones included."""
    with acting.logged_in() as (vault, actor):
        found = vault.recipes.every(actor)
    if json:
        show.as_json({"items": [_as_json(one) for one in found]})
        return
    show.table(
        ("name", "state", "program", "for", "hosts", "what it does"),
        (
            (one.name, one.state, one.program, ", ".join(one.types or one.references), ", ".join(one.hosts), one.about)
            for one in found
        ),
        empty="no recipe yet: claudetools recipe ready",
    )


@app.command("show")
def show_(name: Name, *, json: show.Json = False) -> None:
    """Show a recipe whole: what it runs, what it feeds, whom it speaks to."""
    with acting.logged_in() as (vault, actor):
        found = vault.recipes.one(actor, name)
    _show(found, as_json=json)


@app.command()
def approve(
    name: Name,
    *,
    revision: Annotated[int, typer.Option("--revision", help="Only if it still is at this revision.")] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Approve a recipe: Claude may use credentials by it, unasked.  Asks for your password, and refuses under Claude Code."""
    with acting.at_the_terminal("approving a recipe", password_file) as (vault, actor):
        found = vault.recipes.one(actor, name)
        if not json:
            _show(found, as_json=False)
        ask.confirm(f"May Claude run this unasked, with {', '.join(found.references)}?", yes=yes)
        done = vault.recipes.approve(actor, name, revision=revision or found.revision)
    if json:
        show.as_json(_as_json(done))
        return
    print(f"approved: {show.clean(done.name)}")


@app.command()
def retire(name: Name, *, json: show.Json = False) -> None:
    """Take a recipe out of use."""
    with acting.logged_in() as (vault, actor):
        done = vault.recipes.retire(actor, name)
    if json:
        show.as_json(_as_json(done))
        return
    print(f"retired: {show.clean(done.name)}")


@app.command("try")
def try_(
    name: Name,
    reference: Annotated[str, typer.Argument(help="client/service/name of the credential.")],
    *,
    given: Arguments = None,
    purpose: Annotated[str, typer.Option("--purpose", help="Why; goes into the audit log.")] = "trying a recipe",
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Run a recipe, drafts too, and see what Claude would see.  Asks for your password, and refuses under Claude Code."""
    filled = {}
    for one in given or []:
        gap, mark, text = one.partition("=")
        if not mark:
            raise Invalid("--set takes GAP=TEXT", fields={"--set": "GAP=TEXT"})
        filled[gap] = text
    with acting.at_the_terminal("trying a recipe", password_file) as (vault, actor):
        used = vault.use.by_recipe(actor, name, reference, filled, purpose, trying=True)
    _outcome(used, as_json=json)


def _ready(ready: str, more: list[str]) -> dict[str, Any]:
    from domain.ready import READY

    one = READY.get(ready)
    if one is None:
        raise Invalid(
            "there is no ready-made recipe of that name",
            fields={"--ready": "one of: " + ", ".join(READY)},
            hint="claudetools recipe ready",
        )
    from domain.hosts import HTTP
    from mcp_server.services.recipes import SEARCHED

    if one.programs == (HTTP,):
        return {
            "name": one.name,
            "about": one.about,
            "types": list(one.types),
            **one.said,
            "program": HTTP,
            "argv": [*one.said["argv"], *more],
        }
    program = next(
        (said for said in one.programs if any(Path(place, said).exists() for place in SEARCHED)), one.programs[0]
    )
    place = next((place for place in SEARCHED if Path(place, program).exists()), "")
    if not place:
        raise Invalid(
            f"{program} is not installed on this machine",
            fields={"--ready": f"needs the program {program}"},
            hint="install it, then try again",
        )
    return {
        "name": one.name,
        "about": one.about,
        "types": list(one.types),
        **one.said,
        "argv": [*one.said["argv"][: one.at], *more, *one.said["argv"][one.at :]],
        "program": f"{place}/{program}",
    }


def _read(file: str) -> dict[str, Any]:
    import sys

    try:
        text = sys.stdin.read(LARGEST + 1) if file == "-" else Path(file).read_text(encoding="utf-8")[: LARGEST + 1]
        said = encoder.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not text"
        raise Invalid("the definition cannot be read", fields={"--file": reason}) from None
    except (ValueError, RecursionError):
        raise Invalid("the definition is not JSON", fields={"--file": "one JSON object"}) from None
    if len(text) > LARGEST or not isinstance(said, dict):
        raise Invalid("the definition is no JSON object", fields={"--file": "one JSON object"})
    return said


def _as_json(recipe: Recipe) -> dict[str, object]:
    return {
        "name": recipe.name,
        "state": recipe.state,
        "revision": recipe.revision,
        "created": show.moment(recipe.created_us),
        **encoder.loads(recipe.definition()),
    }


def _show(recipe: Recipe, *, as_json: bool) -> None:
    if as_json:
        show.as_json(_as_json(recipe))
        return
    gaps = [
        f"{name}: {gap.kind if gap.kind != 'text' else gap.pattern}"
        + (f", else {gap.default!r}" if gap.default is not None else "")
        for name, gap in recipe.gaps.items()
    ]
    show.pairs(
        (
            ("recipe", recipe.name),
            ("state", recipe.state),
            ("what it does", recipe.about),
            ("program", "none: ClaudeTools makes the request itself" if recipe.program == "http" else recipe.program),
            ("arguments", " ".join(recipe.argv)),
            ("gaps", "\n".join(gaps)),
            ("fed", "\n".join(f"{feed.into}: {feed.template.strip()}" for feed in recipe.feeds)),
            ("types", ", ".join(recipe.types or TYPES)),
            ("credentials", ", ".join(recipe.references)),
            ("hosts", ", ".join(recipe.hosts) or "none"),
            ("seconds", recipe.seconds),
            ("output", recipe.output),
            ("revision", recipe.revision),
        )
    )


def _outcome(used: Used, *, as_json: bool) -> None:
    if as_json:
        show.as_json(
            {
                "exit_code": used.code,
                "stopped": used.stopped,
                "seconds": used.seconds,
                "output": used.output,
                "errors": used.errors,
                "withheld": used.withheld,
                "values_masked": used.masked,
                "entry": used.entry,
            }
        )
        return
    print(show.clean(used.output), end="")
    if used.errors.strip():
        show.note(used.errors.rstrip("\n"))
    if used.withheld:
        show.note(f"what it printed is not shown: {used.withheld}")
    how = "was stopped at its limit" if used.stopped else f"ended with exit code {used.code}"
    show.note(f"it {how} after {used.seconds:.1f} s; {used.masked} values masked; audit entry {used.entry}")
