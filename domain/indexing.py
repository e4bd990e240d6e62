"""What of a record is indexed, and in which field: one rule for sessions, files of Claude Code's memory, and notes.

person  what the person wrote; of a note its title, its words and its tags
digest  the lines that may be injected, of a session or a file of Claude Code's memory
rest    the long form beside the person's words, and the days on which it was: "8 May 2023", 2023-05-08
names   the files that were edited
"""

from __future__ import annotations

import time
from dataclasses import replace

from domain.context import MEMORY, SESSION, ContextRecord
from domain.recall import term_counts
from domain.text import index_tokens

_DAY_COUNTS = 2
"""A day is told once and is worth as much as a word that is said again."""


def indexed(record: ContextRecord) -> ContextRecord:
    """The record with its terms and the lengths of its fields, made of its texts and times alone."""
    if record.kind == SESSION:
        person, digest = index_tokens(record.body_person), index_tokens(record.digest)
    elif record.kind == MEMORY:
        person, digest = [], index_tokens(f"{record.title}\n{record.outcome}\n{record.digest}")
    else:
        person, digest = index_tokens(f"{record.title}\n{record.body_person}\n{' '.join(record.tags)}"), []
    days = index_tokens(" ".join(dict.fromkeys(map(_day, (record.created_us, record.updated_us)))))
    return replace(
        record,
        person_length=len(person),
        rest_length=len(digest),
        terms=term_counts(
            person, digest, [*index_tokens(record.body_rest), *days * _DAY_COUNTS], index_tokens(" ".join(record.files))
        ),
    )


def _day(at_us: int) -> str:
    at = time.gmtime(at_us // 1_000_000)
    return f"{at.tm_mday} {time.strftime('%B %Y %Y-%m-%d', at)}" if at_us else ""
