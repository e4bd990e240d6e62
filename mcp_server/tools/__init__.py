"""What every tool has in common: how it is declared, and a lean schema.

A tool is a plain `def` (the SDK runs it on a worker thread), a few lines long: it comes in by the door, calls one service,
and shapes the answer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mcp.server.mcpserver.tools import Tool
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer

Function = TypeVar("Function", bound=Callable[..., object])


class Lean(BaseModel):
    """An answer that leaves out what is empty: a model pays for every word of twenty credentials."""

    @model_serializer(mode="wrap")
    def _without_empty(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in whole(self).items() if value or not self._may_miss(name)}

    @classmethod
    def _may_miss(cls, name: str) -> bool:
        return not cls.model_fields[name].is_required()


class Toolbox:
    """Collects the tools of one module."""

    def __init__(self) -> None:
        self.tools: list[Tool] = []

    def tool(
        self,
        title: str,
        *,
        search_hint: str = "",
        always: bool = False,
        reads: bool = False,
        asks_person: bool = False,
        repeats: bool = False,
        hidden: bool = False,
        as_text: bool = False,
        largest: int = 0,
    ) -> Callable[[Function], Function]:
        """Declares a tool; its docstring is the description.

        `always` loads it with the client's start, otherwise `search_hint` lets the client's tool search find it.  `reads`:
        changes nothing.  `asks_person`: the client asks the person each time.  `repeats`: a second call changes nothing
        more.  `hidden`: for hooks, not for the model.  `as_text`: the answer is prose, without structured content.
        `largest`: characters of an answer, where more than usual is needed.
        """
        meta: dict[str, Any] = {}
        if always:
            meta["anthropic/alwaysLoad"] = True
        if search_hint:
            meta["anthropic/searchHint"] = search_hint
        if asks_person:
            meta["anthropic/requiresUserInteraction"] = True
        if largest:
            meta["anthropic/maxResultSizeChars"] = largest
        if hidden:
            meta["ui"] = {"visibility": ["app"]}

        def declare(function: Function) -> Function:
            made = Tool.from_function(
                function,
                title=title,
                description=inspect.cleandoc(function.__doc__ or ""),
                annotations=ToolAnnotations(
                    title=title,
                    read_only_hint=reads,
                    destructive_hint=asks_person,
                    idempotent_hint=reads or repeats,
                    open_world_hint=False,
                ),
                meta=meta or None,
                structured_output=False if as_text else None,
            )
            made.parameters = lean(made.parameters)
            self.tools.append(made)
            return function

        return declare


def lean(schema: dict[str, Any]) -> dict[str, Any]:
    """The input schema without what tells a model nothing: generated titles, `or null`, empty defaults."""
    properties = {name: _lean_property(part) for name, part in schema.get("properties", {}).items()}
    answer: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required := schema.get("required"):
        answer["required"] = required
    return answer


def _lean_property(part: dict[str, Any]) -> dict[str, Any]:
    part = {key: value for key, value in part.items() if key != "title"}
    choices = [choice for choice in part.pop("anyOf", []) if choice != {"type": "null"}]
    for choice in choices:
        part = {**choice, **part}
    if part.get("default") in ("", None, False, 0):
        part.pop("default", None)
    return part


def one_of(values: Sequence[str], about: str = "") -> Any:  # noqa: ANN401 - what pydantic's Field returns
    """A text field whose schema lists the values.  The service refuses others; the parameter stays a bare `str`."""
    return Field(description=about or None, json_schema_extra={"enum": list(values)})


def about(text: str) -> Any:  # noqa: ANN401 - what pydantic's Field returns
    """A parameter's description."""
    return Field(description=text)
