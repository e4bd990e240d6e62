"""The connection to an embedded database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from storage.engine import as_bytes, open_engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    (tmp_path / "db").touch()
    made = open_engine(tmp_path / "db")
    yield made
    made.dispose()


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("query_only", 0)]
)
def test_a_committed_entry_survives_a_power_cut(engine: Engine, pragma: str, value: object):
    """Write-ahead log with full synchronisation, on every connection."""
    for _ in range(2):
        with engine.connect() as connection:
            assert connection.execute(text(f"PRAGMA {pragma}")).scalar() == value
        engine.dispose()


def test_a_missing_file_is_an_error_and_is_never_made(tmp_path: Path):
    engine = open_engine(tmp_path / "nowhere")
    with pytest.raises(OperationalError), engine.connect():
        pass
    assert list(tmp_path.iterdir()) == []
    engine.dispose()


@pytest.mark.parametrize("name", ["with space", "ü", "100%", "a?mode=memory", "a#b", "a&b"])
def test_any_path_is_taken_as_it_is(tmp_path: Path, name: str):
    (tmp_path / name).touch()
    engine = open_engine(tmp_path / name)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE t (x)"))
        connection.commit()
    engine.dispose()
    assert (tmp_path / name).stat().st_size > 0


def test_text_that_is_no_utf8_is_read_and_told_apart(engine: Engine):
    with engine.connect() as connection:
        assert connection.execute(text("SELECT CAST(x'61ff' AS TEXT)")).scalar() == "a\ufffd"
        assert connection.execute(text("SELECT 'Grüße 🔑'")).scalar() == "Grüße 🔑"


@pytest.mark.parametrize(
    ("value", "made"),
    [(b"\x00\xff", b"\x00\xff"), ("text", b"text"), (5, b"5"), (10**12, b"1000000000000"), (None, b"None")],
)
def test_a_blob_of_another_type_is_never_taken_for_a_length(value: object, made: bytes):
    assert as_bytes(value) == made


def test_errors_show_no_bound_values(engine: Engine):
    with engine.connect() as connection, pytest.raises(OperationalError) as refused:
        connection.execute(text("SELECT :x FROM nowhere"), {"x": "kanarie-4711"})
    assert "kanarie" not in str(refused.value)
