"""Rotating the keys below the root: a client's key, and the keys of single values.

A run is a guarded row.  Each of its steps is one small transaction with its entry, which moves the row on: a run that was
cut off goes on where it stopped, and nobody makes it skip what it has not done.  Old and new keys open meanwhile, so that
nothing waits.  What does not open (its row was tampered with or is damaged) is left as it is, counted, and told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from domain.actors import Actor, Subject
from domain.credentials import ClientKey, SealedField, SealedVersion, is_reference
from domain.errors import Broken, Conflict, NotFound, Unavailable
from domain.ids import is_id, new_id
from domain.rotation import KeyRun, Level, begun
from mcp_server.keyring import Keyring
from mcp_server.work import AuditedUnit, Unit, Work

AT_ONCE = 100
"""Versions of one transaction: small enough that nobody waits for it."""
_LOOKS = 5
"""How often a page is read again because somebody else changed what it holds."""

Tell = Callable[[str, int, int], object]
"""Told what is worked on, how much is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a run did.  `resumed`: it was begun earlier; `left`: versions that do not open and stay as they are."""

    level: str
    scope: str
    clients: int
    versions: int
    left: int
    resumed: bool


class Keys:
    """The use cases around client keys and data keys."""

    def __init__(self, work: Work, keyring: Keyring) -> None:
        self._work = work
        self._keyring = keyring

    def unfinished(self, actor: Actor) -> KeyRun | None:
        """The run that was begun and has not ended."""
        with self._work.reading(actor) as unit:
            return unit.runs.unfinished()

    def scope_of(self, actor: Actor, name: str, *, credentials: bool = False) -> tuple[str, str]:
        """The id that a client's name (or, for values, a credential's reference) stands for, and how it is called.

        Raises NotFound.
        """
        with self._work.reading(actor) as unit:
            if credentials and (is_reference(name) or is_id(name, "cr")):
                head = unit.credentials.load(name)
                if head is not None:
                    return head.credential_id, head.reference
            client = unit.registry.client(name)
        if client is None:
            raise NotFound("there is no client of that name", hint="claudetools client list")
        return client.id, client.slug

    # Client keys.

    def rotate_clients(self, actor: Actor, scope: str, tell: Tell) -> Rotated:
        """A new key for a client ("": for each), under which all its data keys come; no value is opened.

        Raises Conflict where another rotation is unfinished, Broken where a client key was tampered with.
        """
        run, resumed = self._begin(actor, "client", scope)
        clients = left = 0
        while True:
            client_id, target = run.at
            if not client_id:
                run = self._next_client(actor, run)
                if run.state == "done":
                    break
                client_id, target = run.at
            self._renew_client_key(actor, client_id, target)
            run, missed = self._rewrap(actor, run, client_id, target, tell)
            clients, left = clients + 1, left + missed
            run = self._next_client(actor, run)
            if run.state == "done":
                break
        return Rotated("client", scope, clients, run.done, left, resumed)

    def _next_client(self, actor: Actor, run: KeyRun) -> KeyRun:
        """Moves on to the next client and the version of its new key; ends the run behind the last one."""

        def move(unit: AuditedUnit) -> KeyRun:
            before = run.at[0]
            if run.scope and before:
                return run.ended(unit.now_us)
            for client_id in [run.scope] if run.scope else unit.rekeying.clients_with_keys(before):
                newest = unit.keys.newest(client_id)
                if newest is not None and newest.state != "destroyed":
                    return run.moved(client_id, newest.version + 1, 0, unit.now_us)
            return run.ended(unit.now_us)

        return self._step(actor, "key.rotate", run, move)

    def _renew_client_key(self, actor: Actor, client_id: str, target: int) -> None:
        """Makes the new key where it is not there yet, and lets the older ones only open."""
        with self._work.reading(actor) as unit:
            there = unit.keys.every(client_id)
            item = unit.registry.client(client_id)
        name = item.slug if item else ""
        if all(key.version < target for key in there):
            subject = Subject("client_key", f"{client_id}.{target}", name, client_id)

            def make(unit: AuditedUnit) -> None:
                wrapped = self._keyring.new_client_key(client_id, target)
                unit.keys.create(client_id, target, wrapped, unit.now_us)

            self._work.done(actor, "key.rotate", make, subject=subject, version=target)
        for key in there:
            if key.state != "active" or key.version >= target:
                continue
            subject = Subject("client_key", f"{client_id}.{key.version}", name, client_id)

            def close(unit: AuditedUnit, version: int = key.version) -> None:
                found = unit.keys.version(client_id, version)
                if found is not None and found.state == "active":
                    unit.keys.replace(replace(found, state="decrypt-only"))

            self._work.done(actor, "key.rotate", close, subject=subject, version=key.version, state="decrypt-only")

    def _rewrap(self, actor: Actor, run: KeyRun, client_id: str, target: int, tell: Tell) -> tuple[KeyRun, int]:
        after, left = ("", 0), 0
        while True:
            with self._work.reading(actor) as unit:
                page = unit.rekeying.data_keys(client_id, target, after, AT_ONCE)
                key = unit.keys.version(client_id, target)
            if not page:
                return run, left
            if key is None:
                raise NotFound("the new client key is gone", hint="claudetools audit verify")
            to = ClientKey(key.version, key.wrapped)
            wrapped = {}
            for one in page:
                try:
                    wrapped[one.credential_id, one.version] = self._keyring.rewrapped_data_key(one, to)
                except Broken:
                    left += 1
            seen = {(one.credential_id, one.version): one.wrapped_key for one in page}

            def store(
                unit: AuditedUnit,
                run: KeyRun = run,
                wrapped: dict[tuple[str, int], bytes] = wrapped,
                seen: dict[tuple[str, int], bytes] = seen,
            ) -> KeyRun:
                held = unit.rekeying.held(list(wrapped))
                mine = {place: new for place, new in wrapped.items() if held.get(place) == seen[place]}
                unit.rekeying.put_data_keys({place: (target, new) for place, new in mine.items()})
                unit.note(versions=len(mine), client_key=target)
                return run.moved(client_id, target, len(mine), unit.now_us)

            run = self._step(actor, "key.rewrap", run, store, client_id=client_id)
            # What somebody else changed meanwhile is met again by the next look, what does not open is passed.
            after = max(seen) if len(wrapped) < len(page) else after
            tell("data keys", run.done, max(run.total, run.done))

    # Data keys.

    def rotate_data(self, actor: Actor, scope: str, tell: Tell) -> Rotated:
        """Seals every version of a credential, a client's, or all ("") again under fresh data keys.

        The history too: it is what old values are known by in texts.  Raises Conflict where another rotation is
        unfinished.
        """
        run, resumed = self._begin(actor, "data", scope)
        left = looks = 0
        while True:
            after = run.at
            sealed, seen, missed, end = self._resealed(actor, scope, after)
            if end is None:
                run = self._end(actor, run)
                return Rotated("data", scope, 0, run.done, left, resumed)

            def store(
                unit: AuditedUnit,
                run: KeyRun = run,
                sealed: dict[tuple[str, int], SealedVersion] = sealed,
                seen: dict[tuple[str, int], bytes] = seen,
                end: tuple[str, int] = end,
                looks: int = looks,
            ) -> KeyRun:
                held = unit.rekeying.held(list(sealed))
                mine = {place: new for place, new in sealed.items() if held.get(place) == seen[place]}
                unit.rekeying.put_sealed(mine)
                unit.note(versions=len(mine))
                # Somebody else wrapped a key anew meanwhile: the same page once more.
                whole = len(mine) == len(sealed) or looks >= _LOOKS
                there = end if whole else run.at
                return run.moved(*there, len(mine) if whole else 0, unit.now_us)

            moved = self._step(actor, "key.reseal", run, store)
            again = moved.at == run.at
            looks = looks + 1 if again else 0
            left += 0 if again else missed
            run = moved
            tell("values", run.done, max(run.total, run.done))

    def _resealed(
        self, actor: Actor, scope: str, after: tuple[str, int]
    ) -> tuple[dict[tuple[str, int], SealedVersion], dict[tuple[str, int], bytes], int, tuple[str, int] | None]:
        """The next page under fresh data keys, what it was wrapped as, how many do not open, and where it ends."""
        keys: dict[str, ClientKey] = {}
        ends: list[tuple[str, int] | None] = []

        def find(unit: AuditedUnit) -> list[SealedField]:
            ends[:] = [unit.rekeying.last_place(scope, after, AT_ONCE)]
            page = [one for version in unit.rekeying.fields_of_next(scope, after, AT_ONCE) for one in version]
            for client_id in {one.client_id for one in page}:
                keys[client_id] = _active(unit, client_id)
            return page

        with self._work.reading(actor) as unit:
            if unit.rekeying.last_place(scope, after, 1) is None:
                return {}, {}, 0, None
        ticket, page = self._work.load_sealed(actor, find, "data")
        versions: dict[tuple[str, int], list[SealedField]] = {}
        for one in page:
            versions.setdefault((one.credential_id, one.version), []).append(one)
        sealed, left = {}, 0
        for place, fields in versions.items():
            try:
                sealed[place] = self._keyring.resealed(ticket, fields, keys[fields[0].client_id])
            except Broken:
                left += 1
        seen = {place: versions[place][0].wrapped_key for place in sealed}
        return sealed, seen, left, ends[0]

    # What runs are made of.

    def _begin(self, actor: Actor, level: Level, scope: str) -> tuple[KeyRun, bool]:
        """The unfinished run of this level and scope, or a new one.  Raises Conflict where another is unfinished."""
        with self._work.reading(actor) as unit:
            found = unit.runs.unfinished()
            total = unit.rekeying.count(scope)
        if found is not None and (found.level, found.scope) == (level, scope):
            return found, True
        if found is not None:
            raise Conflict(
                f"a rotation ({found.level}) was begun and has not ended",
                hint=f"claudetools keys rotate {_words(found)}",
            )

        def add(unit: AuditedUnit) -> KeyRun:
            run = begun(new_id("kr"), level, scope, total, unit.now_us)
            unit.about(Subject("key_run", run.run_id, level))
            unit.runs.add(run)
            return replace(run, revision=1)

        return self._work.done(actor, "key.rotate", add, level=level, scope=scope)[0], False

    def _end(self, actor: Actor, run: KeyRun) -> KeyRun:
        return self._step(actor, "key.rotate", run, lambda unit: run.ended(unit.now_us))

    def _step(
        self, actor: Actor, action: str, run: KeyRun, do: Callable[[AuditedUnit], KeyRun], *, client_id: str = ""
    ) -> KeyRun:
        subject = Subject("key_run", run.run_id, run.level, client_id)

        def step(unit: AuditedUnit) -> KeyRun:
            after = do(unit)
            unit.runs.replace(after)
            return replace(after, revision=run.revision + 1)

        return self._work.done(actor, action, step, subject=subject)[0]


def _active(unit: Unit, client_id: str) -> ClientKey:
    key = unit.keys.newest(client_id)
    if key is None or key.state == "decrypt-only":
        raise Unavailable("a client key is being replaced", hint="try again")
    return ClientKey(key.version, key.wrapped)  # a destroyed one opens nothing, and what leans on it is told


def _words(run: KeyRun) -> str:
    return f"{run.level} {run.scope or '--all'}"
