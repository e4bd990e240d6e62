"""Sealed use: run programs with credentials whose values nobody sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel, Field

from domain.recipes import Recipe, fits
from mcp_server.callers import Door
from mcp_server.tools import Lean, Toolbox, about

if TYPE_CHECKING:
    from mcp_server.services.use import Used

REFERENCE = about("client/service/name, as credential_search gives it")
PURPOSE = about("why, in a few words; goes into the audit log")
LARGEST = 500_000
EXPOSED = (
    "Those versions are marked exposed: a program of free choice could have copied the value. Rotate them in time."
)


class Way(Lean):
    """A recipe: what it does, which gaps the caller fills, and what it is for."""

    recipe: str
    about: str = ""
    gaps: dict[str, str] = Field(default_factory=dict)
    types: list[str] = Field(default_factory=list)
    references: list[str] = Field(default_factory=list)
    hosts: list[str] = Field(default_factory=list)
    program: str
    state: str


class Ways(BaseModel):
    """The recipes that may be used."""

    items: list[Way]
    note: str = ""


class Outcome(Lean):
    """How a program ended, and what it printed, with every value masked."""

    reference: str
    by: str
    exit_code: int
    ok: bool = False
    output: str = ""
    errors: str = ""
    withheld: str = ""
    seconds: float
    stopped_at_its_limit: bool = False
    values_masked: int = 0
    bytes_left_out: int = 0
    exposed: bool = False
    entry: str
    note: str = ""


class Inject(BaseModel):
    """What of which credential goes where."""

    reference: Annotated[str, REFERENCE]
    into: Annotated[str, about("env:NAME, stdin, file:NAME (argv then holds {file:NAME}) or agent (SSH keys)")]
    field: Annotated[str, about("secret field; empty: the main one")] = ""
    template: Annotated[str, about("text with {main}, {username}, {basic} or {FIELD}; empty: the field alone")] = ""


def offer(door: Door) -> list[Tool]:
    """The tools of this room."""
    box = Toolbox()

    @box.tool("List recipes", reads=True, search_hint="recipes ways to use a credential without seeing it run program")
    def recipe_list(reference: Annotated[str, about("only those for this credential")] = "") -> Ways:
        """Recipes: programs that may be run with a credential by credential_use, without anybody being asked."""
        app, actor = door.enter()
        found = [one for one in app.recipes.every(actor) if one.state == "approved"]
        if reference:
            head = app.credentials.describe(actor, reference).head
            found = [one for one in found if fits(one, head)]
        note = "" if found else "None yet: a person can write and approve one: claudetools recipe add --help"
        return Ways(items=[_way(one) for one in found], note=note)

    @box.tool(
        "Use a credential",
        largest=LARGEST,
        search_hint="use run login connect query curl ssh git sql mariadb psql with credential password api key sealed",
    )
    def credential_use(
        recipe: Annotated[str, about("as recipe_list gives it")],
        reference: Annotated[str, REFERENCE],
        purpose: Annotated[str, PURPOSE],
        arguments: Annotated[dict[str, str] | None, about("what fills the recipe's gaps")] = None,
    ) -> Outcome:
        """Run an approved recipe with a credential. The value never comes here: what the program prints is masked.

        Prefer this to credential_reveal. Nobody is asked; the audit log keeps who, what and why.
        """
        app, actor = door.enter()
        return _outcome(app.use.by_recipe(actor, recipe, reference, arguments or {}, purpose))

    @box.tool(
        "Run with a credential",
        asks_person=True,
        largest=LARGEST,
        search_hint="run any program argv with credential env stdin",
    )
    def credential_run(
        argv: Annotated[list[str], about("the program and its arguments; no shell, no values")],
        inject: list[Inject],
        purpose: Annotated[str, PURPOSE],
        seconds: Annotated[int, about("limit, 1 to 600")] = 60,
    ) -> Outcome:
        """Run any program with values of credentials where no recipe fits. The person is asked, and the versions count as exposed."""
        from mcp_server.services.use import Injection

        app, actor = door.enter()
        injections = [Injection(one.reference, one.into, one.field, one.template) for one in inject]
        return _outcome(app.use.by_argv(actor, argv, injections, purpose, seconds=seconds))

    return box.tools


def _way(recipe: Recipe) -> Way:
    gaps = {
        name: gap.about + (f" (else {gap.default!r})" if gap.default is not None else "")
        for name, gap in recipe.gaps.items()
    }
    return Way(
        recipe=recipe.name,
        about=recipe.about,
        gaps=gaps,
        types=list(recipe.types),
        references=[] if recipe.references == ("*",) else list(recipe.references),
        hosts=list(recipe.hosts),
        program=recipe.program,
        state=recipe.state,
    )


def _outcome(it: Used) -> Outcome:
    return Outcome(
        reference=it.reference,
        by=it.by,
        exit_code=it.code,
        ok=it.code == 0 and not it.stopped,
        output=it.output,
        errors=it.errors,
        withheld=it.withheld,
        seconds=it.seconds,
        stopped_at_its_limit=it.stopped,
        values_masked=it.masked,
        bytes_left_out=it.dropped,
        exposed=it.exposed,
        entry=it.entry,
        note=EXPOSED if it.exposed else "",
    )
