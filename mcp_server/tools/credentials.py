"""Credentials: find, describe, reveal, create, update, rotate, delete."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel, Field

from domain.credentials import EXPOSURES, STATES, TYPES, Description, Exposure
from domain.drafts import ALPHABETS, Draft, Generate, type_of
from domain.errors import Invalid
from domain.plain import Plain
from domain.reports import OPEN_KINDS
from mcp_server.answers import iso, micros
from mcp_server.callers import Door
from mcp_server.tools import Lean, Toolbox, about, one_of

if TYPE_CHECKING:
    from mcp_server.bootstrap import App
    from mcp_server.services.credentials import Changed as Change

TYPE = one_of(tuple(TYPES))
REFERENCE = about("client/service/name, as credential_search gives it")
PURPOSE = about("why, in a few words; goes into the audit log")
DATE = about("2027-01-31")
SECRETS = tuple(dict.fromkeys(name for kind in TYPES.values() for name in kind.secrets()))
OPEN = tuple(dict.fromkeys(name for kind in TYPES.values() for name in kind.open))
PASSED_THROUGH = (
    "The value went through this conversation and this version is marked exposed: rotate it with generate=true, or let a "
    "person enter it with `claudetools credential rotate {}`."
)
EMPTY = (
    "It has no value yet. Ask the user to enter it, unseen, in a terminal of his own: claudetools credential fill {}. "
)
IN_LIST = 120
LARGEST_VALUE = 500_000
"""Characters: 64 KB of a value, each at worst six characters in JSON.  It must not be opened and then not arrive."""
OPENED = (
    "The value is now in this conversation and the version is marked exposed. Use it for the purpose; do not repeat it."
)


class Credential(Lean):
    """A credential without its values.  What is empty or false is left out."""

    reference: str
    type: str
    client: str
    service: str = ""
    infrastructure: str = ""
    service_name: str
    username: str = ""
    external_url: str = ""
    ports: list[int] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)
    fields: dict[str, str] = Field(default_factory=dict)
    secret_fields: list[str]
    requires_vpn: bool = False
    requires_2fa: bool = False
    expires_at: str = ""
    expired: bool = False
    rotate_every_days: int = 0
    rotation_due: bool = False
    last_rotated_at: str = ""
    exposure: str
    rules: list[str] = Field(default_factory=list)
    exposed: bool = False
    state: str
    version: int
    revision: int
    updated_at: str

    @classmethod
    def of(cls, it: Description, *, longest: int = 32_000) -> Credential:
        """The answer's form of a description; in a list with open fields (certificates) cut to `longest` characters."""
        head, now = it.head, time.time_ns() // 1000
        return cls(
            reference=it.reference,
            type=head.type,
            client=it.client,
            service=it.service,
            infrastructure=it.infrastructure,
            service_name=head.service_name,
            username=head.username,
            external_url=head.external_url,
            ports=list(head.ports),
            tags=list(head.tags),
            fields={name: text if len(text) <= longest else text[:longest] + "…" for name, text in head.open.items()},
            secret_fields=sorted(head.fields),
            requires_vpn=head.requires_vpn,
            requires_2fa=head.requires_2fa,
            expires_at=iso(head.expires_us),
            expired=it.expired(now),
            rotate_every_days=head.rotate_every_days or 0,
            rotation_due=it.rotation_due(now),
            last_rotated_at=iso(head.last_rotated_us),
            exposure=head.exposure,
            rules=list(head.rules.told()),
            exposed=it.exposed,
            state=head.state,
            version=head.current_version,
            revision=head.revision,
            updated_at=iso(head.updated_us),
        )


class Found(Lean):
    """A page of credentials; `next_cursor` is empty at the end."""

    items: list[Credential]
    next_cursor: str = ""
    total: int


class Attention(Lean):
    """One credential that needs attention, and why."""

    reference: str
    why: str
    at: str = ""
    fields: list[str] = Field(default_factory=list)
    same_value_as: list[str] = Field(default_factory=list)


