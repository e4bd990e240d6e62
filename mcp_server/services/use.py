"""Sealed use: a program is given a credential's values; the caller gets what it printed, without them.

Two doors.  By a recipe, which a person approved: unasked.  By any arguments: the client asks a person each time, and the
version counts as exposed, because a program that a model chooses can copy its input anywhere.

Each field that is opened has its entry before the program starts, and the program's end has one more.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from domain import feeding, policy
from domain.actors import Actor, Subject
from domain.asking import is_http
from domain.credentials import TYPES, Head, live_reference
from domain.errors import Denied, Invalid, NotFound
from domain.masking import Masker, Matcher
from domain.plain import Plain
from domain.policy import Target
from domain.recipe_forms import check_recipe
from domain.recipes import Feed, Recipe, check_use, fill
from mcp_server.keyring import Keyring
from mcp_server.services.asking import ask, place_of
from mcp_server.services.bundling import bundle, without_passphrase
from mcp_server.services.exchange import access_token
from mcp_server.services.recipes import SEARCHED, named, real_program, same_program
from mcp_server.services.redaction import Redaction
from mcp_server.services.running import Ended, Fed, agent_with, run
from mcp_server.work import AuditedUnit, Found, Work
from mcp_server.work.loading import head_of
from mcp_server.work.ruling import must_meet

SHORTEST_MASKED = 8
"""Characters: the output of a program that was given less is not shown, because it cannot be masked."""
MOST_HITS = 1
"""One hit is masked and told; from the second on the output is withheld."""
MOST_SECONDS = 600
MOST_ARGUMENTS, LONGEST_ARGUMENT = 200, 20_000
_ANY = "any program"


@dataclass(frozen=True, slots=True)
class Used:
    """How a use ended.  `withheld` says why there is no output, where there is none to be shown."""

    reference: str
    by: str
    code: int
    seconds: float
    stopped: bool
    output: str = field(repr=False)
    errors: str = field(repr=False)
    withheld: str
    masked: int
    dropped: int
    exposed: bool
    entry: str


@dataclass(frozen=True, slots=True)
class Injection:
    """For a program without a recipe: what of which credential goes where (as in `domain.recipes.Feed`)."""

    reference: str
    into: str
    field: str = ""
    template: str = ""


@dataclass(slots=True)
class Lent:
    """An SSH agent that holds one key.  Whoever has it says at the end with which code its program left."""

    socket: str
    code: int = -1


class Use:
    """Runs programs with credentials."""

    def __init__(self, work: Work, keyring: Keyring, redaction: Redaction) -> None:
        self._work = work
        self._keyring = keyring
        self._redaction = redaction

    def by_recipe(
        self, actor: Actor, recipe: str, reference: str, given: Mapping[str, str], purpose: str, *, trying: bool = False
    ) -> Used:
        """Runs a recipe with a credential.  `trying`: a person runs a draft.

        Raises NotFound, Denied, Invalid, Unavailable.
        """
        self._check(purpose, given)
        with self._work.permitted(actor, "credential.use", purpose=self._redaction.text(purpose)) as unit:
            it = unit.recipes.named(recipe)
            if it is None:
                raise NotFound("there is no recipe of that name", hint="claudetools recipe list")
            head = head_of(unit, reference, deleted=True)
            self._may(actor, it, head, purpose, trying=trying)
            target = Target(it.program, it.hosts)
            must_meet(unit, actor, head, TYPES[head.type].main, target)
        filled = fill(it, given)
        words = feeding.words_of(it, head, filled)
        program = same_program(it)
        place = place_of(it, words) if is_http(it) else None
        fields = feeding.fields_of(it, head)
        opened = {
            name: self._open(actor, head, name, purpose, it, target, trying=trying, note={"recipe": it.name})
            for name in fields
        }
        known = feeding.meanings(head, opened, words, _totp)
        if feeding.BUNDLE in it.placeholders():
            known[feeding.BUNDLE] = bundle(head, opened)
        if "access_token" in it.placeholders():
            known["access_token"] = access_token(head, opened, it.hosts)
        if place is not None:
            made = {feed.into.partition(":")[2]: feeding.render(feed.template, known) for feed in it.feeds}
            ended = ask(place, {name: text for name, text in made.items() if name}, made.get(""), seconds=it.seconds)
        else:
            fed = _fed(it.feeds, known, opened)
            ended = run(
                program,
                lambda files: feeding.arguments(it, words, files),
                fed,
                seconds=it.seconds,
                path=os.pathsep.join(SEARCHED),
                agent=_agent_programs() if fed.key is not None else None,
            )
        shows = head.exposure != "strict" and it.output == "masked"
        secrets = _named_secrets(head, feeding.secrets_in(known, opened))
        return self._told(actor, head, it.name, ended, secrets, shows=shows, exposed=False, what={"recipe": it.name})

    def by_argv(
        self, actor: Actor, argv: Sequence[str], injections: Sequence[Injection], purpose: str, *, seconds: int = 60
    ) -> Used:
        """Runs any program with values of credentials, whose versions are exposed from then on.

        Raises NotFound, Denied, Invalid, Unavailable.
        """
        self._check(purpose, {f"argv[{at}]": text for at, text in enumerate(argv)})
        wrong: dict[str, str] = {}
        if not argv or len(argv) > MOST_ARGUMENTS or any(len(text) > LONGEST_ARGUMENT for text in argv):
            wrong["argv"] = f"1 to {MOST_ARGUMENTS} texts of at most {LONGEST_ARGUMENT} characters, the program first"
        if not injections:
            wrong["inject"] = "at least one: what of which credential goes where"
        if not 1 <= seconds <= MOST_SECONDS:
            wrong["seconds"] = f"1 to {MOST_SECONDS}"
        if wrong:
            raise Invalid("that cannot be run", fields=wrong)
        feeds = tuple(Feed(one.into, one.template or f"{{{one.field or 'main'}}}") for one in injections)
        _check_feeds(feeds)
        program = _program(argv[0])
        heads: list[Head] = []
        with self._work.permitted(actor, "credential.use", purpose=self._redaction.text(purpose)) as unit:
            for one in injections:
                heads.append(head_of(unit, one.reference, deleted=True))
                policy.use(actor, heads[-1], purpose)
                must_meet(unit, actor, heads[-1], one.field or TYPES[heads[-1].type].main, Target(program))
        fed, secrets = Fed(), []
        name = Path(program).name
        for head, feed in zip(heads, feeds, strict=True):
            only = Recipe("", _ANY, "", program, (), feeds=(feed,))
            fields = feeding.fields_of(only, head)
            opened = {
                wanted: self._open(
                    actor, head, wanted, purpose, None, Target(program), trying=False, note={"program": name}
                )
                for wanted in fields
            }
            known = feeding.meanings(head, opened, {**head.open, "username": head.username}, _totp)
            if feeding.BUNDLE in only.placeholders():
                known[feeding.BUNDLE] = bundle(head, opened)
            fed = _fed((feed,), known, opened, fed)
            secrets += _named_secrets(head, feeding.secrets_in(known, opened))
        ended = run(
            program,
            lambda files: [_with_files(text, files) for text in argv[1:]],
            fed,
            seconds=seconds,
            path=os.pathsep.join(SEARCHED),
            home=str(Path.home()),
            folder=str(Path.cwd()),
            agent=_agent_programs() if fed.key is not None else None,
        )
        shows = all(head.exposure != "strict" for head in heads)
        return self._told(actor, heads[0], _ANY, ended, secrets, shows=shows, exposed=True, what={"program": name})

    @contextmanager
    def with_agent(self, actor: Actor, reference: str, purpose: str, program: str, host: str) -> Iterator[Lent]:
        """An SSH agent that holds a credential's private key, for as long as the block runs.

        It is lent to a program that logs in to this host, as far as the rules of the credential go.  Nobody sees the key, and
        it is on no disk.  Raises NotFound, Denied, Invalid, Unavailable.
        """
        self._check(purpose, {})
        with self._work.permitted(actor, "credential.use", purpose=self._redaction.text(purpose)) as unit:
            head = head_of(unit, reference, deleted=True)
            policy.use(actor, head, purpose)
            target = Target(program, (host,))
            must_meet(unit, actor, head, "private_key", target)
        if "private_key" not in head.fields:
            raise NotFound(f"{head.reference} has no private key", hint=f"claudetools credential show {head.reference}")
        opened = {
            name: self._open(
                actor, head, name, purpose, None, target, trying=False, note={"program": "ssh"}, exposes=False
            )
            for name in ("private_key", "passphrase")
            if name in head.fields
        }
        key = without_passphrase(opened["private_key"], opened.get("passphrase"))
        begun = time.monotonic()
        with agent_with(_agent_programs(), key, os.pathsep.join(SEARCHED)) as socket:
            lent = Lent(socket)
            try:
                yield lent
            finally:
                taken = round((time.monotonic() - begun) * 1000)
                with self._work.audited(
                    actor, "credential.outcome", _subject(head), code=lent.code, milliseconds=taken, program="ssh"
                ):
                    pass

    def _check(self, purpose: str, given: Mapping[str, str]) -> None:
        wrong = {}
        if not purpose.strip() or len(purpose) > policy.MAX_PURPOSE or not purpose.isprintable():
            wrong["purpose"] = (
                f"say in a few words what it is used for; one line, at most {policy.MAX_PURPOSE} characters"
            )
        if any("\0" in text for text in given.values()):
            wrong["arguments"] = "hold a NUL character"
        if wrong:
            raise Invalid("that cannot be run", fields=wrong)
        redactor = self._redaction.current()
        if any(redactor.strike_values(text).text != text for text in given.values() if text):
            raise Invalid(
                "a value of the vault stands among the arguments, which every program can read",
                fields={"arguments": "without values; they go by env, stdin, file or agent"},
            )

    def _may(self, actor: Actor, recipe: Recipe, head: Head, purpose: str, *, trying: bool) -> None:
        policy.use(actor, head, purpose)
        if not (trying and actor.kind == "person" and recipe.state == "draft"):
            check_use(recipe, head)

    def _open(
        self,
        actor: Actor,
        head: Head,
        name: str,
        purpose: str,
        recipe: Recipe | None,
        target: Target,
        *,
        trying: bool,
        note: Mapping[str, str],
        exposes: bool = True,
    ) -> Plain:
        """Opens one field, after its entry is committed.  What was looked at before must still be so.

        Without a recipe its version counts as exposed, unless whoever gets it keeps it in (`exposes`).
        """

        def find(unit: AuditedUnit) -> Found:
            now = head_of(unit, head.credential_id, deleted=True)
            unit.about(_subject(now))
            unit.note(**note)
            policy.use(actor, now, purpose)
            if now.revision != head.revision:
                raise Denied(f"{now.reference} was changed meanwhile", hint="try again")
            if recipe is not None:
                again = named(unit, recipe.name)
                self._may(actor, again, now, purpose, trying=trying)
                if again.revision != recipe.revision:
                    raise Denied(f"the recipe {recipe.name} was changed meanwhile", hint="try again")
            must_meet(unit, actor, now, name, target)
            sealed = unit.credentials.sealed(now, name)
            key = unit.keys.version(now.client_id, sealed.client_key_version)
            if key is None or key.state == "destroyed":
                raise NotFound(f"the key of the client of {now.reference} was destroyed")
            if recipe is None and exposes and not unit.credentials.is_exposed(now, sealed):
                unit.credentials.mark_exposed(now.credential_id, sealed.version, unit.now_us)
            return Found(_subject(now), sealed)

        ticket, found = self._work.disclose(
            actor,
            "credential.use",
            find,
            purpose=self._redaction.words(purpose),
            credential=head.credential_id,
            field=name,
            subject=partial(_subject, head),
        )
        return self._keyring.unseal(ticket, found.sealed)

    def _told(
        self,
        actor: Actor,
        head: Head,
        by: str,
        ended: Ended,
        secrets: Sequence[tuple[str, Plain]],
        *,
        shows: bool,
        exposed: bool,
        what: Mapping[str, str],
    ) -> Used:
        matcher = Matcher([(label, value.expose_bytes()) for label, value in secrets])
        texts, hits = [], 0
        for stream in (ended.out, ended.err):
            masker = Masker(matcher)
            masked = masker.feed(stream) + masker.finish()
            hits += sum(masker.hits.values())
            texts.append(masked.decode("utf-8", "replace"))
        withheld = ""
        if not shows:
            withheld = "its credential or recipe lets the outcome alone be seen"
        elif any(len(value) < SHORTEST_MASKED for _, value in secrets):
            withheld = f"a value of fewer than {SHORTEST_MASKED} characters cannot be masked"
        elif hits > MOST_HITS:
            withheld = f"the value stood in it {hits} times"
        with self._work.audited(
            actor,
            "credential.outcome",
            _subject(head),
            code=ended.code,
            milliseconds=round(ended.seconds * 1000),
            stopped=ended.stopped,
            masked=hits,
            withheld=bool(withheld),
            **what,
        ) as unit:
            pass
        if withheld:
            texts = ["", ""]
        redactor = self._redaction.current()
        output, errors = (redactor.strike(text).text for text in texts)
        return Used(
            reference=head.reference,
            by=by,
            code=ended.code,
            seconds=round(ended.seconds, 3),
            stopped=ended.stopped,
            output=output,
            errors=errors,
            withheld=withheld,
            masked=hits,
            dropped=ended.dropped,
            exposed=exposed,
            entry=unit.entry_id,
        )


def _fed(feeds: Sequence[Feed], known: Mapping[str, Plain], opened: Mapping[str, Plain], fed: Fed | None = None) -> Fed:
    fed = fed or Fed()
    for feed in feeds:
        into, _, name = feed.into.partition(":")
        made = feeding.render(feed.template, known)
        if into == "env":
            if "\0" in made.expose():
                raise Invalid(
                    "a value with a NUL character cannot stand in a variable", fields={"into": "stdin or file"}
                )
            fed.env[name] = made
        elif into == "file":
            fed.files[name] = made
        elif into == "stdin":
            fed.stdin = made
        else:
            fed.key = without_passphrase(made, opened.get("passphrase"))
    return fed


def _totp(seed: Plain) -> Plain:
    """The code of now (RFC 6238).  Raises Invalid."""
    import pyotp

    text = seed.expose().strip()
    try:
        made = pyotp.parse_uri(text) if text.startswith("otpauth://") else pyotp.TOTP(re.sub(r"[\s-]", "", text))
        code = made.now() if isinstance(made, pyotp.TOTP) else ""
    except ValueError:
        code = ""
    if not code:
        raise Invalid("that TOTP seed gives no codes", fields={"totp_seed": "base32, or an otpauth:// address"})
    return Plain(code)


def _named_secrets(head: Head, secrets: Sequence[tuple[str, Plain]]) -> list[tuple[str, Plain]]:
    return [(live_reference(head.reference, name), value) for name, value in secrets]


def _check_feeds(feeds: Sequence[Feed]) -> None:
    """The same as for a recipe; the program is anybody's."""
    try:
        check_recipe(Recipe("", "any", "", "/any/program", (), feeds=tuple(feeds)))
    except Invalid as error:
        raise Invalid(
            "that cannot be given to a program", fields={"inject": error.fields.get("feeds", error.message)}
        ) from None
    into = [feed.into for feed in feeds]
    if len(set(into)) != len(into):
        raise Invalid("two values go to one place", fields={"inject": "each place once"})


def _program(said: str) -> str:
    """The path of any program.  Raises Invalid."""
    try:
        return real_program(said)
    except Invalid as error:
        if "recipe" not in error.message:
            raise
    found = (
        said
        if said.startswith("/")
        else next((f"{place}/{said}" for place in SEARCHED if Path(place, said).exists()), "")
    )
    return str(Path(found))


def _agent_programs() -> tuple[str, str]:
    return real_program("ssh-agent"), real_program("ssh-add")


def _with_files(text: str, files: Mapping[str, str]) -> str:
    for name, place in files.items():
        text = text.replace(f"{{{name}}}", place)
    return text


def _subject(head: Head) -> Subject:
    return Subject("credential", head.credential_id, head.reference, head.client_id)


__all__ = ["Injection", "Use", "Used"]
