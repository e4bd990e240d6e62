"""Files that are encrypted for a person: the age format (age-encryption.org/v1), by pyrage.  Bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Sequence

from domain.errors import Denied, Invalid
from domain.plain import Plain

_RECIPIENT = "age1"
_IDENTITY = "AGE-SECRET-KEY-"
SHORTEST_PASSPHRASE = 12


def encrypted(raw: bytes, recipients: Sequence[str] = (), passphrase: Plain | None = None) -> bytes:
    """Encrypts for these recipients, or with a passphrase.  Raises Invalid for a recipient that is none."""
    import pyrage

    if passphrase is not None:
        if len(passphrase) < SHORTEST_PASSPHRASE:
            raise Invalid(
                f"that passphrase is too short: who has the file can try them all; at least {SHORTEST_PASSPHRASE} characters",
                fields={"passphrase": f"at least {SHORTEST_PASSPHRASE} characters"},
            )
        return bytes(pyrage.passphrase.encrypt(raw, passphrase.expose()))
    try:
        made = [pyrage.x25519.Recipient.from_str(one.strip()) for one in recipients]
    except pyrage.RecipientError:
        raise Invalid(
            "that is no recipient of age", fields={"--age-recipient": f"begins with {_RECIPIENT}; age-keygen shows it"}
        ) from None
    if not made:
        raise Invalid("for whom is the file to be encrypted", fields={"--age-recipient": "needed, or --passphrase"})
    return bytes(pyrage.encrypt(raw, made))


def opened(raw: bytes, identities: str = "", passphrase: Plain | None = None) -> bytes:
    """Opens with the identities of an age-keygen file, or with a passphrase.

    Raises Denied where they do not open it or it was altered: age does not say which, Invalid for a file without identity.
    """
    import pyrage

    try:
        if passphrase is not None:
            return bytes(pyrage.passphrase.decrypt(raw, passphrase.expose()))
        lines = [line.strip() for line in identities.splitlines() if line.strip().startswith(_IDENTITY)]
        if not lines:
            raise Invalid(
                "that file holds no identity of age", fields={"--identity": f"a file with a line {_IDENTITY}..."}
            )
        return bytes(pyrage.decrypt(raw, [pyrage.x25519.Identity.from_str(line) for line in lines]))
    except pyrage.IdentityError:
        raise Invalid("that identity of age is damaged", fields={"--identity": "copy it again"}) from None
    except pyrage.DecryptError:
        how = (
            "that passphrase does not open the file"
            if passphrase is not None
            else "that identity does not open the file"
        )
        other = "or it is not locked by a passphrase" if passphrase is not None else "or it is locked by a passphrase"
        raise Denied(f"{how}, {other}, or it was altered", hint="--identity FILE, or its passphrase") from None
