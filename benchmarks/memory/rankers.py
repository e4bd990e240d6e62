"""What ranks beside the product: rank-bm25, SQLite FTS5 with porter, MariaDB's own relevance.  All over the same texts."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any, Protocol, Self

from tests.kit.mariadb import MariaDB

_WORD = re.compile(r"\w+")
Tokenize = Callable[[str], list[str]]


class Ranker(Protocol):
    """Keeps texts by repository, and orders the names of those that answer a question, best first."""

    name: str

    def add(self, repo: str, name: str, text: str) -> None:
        """Keeps one more text."""

    def ask(self, repo: str, question: str, most: int) -> list[str]:
        """The names of the best."""


def plain_words(text: str) -> list[str]:
    """Lower-case words, nothing else done."""
    return _WORD.findall(text.lower())


class RankBM25:
    """BM25Okapi of rank-bm25 with its own defaults."""

    def __init__(self, name: str, tokenize: Tokenize = plain_words) -> None:
        from rank_bm25 import BM25Okapi

        self.name = name
        self._made: Any = BM25Okapi
        self._tokenize = tokenize
        self._names: dict[str, list[str]] = {}
        self._texts: dict[str, list[list[str]]] = {}
        self._index: dict[str, Any] = {}

    def add(self, repo: str, name: str, text: str) -> None:
        """Keeps one more text."""
        self._names.setdefault(repo, []).append(name)
        self._texts.setdefault(repo, []).append(self._tokenize(text) or [""])
        self._index.pop(repo, None)

    def prepare(self, repo: str) -> None:
        """Makes the index, which is no part of asking."""
        if repo not in self._index and self._texts.get(repo):
            self._index[repo] = self._made(self._texts[repo])

    def ask(self, repo: str, question: str, most: int) -> list[str]:
        """The names of the best, best first."""
        self.prepare(repo)
        if repo not in self._index:
            return []
        scores = self._index[repo].get_scores(self._tokenize(question))
        order = sorted(range(len(scores)), key=lambda at: (-scores[at], -at))
        return [self._names[repo][at] for at in order[:most] if scores[at] > 0]


class PorterFTS5:
    """SQLite's full text with the porter stemmer and its own bm25()."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._line = sqlite3.connect(":memory:")
        self._tables: dict[str, str] = {}

    def add(self, repo: str, name: str, text: str) -> None:
        """Keeps one more text."""
        if repo not in self._tables:
            self._tables[repo] = f"t{len(self._tables)}"
            self._line.execute(
                f"CREATE VIRTUAL TABLE {self._tables[repo]} USING fts5(name UNINDEXED, said, tokenize='porter unicode61')"
            )
        self._line.execute(f"INSERT INTO {self._tables[repo]} VALUES (?, ?)", (name, text))

    def ask(self, repo: str, question: str, most: int) -> list[str]:
        """The names of the best, best first."""
        words = dict.fromkeys(plain_words(question))
        if not words or repo not in self._tables:
            return []
        table = self._tables[repo]
        found = self._line.execute(
            f"SELECT name FROM {table} WHERE {table} MATCH ? ORDER BY bm25({table}) LIMIT ?",
            (" OR ".join(f'"{word}"' for word in words), most),
        )
        return [str(name) for (name,) in found]

    def close(self) -> None:
        """Lets go of the index."""
        self._line.close()


class MariaDBRelevance:
    """MariaDB's FULLTEXT in natural-language mode, as the server is by default."""

    def __init__(self, name: str, server: MariaDB) -> None:
        self.name = name
        self._server = server
        self._database = server.database()
        self._line = server.connect(self._database)
        self._tables: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, repo: str, name: str, text: str) -> None:
        """Keeps one more text."""
        with closing(self._line.cursor()) as cursor:
            if repo not in self._tables:
                self._tables[repo] = f"t{len(self._tables)}"
                cursor.execute(
                    f"CREATE TABLE {self._tables[repo]} (name VARCHAR(64), said LONGTEXT, FULLTEXT(said)) "
                    "COLLATE utf8mb4_general_ci"
                )
            cursor.execute(f"INSERT INTO {self._tables[repo]} VALUES (%s, %s)", (name, text))

    def ask(self, repo: str, question: str, most: int) -> list[str]:
        """The names of the best, best first."""
        if repo not in self._tables:
            return []
        with closing(self._line.cursor()) as cursor:
            cursor.execute(
                f"SELECT name, MATCH (said) AGAINST (%s) AS relevance FROM {self._tables[repo]} "
                "HAVING relevance > 0 ORDER BY relevance DESC LIMIT %s",
                (question, most),
            )
            return [str(row[0]) for row in cursor.fetchall()]

    def close(self) -> None:
        """Lets go of the line, and drops what was kept."""
        self._line.close()
        self._server.drop(self._database)
