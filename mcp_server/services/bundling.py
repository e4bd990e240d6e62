"""Private keys as programs read them: without a passphrase, or bundled with their certificate (PKCS #12, RFC 7292)."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from domain.credentials import Head
from domain.errors import Invalid
from domain.feeding import PKCS12_PASSPHRASE
from domain.plain import Plain


def bundle(head: Head, opened: Mapping[str, Plain]) -> Plain:
    """A certificate with its chain and its key as one PKCS #12 file.  Raises Invalid where they do not go together."""
    wrong = Invalid(
        f"{head.reference} makes no PKCS #12 file",
        fields={"certificate": "a certificate in PEM that belongs to the private key; its passphrase opens that"},
        hint=f"claudetools credential show {head.reference}",
    )
    passphrase = opened.get("passphrase")
    try:
        certificate, *chain = x509.load_pem_x509_certificates(head.open.get("certificate", "").encode())
        key = load_pem_private_key(
            opened["private_key"].expose_bytes(), passphrase.expose_bytes() if passphrase else None
        )
        if key.public_key() != certificate.public_key():
            raise wrong
        encryption = BestAvailableEncryption(PKCS12_PASSPHRASE.encode())
        return Plain(serialize_key_and_certificates(None, key, certificate, chain, encryption))  # type: ignore[arg-type]  # a key of a certificate
    except (ValueError, TypeError, AttributeError):
        raise wrong from None


def without_passphrase(key: Plain, passphrase: Plain | None) -> Plain:
    """A private key as ssh-add reads it from its input, which asks nobody for a passphrase.  Raises Invalid."""
    if passphrase is None or not passphrase:
        return Plain(key.expose().rstrip("\n") + "\n")
    given, secret = key.expose_bytes(), passphrase.expose_bytes()
    try:
        load = load_ssh_private_key if b"BEGIN OPENSSH" in given else load_pem_private_key
        made = load(given, secret).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    except (ValueError, TypeError, AttributeError):
        raise Invalid(
            "the private key does not open with its passphrase", fields={"passphrase": "not that key's"}
        ) from None
    return Plain(made)
