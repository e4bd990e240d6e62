"""Hosts, and patterns of hosts: where a program may be sent to."""

from __future__ import annotations

import re
from collections.abc import Iterable

HTTP = "http"
"""In place of a program: the product makes the request itself (domain.asking)."""
HOST = re.compile(
    r"(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(?::\d{1,5})?\Z|\[[0-9A-Fa-f:]+\](?::\d{1,5})?\Z"
)


def allows(hosts: Iterable[str], host: str) -> bool:
    """Whether a host, or host:port, is among these patterns.  `db.example` allows every port of it."""
    host = host.lower()
    if not HOST.match(host) or host.startswith("*"):
        return False
    bare = re.sub(r":\d{1,5}\Z", "", host) if not host.endswith("]") else host
    for pattern in hosts:
        with_port = re.search(r":\d{1,5}\Z", pattern) and not pattern.endswith("]")
        subject = host if with_port else bare
        if pattern.startswith("*."):
            if subject.endswith(pattern[1:]) and len(subject) > len(pattern) - 1:
                return True
        elif subject == pattern:
            return True
    return False
