"""Anki's collection: an SQLite database of schema 11 to 18, read only, from memory."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from service.domain.errors import InputError
from workers.anki.types import decks, types

SCHEMAS = range(11, 19)
STATEMENT_S = 100
"""A hostile database can keep a query busy for ever; this long it may take until its next row."""

VALUE_BYTES = 64 * 1024 * 1024
"""The longest text that a statement may meet or make."""

_NEEDED = {"col", "notes", "cards"}
_FIELD_MARK = "\x1f"

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Note:
    """A note. `guid` is its identity over collections, `values` its fields as HTML, `modified_s` seconds since 1970."""

    id: int
    guid: str
    type_id: int
    modified_s: int
    tags: tuple[str, ...]
    values: tuple[str, ...]
    deck_id: int | None
    cards: int


@dataclass(frozen=True, slots=True)
class Card:
    """A card with its scheduling, as Anki stores it; `deck_id` is its home where it sits in a filtered deck."""

    data: str
    id: int
    note_id: int
    deck_id: int
    ord: int
    type: int
    queue: int
    due: int
    interval_days: int
    factor: int
    reps: int
    lapses: int
    flag: int
    modified_s: int


@dataclass(frozen=True, slots=True)
class Review:
    """One answer; `id` is its moment in milliseconds since 1970."""

    id: int
    card_id: int
    ease: int
    interval: int
    last_interval: int
    factor: int
    time_ms: int
    type: int


class Collection:
    """An open collection. Raises InputError: damaged, or of a schema that is not known."""

    def __init__(self, database: bytes) -> None:
        self._db = _opened(database)
        with self._reading():
            self._tables = self._checked_tables()
            row = self._db.execute("select crt, ver from col limit 1").fetchone()
            if row is None:
                raise _damaged("it has no settings")
            self.created_s, self.schema = int(row[0]), int(row[1])
            if self.schema not in SCHEMAS:
                raise InputError(
                    "unsupported_format",
                    f"The collection has schema {self.schema}; {SCHEMAS[0]} to {SCHEMAS[-1]} are known here.",
                    suggestion="Export it with a current Anki, with “Support older Anki versions”.",
                )
            self.types = {found.id: found for found in sorted(types(self._db, self._tables), key=lambda one: one.id)}
            self.decks = {found.id: found for found in decks(self._db, self._tables)}

    def count(self, table: str) -> int:
        """How many rows `notes`, `cards` or `revlog` has."""
        with self._reading():
            return int(self._db.execute(f"select count(*) from {table}").fetchone()[0]) if table in self._tables else 0  # noqa: S608

    def notes(self, after: int = -(2**63)) -> Iterator[Note]:
        """Notes in order of their ids, from the one behind `after`; the deck is that of a note's first card."""
        statement = """
          select n.id, n.guid, n.mid, n.mod, n.tags, n.flds, c.did, c.cards
          from notes n left join (
            select nid, count(*) as cards, min(id),
              case when odid != 0 then odid else did end as did
            from cards group by nid
          ) c on c.nid = n.id
          where n.id > ? order by n.id
        """
        return self._rows(_note, statement, after)

    def identities(self) -> dict[int, tuple[str, int]]:
        """The guid and note type of each note, by its id."""
        return dict(self._rows(_identity, "select id, guid, mid from notes"))

    def cards(self, after: int = -(2**63)) -> Iterator[Card]:
        """Cards in order of their ids, from the one behind `after`."""
        statement = """
          select id, nid, case when odid != 0 then odid else did end, ord, type, queue,
            case when odue != 0 then odue else due end, ivl, factor, reps, lapses, flags & 7, mod, data
          from cards where id > ? order by id
        """
        return self._rows(_card, statement, after)

    def reviews(self, after: int = -(2**63)) -> Iterator[Review]:
        """Answers in order of their moments, from the one behind `after`."""
        if "revlog" not in self._tables:
            return iter(())
        statement = "select id, cid, ease, ivl, lastIvl, factor, time, type from revlog where id > ? order by id"
        return self._rows(_review, statement, after)

    def _rows(self, made: Callable[[tuple[Any, ...]], Row], statement: str, *given: int) -> Iterator[Row]:
        """What is made of each row. A column may hold anything, whatever its type is said to be."""
        with self._reading():
            found = self._db.execute(statement, given)
            while (row := found.fetchone()) is not None:
                yield made(row)
                self._give_up_at = time.monotonic() + STATEMENT_S  # what became of the row meanwhile does not count

    @contextmanager
    def _reading(self) -> Iterator[None]:
        self._give_up_at = time.monotonic() + STATEMENT_S
        self._db.set_progress_handler(lambda: time.monotonic() > self._give_up_at, 100_000)
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise _damaged(str(error)) from error

    def _checked_tables(self) -> set[str]:
        """Names of true tables. A view of the same name could be anything."""
        found = self._db.execute("select name, type, rootpage from sqlite_master where type in ('table', 'view')")
        tables = {str(name): kind == "table" and bool(root) for name, kind, root in found.fetchall()}
        if lacking := sorted(name for name in _NEEDED if not tables.get(name)):
            raise _damaged(f"it has no table {lacking[0]}")
        return {name for name, is_table in tables.items() if is_table}


def _note(row: tuple[Any, ...]) -> Note:
    note_id, guid, type_id, modified_s, tags, values, deck_id, cards = row
    words, parts = tuple(str(tags).split()), tuple(str(values).split(_FIELD_MARK))
    return Note(int(note_id), str(guid), int(type_id), int(modified_s), words, parts, deck_id, int(cards or 0))


def _identity(row: tuple[Any, ...]) -> tuple[int, tuple[str, int]]:
    return int(row[0]), (str(row[1]), int(row[2]))


def _card(row: tuple[Any, ...]) -> Card:
    *numbers, data = row
    return Card(str(data or ""), *map(int, numbers))


def _review(row: tuple[Any, ...]) -> Review:
    return Review(*map(int, row))


def _opened(database: bytes) -> sqlite3.Connection:
    if not database.startswith(b"SQLite format 3\0") or len(database) < 512:
        raise _damaged("it is no SQLite database")
    if database[18:20] != b"\x01\x01":  # in WAL mode, which a database in memory cannot be
        database = b"".join((database[:18], b"\x01\x01", database[20:]))
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.deserialize(database)
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES)
        db.execute("pragma trusted_schema = off")
        db.execute("pragma query_only = on")
    except sqlite3.Error as error:
        raise _damaged(str(error)) from error
    db.create_collation("unicase", _unicase)
    db.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return db


def _unicase(one: str, other: str) -> int:
    """The collation that Anki's newer schemas name, and SQLite does not have."""
    low, high = one.casefold(), other.casefold()
    return (low > high) - (low < high)


def _damaged(why: str) -> InputError:
    return InputError(
        "file_damaged",
        f"The collection is damaged: {why}.",
        suggestion="Use Tools → Check Database in Anki, and export again.",
    )
