"""Recognising credentials that the vault does not hold: by their published formats and by what they are assigned to.

The bulk of the known formats is betterleaks' (an engine kept as a dependency, loaded when first needed).  What it misses
or leaves out as too rare is here: formats that vendors publish, and the forms in which people and programs write a
credential down: headers, URLs, connection strings, command lines, `key = value`.

Each rule has anchors, fixed words that must be there; one pass of Aho-Corasick finds them, and the rule's expression
is tried at those places alone.  All expressions have bounded repetition: no text makes them slow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Protocol, cast

import ahocorasick_rs

Found = tuple[int, int, str]
"""Start, end and rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`expression` is tried `back` characters before each of its `anchors` (lower case) and further on; its group 1, where
    it has one, is the secret, else the whole match."""  # noqa: D209, D205

    name: str
    anchors: tuple[str, ...]
    expression: re.Pattern[str]
    back: int = 0


def _token(name: str, anchor: str | tuple[str, ...], expression: str, back: int = 0, *, fold: bool = False) -> Rule:
    anchors = (anchor,) if isinstance(anchor, str) else anchor
    flags = re.IGNORECASE if fold else 0
    return Rule(name, tuple(a.lower() for a in anchors), re.compile(expression, flags), back)


_START = r"(?<![A-Za-z0-9])"
_END = r"(?![A-Za-z0-9])"
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_WORD = r"[A-Za-z0-9]"
_WORDY = r"[A-Za-z0-9_-]"

TOKENS: tuple[Rule, ...] = (
    # RFC 7468, RFC 4253 (ssh), OpenPGP (RFC 9580), PuTTY
    _token(
        "private-key",
        "-----begin ",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----)[\s\S]){0,20000}(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?",
    ),
    _token("private-key", "ls0tls1crudjti", r"LS0tLS1CRUdJTi[A-Za-z0-9+/=\s]{40,20000}"),
    _token("private-key", "private-lines:", r"Private-Lines: [0-9]{1,3}\s{1,2}([A-Za-z0-9+/=\r\n]{40,8000})"),
    _token("age-secret-key", "age-secret-key-", r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Za-z]{20,120}"),
    # RFC 7519: header and claims are base64url of JSON objects
    _token("jwt", "eyj", _START + r"eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,12000}(?:\.[A-Za-z0-9_-]{0,4000}){0,3}"),
    # crypt(5), PHC string format, Kerberos hashes
    _token(
        "password-hash",
        tuple(
            f"${k}$"
            for k in (
                "1",
                "2a",
                "2b",
                "2x",
                "2y",
                "5",
                "6",
                "7",
                "8",
                "9",
                "y",
                "gy",
                "apr1",
                "scrypt",
                "argon2i",
                "argon2d",
                "argon2id",
            )
        )
        + ("$pbkdf2", "$krb5", "{ssha"),
        r"(?:\$(?:1|2[abxy]|5|6|7|8|9|y|gy|apr1|scrypt|argon2(?:i|d|id)|pbkdf2[a-z0-9-]{0,12}|krb5[a-z]{2,8})\$|\{SSHA[0-9]{0,3}\})[./A-Za-z0-9$=,+*:@_-]{20,6000}",
        fold=True,
    ),
    # AWS IAM identifiers
    _token("aws-key-id", ("akia", "asia", "abia", "acca"), _START + r"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}" + _END),
    _token("amazon-mws-token", "amzn.mws.", r"amzn\.mws\." + _UUID),
    _token("azure-ad-secret", "q~", r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}", 4),
    _token(
        "azure-devops-token",
        ("azdo", "acdb"),
        r"(?<![A-Za-z0-9])[A-Za-z0-9]{52}[A-Za-z0-9]{22,24}A(?:ZDO|CDB)[A-Za-z0-9]{4,6}" + _END,
        80,
    ),
    _token("google-token", "ya29.", r"ya29\.[A-Za-z0-9_-]{20,2000}"),
    _token("google-token", "apa91b", r"(?:[A-Za-z0-9_-]{7,11}:)?APA91b[A-Za-z0-9_-]{20,200}", 12),
    _token("google-token", ("gocspx-", "aiza"), r"(?:GOCSPX-[A-Za-z0-9_-]{20,40}|AIza[A-Za-z0-9_-]{35})"),
    _token("google-service-account", '"private_key_id"', r'"private_key_id"\s{0,4}:\s{0,4}"([0-9a-f]{40})"'),
    _token("anthropic-key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{20,200}"),
    _token("openai-key", "sk-", _START + r"sk-(?:proj-|svcacct-|admin-|or-v1-|lf-|None-)?[A-Za-z0-9_-]{32,220}"),
    _token("supabase-key", ("sb_secret_", "sbp_"), r"(?:sb_secret_[A-Za-z0-9_-]{20,60}|sbp_[A-Za-z0-9_]{32,60})"),
    _token(
        "doppler-token",
        "dp.",
        _START + r"dp\.(?:pt|st|ct|sa|scim|audit|said)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}",
    ),
    _token(
        "circleci-token", ("ccipat_", "ccipra_", "ccipra-"), r"CCIP(?:AT|RA)[_-][A-Za-z0-9]{20,24}_[A-Fa-f0-9a-z]{40}"
    ),
    _token("hubspot-token", "pat-", _START + r"pat-(?:na|eu|ap)[0-9]-" + _UUID),
    _token("maxmind-key", "_mmk", _START + r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk", 40),
    _token("nuget-key", "oy2", _START + r"oy2[a-z0-9]{43}" + _END),
    _token(
        "pubnub-key",
        ("pub-c-", "sub-c-", "sec-c-"),
        _START + r"(?:pub|sub)-c-" + _UUID + r"|sec-c-[A-Za-z0-9+/=]{40,80}",
    ),
    _token(
        "square-token", ("sq0", "eaaa"), _START + r"(?:sq0(?:idp|atp|csp)-[A-Za-z0-9_-]{22,43}|EAAA[A-Za-z0-9_-]{60})"
    ),
    _token("tailscale-key", "tskey-", r"tskey-[a-z]{2,12}-[A-Za-z0-9]{6,20}-[A-Za-z0-9]{4,60}"),
    _token(
        "newrelic-key",
        ("nrak-", "nrii-", "nrjs-", "nriq-", "nrra-", "nrsp-"),
        r"NR(?:AK|II|JS|IQ|RA|SP)-[A-Za-z0-9_-]{19,36}",
    ),
    _token("newrelic-key", "nral", _START + r"[a-z0-9]{36}NRAL", 36),
    _token("salesforce-session", "00d", _START + r"00D[A-Za-z0-9]{12,15}![A-Za-z0-9._]{60,200}"),
    _token(
        "slack-token",
        ("xox", "xapp-", "xwfp-"),
        r"(?:xox[abceoprs]|xapp|xwfp)(?:\.xox[bp])?-[A-Za-z0-9/-]{20,300}",
        fold=True,
    ),
    _token(
        "webhook-url",
        (
            "hooks.slack.com/",
            "webhook.office.com/",
            "outlook.office.com/",
            "/api/webhooks/",
            "/hooks/",
            "hooks.zapier.com/",
            "chat.googleapis.com/",
        ),
        r"https?://[A-Za-z0-9.:-]{3,200}/(?:services|workflows|triggers|webhook|webhookb2|api/webhooks|hooks|hooks/catch|v1/spaces)/[A-Za-z0-9@/_?=&%.+-]{20,400}",
        220,
    ),
    _token("telegram-token", ":aa", r"(?<![0-9A-Za-z])[0-9]{8,10}:AA[A-Za-z0-9_-]{32,33}(?![A-Za-z0-9_-])", 11),
    _token(
        "sourcegraph-token",
        ("sgp_", "slk_"),
        _START + r"(?:sgp_(?:[a-f0-9]{16}_|local_)?[a-f0-9]{40}|slk_[a-f0-9]{64})",
    ),
    _token("replicate-token", "r8_", _START + r"r8_[A-Za-z0-9]{37,48}"),
    _token("twitch-token", "live_", _START + r"live_[0-9]{6,12}_[A-Za-z0-9]{24,36}"),
    _token("voyage-key", "pa-", _START + r"pa-[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"),
    _token("resend-key", "re_", _START + r"re_[A-Za-z0-9]{8}_[A-Za-z0-9_]{20,30}"),
    _token("clickup-token", "pk_", _START + r"pk_[0-9]{4,10}_[A-Z0-9]{28,34}"),
    _token("ubidots-token", "bbff-", r"BBFF-[A-Za-z0-9]{30,36}"),
    _token("clickhouse-key", "4b1d", _START + r"4b1d[A-Za-z0-9]{38}" + _END),
    _token("alibaba-key", ("ltai", "sts.nt"), _START + r"(?:LTAI[A-Za-z0-9]{17,26}|STS\.NT[A-Za-z0-9]{14,40})" + _END),
    _token(
        "github-token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"(?:gh[opusr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{36,255})",
    ),
    _token("gitlab-token", "gl", _START + r"gl(?:pat|ptt|rt|cbt|dt|ft|soat|imt|agent|oas|ffct)-[A-Za-z0-9_=.-]{20,80}"),
)

# prefix_BODY and prefix-BODY tokens of vendors whose prefix says what they are; the body is checked for randomness.
_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"[a-z]{2,8}_(?:live|test|prod|sandbox|secret|key|pat|api|auth|sk|id|at|rt)_"
    r"|(?:live|test|prod)_(?:auth|secret|sk|key|pk)_"
    r"|(?:aio|odt|cfxk|shltm|flb|ion|hf|gsk|npm|nfp|rpa|nvapi|pplx|xai|phc|phx|lin|figd|dop|doo|dor|glsa|glc|ntn|secret|whsec|shpat|shpca|shppa|shpss|sntrys|sntryu|dckr|tfp|pul|rdme|vcp|vck|sl|exa|key|tok|token|api|apikey|pat|sk|rk|ak)_"
    r"|(?:CFPAT|PMAK|ico|key|sk|ak|pat|token|secret|nvapi|pplx|dckr|dckr_pat|xkeysib|xsmtpsib|FLWSECK|EZAK|EZTK|dapi|pul|dt0c01|dt0s01)-"
    r")([A-Za-z0-9_-]{16,120})(?![A-Za-z0-9])",
)


_AHEAD = 500  # characters after its anchor in which a rule that looks back may end


def find(text: str, *, engine: bool = True) -> Iterator[Found]:
    """Everything in the text that is recognised as a credential; spans may overlap."""
    flat = text.encode("ascii", "replace").lower()
    search, owners = _anchors()
    done: dict[int, int] = {}
    for number, start, _ in search.find_matches_as_indexes(flat, overlapping=True):
        for place in owners[number]:
            rule = _ALL[place]
            at = max(done.get(place, 0), start - rule.back)
            match = (
                rule.expression.search(text, at, start + _AHEAD) if rule.back else rule.expression.match(text, start)
            )
            if match is None or (rule.back and match.start() > start):
                continue
            group = 1 if rule.expression.groups else 0
            done[place] = match.end()
            yield match.start(group), match.end(group), rule.name
    if engine:
        yield from _engine(text)


_ALL = TOKENS


@cache
def _anchors() -> tuple[ahocorasick_rs.BytesAhoCorasick, list[list[int]]]:
    words: dict[str, list[int]] = {}
    for place, rule in enumerate(_ALL):
        for anchor in rule.anchors:
            words.setdefault(anchor, []).append(place)
    return ahocorasick_rs.BytesAhoCorasick([word.encode() for word in words]), list(words.values())


def entropy(word: str) -> float:
    """Shannon's entropy of the word's characters, in bits a character."""
    size = len(word)
    return -sum((n := word.count(c)) / size * math.log2(n / size) for c in set(word)) if word else 0.0


# --- the engine ------------------------------------------------------------------------------------------------------


class _Binding(Protocol):
    def scan_string(self, content: str) -> dict[str, list[dict[str, dict[str, str]]] | None]: ...


@cache
def _binding() -> _Binding:
    """The engine; importing it costs 25 ms, its rules 30 ms and 25 MB, once in a process and only where text is struck."""
    from betterleaks._lib import get_binding

    return cast(_Binding, get_binding())


_SLUG = re.compile(r"[^a-z0-9-]+")
_SHORTEST = 6
# A comment that switches the engine off for its line must not protect a secret; NUL ends the engine's input.
_HUSH = re.compile(r"(?i)(leaks):(allow)")
_HUSHED = str.maketrans({"\0": " "})


def _engine(text: str) -> Iterator[Found]:
    """What the engine recognises: each secret that it names, wherever the text holds it."""
    seen = _HUSH.sub(r"\1 \2", text.translate(_HUSHED)) if "\0" in text or "eaks:" in text else text
    found = _binding().scan_string(seen.encode("utf-8", "replace").decode()).get("data") or []
    secrets = {(str(each["match"]["value"]), str(each["rule_id"])) for each in found}
    for secret, rule in sorted(secrets):
        if len(secret) < _SHORTEST:
            continue
        name = _SLUG.sub("-", rule.lower())[:60]
        at = text.find(secret)
        while at >= 0:
            yield at, at + len(secret), name
            at = text.find(secret, at + len(secret))
