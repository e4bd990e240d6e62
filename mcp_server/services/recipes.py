"""Recipes: written, approved and retired by persons; listed for everybody who may search credentials."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

from domain import policy
from domain.actors import Actor, Subject
from domain.asking import is_http
from domain.errors import Conflict, Denied, Invalid, NotFound
from domain.ids import new_id
from domain.recipe_forms import read_recipe, refused_program
from domain.recipes import Recipe, approved
from mcp_server.work import AuditedUnit, Work

SEARCHED = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/opt/homebrew/bin")
"""Where programs are looked for, and what a program that is run finds in PATH: never the caller's own PATH."""


class Recipes:
    """The use cases around recipes."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def every(self, actor: Actor) -> list[Recipe]:
        """Every recipe by its name, retired ones included."""

        def find(unit: AuditedUnit) -> list[Recipe]:
            found = unit.recipes.every()
            unit.note(found=len(found))
            return found

        return self._work.done(actor, "recipe.search", find)[0]

    def one(self, actor: Actor, name: str) -> Recipe:
        """One recipe.  Raises NotFound."""
        return self._work.done(actor, "recipe.search", lambda unit: named(unit, name))[0]

    def add(self, actor: Actor, said: object) -> Recipe:
        """Writes a recipe from its JSON form, as a draft.  Raises Invalid, Conflict, Denied for an agent."""
        recipe = read_recipe(said, new_id("rc"))
        if not is_http(recipe):
            recipe = replace(recipe, program=real_program(recipe.program))

        def write(unit: AuditedUnit) -> Recipe:
            policy.write_recipe(actor)
            unit.about(_subject(recipe))
            made = replace(recipe, author=actor.id, created_us=unit.now_us, updated_us=unit.now_us)
            unit.recipes.add(made)
            unit.note(program=made.program)
            return replace(made, revision=1)

        return self._work.done(actor, "recipe.add", write, subject=Subject("recipe", "", recipe.name))[0]

    def approve(self, actor: Actor, name: str, *, revision: int = 0) -> Recipe:
        """Approves a recipe as it was shown.  Raises NotFound, Conflict, Denied."""

        def change(unit: AuditedUnit) -> Recipe:
            recipe = self._to_change(unit, actor, name, revision)
            if recipe.state == "approved":
                raise Conflict(f"{recipe.name} is approved already", hint=f"claudetools recipe show {recipe.name}")
            if not is_http(recipe):
                real_program(recipe.program)
            after = approved(recipe, actor.id, unit.now_us)
            unit.recipes.replace(after)
            return replace(after, revision=recipe.revision + 1)

        return self._work.done(actor, "recipe.approve", change, subject=Subject("recipe"))[0]

    def retire(self, actor: Actor, name: str) -> Recipe:
        """Takes a recipe out of use.  Raises NotFound, Conflict, Denied."""

        def change(unit: AuditedUnit) -> Recipe:
            recipe = self._to_change(unit, actor, name, 0)
            if recipe.state == "retired":
                raise Conflict(f"{recipe.name} is retired already", hint="claudetools recipe list")
            after = replace(recipe, state="retired", updated_us=unit.now_us)
            unit.recipes.replace(after)
            return replace(after, revision=recipe.revision + 1)

        return self._work.done(actor, "recipe.retire", change, subject=Subject("recipe"))[0]

    @staticmethod
    def _to_change(unit: AuditedUnit, actor: Actor, name: str, revision: int) -> Recipe:
        policy.write_recipe(actor)
        recipe = named(unit, name)
        unit.about(_subject(recipe))
        if revision and revision != recipe.revision:
            raise Conflict(
                f"{recipe.name} was changed meanwhile: it is at revision {recipe.revision}",
                hint=f"claudetools recipe show {recipe.name}",
            )
        return recipe


def named(unit: AuditedUnit, name: str) -> Recipe:
    """The recipe of this name.  Raises NotFound, which does not repeat what was given."""
    recipe = unit.recipes.named(name)
    if recipe is None:
        raise NotFound("there is no recipe of that name", hint="claudetools recipe list")
    return recipe


def real_program(path: str) -> str:
    """A program's real path, looked for in the system's places where only a name is given.

    Raises Invalid where there is none, where it is of a kind that is refused, or where others could put something else in
    its place.
    """
    found = (
        path
        if path.startswith("/")
        else next((f"{place}/{path}" for place in SEARCHED if Path(place, path).exists()), "")
    )
    try:
        real = Path(found or "/nowhere/at/all").resolve(strict=True)
        is_program = real.is_file() and os.access(real, os.X_OK)
    except (OSError, RuntimeError):
        is_program = False
    if not is_program:
        raise Invalid("there is no such program on this machine", fields={"program": "the whole path of a program"})
    if refused := refused_program(found) or refused_program(str(real)):
        raise Invalid("that program can be no recipe", fields={"program": refused})
    for place in (real, *real.parents):
        told = place.stat()
        if told.st_mode & stat.S_IWOTH and not (place != real and told.st_mode & stat.S_ISVTX):
            raise Invalid(
                "everybody on this machine could put another program in that place",
                fields={"program": f"{place} is writable for everybody"},
            )
        if told.st_uid not in (0, os.getuid()):
            raise Invalid(
                "another user of this machine could put another program in that place",
                fields={"program": f"{place} belongs to another user"},
            )
    return str(real)


def same_program(recipe: Recipe) -> str:
    """The program of a recipe, which must still be what was approved; `http` for a request.  Raises Denied."""
    if is_http(recipe):
        return recipe.program
    try:
        real = real_program(recipe.program)
    except Invalid as error:
        raise Denied(
            f"the program of {recipe.name} cannot be run here: {error.fields.get('program', error.message)}",
            hint=f"claudetools recipe show {recipe.name}",
        ) from None
    if real != recipe.program:
        raise Denied(
            f"the program of {recipe.name} is another file than the approved one",
            hint=f"a person can look at it: claudetools recipe show {recipe.name}",
        )
    return real


def _subject(recipe: Recipe) -> Subject:
    return Subject("recipe", recipe.recipe_id, recipe.name)
