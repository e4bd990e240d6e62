"""docs/tools.md is written from the program.  CLAUDETOOLS_WRITE_DOCS=1 writes it; otherwise it is compared."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mcp.server.mcpserver.tools import Tool

from mcp_server.callers import Door
from mcp_server.server import ToolServer

PAGE = Path(__file__).parents[2] / "docs" / "tools.md"
INTRODUCTION = """\
# Tools

What a model sees of ClaudeTools. `make docs` writes this page from the program.

- A credential is named by its reference, `client/service/name`. Lists give a `next_cursor`; hand it in as `cursor` for
  the next page. Times are ISO 8601 in UTC.
- An error is a result with `is_error` and `{"error": {code, message, hint, retryable, entry}}`; [errors](errors.md) lists
  the codes. It names fields and reasons, never what was handed in. `hint` is the next command to type.
- Every tool but `status` needs a proven agent: the server proves the agent's secret when it starts and acts under a token
  of 15 minutes. A revoked agent is refused at its next call.
- *loaded*: the client loads the tool with its start; the others are found by its tool search. *asks*: the client asks the
  person each time, whatever its permission rules; without a person (`claude -p`) it refuses.
"""


def section(tool: Tool) -> str:
    """One tool of the page."""
    meta, marks = tool.meta or {}, tool.annotations
    said = [
        "loaded" if meta.get("anthropic/alwaysLoad") else "",
        "asks" if meta.get("anthropic/requiresUserInteraction") else "",
        "reads" if marks and marks.read_only_hint else "changes",
        "for the prompt hook, hidden from the model" if "ui" in meta else "",
    ]
    lines = [f"## `{tool.name}`", "", f"*{', '.join(word for word in said if word)}*", "", tool.description, ""]
    properties = tool.parameters["properties"]
    if properties:
        lines += ["| parameter | type | |", "|---|---|---|"]
        required = tool.parameters.get("required", [])
        lines += [row(name, part, needed=name in required) for name, part in properties.items()]
        lines.append("")
    return "\n".join(lines)


def row(name: str, part: dict[str, object], *, needed: bool) -> str:
    """One parameter."""
    kind = str(part.get("type", ""))
    if kind == "array":
        kind = f"list of {part['items'].get('type', 'objects')}s"
    about = [
        "required" if needed else "",
        str(part.get("description", "")),
        "one of " + ", ".join(f"`{value}`" for value in part["enum"]) if "enum" in part else "",
        f"default `{part['default']}`" if "default" in part else "",
    ]
    return f"| `{name}` | {kind} | {'; '.join(word for word in about if word)} |"


def test_the_page_of_tools_says_what_the_program_says(tmp_path: Path) -> None:
    tools = ToolServer(Door(tmp_path)).offered.values()
    page = "\n".join([INTRODUCTION, *(section(tool) for tool in tools)])
    if os.environ.get("CLAUDETOOLS_WRITE_DOCS"):
        PAGE.write_text(page, encoding="utf-8")
    if not PAGE.exists():
        pytest.fail("docs/tools.md is missing: run make docs")
    assert PAGE.read_text(encoding="utf-8") == page, "docs/tools.md is old: run make docs"