class Reported(Lean):
    """What a report found, and how many there are in all."""

    items: list[Attention]
    total: int


class Value(BaseModel):
    """One opened secret field."""

    reference: str
    field: str
    version: int
    value: str
    entry: str
    note: str


class Changed(Lean):
    """What a change left behind, and its audit entry."""

    credential: Credential
    version: int
    entry: str
    generated: bool = False
    exposed: bool = False
    changed: list[str] = Field(default_factory=list)
    note: str = ""


def offer(door: Door) -> list[Tool]:
    """The tools of this room."""
    box = Toolbox()

    @box.tool("Search credentials", always=True, reads=True)
    def credential_search(
        query: Annotated[str, about("words of the service, client, user, host or tag")] = "",
        client: str = "",
        type: Annotated[str, TYPE] = "",  # noqa: A002 - the word users know
        tag: str = "",
        state: Annotated[str, one_of(STATES)] = "active",
        limit: int = 20,
        cursor: Annotated[str, about("next_cursor of the page before")] = "",
    ) -> Found:
        """Find logins, passwords, API keys, tokens, SSH keys, certificates and connection strings in the vault.

        Shows open fields only (user name, URL, ports, expiry, tags); no value is opened. An empty query lists all.
        What is empty or false is left out of an answer.
        """
        app, actor = door.enter()
        page = app.credentials.search(
            actor, query, client=client, type=type, tag=tag, state=state, limit=limit, cursor=cursor
        )
        items = [Credential.of(it, longest=IN_LIST) for it in page.items]
        return Found(items=items, next_cursor=page.next_cursor, total=page.total)

    @box.tool(
        "Describe a credential", reads=True, search_hint="credential details username url ports expiry without password"
    )
    def credential_get(reference: Annotated[str, REFERENCE]) -> Credential:
        """Show one credential's open fields and the names of its secret ones. No value is opened."""
        app, actor = door.enter()
        return Credential.of(app.credentials.describe(actor, reference))

    @box.tool(
        "Credentials that need attention",
        reads=True,
        search_hint="expiring rotation due at risk exposed reused unused credentials report",
    )
    def credential_report(
        report: Annotated[str, one_of(OPEN_KINDS)],
        client: str = "",
        days: Annotated[int, about("expiring: ahead (30); unused: back (90)")] = 0,
        limit: int = 20,
    ) -> Reported:
        """List credentials at risk (seen and not rotated since), expiring or due for rotation, unused, or sharing a value.

        Opens nothing. Which are weak, a person is told: claudetools report weak.
        """
        app, actor = door.enter()
        it = app.reports.open(actor, report, client=client, days=days or None, limit=limit)
        items = [
            Attention(
                reference=line.it.reference,
                why=line.why,
                at=iso(line.at_us),
                fields=list(line.fields),
                same_value_as=list(line.others),
            )
            for line in it.lines
        ]
        return Reported(items=items, total=it.total)

    @box.tool(
        "Reveal value",
        asks_person=True,
        largest=LARGEST_VALUE,
        search_hint="decrypt open read show password secret api key token",
    )
    def credential_reveal(
        reference: Annotated[str, REFERENCE],
        purpose: Annotated[str, PURPOSE],
        field: Annotated[str, about("secret field; empty: the main one of the type")] = "",
    ) -> Value:
        """Decrypt one secret field of a credential. The person is asked, and the audit log keeps who, what and why."""
        app, actor = door.enter()
        it = app.credentials.reveal(actor, reference, field=field, purpose=purpose)
        return Value(
            reference=it.reference,
            field=it.field,
            version=it.version,
            value=it.value.expose(),
            entry=it.entry,
            note=OPENED,
        )

    @box.tool("Create a credential", search_hint="new add store save credential password api key token generate")
    def credential_create(
        type: Annotated[str, TYPE],  # noqa: A002 - the word users know
        service_name: Annotated[str, about("what it is for, e.g. Gitea Admin")],
        client: Annotated[str, about("whose; empty: our own")] = "",
        service: Annotated[str, about("e.g. gitea; empty: from service_name")] = "",
        name: Annotated[str, about("last part of the reference; empty: from username")] = "",
        generate: Annotated[bool, about("make the main value here, unseen")] = False,
        length: int = 24,
        alphabet: Annotated[str, one_of(tuple(ALPHABETS))] = "all",
        username: str = "",
        external_url: str = "",
        ports: list[int] | None = None,
        tags: list[str] | None = None,
        infrastructure: str = "",
        requires_vpn: bool = False,
        requires_2fa: bool = False,
        expires_at: Annotated[str, DATE] = "",
        rotate_every_days: int = 0,
        exposure: Annotated[str, one_of(EXPOSURES, "empty: the vault's default; reveal: agents may open it")] = "",
        purpose: Annotated[str, PURPOSE] = "",
        password: str = "",
        api_key: str = "",
        client_secret: str = "",
        access_token: str = "",
        refresh_token: str = "",
        private_key: str = "",
        passphrase: str = "",
        shared_secret: str = "",
        token: str = "",
        connection_string: str = "",
        notes: str = "",
        totp_seed: str = "",
        key_id: str = "",
        oauth_client_id: str = "",
        token_url: str = "",
        oauth_scopes: str = "",
        public_key: str = "",
        issuer: str = "",
        audience: str = "",
        certificate: str = "",
    ) -> Changed:
        """Store a new credential, sealed. Prefer generate=true (password, api_key, oauth, shared_secret).

        For a value that the user has, give none: the answer names the command by which he enters it, unseen. The secret
        fields of each type: password; api_key (+key_id); client_secret, access_token,
        refresh_token (oauth); private_key, passphrase, public_key (ssh_key), + certificate (certificate);
        shared_secret; token (jwt); connection_string. Any type: notes (sealed), totp_seed.
        """
        given = dict(locals())
        app, actor = door.enter()
        draft = Draft(
            type=type,
            service_name=service_name,
            client=client,
            service=service,
            name=name,
            infrastructure=infrastructure,
            username=username,
            external_url=external_url,
            ports=tuple(ports or ()),
            tags=tuple(tags or ()),
            open={key: given[key] for key in OPEN if given[key]},
            requires_vpn=requires_vpn,
            requires_2fa=requires_2fa,
            expires_us=micros(expires_at, "expires_at"),
            rotate_every_days=rotate_every_days or None,
            exposure=exposure_of(exposure) if exposure else "",
            values={key: Plain(given[key]) for key in SECRETS if given[key]},
            generate=Generate(length, alphabet) if generate else None,
            later=not generate and not given.get(type_of(type).main),
        )
        it = app.credentials.create(actor, draft, purpose=purpose)
        return changed(app, it)

    @box.tool("Update a credential", repeats=True, search_hint="change edit credential username url ports tags expiry")
    def credential_update(
        reference: Annotated[str, REFERENCE],
        service_name: str = "",
        username: str = "",
        external_url: str = "",
        ports: list[int] | None = None,
        tags: Annotated[list[str] | None, about("replaces all")] = None,
        requires_vpn: bool | None = None,
        requires_2fa: bool | None = None,
        expires_at: Annotated[str, DATE] = "",
        rotate_every_days: int | None = None,
        key_id: str = "",
        oauth_client_id: str = "",
        token_url: str = "",
        oauth_scopes: str = "",
        public_key: str = "",
        issuer: str = "",
        audience: str = "",
        certificate: str = "",
        state: Annotated[str, one_of(("active", "retired"))] = "",
        exposure: Annotated[str, one_of(EXPOSURES, "an agent can only tighten it")] = "",
        clear: Annotated[list[str] | None, about("names of fields to empty")] = None,
        expected_revision: Annotated[int, about("refuse if changed since; 0: no check")] = 0,
        purpose: Annotated[str, PURPOSE] = "",
    ) -> Changed:
        """Change open fields of a credential; what is not given stays. For a new secret value use credential_rotate."""
        given = dict(locals())
        app, actor = door.enter()
        texts = ("service_name", "username", "external_url", "state", "exposure", *OPEN)
        changes: dict[str, object] = {key: given[key] for key in texts if given[key]}
        for key in ("ports", "tags", "requires_vpn", "requires_2fa", "rotate_every_days"):
            if given[key] is not None:
                changes[key] = tuple(given[key]) if isinstance(given[key], list) else given[key]
        if expires_at:
            changes["expires_us"] = micros(expires_at, "expires_at")
        changes |= emptied(clear or [])
        it = app.credentials.update(
            actor, reference, changes, purpose=purpose, expected_revision=expected_revision or None
        )
        return changed(app, it)

    @box.tool("Rotate a credential", search_hint="rotate renew change password new value version")
    def credential_rotate(
        reference: Annotated[str, REFERENCE],
        generate: Annotated[bool, about("make the value here, unseen")] = False,
        length: int = 24,
        alphabet: Annotated[str, one_of(tuple(ALPHABETS))] = "all",
        value: Annotated[str, about("the new value; better generate=true")] = "",
        field: Annotated[str, about("secret field; empty: the main one; also notes, totp_seed")] = "",
        purpose: Annotated[str, PURPOSE] = "",
    ) -> Changed:
        """Give a credential a new secret value as a new version. Change it at the service itself too."""
        app, actor = door.enter()
        it = app.credentials.rotate(
            actor,
            reference,
            field=field,
            value=Plain(value) if value else None,
            generate=Generate(length, alphabet) if generate else None,
            purpose=purpose,
        )
        return changed(app, it)

    @box.tool("Delete a credential", asks_person=True, repeats=True, search_hint="remove delete retire credential")
    def credential_delete(reference: Annotated[str, REFERENCE], purpose: Annotated[str, PURPOSE] = "") -> Changed:
        """Take a credential out of use. Its history and audit entries stay."""
        app, actor = door.enter()
        return changed(app, app.credentials.delete(actor, reference, purpose=purpose))

    return box.tools


