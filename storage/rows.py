"""Copying whole tables: every row as it is stored, in the order of its primary key, into either kind of database.

Values travel raw (integers, text, bytes, nothing), so that a row means the same on both sides and one that somebody
damaged is neither mended nor in the way.  The full-text index is not copied; it is made again from the records' terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, TableClause, and_, bindparam, column, func, or_, select, table, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from domain.backup import TableDigest, Values, encode_row
from domain.errors import Broken, Conflict
from domain.framing import Scalar
from storage.engine import is_mariadb
from storage.schema import metadata
from storage.transaction import begin

PATIENCE_S = 120.0
"""How long one answer may take while tables are copied: nobody waits at a prompt for it."""
PAGE = 256
_BATCH_BYTES = 2_000_000
APPEND_ONLY = frozenset({"audit_chains", "audit_entries"})
"""What is never changed: a row that differs in the target is somebody else's."""
_APART = frozenset({"compatibility", "transfer", "context_postings", "context_stale"})
"""Tables that are not copied: what says that a database is on its way, and the index, which is made again."""
_MARKS = frozenset({"indexed"})
"""Columns that are not copied: whether the index has a record."""
# Whose vault it is comes first, then what is needed to check the rest: keys of machines, chains before their entries.
_FIRST = ("vault", "key_slots", "machines", "persons", "agents", "client_keys", "audit_chains", "audit_entries")

