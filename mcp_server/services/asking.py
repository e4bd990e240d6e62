"""A request over HTTP that carries a credential: made here, so that no program is given it."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import httpx2

from domain.asking import refused_address, url_of
from domain.errors import Denied, Invalid, Unavailable
from domain.plain import Plain
from domain.recipes import Recipe
from mcp_server.services.running import KEPT_BYTES, Ended

_TOLD = ("content-type", "location", "retry-after", "www-authenticate", "allow", "x-request-id")
"""Headers that are told: what says how it went.  Others may hold cookies and tokens of the server's own."""
_NO_ANSWER = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes: its URL, and the one address that was looked up and found well."""

    method: str
    url: str
    host: str
    address: str
    authority: str = ""


def place_of(recipe: Recipe, words: Mapping[str, str]) -> Place:
    """Where a recipe's request goes.  Raises Invalid for a URL that is not allowed, Denied for an address, Unavailable."""
    url, wrong = url_of(recipe, words)
    if wrong:
        raise Invalid(f"the URL of {recipe.name} cannot be asked", fields={"argv": f"the URL {wrong}"})
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unavailable("the host of that URL is not known", hint="try again later") from None
    addresses = [str(one[4][0]).partition("%")[0] for one in found]
    bracketed = f"[{host}]" if ":" in host else host
    for address in addresses:
        if reason := refused_address(recipe.hosts, bracketed, ipaddress.ip_address(address)):
            raise Denied(
                f"the host of that URL {reason}",
                hint=f"a person can list it: claudetools recipe show {recipe.name}",
            )
    authority = recipe.argv[3] if len(recipe.argv) > 2 else ""  # noqa: PLR2004  # --cacert FILE
    return Place(recipe.argv[0], url, host, addresses[0], authority)


def ask(place: Place, headers: Mapping[str, Plain], body: Plain | None, *, seconds: float) -> Ended:
    """Makes the request, to that very address, and follows no redirect.  Raises Invalid for a value that fits in no header.

    The code is 0 where the answer is a success, else its status; 1 without an answer.
    """
    begun = time.monotonic()
    for name, value in headers.items():
        if not value.expose().isprintable() or not value.expose().isascii():
            raise Invalid("a value cannot stand in a header", fields={f"header:{name}": "printable ASCII, one line"})
    try:
        context = ssl.create_default_context(cafile=place.authority or None)
    except (OSError, ssl.SSLError):
        raise Invalid("the authority's file cannot be read", fields={"--cacert": "a PEM file"}) from None
    out, dropped, status, stopped = b"", 0, 0, False
    why = "no answer"
    try:
        with (
            httpx2.Client(verify=context, trust_env=False, follow_redirects=False, timeout=seconds) as client,
            client.stream(
                place.method,
                _by_number(place),
                headers={
                    "Host": urlsplit(place.url).netloc,
                    "Accept-Encoding": "identity",
                    **{name: value.expose() for name, value in headers.items()},
                },
                content=body.expose_bytes() if body is not None else None,
                extensions={"sni_hostname": place.host},
            ) as answer,
        ):
            status = answer.status_code
            out, dropped, stopped = _read(answer, begun + seconds)
    except (httpx2.HTTPError, ssl.SSLError, OSError) as error:
        # What the library says may repeat the request.
        stopped = isinstance(error, httpx2.TimeoutException)
        why = "no answer in time" if stopped else f"no answer ({type(error).__name__})"
        if "CERTIFICATE" in str(error).upper():
            why = "the server's certificate is not trusted: --cacert FILE names an authority of one's own"
    taken = time.monotonic() - begun
    if not status:
        return Ended(_NO_ANSWER, taken, stopped, b"", f"{why}\n".encode(), 0)
    return Ended(0 if status < 300 else status, taken, stopped, out, b"", dropped)  # noqa: PLR2004  # success (RFC 9110)


def _by_number(place: Place) -> str:
    parts = urlsplit(place.url)
    number = f"[{place.address}]" if ":" in place.address else place.address
    return urlunsplit(parts._replace(netloc=f"{number}:{parts.port}" if parts.port else number, fragment=""))


def _read(answer: httpx2.Response, until: float) -> tuple[bytes, int, bool]:
    told = [f"HTTP {answer.status_code} {answer.reason_phrase}"]
    told += [f"{name}: {answer.headers[name]}" for name in _TOLD if name in answer.headers]
    head = ("\n".join(told) + "\n\n").encode()
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        return head + b"(the body is compressed, so that it cannot be masked: left out)\n", 0, False
    body, dropped = bytearray(), 0
    # As it comes, not in pieces of one size: a server that sends a byte now and then would not be stopped at the limit.
    for chunk in answer.iter_raw():
        room = KEPT_BYTES - len(body)
        body += chunk[:room]
        dropped += max(0, len(chunk) - room)
        if time.monotonic() > until:
            return head + bytes(body), dropped, True
    return head + bytes(body), dropped, False