def changed(app: App, it: Change) -> Changed:
    """The answer's form of a change, after which something else may be due."""
    app.reminders.refresh()
    note = f"The client {it.description.client} is new and was registered. " if it.client_created else ""
    if TYPES[it.description.head.type].main not in it.description.head.fields:
        note += EMPTY.format(it.description.reference)
    if it.exposed:
        note += PASSED_THROUGH.format(it.description.reference)
    elif it.generated:
        note += "The value was made here and did not pass through this conversation."
    return Changed(
        credential=Credential.of(it.description),
        version=it.version,
        entry=it.entry,
        generated=it.generated,
        exposed=it.exposed,
        changed=list(it.changed),
        note=note.strip(),
    )


def exposure_of(text: str) -> Exposure:
    """The exposure level of this name.  Raises Invalid."""
    for level in EXPOSURES:
        if level == text:
            return level
    raise Invalid("no such exposure", fields={"exposure": "one of: " + ", ".join(EXPOSURES)})


def emptied(names: list[str]) -> dict[str, object]:
    """The changes that empty these fields.  Raises Invalid for a field that cannot be empty or is none."""
    empty: dict[str, object] = dict.fromkeys((*OPEN, "username", "external_url"), "")
    empty |= {"ports": (), "tags": (), "expires_at": None, "rotate_every_days": None}
    if not all(name in empty for name in names):
        raise Invalid("not all of these can be emptied", fields={"clear": "some of: " + ", ".join(empty)})
    return {"expires_us" if name == "expires_at" else name: empty[name] for name in names}
