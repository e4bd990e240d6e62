"""Holding a server to one certificate."""

from __future__ import annotations

from dataclasses import replace

from domain.errors import Conflict, Invalid
from mcp_server.bootstrap.hooks_settings import write_hooks_settings
from mcp_server.bootstrap.opening import address_of
from mcp_server.bootstrap.reaching import knock
from mcp_server.config import Settings, save_settings
from storage.address import parse_address


def pinned(url: str, fingerprint: str) -> str:
    """The URL of a database with the certificate that its server must show.  Raises Invalid."""
    if not fingerprint:
        return url
    if "://" not in url:
        raise Invalid(
            "a fingerprint goes with the URL of a database", hint="--database URL --server-fingerprint SHA256"
        )
    address = parse_address(url, base="")
    plain = address.changed(tls=True, ca="", fingerprint="").url
    sign = "&" if "?" in plain else "?"
    return parse_address(f"{plain}{sign}tls_fingerprint={_digits(fingerprint)}", base="").url


def pin(settings: Settings, fingerprint: str) -> Settings:
    """Holds this installation's server to a certificate from now on, once it was seen there.  Raises Invalid, Unavailable."""
    if settings.is_embedded:
        raise Conflict("this vault is a file on this machine; there is no server", hint="claudetools doctor")
    changed = replace(settings, database=pinned(address_of(settings).url, fingerprint))
    knock(address_of(changed))
    save_settings(changed)
    write_hooks_settings(changed)
    return changed


def _digits(text: str) -> str:
    """A fingerprint as it is copied from openssl: `sha256 Fingerprint=AA:BB:...`."""
    digits = text.rpartition("=")[2].replace(":", "").strip().lower()
    if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):  # noqa: PLR2004  # SHA-256 in hex
        raise Invalid(
            "that is no fingerprint of a certificate",
            fields={"fingerprint": "64 hexadecimal digits, colons between them or not"},
        )
    return digits
