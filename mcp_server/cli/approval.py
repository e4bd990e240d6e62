"""`claudetools approval`: one-time codes and another person's yes, for credentials whose rules ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from domain.approvals import MINUTES, MOST_MINUTES
from mcp_server.answers import iso
from mcp_server.cli import acting, ask, show

if TYPE_CHECKING:
    from mcp_server.services.approvals import Shown

app = typer.Typer(
    help="What persons let each other, and themselves, do with a credential for a while.",
    no_args_is_help=True,
    add_completion=False,
)

Reference = Annotated[str, typer.Argument(help="The credential: client/service/name.")]
Minutes = Annotated[int, typer.Option("--minutes", help=f"How long it holds, up to {MOST_MINUTES}.")]
Purpose = Annotated[str, typer.Option("--purpose", help="What it is for; stands in the audit log.")]


@app.command("step-up")
def step_up(
    reference: Reference,
    *,
    minutes: Minutes = MINUTES,
    purpose: Purpose = "",
    password_file: ask.PasswordFile = None,
    code_file: ask.CodeFile = None,
    json: show.Json = False,
) -> None:
    """Show a one-time code, so that you and your agents may use a credential whose rules ask for a step-up.

    Asks for your password and a code of your second factor (claudetools factor add); refuses under Claude Code.
    """
    with acting.at_the_terminal("a step-up", password_file) as (vault, actor):
        code = ask.code(code_file)
        _told(vault.approvals.step_up(actor, reference, code, minutes=minutes, purpose=purpose), as_json=json)


@app.command()
def give(
    reference: Reference,
    *,
    to: Annotated[str, typer.Option("--for", metavar="NAME", help="The other person, whose agents may use it too.")],
    minutes: Minutes = MINUTES,
    purpose: Purpose = "",
    password_file: ask.PasswordFile = None,
    code_file: ask.CodeFile = None,
    json: show.Json = False,
) -> None:
    """Let another person use a credential whose rules ask for approval.

    Asks for your password, and for a one-time code where you have a second factor; refuses under Claude Code.
    """
    with acting.at_the_terminal("an approval", password_file) as (vault, actor):
        code = ask.code(code_file) if vault.approvals.needs_code(actor) else ""
        made = vault.approvals.give(actor, reference, to, code=code, minutes=minutes, purpose=purpose)
        _told(made, as_json=json)


@app.command("list")
def list_(*, json: show.Json = False) -> None:
    """List what holds now."""
    with acting.logged_in() as (vault, actor):
        found = vault.approvals.open(actor)
    if json:
        show.as_json({"items": [_facts(one) for one in found]})
        return
    show.table(
        ("id", "credential", "for", "by", "until"),
        (
            (
                one.approval.approval_id,
                one.reference,
                one.person,
                "a one-time code" if one.approval.kind == "step_up" else one.by,
                show.moment(one.approval.until_us),
            )
            for one in found
        ),
    )


@app.command()
def withdraw(
    approval_id: Annotated[str, typer.Argument(metavar="ID", help="As `approval list` shows it.")],
    *,
    json: show.Json = False,
) -> None:
    """End an approval now: your own, one that you gave, or as an owner any."""
    with acting.logged_in() as (vault, actor):
        done = vault.approvals.withdraw(actor, approval_id)
    if json:
        show.as_json(_facts(done))
        return
    print(f"ended: {done.person} and {show.clean(done.reference)}")


def _told(made: Shown, *, as_json: bool) -> None:
    if as_json:
        show.as_json(_facts(made))
        return
    until = show.moment(made.approval.until_us)
    print(f"{made.person} and the agents of {made.person} may use {made.reference} until {until}")
    print(f"to end it before: claudetools approval withdraw {made.approval.approval_id}")


def _facts(one: Shown) -> dict[str, object]:
    return {
        "id": one.approval.approval_id,
        "kind": one.approval.kind,
        "credential": one.reference,
        "for": one.person,
        "by": one.by,
        "until": iso(one.approval.until_us),
        "purpose": one.approval.purpose,
    }
