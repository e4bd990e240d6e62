"""The rules by which credentials are recognised that the vault does not hold.

Formats that vendors publish, and the places in which people and programs write a credential down: headers, URLs,
connection strings, command lines, `key = value`.  The bulk of the known formats is the engine's (`domain.recognition`).

Each rule has anchors, fixed words that must be there; its expression is tried at those places alone.  All expressions
have bounded repetition: no text makes them slow.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from domain.randomness import drawn, like_a_password, placeholder, random, random_enough


@dataclass(frozen=True, slots=True)
class Rule:
    """`expression` is tried `back` characters before each of its `anchors` (lower case) and further on; its group 1, where
    it has one, is the secret, else the whole match."""  # noqa: D209, D205

    name: str
    anchors: tuple[str, ...]
    expression: re.Pattern[str]
    back: int = 0
    check: Callable[[str], bool] | None = None
    whole: bool = False
    """The group is what is checked, the whole match what is struck."""


def _token(name: str, anchor: str | tuple[str, ...], expression: str, back: int = 0, *, fold: bool = False) -> Rule:
    anchors = (anchor,) if isinstance(anchor, str) else anchor
    flags = re.IGNORECASE if fold else 0
    return Rule(name, tuple(a.lower() for a in anchors), re.compile(expression, flags), back)


_START = r"(?<![A-Za-z0-9])"
_END = r"(?![A-Za-z0-9])"
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_BREAK = r"(?:\s|\\{1,4}[nrt]|[\"',+|>*#])"  # between the lines of a key: written as it is, in JSON, in code, quoted

TOKENS: tuple[Rule, ...] = (
    # RFC 7468, RFC 4253 (ssh), OpenPGP (RFC 9580), PuTTY
    _token(
        "private-key",
        "-----begin ",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        rf"(?:{_BREAK}{{1,8}}+[A-Za-z-]{{2,20}}: [^\r\n\\]{{0,120}}){{0,6}}+"  # Proc-Type, DEK-Info, Version
        rf"(?:{_BREAK}{{0,8}}+[A-Za-z0-9+/=]{{16,}}+){{1,600}}+"
        rf"(?:(?:{_BREAK}{{0,8}}[A-Za-z0-9+/=]{{1,15}}){{0,2}}{_BREAK}{{0,8}}-----END [A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----)?",
    ),
    _token("private-key", "ls0tls1crudjti", r"LS0tLS1CRUdJTi[A-Za-z0-9+/=\s]{40,20000}"),
    _token("private-key", "private-lines:", r"Private-Lines: [0-9]{1,3}\s{1,2}([A-Za-z0-9+/=\r\n]{40,8000})"),
    _token("age-secret-key", "age-secret-key-", r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Za-z]{20,120}"),
    # RFC 7519: header and claims are base64url of JSON objects
    _token("jwt", "eyj", _START + r"eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,12000}(?:\.[A-Za-z0-9_-]{0,4000}){0,3}"),
    # crypt(5), PHC string format, Kerberos hashes
    _token(
        "password-hash",
        (
            "$1$",
            "$2a$",
            "$2b$",
            "$2x$",
            "$2y$",
            "$5$",
            "$6$",
            "$7$",
            "$8$",
            "$9$",
            "$y$",
            "$gy$",
            "$apr1$",
            "$scrypt$",
            "$argon2",
            "$pbkdf2",
            "$krb5",
            "{ssha",
        ),
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

# Vendors whose tokens are `prefix_BODY` or `prefix-BODY` without more structure; the body must look drawn at random.
_PREFIXES = [
    "aio_",
    "odt_",
    "cfxk_",
    "shltm_",
    "flb_",
    "ion_",
    "hf_",
    "gsk_",
    "npm_",
    "nfp_",
    "rpa_",
    "nvapi-",
    "pplx-",
    "xai-",
    "phc_",
    "phx_",
    "lin_api_",
    "figd_",
    "dop_v1_",
    "doo_v1_",
    "dor_v1_",
    "glsa_",
    "glc_",
    "ntn_",
    "secret_",
    "whsec_",
    "shpat_",
    "shpca_",
    "shppa_",
    "shpss_",
    "sntrys_",
    "sntryu_",
    "dckr_pat_",
    "dckr_oat_",
    "tfp_",
    "pul-",
    "rdme_",
    "vcp_",
    "vck_",
    "exa_",
    "ramp_id_",
    "ramp_sec_",
    "cfpat-",
    "pmak-",
    "ico-",
    "ico_",
    "xkeysib-",
    "xsmtpsib-",
    "flwseck-",
    "ezak",
    "ezt",
    "dapi",
    "storecove_",
    "django-insecure-",
    "aik_client_",
    "aik_secret_",
    "sk_live_",
    "sk_test_",
    "pk_live_",
    "pk_test_",
    "rk_live_",
    "rk_test_",
    "ak_live_",
    "ak_test_",
    "live_auth_",
    "test_auth_",
    "live_sk_",
    "test_sk_",
    "_live_",
    "_test_",
    "_prod_",
    "tkn.v1_",
    "sl.",
    "hvs.",
    "hvb.",
    ".atlasv1.",
    "cli_",
]
_PREFIXED = (
    Rule(
        "prefixed-token",
        tuple(each for each in _PREFIXES if not each.startswith("_")),
        re.compile(_START + r"[A-Za-z][A-Za-z0-9]{1,9}(?:[_.-][a-z0-9]{1,8}){0,2}?[_.-]?([A-Za-z0-9_+=-]{16,200})"),
        check=random,
        whole=True,
    ),
    Rule(
        "prefixed-token",
        tuple(each for each in _PREFIXES if each.startswith("_")),
        re.compile(_START + r"[A-Za-z]{2,10}_(?:live|test|prod)_([A-Za-z0-9_+=-]{16,200})"),
        10,
        check=random,
        whole=True,
    ),
)


_KINDS = bytes(
    ord("d") if chr(b).isdigit() else ord("l") if chr(b).islower() else ord("u") if chr(b).isupper() else ord("o")
    for b in range(128)
).ljust(256, b"o")
# Names to which a credential is assigned.
_NAMES = (
    r"pass(?:word|wd|phrase|code)|pwd|secret|token|(?:api|access|private|auth|account|app|client|consumer|encryption|signing|master|session|shared|storage|service|license|licence|subscription|webhook|admin|public|site)[ _.-]?key"
    r"|credentials?|creds|bearer|auth|key|private|access|apikey|sid"
)
_ASSIGNED = (
    # name = "value", name: value, name => value, <name>value</name>, --name value, "name": "value"
    Rule(
        "assigned-secret",
        (
            "password",
            "passwd",
            "passphrase",
            "pwd",
            "secret",
            "token",
            "key",
            "credential",
            "creds",
            "auth",
            "private",
            "access",
            "bearer",
        ),
        re.compile(
            r"(?:"
            + _NAMES
            + r")(?:[A-Za-z0-9_.-]{0,24}[\\\"'`\])>]{0,6}[ \t]{0,16}(?:=>|:=|==?|:|,(?=[ \t]?[\"'`])|\||(?<=>))\s{0,16}|[ \t\r\n-]{1,3})"
            + r"[\\\"'`(\[]{0,4}"
            r"([^\s\"'`<>,;(){}\[\]|\\]{16,400})",
            re.IGNORECASE,
        ),
        check=random_enough,
    ),
    Rule(
        "assigned-password",
        ("pass", "pwd", "secret", "kennwort", "contrase", "senha", "wachtwoord"),
        re.compile(
            r"(?:pass(?:word|wd|phrase|code|wort)|kennwort|contrase(?:n|ñ)a|senha|mot ?de ?passe|wachtwoord|(?<=[_-])pass|pass(?=[\"']?=)|pwd|secret)"
            r"[A-Za-z0-9_.-]{0,16}[\\\"'`\]]{0,4}[ \t]{0,16}(?:=>|:=|=|:)[ \t]{0,16}\\{0,3}"
            r"(?:\"([^\s\"\\]{6,200})\\{0,3}\"|'([^\s']{6,200})'|`([^\s`]{6,200})`|([^\s\"'`<>,;(){}\[\]|$]{6,200}))",
            re.IGNORECASE,
        ),
        check=like_a_password,
    ),
)
# Where the place alone says that the value is secret.
_PLACES = (
    Rule(  # <Pass>, <password encoding="...">
        "assigned-password",
        ("<pass", "<pwd", "<secret", "<token", "<apikey"),
        re.compile(r"<(?:pass(?:word|wd)?|pwd|secret|token|apikey)(?: [^<>]{0,80})?>([^<>\s]{4,200})</", re.IGNORECASE),
        check=lambda word: not placeholder(word),
    ),
    Rule(  # <add key="SmtpPassword" value="..."/>, {"name": "DB_PASSWORD", "value": "..."}
        "assigned-password",
        ("password", "passwd", "secret", "token", "apikey", "api_key"),
        re.compile(
            r"(?:password|passwd|secret|token|api_?key)[A-Za-z0-9_.-]{0,16}\\{0,3}[\"']\s{0,4},?\s{0,16}\\{0,3}[\"']?value\\{0,3}[\"']?\s{0,4}[=:]\s{0,4}\\{0,3}[\"']([^\s\"'<>\\]{4,400})",
            re.IGNORECASE,
        ),
        check=like_a_password,
    ),
    Rule(  # a sentence: the password is "..."
        "assigned-password",
        ("password", "passphrase", "passwort", "kennwort", "passcode"),
        re.compile(
            r"(?:pass(?:word|phrase|code|wort)|kennwort)(?: (?:for|of|von|für) [^\s\"'`]{1,40})? (?:is|was|ist|lautet|to|=)(?: now)?:?[ \t]{1,2}(?:\"([^\s\"]{4,80})\"|'([^\s']{4,80})'|`([^\s`]{4,80})`|([^\s\"'`<>,;(){}\[\]|$]{6,80}))",
            re.IGNORECASE,
        ),
        check=lambda word: like_a_password(word.rstrip(".")) and any(map(str.isdigit, word)),
    ),
    Rule(  # the user of a connection string goes with its password: together they are the login
        "connection-string",
        ("user id", "uid", "userid", "user=", "username="),
        re.compile(
            r"(?<![A-Za-z])(?:user ?id|uid|user(?:name)?)\s{0,2}=\s{0,2}([^;\"'\s&]{1,80})(?=;[^\"'\n]{0,80}?(?<![A-Za-z])(?:password|pwd)\s{0,2}=\s{0,2}[^;\"'\s])",
            re.IGNORECASE,
        ),
    ),
    Rule(
        "command-line-password",
        ("psexec", "connect-viserver"),
        re.compile(
            r"(?:psexec|connect-viserver)[^\n]{0,160}?[ \t]-u(?:ser)?[ \t]{1,4}([^\s;|]{1,100})(?=[ \t]{1,4}-p)",
            re.IGNORECASE,
        ),
    ),
    Rule(
        "command-line-password",
        ("connect-viserver",),
        re.compile(r"connect-viserver[^\n]{0,240}?[ \t]-password[ \t]{1,4}[\"']?([^\s;|\"']{1,100})", re.IGNORECASE),
    ),
    Rule(  # keys that are a part of an address
        "url-key",
        ("/v1/", "/v2/", "/v3/", "/webhook/", "/webhooks/", "/bot", "/hook/"),
        re.compile(
            r"://[^\s\"'<>]{3,200}?/(?:v[0-9]|webhooks?|hook|bot)/(?:[A-Za-z0-9]{8,64}/)?([A-Za-z0-9_-]{20,128})(?![A-Za-z0-9_.-])"
        ),
        200,
        check=lambda word: drawn(word, 2.5),
    ),
    Rule(  # Okta: 00 and 40 characters
        "okta-token",
        ("okta", "ssws"),
        re.compile(
            r"(?:okta|ssws)[\s\S]{0,60}?(?<![A-Za-z0-9_-])(00[A-Za-z0-9_-]{38,42})(?![A-Za-z0-9_-])", re.IGNORECASE
        ),
    ),
    Rule(
        "recaptcha-key",
        ("6lc", "6ld", "6le", "6lf"),
        re.compile(r"(?<![A-Za-z0-9_-])6L[c-f][A-Za-z0-9_-]{37}(?![A-Za-z0-9_-])"),
    ),
    Rule(  # kubeadm's bootstrap tokens
        "kubernetes-token",
        ("bootstrap", "kubeadm", "--token", "token"),
        re.compile(
            r"(?:bootstrap|kubeadm|token)[^\n]{0,80}?(?<![A-Za-z0-9._-])([a-z0-9]{6}\.[a-z0-9]{16})(?![A-Za-z0-9._-])",
            re.IGNORECASE,
        ),
        check=lambda word: any(map(str.isdigit, word)),
    ),
    Rule(  # HashiCorp Vault: shares of the root key
        "vault-unseal-key",
        ("unseal",),
        re.compile(r"unseal(?: key(?: [0-9]{1,2})?:)?[ \t]{1,4}([A-Za-z0-9+/=]{40,90})", re.IGNORECASE),
        check=random,
    ),
    Rule(  # BitLocker: eight groups of six digits
        "bitlocker-key",
        ("bitlocker", "recovery key", "recovery password", "numerical password"),
        re.compile(
            r"(?:bitlocker|recovery|numerical)[\s\S]{0,160}?(?<![0-9-])([0-9]{6}(?:-[0-9]{6}){7})(?![0-9-])",
            re.IGNORECASE,
        ),
    ),
    Rule(  # Windows: LM and NT hashes as dumps have them
        "password-hash",
        (":::",),
        re.compile(r"[^\s:]{1,64}:[0-9]{1,10}:([a-fA-F0-9]{32}:[a-fA-F0-9]{32}):::"),
        160,
    ),
    Rule(  # wg(8), and what routers make of it
        "wireguard-key",
        ("privatekey", "presharedkey", "private-key", "private_key", "preshared"),
        re.compile(
            r"(?:private|pre-?shared)[-_]?key[\"']?[ \t]{0,4}[=:][ \t]{0,4}[\"']?([A-Za-z0-9+/]{42}[AEIMQUYcgkosw480]=)",
            re.IGNORECASE,
        ),
    ),
    Rule(
        "authorization-header",
        ("authorization", "x-api-key", "x-auth-token", "private-token", "x-vault-token"),
        re.compile(
            r"(?:(?:proxy-)?authorization|x-api-key|x-auth-token|private-token|x-vault-token)[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?"
            r"(?:(?:bearer|basic|token|digest|apikey|api-key|negotiate|bot|key|splunk|aws4-hmac-sha256)[ \t]{1,4})?"
            r"([A-Za-z0-9._~+/=:!@#%^&*-]{8,4000})",
            re.IGNORECASE,
        ),
        check=lambda word: not placeholder(word) and any(map(str.isdigit, word)),
    ),
    Rule(
        "bearer-token",
        ("bearer ",),
        re.compile(r"bearer[ \t]{1,4}([A-Za-z0-9._~+/=-]{16,4000})", re.IGNORECASE),
        check=lambda word: not placeholder(word) and random(word),
    ),
    Rule(  # RFC 6265
        "cookie-header",
        ("set-cookie",),
        re.compile(r"set-cookie\"?:[ \t]{0,4}\"?[^\s=;,\"']{1,100}=([^\s;\"']{8,4000})", re.IGNORECASE),
        check=random,
    ),
    Rule(
        "cookie-header",
        ("cookie:", 'cookie":'),
        re.compile(r"(?<!set-)cookie\"?:[ \t]{0,4}\"?([^\s=;,\"']{1,100}=[^\r\n\"']{8,4000})", re.IGNORECASE),
        check=lambda word: any(random(part) for part in re.split(r"[;=,\s]", word)),
    ),
    # RFC 3986, 3.2.1: user information with a password
    Rule(
        "url-password",
        ("://",),
        re.compile(r"://[^\s/:@\"'`<>?#]{0,128}:([^\s/@\"'`<>]{3,256})@[A-Za-z0-9\[]"),
        check=lambda word: not placeholder(word) and not re.fullmatch(r"(?i)pass(?:word)?|pwd|secret|token|pw", word),
    ),
    Rule(
        "url-parameter",
        tuple(
            f"{lead}{name}="
            for lead in "?&"
            for name in (
                "access_token",
                "token",
                "api_key",
                "apikey",
                "key",
                "sig",
                "signature",
                "password",
                "secret",
                "client_secret",
                "auth",
                "code",
                "refresh_token",
                "x-amz-signature",
                "x-amz-security-token",
            )
        ),
        re.compile(r"[?&][A-Za-z_-]{2,24}=([^\s&\"'`<>#,]{8,2000})"),
        check=lambda word: not placeholder(word) and (random(word, 12) or like_a_password(word)),
    ),
    Rule(
        "command-line-password",
        (
            "--password",
            "--pass",
            "--token",
            "--secret",
            "--api-key",
            "--apikey",
            "--auth",
            "sshpass -p",
            "-password",
            "-passphrase",
            "--passphrase",
        ),
        re.compile(
            r"(?:--?(?:password|passphrase|pass|token|secret|api-?key|auth(?:-token)?)(?:=|[ \t]{1,4})|sshpass -p[ \t]{0,4})[\"']?([^\s\"'`<>|;&$()-][^\s\"'`<>|;&()]{5,200})",
            re.IGNORECASE,
        ),
        check=like_a_password,
    ),
    Rule(
        "command-line-password",
        ("curl ", "wget "),
        re.compile(
            r"(?:curl|wget)[^\n]{0,300}?[ \t](?:-u|--user|--proxy-user)[ \t=]{0,2}[\"']?[^\s:\"'$]{1,80}:([^\s\"'$<>]{3,200})"
        ),
        check=lambda word: not placeholder(word),
    ),
    Rule(
        "command-line-password",
        ("mysql", "mariadb", "psexec"),
        re.compile(
            r"(?:(?:mysql|mariadb)[a-z]{0,6}[^\n|;]{0,200}?[ \t]-p([^\s\"'$<>-][^\s\"'$<>]{5,100})|psexec[^\n]{0,200}?[ \t]-p[ \t]{1,4}([^\s%$<>]{4,100}))",
            re.IGNORECASE,
        ),
        check=lambda word: not placeholder(word),
    ),
)

RULES = (*TOKENS, *_PREFIXED, *_ASSIGNED, *_PLACES)
