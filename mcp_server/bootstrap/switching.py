"""Gives this machine other accounts on its database server."""

from __future__ import annotations

from domain.plain import Plain
from mcp_server.bootstrap.database import keep_accounts
from mcp_server.bootstrap.hooks_settings import write_hooks_settings
from mcp_server.bootstrap.opening import address_of
from mcp_server.bootstrap.reaching import reach
from mcp_server.config import Settings


def switch(settings: Settings, name: str, password: Plain, hooks: str, hooks_password: Plain | None) -> Settings:
    """Tries both accounts, then keeps them.  Raises Invalid or Unavailable where one is not let in."""
    address = address_of(settings).changed(user=name, password_file="")
    reach(address, password, None)
    if hooks and hooks_password is not None:
        reach(address.changed(user=hooks), hooks_password, None)
    settings = keep_accounts(settings, address, password, hooks, hooks_password or Plain(""))
    write_hooks_settings(settings)
    return settings
