"""Where people and programs write a password down: calls, SQL, command lines, device configurations, tables, sentences.

The place says that a secret follows; whether what stands there can be one is asked of the word itself, because most of
these places also hold names, questions and placeholders.
"""

from __future__ import annotations

import base64
import binascii
import re

from domain.formats import Rule
from domain.randomness import drawn, like_a_password, placeholder

_NAMED = r"(?:pass(?:word|wd|phrase|code|wort)|(?<![a-z])pass(?![a-z])|pwd|(?<![a-z])pw(?![a-z])|kennwort|secret|token|api_?key)"
_ANCHORS = ("pass", "pwd", "pw", "kennwort", "secret", "token", "apikey", "api_key")
_QUOTED = r"@?[\"']([^\s\"'`]{6,200})[\"']"
_WORD = r"[\"']?([^\s\"'`<>|;,]{4,200})"
_FEWEST_KINDS = 3


def _mixed(word: str) -> bool:
    """Lower case, upper case, digits, signs: three of these, with a digit.  No name of an algorithm has so many."""
    kinds = (any(map(str.islower, word)), any(map(str.isupper, word)), not word.isalnum())
    return like_a_password(word) and any(map(str.isdigit, word)) and sum(kinds) + 1 >= _FEWEST_KINDS


def _has_digit(word: str) -> bool:
    return like_a_password(word) and any(map(str.isdigit, word))


def _is_login(word: str) -> bool:
    """RFC 7617: base64 of a user name, a colon and a password."""
    try:
        said = base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        return False
    return b":" in said and said.isascii()


def _given(word: str) -> bool:
    return not placeholder(word) and not word.startswith(("-", "/", "$", "%", "{"))


def _rule(name: str, anchors: tuple[str, ...], expression: str, check: object = like_a_password, back: int = 0) -> Rule:
    return Rule(name, anchors, re.compile(expression, re.IGNORECASE), back, check)  # type: ignore[arg-type]  # named above


