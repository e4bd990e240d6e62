"""A slot's key in the operating system's keyring (Secret Service, Keychain), through the library `keyring`."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from domain.errors import Unavailable
from mcp_server.config import Settings
from mcp_server.keyring import KEY_BYTES

_SERVICE = "claudetools"


def write(settings: Settings, key: bytes) -> None:
    """Keeps the key there.  Raises Unavailable where there is no keyring, or it is locked.

    The one before it is kept beside it: until the slot of the new one is stored, it is what opens the vault.
    """
    kept = read(settings)[:1]
    text = " ".join(base64.b64encode(one).decode() for one in (key, *kept))
    with _told():
        import keyring

        keyring.set_password(_SERVICE, _name(settings), text)
        if keyring.get_password(_SERVICE, _name(settings)) != text:  # one that takes everything and keeps nothing
            raise _none()


def read(settings: Settings) -> list[bytes]:
    """The key, and the one before it; none where none is kept or nobody can be asked for it."""
    with suppress(Unavailable), _told():
        import keyring

        words = (keyring.get_password(_SERVICE, _name(settings)) or "").split()
        with suppress(ValueError):
            return [raw for raw in (base64.b64decode(one, validate=True) for one in words) if len(raw) == KEY_BYTES]
    return []


def forget(settings: Settings) -> None:
    """Removes the key.  Raises Unavailable."""
    with _told():
        import keyring

        keyring.delete_password(_SERVICE, _name(settings))


def _name(settings: Settings) -> str:
    return f"{settings.vault_id}/{settings.machine_id}"


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except Unavailable:
        raise
    except Exception as error:  # each backend raises what its system does
        raise _none() from error


def _none() -> Unavailable:
    return Unavailable(
        "this machine has no keyring that could be used: none is installed, or it is locked, or nobody is logged in there",
        hint="unlock it, or keep the key in its file, or: claudetools keys slots add passphrase",
    )
