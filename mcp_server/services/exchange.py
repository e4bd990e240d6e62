"""A short-lived access token for what an OAuth credential holds (RFC 6749, sections 4.4 and 6)."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence

import httpx2

from domain.credentials import Head
from domain.errors import Invalid, Unavailable
from domain.plain import Plain
from domain.recipes import bad_url

_PATIENCE_S = 10.0
_LARGEST = 100_000
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def access_token(head: Head, opened: Mapping[str, Plain], hosts: Sequence[str]) -> Plain:
    """Exchanges the refresh token, or the client secret without one, at the credential's `token_url`.

    The URL must be on an allowed host: what a credential says of itself may have been changed since the recipe was
    approved.  No redirect is followed.  Raises Invalid, Unavailable; nothing that the endpoint says is repeated.
    """
    url = head.open.get("token_url", "")
    wrong = bad_url(hosts, url)
    if not wrong and url.startswith("http:") and httpx2.URL(url).host not in _LOOPBACK:
        wrong = "not https"
    if wrong:
        raise Invalid(
            f"the token endpoint of {head.reference} cannot be asked",
            fields={"token_url": wrong},
            hint=f"claudetools credential show {head.reference}",
        )
    form = {"grant_type": "client_credentials"}
    if "refresh_token" in opened:
        form = {"grant_type": "refresh_token", "refresh_token": opened["refresh_token"].expose()}
    if scopes := head.open.get("oauth_scopes"):
        form["scope"] = scopes
    client_id = head.open.get("oauth_client_id", "")
    secret = opened.get("client_secret")
    if secret is None:
        form["client_id"] = client_id
    try:
        with httpx2.Client(
            verify=ssl.create_default_context(), trust_env=False, follow_redirects=False, timeout=_PATIENCE_S
        ) as client:
            if secret is not None:
                client.auth = httpx2.BasicAuth(client_id, secret.expose())
            answer = client.post(url, data=form, headers={"Accept": "application/json"})
    except (httpx2.HTTPError, ssl.SSLError, OSError):
        raise Unavailable(f"the token endpoint of {head.reference} does not answer", hint="try again later") from None
    token = _token(answer)
    if not token:
        raise Invalid(
            f"the token endpoint of {head.reference} gave no access token (HTTP {answer.status_code})",
            fields={"reference": "a credential that its token endpoint accepts"},
            hint=f"claudetools credential show {head.reference}",
        )
    return Plain(token)


def _token(answer: httpx2.Response) -> str:
    if not answer.is_success or len(answer.content) > _LARGEST:
        return ""
    try:
        said = answer.json()
    except ValueError:
        return ""
    token = said.get("access_token") if isinstance(said, dict) else None
    return token if isinstance(token, str) else ""
