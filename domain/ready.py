"""Ready-made recipes: common programs, with arguments that leave no way out for the value.

Each needs to be told the hosts it may speak to, and is a draft until a person approves it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from domain.hosts import HTTP

_SQL = (
    r"(?i)(?:select|show|describe|desc|explain|with|insert|update|delete|call|set|create|alter|drop|grant|revoke|flush|analyze|optimize|"
    r"check|kill|use)\b(?:(?!into\s+(?:outfile|dumpfile)|load_file|copy\b)[^\\])*"
)
_PATH = r"[A-Za-z0-9._~/-]{0,500}"
_REMOTE = r"[A-Za-z0-9._/@:=+, -]{1,2000}"
_CURL = [
    "-q",
    "--config",
    "-",
    "--silent",
    "--show-error",
    "--proto",
    "=https",
    "--max-redirs",
    "0",
    "--noproxy",
    "*",
]
_SSH = [
    "-F",
    "none",
    "-o",
    "BatchMode=yes",
    "-o",
    "ProxyCommand=none",
    "-o",
    "ProxyJump=none",
    "-o",
    "ForwardAgent=no",
    "-o",
    "PermitLocalCommand=no",
    "-o",
    "ControlPath=none",
    "-o",
    "StrictHostKeyChecking=yes",
    "-o",
    "ClearAllForwardings=yes",
]


@dataclass(frozen=True, slots=True)
class Ready:
    """A recipe whose program is looked for on this machine, under these names."""

    name: str
    about: str
    programs: tuple[str, ...]
    types: tuple[str, ...]
    said: dict[str, Any] = field(default_factory=dict)
    at: int = 0
    """Where fixed arguments of one's own go, among its own."""


_URL_GAP = {"kind": "url", "about": "the URL to ask, on an allowed host"}
_HOST_GAP = {"kind": "host", "about": "an allowed host"}
_PORT_GAP = {"kind": "port", "about": "the port"}
_CNF = '[client]\nhost="{%s:cnf}"\nport={%s}\nuser="{%s:cnf}"\npassword="{%s:cnf}"\n'

