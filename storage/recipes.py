"""Recipes: guarded rows, so that nobody approves one by writing into the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from domain.errors import Conflict
from domain.recipes import Recipe, stored_recipe
from storage.guard import Guard, Row, first_come
from storage.schema import recipes

SUBJECT = "recipe"
_KEY = "recipe_id"
_COLUMNS = ("recipe_id", "name", "state", "author", "approver", "created_us", "updated_us", "revision")


class Recipes:
    """The recipes of one unit of work.  Every read checks MAC and revision."""

    def __init__(self, connection: Connection, guard: Guard) -> None:
        self._connection = connection
        self._guard = guard

    def named(self, name: str) -> Recipe | None:
        """One recipe, retired ones included.  Raises Broken."""
        row = self._guard.one(recipes, SUBJECT, _KEY, name=name)
        return None if row is None else _recipe(row)

    def every(self) -> list[Recipe]:
        """Every recipe by its name, each checked.  Raises Broken."""
        names = self._connection.execute(select(recipes.c.name).order_by(recipes.c.name)).scalars()
        return [found for found in map(self.named, list(names)) if found is not None]

    def add(self, recipe: Recipe) -> None:
        """Stores a new recipe.  Raises Conflict where one has its name."""
        taken = select(recipes.c.recipe_id).where(recipes.c.name == recipe.name)
        if self._connection.execute(taken).scalar() is not None:
            raise Conflict(f"there is a recipe {recipe.name} already", hint=f"claudetools recipe show {recipe.name}")
        self._guard.insert(recipes, SUBJECT, _KEY, _row(recipe))

    def replace(self, recipe: Recipe) -> None:
        """Stores a changed recipe in place of the one with its revision.  Raises Conflict where that was changed meanwhile."""
        if not self._guard.update(recipes, SUBJECT, _KEY, _row(recipe), recipe.revision):
            raise first_come(
                f"the recipe {recipe.name} was changed meanwhile", f"claudetools recipe show {recipe.name}"
            )


def _row(recipe: Recipe) -> dict[str, Any]:
    row = {name: getattr(recipe, name) for name in _COLUMNS if name != "revision"}
    return {**row, "definition": recipe.definition()}


def _recipe(row: Row) -> Recipe:
    return stored_recipe(row["definition"], **{name: row[name] for name in _COLUMNS})