Tell = Callable[[str, int], None]
"""Told a table's name and how many of its rows are done."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A table as it is copied: its columns in alphabetical order, and its primary key."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def clause(self) -> TableClause:
        """The table for statements.  Columns have no type, so that no value is converted."""
        return table(self.name, *(column(name) for name in self.columns))

    def key_of(self, values: Values) -> Values:
        """The primary key in a row."""
        return tuple(values[self.columns.index(name)] for name in self.key)


def shapes() -> list[Shape]:
    """Every table that is copied, in the order of copying."""
    names = [name for name in metadata.tables if name not in _APART]
    names.sort(key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    return [shape_of(name, tuple(sorted({c.name for c in metadata.tables[name].columns} - _MARKS))) for name in names]


def shapes_in(connection: Connection) -> list[Shape]:
    """The same as far as a database has them, that an older program made."""
    there = columns_there(connection)
    found = []
    for shape in shapes():
        columns = tuple(name for name in shape.columns if name in there.get(shape.name, ()))
        if columns:
            found.append(shape_of(shape.name, columns))
    return found


def columns_there(connection: Connection) -> dict[str, set[str]]:
    """The tables of a database and their columns."""
    query = (
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
        if is_mariadb(connection)
        else "SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table'"
    )
    there: dict[str, set[str]] = {}
    for name, column_name in connection.execute(text(query)):
        there.setdefault(str(name), set()).add(str(column_name))
    return there


def shape_of(name: str, columns: tuple[str, ...]) -> Shape:
    """The shape of a table with these columns.  Raises Broken for a table that this program does not know."""
    known = metadata.tables.get(name)
    if known is None or name in _APART:
        raise Broken("there is a table of a name that this program does not know")
    key = tuple(c.name for c in known.primary_key.columns)
    if not set(key) <= set(columns):
        raise Broken(f"the table {name} lacks a column of its primary key")
    return Shape(name, columns, key)


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection that sees the database as it is now until the end, whatever others write."""
    with begin(engine, write=False, wait_s=PATIENCE_S) as transaction:
        connection = transaction.connection
        if not is_mariadb(engine):
            connection.execute(text("SELECT count(*) FROM compatibility"))  # the first read takes the snapshot
            yield connection
            return
        connection.exec_driver_sql("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        try:
            yield connection
        finally:
            # Not back into the pool: its next user would read under another isolation, in an open transaction.
            connection.invalidate()


def count(connection: Connection, shape: Shape) -> int:
    """How many rows a table has."""
    return int(connection.execute(select(func.count()).select_from(shape.clause())).scalar_one())


def read(connection: Connection, shape: Shape) -> Iterator[Values]:
    """Every row in the order of the primary key, page by page: no statement runs for long."""
    at = shape.clause()
    order = [at.c[name] for name in shape.key]
    query = select(*(at.c[name] for name in shape.columns)).order_by(*order).limit(PAGE)
    page = connection.execute(query).all()
    while page:
        for row in page:
            yield tuple(row)
        if len(page) < PAGE:
            return
        last = shape.key_of(tuple(page[-1]))
        page = connection.execute(query.where(_beyond(order, last))).all()


def _beyond(order: Sequence[ColumnElement[object]], last: Values) -> ColumnElement[bool]:
    """Rows after `last`.  Written out, because MariaDB finds no index for a comparison of tuples."""
    ways = [and_(*(order[i] == last[i] for i in range(n)), order[n] > last[n]) for n in range(len(order))]
    return and_(order[0] >= last[0], or_(*ways))


def digest(connection: Connection, shape: Shape, tell: Tell | None = None) -> tuple[int, str]:
    """How many rows a table has, and the digest over them.  Raises Broken for a value we never write."""
    made = TableDigest(shape.name, shape.columns)
    for values in read(connection, shape):
        made.add(encoded(shape, values))
        if tell is not None and made.rows % PAGE == 0:
            tell(shape.name, made.rows)
    return made.rows, made.hex()


def encoded(shape: Shape, values: Values) -> bytes:
    """A row's bytes.  Raises Broken for a value of a type we never write."""
    try:
        return encode_row(values)
    except TypeError:
        raise Broken(
            f"a row of the table {shape.name} holds a value of a type that this program never writes",
            hint="claudetools audit verify",
        ) from None


@dataclass
class _Batch:
    """Changes that go into one transaction."""

    shape: Shape
    inserts: list[Values] = field(default_factory=list)
    updates: list[Values] = field(default_factory=list)
    deletes: list[Values] = field(default_factory=list)
    size: int = 0

    def full(self) -> bool:
        return self.size > _BATCH_BYTES or len(self.inserts) + len(self.updates) + len(self.deletes) >= PAGE

    def write(self, engine: Engine, *, clear_beyond: Values | None = None) -> None:
        """Applies the changes; with `clear_beyond`, rows from that key on are taken out before."""
        if not (self.inserts or self.updates or self.deletes):
            return
        at = self.shape.clause()
        mine = and_(*(at.c[name] == bindparam(f"key_{name}") for name in self.shape.key))
        with begin(engine, write=True, wait_s=PATIENCE_S) as transaction:
            run = transaction.connection.execute
            if clear_beyond is not None:
                order = [at.c[name] for name in self.shape.key]
                run(at.delete().where(or_(_beyond(order, clear_beyond), _is(order, clear_beyond))))
            if self.deletes:
                run(at.delete().where(mine), [self._key(values) for values in self.deletes])
            if self.updates:
                names: dict[str, object] = {name: bindparam(f"new_{name}") for name in self.shape.columns}
                rows = [
                    {**self._key(values), **{f"new_{n}": v for n, v in zip(self.shape.columns, values, strict=True)}}
                    for values in self.updates
                ]
                run(at.update().where(mine).values(names), rows)
            if self.inserts:
                run(at.insert(), [dict(zip(self.shape.columns, values, strict=True)) for values in self.inserts])
            transaction.commit()

    def _key(self, values: Values) -> Mapping[str, Scalar]:
        key = self.shape.key_of(values)
        return {f"key_{name}": value for name, value in zip(self.shape.key, key, strict=True)}


def _is(order: Sequence[ColumnElement[object]], key: Values) -> ColumnElement[bool]:
    return and_(*(c == value for c, value in zip(order, key, strict=True)))


def sync(engine: Engine, shape: Shape, rows: Iterable[Values], tell: Tell) -> TableDigest:
    """Makes a table hold exactly these rows, which come in the order of the primary key.

    What is there already stays untouched, so that a copy that was cut off goes on where it stopped.  Returns the number
    of rows and the digest over what was handed in.  Raises Conflict where a table that is only ever added to holds other
    rows, Broken where the rows are not in order.
    """
    made = TableDigest(shape.name, shape.columns)
    there = _Ahead(_pages(engine, shape))
    batch = _Batch(shape)
    before: Values | None = None
    try:
        for values in rows:
            row = encoded(shape, values)
            key = shape.key_of(values)
            if before is not None and not before < key:
                raise Broken(f"the rows of the table {shape.name} are not in order")
            before = key
            made.add(row)
            while there.values is not None and shape.key_of(there.values) < key:
                _extra(shape)
                batch.deletes.append(there.values)
                there.step()
            if there.values is not None and shape.key_of(there.values) == key:
                if encoded(shape, there.values) != row:
                    _extra(shape)
                    batch.updates.append(values)
                there.step()
            else:
                batch.inserts.append(values)
            batch.size += len(row)
            if batch.full():
                batch = _flush(engine, batch, there)
            if made.rows % PAGE == 0:
                tell(shape.name, made.rows)
        while there.values is not None:
            _extra(shape)
            batch.deletes.append(there.values)
            there.step()
            if batch.full():
                batch = _flush(engine, batch, there)
        _flush(engine, batch, there)
    except TypeError:  # keys that do not compare: somebody put text where a number belongs
        raise Broken(
            f"a row of the table {shape.name} has a key of a type that this program never writes",
            hint="claudetools audit verify",
        ) from None
    tell(shape.name, made.rows)
    return made


class _Ahead:
    """The next row of the target, looked at before it is passed."""

    def __init__(self, rows: Iterator[Values]) -> None:
        self._rows = rows
        self.values: Values | None = None
        self.step()

    def step(self) -> None:
        self.values = next(self._rows, None)

    def end(self) -> None:
        """Nothing is there any more."""
        self._rows, self.values = iter(()), None


def _flush(engine: Engine, batch: _Batch, there: _Ahead) -> _Batch:
    try:
        batch.write(engine)
    except (Conflict, IntegrityError):
        # A row further on still has the name that one of these now bears.  It goes, and comes again from the source.
        if there.values is None or batch.shape.name in APPEND_ONLY:
            raise
        batch.write(engine, clear_beyond=batch.shape.key_of(there.values))
        there.end()
    return _Batch(batch.shape)


def _extra(shape: Shape) -> None:
    if shape.name in APPEND_ONLY:
        raise Conflict(
            f"the other database holds rows in {shape.name} that are not of this copy",
            hint="name an empty database",
        )


def _pages(engine: Engine, shape: Shape) -> Iterator[Values]:
    """Every row, each page in a unit of its own: in between, rows that were passed are changed."""
    at = shape.clause()
    order = [at.c[name] for name in shape.key]
    query = select(*(at.c[name] for name in shape.columns)).order_by(*order).limit(PAGE)
    last: Values | None = None
    while True:
        with begin(engine, write=False, wait_s=PATIENCE_S) as transaction:
            wanted = query if last is None else query.where(_beyond(order, last))
            page = [tuple(row) for row in transaction.connection.execute(wanted)]
        yield from page
        if len(page) < PAGE:
            return
        last = shape.key_of(page[-1])