RULES: tuple[Rule, ...] = (
    # code: setPassword("..."), .password("..."), PASSWORD('...')
    _rule(
        "assigned-password",
        _ANCHORS,
        _NAMED + r"[A-Za-z0-9_]{0,16}\(\s{0,4}" + _QUOTED,
    ),
    # code: a type between name and value, comparisons, defaults, #define, @"..." of Objective-C; "name", "value"
    _rule(
        "assigned-password",
        _ANCHORS,
        _NAMED
        + r"[A-Za-z0-9_]{0,16}[\"'`\]]{0,2}(?::? ?[&*]?[A-Za-z][A-Za-z0-9_<>]{0,24})?[ \t]{0,16}(?:===?|!==?|->|\?\?|\|\||:?=|(?<=[ \t]))[ \t]{0,4}"
        + _QUOTED,
    ),
    _rule(
        "assigned-password",
        _ANCHORS,
        _NAMED + r"[A-Za-z0-9_]{0,16}[\"'][ \t]{0,2},[ \t]{0,2}@?[\"']([^\s\"'`]{8,200})[\"']",
        lambda word: _mixed(word) and word[-1].isalnum(),
    ),
    # code: a user name and a password side by side
    _rule(
        "assigned-password",
        ("auth", "login", "credential"),
        r"(?:auth|login|credentials?)[A-Za-z]{0,12}[\"']?\s{0,2}[=(:]{1,2}\s{0,2}[(\[]?\s{0,2}[\"'][^\"'\n]{1,80}[\"']\s{0,2},\s{0,2}[\"']([^\"'\s]{5,200})[\"']",
    ),
    # in a URL or a page
    _rule(
        "assigned-password",
        ("password%3d", "password&quot;", "password%22", "token%3d", "secret%3d"),
        r"(?:password|token|secret)(?:%3D|&quot;:\s?&quot;|%22%3A(?:%20)?%22)([^\s&%\"'<>]{6,200})",
    ),
    _rule("assigned-password", ("<key>",), r"<key>[^<>]{0,40}(?:password|secret|token|apikey)[^<>]{0,20}</key>\s{0,40}<string>([^<>\s]{4,200})</string>", _given),
    # SQL
    _rule("assigned-password", ("identified ", "with password", "password for"), r"(?:identified (?:by|with [a-z0-9_]{1,40} by)(?: password)?|with (?:encrypted )?password|password for [^\s]{1,80} ?=)\s{1,4}[\"']([^\"'\n]{4,200})[\"']", _given),
    _rule("assigned-password", ("insert into",), r"insert into [^()\n]{1,80}\([^()]{0,300}(?:passw|secret|token)[^()]{0,300}\)\s{0,4}values\s{0,4}\([^()]{0,300}?[\"']([^\"'()\s]{6,200})[\"']\s{0,2}\)"),
    # command lines, each with its own option
    _rule("command-line-password", ("docker login", "podman login", "registry login", "buildah login", "skopeo login", "oc login", "az login", "acr login", "mongo"),
        r"(?:docker|podman|registry|buildah|skopeo|oc|az|acr)? ?(?:login|mongo(?:sh|dump|restore|import|export)?)[^\n|;]{0,200}?[ \t](?:-p|--password)[ \t=]{1,2}" + _WORD,
        _has_digit,
    ),
    _rule("command-line-password", ("redis-cli", "ldapsearch", "ldapadd", "ldapmodify", "ldappasswd", "ipmitool", "plink", "pscp", "snmpwalk", "snmpget"), r"(?:redis-cli[^\n|;]{0,160}?[ \t]-a|ldap[a-z]{3,8}[^\n|;]{0,200}?[ \t]-w|ipmitool[^\n|;]{0,160}?[ \t]-P|(?:plink|pscp)[^\n|;]{0,160}?[ \t]-pw|snmp(?:walk|get)[^\n|;]{0,160}?[ \t]-(?:c|A|X))[ \t]{1,4}" + _WORD, _given),
    _rule("command-line-password", ("smbclient", "net rpc", "rpcclient", "mount.cifs"), r"(?:smbclient|net rpc|rpcclient)[^\n|;]{0,160}?[ \t](?:-U|--user)[ \t=]{0,2}[\"']?[^\s%\"']{1,80}%([^\s\"']{4,200})", _given),
    _rule("command-line-password", ("net use",), r"net use [^\n]{1,200}?[ \t]([^\s/\\:\"']{4,100})[ \t]{1,4}/user:"),
    _rule("command-line-password", ("net user ",), r"net user [^\s/]{1,60}[ \t]{1,4}([^\s/]{5,100})[ \t]{1,4}/(?:add|domain|active)"),
    _rule("command-line-password", ("/pass:", "/p:", "-pass:", "-passin", "-passout", "pass:"), r"(?:/(?:pass|p):|-pass(?:in|out)?[ \t]{1,2}pass:)[\"']?([^\s\"']{4,200})", _given),
    _rule("command-line-password", ("htpasswd",), r"htpasswd[ \t]{1,4}-[a-zA-Z]{0,4}b[a-zA-Z]{0,4}[ \t]{1,4}(?:-C \d+ )?[^\s]{1,120}[ \t]{1,4}[^\s]{1,80}[ \t]{1,4}" + _WORD, _given),
    _rule("command-line-password", ("openssl ",), r"openssl[^\n|;]{0,200}?[ \t]-(?:k|K|pass)[ \t]{1,4}" + _WORD, _has_digit),
    _rule("command-line-password", ("-storepass", "-keypass", "-srcstorepass", "-deststorepass"), r"-(?:src|dest)?(?:store|key)pass[ \t]{1,4}" + _WORD, _given),
    _rule("command-line-password", ("convertto-securestring",), r"convertto-securestring[ \t]{1,4}(?:-string[ \t]{1,4})?[\"']([^\"'\n]{4,200})[\"']", _given),
    _rule("command-line-password", ("chpasswd", "passwd --stdin"), r"echo[ \t]{1,4}(?:-n )?[\"']?(?:[^\s:\"'|]{1,60}:)?([^\s\"'|]{4,100})[\"']?[ \t]{0,4}\|[ \t]{0,4}(?:sudo )?(?:chpasswd|passwd --stdin)", _given, 200),
    # devices: IOS, Junos, FortiOS, EdgeOS, RouterOS, wpa_supplicant, hostapd, pppd
    _rule("device-secret", ("snmp-server community", "snmp community", "enable secret", "enable password", "isakmp key", "pre-shared-key", "pre-shared-secret", "psksecret", "key-string", "chap password", "server key", "server-key", "key 7 ", "wpa-psk", "wpa_passphrase", "wpa-passphrase", "psk=", " psk ", "radius secret", "shared-secret", "plain-text-password", "encrypted-password", "authentication-key", "set passwd"), r"(?:snmp(?:-server)? community|enable (?:secret|password)|isakmp key|pre-shared-(?:key|secret)|psksecret|key-string|chap password|server[ -]key|key(?= 7 )|wpa[-_](?:psk|passphrase)|psk|(?:radius|shared)[ -]secret|(?:plain-text|encrypted)-password|authentication-key|set passwd)(?:[ \t]{1,4}(?:ENC|ascii(?:-text)?|hexadecimal|level \d{1,2}|[0-9]))?[ \t]{0,4}[= \t][ \t]{0,4}" + _WORD, lambda word: _given(word) and (like_a_password(word) or len(set(word)) > 11)),  # noqa: PLR2004
    _rule("device-secret", ("username ", "user "), r"user(?:name)? [^\s]{1,60}(?: privilege \d{1,2})? (?:password|secret)(?: [0-9])? " + _WORD, _has_digit),
    # files of settings: redis, kickstart, OpenLDAP, .netrc, .pgpass
    _rule("assigned-password", ("requirepass", "masterauth", "rootpw", "bindpw", "authtok", "sasl_passwd"), r"(?:requirepass|masterauth|rootpw|bindpw|authtok|sasl_passwd)[ \t]{0,4}[=: \t][ \t]{0,4}" + _WORD, _has_digit),
    _rule("assigned-password", ("machine ", "default login"), r"(?:machine\s{1,4}[^\s]{1,120}|default)\s{1,8}login\s{1,4}[^\s]{1,120}\s{1,8}password\s{1,4}([^\s]{3,200})", _given),
    _rule("assigned-password", (":5432:", ":3306:", ":*:"), r"^[A-Za-z0-9.*_-]{1,120}:(?:5432|3306|\*):[^\s:]{1,80}:[^\s:]{1,80}:([^\s:]{4,200})$".replace("^", r"(?:(?<=\n)|^)").replace("$", r"(?=\s|\Z)"), _given, 120),
    # sentences and tables
    _rule("assigned-password", ("pwd is", "pw is", "pass is", "pw ist", "pwd:", "pw:", "pw =", "pw="), r"(?<![a-z])(?:pwd|pw|pass)(?: is| ist|[ \t]{0,2}[:=])[ \t]{1,4}[\"'`]?([^\s\"'`<>,;(){}|]{6,80})", _has_digit),
    _rule("assigned-password", ("login", "user", "admin"), r"(?:login|user(?:name)?|benutzer|account)[: ]{1,3}[^\s/|,;]{2,60}[ \t]{0,2}(?:/|,?[ \t]{1,2}(?:pass(?:word|wort)?|pw|pwd|kennwort))[: \t]{1,3}([^\s\"'`<>,;(){}|]{6,80})", _mixed),
    _rule("assigned-password", ("password", "passwd", "passwort", "kennwort"), r"(?:password|passwd|passwort|kennwort)(?:[ \t]{0,4}\||[ \t]{0,2}\t|…)[ \t]{0,16}`?([^\s\"'`<>,;(){}|]{6,80})", _mixed),
    _rule("assigned-password", ("password ", "passwd ", "passwort ", "kennwort "), r"(?:(?<=\n)|^)[ \t]{0,8}(?:password|passwd|passwort|kennwort)[ \t]{1,8}([^\s\"'`<>,;(){}|]{6,80})[ \t]{0,4}(?=\n|\Z)", _mixed, 9),
    _rule("assigned-password", ("mot de passe", "motdepasse"), r"mot ?de ?passe[ \t]{0,4}(?:=|:|est)[ \t]{0,4}[\"'«]?[ \t]?([^\s\"'`<>,;(){}|]{6,80})"),
    # what second factors and programs are unlocked with
    _rule("totp-seed", ("totp", "otp", "2fa", "mfa", "seed"), r"(?:totp|otp|2fa|mfa|seed)[A-Za-z_ -]{0,16}[\"']?[ \t]{0,2}[:=][ \t]{0,2}[\"']?([A-Z2-7]{4}(?:[ -]?[A-Z2-7]{4}){3,15})(?![A-Za-z0-9])", lambda word: any(map(str.isdigit, word)) and word.isupper()),
    _rule("license-key", ("license", "licence", "product", "activation", "serial", "recovery", "backup"), r"(?:licen[sc]e|product|activation|serial|recovery|backup)[ _-]?(?:key|code|number)s?[\"']?[ \t]{0,4}[:=#][ \t]{0,4}[\"']?([A-Za-z0-9]{4,8}(?:-[A-Za-z0-9]{4,8}){2,7})(?![A-Za-z0-9-])", lambda word: sum(map(str.isdigit, word)) > 1),
    # RFC 7617, and a key as the user of a URL
    _rule("authorization-header", ("basic ",), r"basic[ \t]{1,4}([A-Za-z0-9+/]{8,2000}={0,2})(?![A-Za-z0-9+/=])", _is_login),
    _rule("url-password", ("://",), r"://([A-Za-z0-9_-]{20,200})(?::x-oauth-basic)?@[A-Za-z0-9\[]", lambda word: drawn(word, 2.5)),
)  # fmt: skip
