"""HTTP recipes: a request that the product makes itself and puts the credential into, instead of a program.

In such a recipe the program is `http`, the arguments are a method and a URL (and `--cacert FILE` for an authority of one's
own), and the feeds go into headers and the body.  A value stands in no URL: servers write those into their logs.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from domain.hosts import HTTP, allows
from domain.recipes import PLACEHOLDER, Feed, Recipe, bad_url

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_OWN_HEADERS = frozenset(
    {
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "accept-encoding",
        "upgrade",
        "te",
        "trailer",
        "expect",
    }
)
"""What the request itself needs; a recipe that set them could make a server read it otherwise."""
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")  # token of RFC 9110, section 5.6.2
_WITH_AUTHORITY = 4

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_http(recipe: Recipe) -> bool:
    """Whether the product makes the request itself."""
    return recipe.program == HTTP


def check_form(recipe: Recipe, wrong: dict[str, str]) -> None:
    """Adds what is wrong with an HTTP recipe's arguments and feeds."""
    argv = recipe.argv
    if len(argv) not in (2, _WITH_AUTHORITY) or argv[0] not in METHODS:
        wrong["argv"] = "a method (" + ", ".join(METHODS) + ") and a URL; then --cacert FILE, if need be"
    elif len(argv) == _WITH_AUTHORITY and (argv[2] != "--cacert" or not argv[3].startswith("/")):
        wrong["argv"] = "--cacert and the whole path of a file"
    elif not _may_be_asked(argv[1], recipe):
        wrong["argv"] = "the URL begins with https:// (http:// to this machine alone), or is a gap of the kind url"
    if not recipe.hosts:
        wrong["hosts"] = "needed: where the request may go"
    into = [feed.into.lower() for feed in recipe.feeds]
    if len(set(into)) != len(into):
        wrong["feeds"] = "each header once"
    for feed in recipe.feeds:
        if reason := _bad_feed(feed):
            wrong["feeds"] = reason


def _may_be_asked(url: str, recipe: Recipe) -> bool:
    only = PLACEHOLDER.fullmatch(url)
    if only:
        gap = recipe.gaps.get(only[1])
        return only[1] == "url" or (gap is not None and gap.kind == "url")
    return url.startswith(("https://", *(f"http://{host}" for host in LOOPBACK)))


def _bad_feed(feed: Feed) -> str:
    into, _, name = feed.into.partition(":")
    if feed.into == "body":
        return ""
    if into != "header" or not _HEADER.match(name):
        return "into is header:NAME or body"
    if name.lower() in _OWN_HEADERS or name.lower().startswith("proxy-"):
        return f"{name} is the request's own"
    return ""


def url_of(recipe: Recipe, words: Mapping[str, str]) -> tuple[str, str]:
    """The URL with its gaps filled, and what is wrong with it; text is escaped, so that it stays where its gap stands."""
    raw = {name for name, gap in recipe.gaps.items() if gap.kind in ("url", "host", "port")} | {"url", "host", "port"}

    def put(name: str) -> str:
        text = words.get(name, "")
        return text if name in raw else quote(text, safe="")

    url = PLACEHOLDER.sub(lambda found: put(found[1]), recipe.argv[1])
    if not url.startswith(("https://", *(f"http://{host}" for host in LOOPBACK))):
        return url, "is not https"
    return url, bad_url(recipe.hosts, url)


def refused_address(hosts: Iterable[str], host: str, address: Address) -> str:
    """Why an address that a host's name leads to is not spoken to; empty where it is.

    A private address is one that the recipe lists by the name or number of its host, not one behind a `*`: whoever may
    change the names of a domain could point one at another server of the same network.  Link-local addresses, where
    clouds keep their own keys, must be listed by number.
    """
    numbered = {one.strip("[]") for one in hosts}
    if str(address) in numbered:
        return ""
    if address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved:
        return "leads to a link-local or special address"
    named = [one for one in hosts if not one.startswith("*")]
    if not address.is_global and not any(allows([re.sub(r":\d{1,5}\Z", "", one)], host) for one in named):
        return "leads to a private address, and is listed with a * alone"
    return ""
