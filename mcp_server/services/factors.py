"""Second factors: one-time codes (TOTP, RFC 6238) that a person shows besides the password."""

from __future__ import annotations

from dataclasses import replace

from domain import policy
from domain.actors import Actor, Subject
from domain.approvals import LEEWAY, STEP_S, SecondFactor
from domain.errors import Conflict, Denied, Invalid, NotFound, TooMany, Unauthenticated
from domain.identity import FAILURE_WINDOW_US, FAILURES_ALLOWED
from domain.plain import Plain
from mcp_server.keyring import Keyring
from mcp_server.work import AuditedUnit, Unit, Work

ISSUER = "ClaudeTools"
_ADD = "claudetools factor add"
_WRONG = "that one-time code is not one of now"


class Factors:
    """The use cases around second factors.  All of them are for persons."""

    def __init__(self, work: Work, keyring: Keyring) -> None:
        self._work = work
        self._keyring = keyring

    def has(self, actor: Actor) -> bool:
        """Whether the person who acts has one."""
        with self._work.reading(actor) as unit:
            return _active(unit, _whose(actor)) is not None

    def begin(self, actor: Actor) -> Plain:
        """A fresh seed (160 random bits, base32), which is not stored yet."""
        policy.approve(actor)
        import pyotp  # only where a second factor is made or asked for

        return Plain(pyotp.random_base32())

    def add(self, actor: Actor, seed: Plain, code: str) -> None:
        """Stores a seed, once a code of it was shown.  Raises Conflict where there is one, Invalid for another code."""
        step = _step(seed, code, self._work.clock())
        if step is None:
            raise Invalid(
                "that code is not one of this seed",
                fields={"code": "six digits that your authenticator shows now; its clock must be right"},
                hint=_ADD,
            )

        def add(unit: AuditedUnit) -> None:
            policy.approve(actor)
            person_id = _whose(actor)
            unit.about(_subject(actor))
            found = unit.approvals.factor(person_id)
            if found is not None and found.state == "active":
                raise Conflict("you have a second factor already", hint="claudetools factor remove")
            # Sealed in here: where the root key was turned meanwhile, this is called again with the new one.
            sealed = self._keyring.seal_factor(person_id, seed)
            made = SecondFactor(person_id, sealed, "active", step, unit.now_us)
            if found is None:
                unit.approvals.add_factor(made)
            else:
                unit.approvals.replace_factor(replace(made, revision=found.revision))

        self._work.done(actor, "factor.add", add, subject=_subject(actor))

    def prove(self, actor: Actor, code: str) -> None:
        """Takes a code of the person who acts.  None is taken twice.

        Raises NotFound without a second factor, Unauthenticated for a wrong code, TooMany after five of them in five minutes.
        """
        self._proved(actor, "factor.prove", code)

    def remove(self, actor: Actor, code: str) -> None:
        """Takes a person's own away, by a code of it.  Raises as `prove` does."""
        self._proved(actor, "factor.remove", code)

    def remove_of(self, actor: Actor, name: str) -> None:
        """Takes away another person's, who has lost it.  Raises Denied, NotFound."""

        def take(unit: AuditedUnit) -> None:
            policy.approve(actor)
            person = unit.identity.person(name)
            if person is None:
                raise NotFound("there is no such person", hint="claudetools person list")
            unit.about(Subject("second_factor", person.person_id, person.name))
            if person.person_id == _whose(actor):
                raise Denied(
                    "nobody takes away his own without a code of it",
                    hint="another owner can: claudetools factor remove --of",
                )
            if "keys:write" not in actor.scopes:
                raise Denied("that is for owners", hint="ask an owner of the vault")
            found = _active(unit, person.person_id)
            if found is None:
                raise NotFound(f"{person.name} has no second factor")
            unit.approvals.replace_factor(replace(found, state="removed"))

        self._work.done(actor, "factor.remove", take, subject=Subject("second_factor"))

    def _proved(self, actor: Actor, action: str, code: str) -> None:
        def take(unit: AuditedUnit) -> None:
            policy.approve(actor)
            unit.about(_subject(actor))
            found = _active(unit, _whose(actor))
            if found is None:
                raise NotFound("you have no second factor", hint=_ADD)
            since = unit.now_us - FAILURE_WINDOW_US
            failures = sum(
                unit.audit.failures(one, found.person_id, since) for one in ("factor.prove", "factor.remove")
            )
            if failures >= FAILURES_ALLOWED:
                raise TooMany(
                    "too many wrong codes: locked for five minutes",
                    seconds=FAILURE_WINDOW_US // 1_000_000,
                    hint="wait, then try again",
                )
            seed = self._keyring.open_factor(found.person_id, found.sealed)
            step = _step(seed, code, unit.now_us)
            if step is None:
                raise Unauthenticated(_WRONG, hint="wait for the next one, and look at your authenticator's clock")
            if step <= found.last_step:
                raise Unauthenticated("that one-time code was shown already", hint="wait for the next one")
            state = "removed" if action == "factor.remove" else found.state
            unit.approvals.replace_factor(replace(found, last_step=step, state=state))

        self._work.done(actor, action, take, subject=_subject(actor))


def address_of(seed: Plain, name: str, vault: str) -> str:
    """What an authenticator reads: an otpauth:// address (Google's Key Uri Format)."""
    import pyotp

    return pyotp.TOTP(seed.expose()).provisioning_uri(name=f"{name}@{vault}", issuer_name=ISSUER)


def _step(seed: Plain, code: str, now_us: int) -> int | None:
    """The time step whose code this is: that of now, or one within the leeway.  None for no code of now."""
    import pyotp

    totp = pyotp.TOTP(seed.expose(), interval=STEP_S)
    now = now_us // 1_000_000 // STEP_S
    said = "".join(code.split())
    fitting = [step for step in range(now - LEEWAY, now + LEEWAY + 1) if totp.verify(said, for_time=step * STEP_S)]
    return max(fitting, default=None)


def _active(unit: Unit, person_id: str) -> SecondFactor | None:
    found = unit.approvals.factor(person_id)
    return found if found is not None and found.state == "active" else None


def _whose(actor: Actor) -> str:
    return actor.owner_id or actor.id


def _subject(actor: Actor) -> Subject:
    return Subject("second_factor", _whose(actor), actor.owner_name or actor.name)
