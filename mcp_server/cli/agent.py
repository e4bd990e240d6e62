"""`claudetools agent`: the enrolled programs of this vault."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from mcp_server.answers import iso
from mcp_server.cli import acting, ask, show
from mcp_server.config import save_settings, write_private

if TYPE_CHECKING:
    from mcp_server.services.identity import AgentView

app = typer.Typer(help="Agents: the programs that may act for a person.", no_args_is_help=True, add_completion=False)


@app.command("list")
def list_(*, json: show.Json = False) -> None:
    """List every agent, revoked ones included."""
    with acting.logged_in() as (vault, actor):
        agents = vault.identity.agents(actor)
        own = vault.settings.agent_id
    if json:
        show.as_json({"items": [_as_json(one, own) for one in agents]})
        return
    show.table(
        ("agent", "for", "machine", "state", "since", "here"),
        (
            (
                one.name,
                one.owner,
                one.machine,
                one.state,
                show.day(one.created_us),
                "yes" if one.agent_id == own else "",
            )
            for one in agents
        ),
        empty="no agents",
    )


@app.command()
def enroll(
    name: Annotated[str, typer.Argument(help="Letters, digits and hyphens.")],
    *,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="A right; may be repeated.  Else all of an agent's.")
    ] = None,
    use: Annotated[bool, typer.Option("--use/--no-use", help="Let this machine's server act as it.")] = True,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Enrol an agent of yours on this machine, or bring a revoked one back with a new secret.  Asks for your password."""
    with acting.at_the_terminal("enrolling an agent", password_file) as (vault, actor):
        if scope:
            view, secret = vault.identity.enroll(actor, name, scopes=frozenset(scope))
        else:
            view, secret = vault.identity.enroll(actor, name)
        settings = replace(vault.settings, agent_name=view.name, agent_id=view.agent_id)
        write_private(settings.agent_secret_file, secret.expose())
        if use:
            save_settings(settings)
    if json:
        show.as_json(
            {**_as_json(view, settings.agent_id if use else ""), "secret_file": str(settings.agent_secret_file)}
        )
        return
    print(f"enrolled {view.name} for {show.clean(view.owner)} on {show.clean(view.machine)}")
    show.note(f"its secret: {settings.agent_secret_file}")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The agent's name or id.")],
    *,
    json: show.Json = False,
) -> None:
    """Shut an agent out.  It is refused at its next call."""
    with acting.logged_in() as (vault, actor):
        view = vault.identity.revoke(actor, name)
        own = vault.settings.agent_id
    if json:
        show.as_json(_as_json(view, own))
        return
    print(f"revoked {view.name} on {show.clean(view.machine)}")


def _as_json(one: AgentView, own: str) -> dict[str, object]:
    return {
        "id": one.agent_id,
        "name": one.name,
        "owner": one.owner,
        "machine": one.machine,
        "state": one.state,
        "scopes": list(one.scopes),
        "created_at": iso(one.created_us),
        "revoked_at": iso(one.revoked_us),
        "here": one.agent_id == own,
    }
