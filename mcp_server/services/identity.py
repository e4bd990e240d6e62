"""Who is asking: agents prove a secret, persons a password; both then act under a short token.

Argon2 runs when a token is made, never per call and never inside a transaction.  Whether the
agent, person and machine are still allowed in is checked by every act itself (`work.admit`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from domain.actors import AGENT_SCOPES, Actor, Subject
from domain.errors import Conflict, Denied, Invalid, NotFound, TooMany, Unauthenticated
from domain.identity import (
    AGENT_TOKEN_SECONDS,
    ALGORITHM,
    FAILURE_WINDOW_US,
    FAILURES_ALLOWED,
    LOGIN_SECONDS,
    REQUIRED_CLAIMS,
    ROLE_SCOPES,
    Agent,
    Claims,
    Person,
    check_secret,
    hash_secret,
    new_agent_secret,
)
from domain.ids import new_id
from domain.plain import Plain
from mcp_server.config import Settings
from mcp_server.keyring import Keyring
from mcp_server.work import AuditedUnit, Unit, Work

MAX_NAME = 64
_ENROLL = "an owner can enroll it again: claudetools agent enroll"


@dataclass(frozen=True, slots=True)
class AgentView:
    """One enrolled agent, for lists."""

    agent_id: str
    name: str
    owner: str
    machine: str
    state: str
    scopes: tuple[str, ...]
    created_us: int
    revoked_us: int | None


class Identity:
    """Proofs, tokens, and the agents of this vault."""

    def __init__(self, work: Work, keyring: Keyring, settings: Settings, machine: Actor) -> None:
        self._work = work
        self._keyring = keyring
        self._settings = settings
        self._machine = machine
        self._names: dict[str, Actor] = {}
        self._lock = threading.Lock()

    # Proving.

    def prove(self, secret: str, *, session_id: str = "") -> str:
        """Checks this machine's agent's secret and gives its token (JWT, EdDSA, 15 minutes).

        Raises Unauthenticated for a wrong secret, Denied for a revoked agent, TooMany after five
        failures in five minutes.
        """
        agent_id = self._settings.agent_id

        def stored(unit: Unit) -> tuple[Subject, str] | None:
            agent = unit.identity.agent(agent_id)
            if agent is None:
                return None
            return Subject("agent", agent.agent_id, agent.name), agent.secret_hash

        def token(unit: Unit) -> Claims:
            agent = _agent(unit, agent_id)
            _must_be_active(agent.state, f"the agent {agent.name} was revoked", _ENROLL)
            owner = _person(unit, agent.owner_id)
            # An agent never has more rights than whom it acts for has now.
            scopes = agent.scopes & ROLE_SCOPES.get(owner.role, frozenset())
            return self._claims(agent.owner_id, agent.agent_id, session_id, scopes, AGENT_TOKEN_SECONDS)

        return self._proved("agent.prove", stored, secret, token, "./setup.sh")

    def login(self, name: str, password: str) -> str:
        """Checks a person's password and gives a login token (one hour).

        Raises Unauthenticated, Denied, TooMany.
        """

        def stored(unit: Unit) -> tuple[Subject, str] | None:
            person = unit.identity.person(name)
            if person is None:
                return None
            return Subject("person", person.person_id, person.name), person.password_hash

        def token(unit: Unit) -> Claims:
            person = _person(unit, name)
            again = f"an owner can let you in again: claudetools person restore {person.name}"
            _must_be_active(person.state, f"{person.name} was shut out", again)
            scopes = ROLE_SCOPES.get(person.role, frozenset())
            return self._claims(person.person_id, "", "", scopes, LOGIN_SECONDS)

        return self._proved("person.login", stored, password, token, "claudetools login")

    def _proved(
        self,
        action: str,
        stored: Callable[[Unit], tuple[Subject, str] | None],
        offered: str,
        token: Callable[[Unit], Claims],
        hint: str,
    ) -> str:
        with self._work.reading(self._machine) as unit:
            found = stored(unit)
            subject = found[0] if found else Subject(action.partition(".")[0])
            since = self._work.clock() - FAILURE_WINDOW_US
            failures = unit.audit.failures(action, subject.id, since)
        right = found is not None and failures < FAILURES_ALLOWED and _fits(found[1], offered)
        with self._work.audited(self._machine, action, subject) as unit:
            # Counted once more: other attempts may have been refused while this secret was checked.
            if failures >= FAILURES_ALLOWED or unit.audit.failures(action, subject.id, since) >= FAILURES_ALLOWED:
                raise TooMany(
                    "too many wrong attempts: locked for five minutes",
                    seconds=FAILURE_WINDOW_US // 1_000_000,
                    hint="wait, then try again",
                )
            if not right:
                raise Unauthenticated("that name and secret do not belong together", hint=hint)
            claims = token(unit)
        return self._sign(claims)

    def _claims(self, subject_id: str, agent_id: str, session_id: str, scopes: frozenset[str], seconds: int) -> Claims:
        now_s = self._work.clock() // 1_000_000
        return Claims(
            vault_id=self._settings.vault_id,
            subject_id=subject_id,
            agent_id=agent_id,
            machine_id=self._settings.machine_id,
            session_id=session_id[:255],
            scopes=scopes,
            token_id=new_id("jt"),
            issued_s=now_s,
            expires_s=now_s + seconds,
        )

    # Tokens.

    def _sign(self, claims: Claims) -> str:
        import jwt  # 90 ms; only where a token is made or read

        return jwt.encode(claims.to_json(), self._keyring.token_key(), algorithm=ALGORITHM)

    def claims(self, token: str) -> Claims:
        """Verifies a token and gives its claims.  Raises Unauthenticated."""
        import jwt

        try:
            payload = jwt.decode(
                token,
                self._keyring.token_key().public_key(),
                algorithms=[ALGORITHM],
                audience=self._settings.vault_id,
                issuer=self._settings.vault_id,
                options={
                    "require": list(REQUIRED_CLAIMS),
                    "verify_exp": False,  # checked below, by the process's own clock
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError:
            raise Unauthenticated("that token is not valid", hint="claudetools login") from None
        claims = Claims.from_json(payload)
        if claims.expires_s <= self._work.clock() // 1_000_000:
            raise Unauthenticated("the login has expired", hint="claudetools login")
        if claims.machine_id != self._settings.machine_id:
            raise Unauthenticated("that token belongs to another machine", hint="claudetools login")
        return claims

    def actor(self, token: str, *, session_id: str = "") -> Actor:
        """The actor that a token speaks for, in a Claude Code session.  Raises Unauthenticated."""
        claims = self.claims(token)
        with self._lock:
            known = self._names.get(claims.token_id)
        if known is None:
            known = self._named(claims)
            with self._lock:
                self._names = {claims.token_id: known}  # only the newest token matters
        return known.in_session((session_id or claims.session_id)[:255])

    def _named(self, claims: Claims) -> Actor:
        with self._work.reading(self._machine) as unit:
            person = _person(unit, claims.subject_id)
            if not claims.agent_id:
                return replace(
                    self._machine,
                    kind="person",
                    id=person.person_id,
                    name=person.name,
                    owner_id=person.person_id,
                    owner_name=person.name,
                    machine_id=self._machine.id,
                    machine_name=self._machine.name,
                    verified=frozenset({"person", "machine"}),
                    scopes=claims.scopes,
                )
            agent = _agent(unit, claims.agent_id)
        return replace(
            self._machine,
            kind="agent",
            id=agent.agent_id,
            name=agent.name,
            owner_id=person.person_id,
            owner_name=person.name,
            machine_id=self._machine.id,
            machine_name=self._machine.name,
            verified=frozenset({"agent", "owner", "machine"}),
            scopes=claims.scopes,
        )

    # Agents.

    def enroll(self, actor: Actor, name: str, *, scopes: frozenset[str] = AGENT_SCOPES) -> tuple[AgentView, Plain]:
        """Enrols an agent of this person on this machine, and gives its secret once.

        An agent that was revoked comes back with a new secret.  Raises Conflict where an active
        one has the name, Invalid for scopes that an agent cannot have.
        """
        if not 1 <= len(name.strip()) <= MAX_NAME or not name.replace("-", "").isalnum():
            raise Invalid(
                "an agent's name has letters, digits and hyphens",
                fields={"name": f"1 to {MAX_NAME} letters, digits and hyphens"},
            )
        if not scopes <= AGENT_SCOPES:
            raise Invalid(
                "an agent cannot have those scopes",
                fields={"scopes": "any of: " + ", ".join(sorted(AGENT_SCOPES))},
            )
        secret = new_agent_secret()
        hashed = hash_secret(secret)

        def add(unit: AuditedUnit) -> AgentView:
            now = unit.now_us
            owner = actor.owner_id or actor.id
            found = unit.identity.agent(name, self._settings.machine_id)
            if found is not None and found.state == "active":
                raise Conflict(
                    "an agent of that name is enrolled on this machine",
                    hint=f"claudetools agent revoke {found.name}",
                )
            agent = Agent(
                agent_id=found.agent_id if found else new_id("ag"),
                name=name,
                owner_id=owner,
                machine_id=self._settings.machine_id,
                secret_hash=hashed,
                scopes=scopes,
                state="active",
                created_us=found.created_us if found else now,
                revoked_us=None,
                revision=found.revision if found else 0,
            )
            view = _view(unit, agent)
            if found:
                unit.identity.replace_agent(agent)
            else:
                unit.identity.add_agent(agent)
            unit.about(Subject("agent", agent.agent_id, agent.name))
            unit.note(scopes=sorted(scopes))
            return view

        view, _ = self._work.done(actor, "agent.enroll", add)
        return view, Plain(secret)

    def revoke(self, actor: Actor, name: str) -> AgentView:
        """Shuts an agent out; it is refused at its next call.  Raises NotFound, Conflict."""

        def shut_out(unit: AuditedUnit) -> AgentView:
            agent = unit.identity.agent(name)
            if agent is None:
                raise NotFound("there is no such agent", hint="claudetools agent list")
            unit.about(Subject("agent", agent.agent_id, agent.name))
            if agent.state != "active":
                raise Conflict(f"{agent.name} is revoked already", hint="claudetools agent list")
            agent = replace(agent, state="revoked", revoked_us=unit.now_us)
            unit.identity.replace_agent(agent)
            return _view(unit, agent)

        return self._work.done(actor, "agent.revoke", shut_out)[0]

    def agents(self, actor: Actor) -> list[AgentView]:
        """Every agent of the vault, revoked ones included."""
        with self._work.reading(actor) as unit:
            return [_view(unit, agent) for agent in unit.identity.agents()]

    def persons(self) -> list[str]:
        """The names of the persons, for choosing who logs in."""
        with self._work.reading(None) as unit:
            return unit.identity.person_names()


def _fits(stored: str, offered: str) -> bool:
    try:
        check_secret(stored, offered)
    except Unauthenticated:
        return False
    return True


def _must_be_active(state: str, message: str, hint: str) -> None:
    if state != "active":
        raise Denied(message, hint=hint)


def _agent(unit: Unit, agent_id: str) -> Agent:
    agent = unit.identity.agent(agent_id)
    if agent is None:
        raise Unauthenticated("that agent does not exist", hint="claudetools agent list")
    return agent


def _person(unit: Unit, name_or_id: str) -> Person:
    person = unit.identity.person(name_or_id)
    if person is None:
        raise Unauthenticated("that person does not exist", hint="claudetools login")
    return person


def _view(unit: Unit | AuditedUnit, agent: Agent) -> AgentView:
    owner = unit.identity.person(agent.owner_id)
    machine = unit.identity.machine(agent.machine_id)
    return AgentView(
        agent.agent_id,
        agent.name,
        owner.name if owner else "",
        machine.name if machine else "",
        agent.state,
        tuple(sorted(agent.scopes)),
        agent.created_us,
        agent.revoked_us,
    )