READY: dict[str, Ready] = {
    one.name: one
    for one in (
        Ready(
            "curl-basic",
            "GET a URL with user name and password",
            ("curl",),
            ("password",),
            {
                "argv": [*_CURL, "--url", "{address}"],
                "gaps": {"address": _URL_GAP},
                "feeds": [{"into": "stdin", "template": 'user = "{username:curl}:{main:curl}"\n'}],
            },
            at=1,
        ),
        Ready(
            "curl-bearer",
            "GET a URL with the value as a bearer token",
            ("curl",),
            ("api_key", "jwt"),
            {
                "argv": [*_CURL, "--url", "{address}"],
                "gaps": {"address": _URL_GAP},
                "feeds": [{"into": "stdin", "template": 'header = "Authorization: Bearer {main:curl}"\n'}],
            },
            at=1,
        ),
        Ready(
            "curl-oauth",
            "GET a URL with a short-lived access token, which the client secret or the refresh token is exchanged for",
            ("curl",),
            ("oauth",),
            {
                "argv": [*_CURL, "--url", "{address}"],
                "gaps": {"address": _URL_GAP},
                "feeds": [{"into": "stdin", "template": 'header = "Authorization: Bearer {access_token:curl}"\n'}],
            },
            at=1,
        ),
        Ready(
            "curl-secret",
            "POST to a URL with the value in the header X-Shared-Secret",
            ("curl",),
            ("shared_secret",),
            {
                "argv": [*_CURL, "--request", "POST", "--url", "{address}"],
                "gaps": {"address": _URL_GAP},
                "feeds": [{"into": "stdin", "template": 'header = "X-Shared-Secret: {main:curl}"\n'}],
            },
            at=1,
        ),
        Ready(
            "curl-certificate",
            "GET a URL with a client certificate",
            ("curl",),
            ("certificate",),
            {
                "argv": [
                    "-q",
                    "--silent",
                    "--show-error",
                    "--proto",
                    "=https",
                    "--max-redirs",
                    "0",
                    "--noproxy",
                    "*",
                    "--cert",
                    "{file:certificate}",
                    "--key",
                    "{file:key}",
                    "--url",
                    "{address}",
                ],
                "gaps": {"address": _URL_GAP},
                "feeds": [
                    {"into": "file:certificate", "template": "{certificate}\n"},
                    {"into": "file:key", "template": "{private_key}\n"},
                ],
            },
            at=1,
        ),
        Ready(
            "http-basic",
            "GET a URL with user name and password, without any program",
            (HTTP,),
            ("password",),
            {
                "argv": ["GET", "{address}"],
                "gaps": {"address": _URL_GAP},
                "feeds": [{"into": "header:Authorization", "template": "Basic {basic}"}],
            },
            at=2,
        ),
        Ready(
            "http-bearer",
            "GET a URL with the value as a bearer token, without any program",
            (HTTP,),
            ("api_key", "jwt"),
            {
                "argv": ["GET", "{address}"],
                "gaps": {"address": _URL_GAP},
                "feeds": [{"into": "header:Authorization", "template": "Bearer {main}"}],
            },
            at=2,
        ),
        Ready(
            "http-oauth",
            "GET a URL with a short-lived access token, without any program",
            (HTTP,),
            ("oauth",),
            {
                "argv": ["GET", "{address}"],
                "gaps": {"address": _URL_GAP},
                "feeds": [{"into": "header:Authorization", "template": "Bearer {access_token}"}],
            },
            at=2,
        ),
        Ready(
            "openssl-certificate",
            "shake hands with a TLS server as a client that has this certificate",
            ("openssl",),
            ("certificate",),
            {
                "argv": [
                    "s_client",
                    "-connect",
                    "{server}",
                    "-cert",
                    "{file:certificate}",
                    "-key",
                    "{file:key}",
                    "-brief",
                    "-no_ign_eof",
                    "-verify_return_error",
                ],
                "gaps": {"server": {"kind": "host", "about": "an allowed host with its port, host:port"}},
                "feeds": [
                    {"into": "file:certificate", "template": "{certificate}\n"},
                    {"into": "file:key", "template": "{private_key}\n"},
                ],
            },
            at=1,
        ),
        Ready(
            "mariadb",
            "one SQL statement, with user name and password",
            ("mariadb", "mysql"),
            ("password",),
            {
                "argv": [
                    "--defaults-file={file:options}",
                    "--batch",
                    "--binary-mode",
                    "--local-infile=0",
                    "--database={schema}",
                    "--execute={sql}",
                ],
                "gaps": {
                    "server": _HOST_GAP,
                    "tcp_port": {**_PORT_GAP, "default": "3306"},
                    "schema": {"pattern": r"[A-Za-z0-9_$-]{0,64}", "about": "the database", "default": ""},
                    "sql": {"pattern": _SQL, "about": "one SQL statement without backslashes"},
                },
                "feeds": [{"into": "file:options", "template": _CNF % ("server", "tcp_port", "username", "main")}],
            },
            at=1,
        ),
        Ready(
            "mariadb-url",
            "one SQL statement, with a connection string",
            ("mariadb", "mysql"),
            ("connection_string",),
            {
                "argv": [
                    "--defaults-file={file:options}",
                    "--batch",
                    "--binary-mode",
                    "--local-infile=0",
                    "--execute={sql}",
                ],
                "gaps": {"sql": {"pattern": _SQL, "about": "one SQL statement without backslashes"}},
                "feeds": [
                    {
                        "into": "file:options",
                        "template": _CNF % ("host", "port", "user", "secret") + '[mysql]\ndatabase="{database:cnf}"\n',
                    }
                ],
            },
            at=1,
        ),
        Ready(
            "psql",
            "one SQL statement, with user name and password",
            ("psql",),
            ("password",),
            {
                "argv": [
                    "--no-psqlrc",
                    "--no-password",
                    "--host={server}",
                    "--port={tcp_port}",
                    "--username={username}",
                    "--dbname={schema}",
                    "--command={sql}",
                ],
                "gaps": {
                    "server": _HOST_GAP,
                    "tcp_port": {**_PORT_GAP, "default": "5432"},
                    "schema": {"pattern": r"[A-Za-z0-9_$-]{1,63}", "about": "the database", "default": "postgres"},
                    "sql": {"pattern": _SQL, "about": "one SQL statement without backslashes"},
                },
                "feeds": [{"into": "env:PGPASSWORD", "template": "{main}"}],
            },
        ),
        Ready(
            "ssh",
            "one command on a host whose key is known",
            ("ssh",),
            ("ssh_key",),
            {
                "argv": [*_SSH, "-p", "{tcp_port}", "-l", "{username}", "--", "{server}", "{command}"],
                "gaps": {
                    "server": _HOST_GAP,
                    "tcp_port": {**_PORT_GAP, "default": "22"},
                    "command": {"pattern": _REMOTE, "about": "what to run there"},
                },
                "feeds": [{"into": "agent", "template": "{private_key}"}],
            },
            at=2,
        ),
        Ready(
            "git-https",
            "the branches and tags of a repository over HTTPS",
            ("git",),
            ("password", "api_key"),
            {
                "argv": [
                    "-c",
                    "credential.helper=",
                    "-c",
                    "http.followRedirects=false",
                    "-c",
                    "core.pager=cat",
                    "--no-pager",
                    "ls-remote",
                    "--",
                    "{repository}",
                ],
                "gaps": {"repository": {"kind": "url", "about": "the URL of the repository, on an allowed host"}},
                "feeds": [
                    {"into": "env:GIT_CONFIG_COUNT", "template": "1"},
                    {"into": "env:GIT_CONFIG_KEY_0", "template": "http.extraHeader"},
                    {"into": "env:GIT_CONFIG_VALUE_0", "template": "Authorization: Basic {basic}"},
                ],
            },
        ),
        Ready(
            "aws",
            "a reading operation of AWS, with key id and secret key",
            ("aws",),
            ("api_key",),
            {
                "argv": ["{area}", "{operation}", "--region", "{region}", "--output", "json", "--no-cli-pager"],
                "gaps": {
                    "area": {"pattern": r"[a-z0-9-]{2,40}", "about": "such as sts or ec2"},
                    "operation": {
                        "pattern": r"(?:get|list|describe)-[a-z0-9-]{2,60}",
                        "about": "get-…, list-… or describe-…",
                    },
                    "region": {"pattern": r"[a-z]{2}-[a-z-]{3,20}-\d", "about": "such as eu-central-1"},
                },
                "feeds": [
                    {"into": "env:AWS_ACCESS_KEY_ID", "template": "{key_id}"},
                    {"into": "env:AWS_SECRET_ACCESS_KEY", "template": "{main}"},
                ],
            },
        ),
        Ready(
            "kubectl",
            "a reading command on a cluster, with a token",
            ("kubectl",),
            ("api_key", "jwt"),
            {
                "argv": ["--kubeconfig={file:config}", "{verb}", "{kind}", "--namespace={namespace}"],
                "gaps": {
                    "cluster": {"kind": "url", "about": "the URL of the cluster, on an allowed host"},
                    "verb": {"pattern": "get|describe|top", "about": "get, describe or top", "default": "get"},
                    "kind": {"pattern": r"[a-z0-9./-]{1,120}", "about": "such as pods or deploy/web"},
                    "namespace": {"pattern": r"[a-z0-9-]{1,63}", "about": "the namespace", "default": "default"},
                },
                "feeds": [
                    {
                        "into": "file:config",
                        "template": (
                            '{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":'
                            '{"server":"{cluster:json}"}}],"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],'
                            '"users":[{"name":"u","user":{"token":"{main:json}"}}]}'
                        ),
                    }
                ],
            },
            at=1,
        ),
    )
}
