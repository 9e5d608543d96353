"""Anki's collection: an SQLite database of schema 11 to 18, read only, from memory."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from service.domain.errors import InputError
from workers.anki import protobuf

SCHEMAS = range(11, 19)
STATEMENT_S = 600
"""A hostile database can keep a query busy for ever."""

_NEEDED = {"col", "notes", "cards"}
_FIELD_MARK = "\x1f"
_OCCLUSION = 6


@dataclass(frozen=True, slots=True)
class NoteType:
    """Names of fields and templates in their order. `is_occlusion` hides parts of an image."""

    id: int
    name: str
    fields: tuple[str, ...]
    templates: tuple[str, ...]
    is_cloze: bool
    is_occlusion: bool
    css: str


@dataclass(frozen=True, slots=True)
class Deck:
    """A deck; levels of its name are parted by `::`."""

    id: int
    name: str
    is_filtered: bool


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
            self.types = {found.id: found for found in sorted(self._types(), key=lambda found: found.id)}
            self.decks = {found.id: found for found in self._decks()}

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
        for row in self._rows(statement, after):
            note_id, guid, type_id, modified_s, tags, values, deck_id, cards = row
            words = tuple(str(tags).split())
            parts = tuple(str(values).split(_FIELD_MARK))
            yield Note(int(note_id), str(guid), int(type_id), int(modified_s), words, parts, deck_id, int(cards or 0))

    def cards(self, after: int = -(2**63)) -> Iterator[Card]:
        """Cards in order of their ids, from the one behind `after`."""
        statement = """
          select id, nid, case when odid != 0 then odid else did end, ord, type, queue,
            case when odue != 0 then odue else due end, ivl, factor, reps, lapses, flags & 7, mod, data
          from cards where id > ? order by id
        """
        for row in self._rows(statement, after):
            *numbers, data = row
            yield Card(str(data or ""), *map(int, numbers))

    def reviews(self, after: int = -(2**63)) -> Iterator[Review]:
        """Answers in order of their moments, from the one behind `after`."""
        if "revlog" in self._tables:
            statement = """
              select id, cid, ease, ivl, lastIvl, factor, time, type from revlog where id > ? order by id
            """
            for row in self._rows(statement, after):
                yield Review(*map(int, row))

    def _rows(self, statement: str, after: int) -> Iterator[tuple[Any, ...]]:
        with self._reading():
            yield from self._db.execute(statement, (after,))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        give_up_at = time.monotonic() + STATEMENT_S
        self._db.set_progress_handler(lambda: time.monotonic() > give_up_at, 100_000)
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

    def _types(self) -> Iterator[NoteType]:
        if "notetypes" in self._tables:
            yield from self._types_of_tables()
        else:
            models = _object(self._db.execute("select models from col").fetchone()[0])
            for key, model in models.items():
                names = tuple(str(field["name"]) for field in _ordered(model["flds"]))
                templates = tuple(str(template["name"]) for template in _ordered(model["tmpls"]))
                is_occlusion = model.get("originalStockKind") == _OCCLUSION
                css = str(model.get("css", ""))
                yield NoteType(
                    int(key), str(model["name"]), names, templates, model.get("type") == 1, is_occlusion, css
                )

    def _types_of_tables(self) -> Iterator[NoteType]:
        fields = self._named("select ntid, name from fields order by ntid, ord")
        templates = self._named("select ntid, name from templates order by ntid, ord")
        for type_id, name, config in self._db.execute("select id, name, config from notetypes"):
            found = protobuf.fields(bytes(config))
            yield NoteType(
                id=int(type_id),
                name=str(name),
                fields=fields.get(type_id, ()),
                templates=templates.get(type_id, ()),
                is_cloze=protobuf.number(found, 1) == 1,
                is_occlusion=protobuf.number(found, 9) == _OCCLUSION,
                css=protobuf.text(found, 3),
            )

    def _named(self, statement: str) -> Mapping[int, tuple[str, ...]]:
        found: dict[int, tuple[str, ...]] = {}
        for type_id, name in self._db.execute(statement):
            found[type_id] = (*found.get(type_id, ()), str(name))
        return found

    def _decks(self) -> Iterator[Deck]:
        if "decks" in self._tables:
            for deck_id, name, kind in self._db.execute("select id, name, kind from decks"):
                is_filtered = 2 in protobuf.fields(bytes(kind))
                yield Deck(int(deck_id), str(name).replace(_FIELD_MARK, "::"), is_filtered)
        else:
            for key, deck in _object(self._db.execute("select decks from col").fetchone()[0]).items():
                yield Deck(int(key), str(deck["name"]), bool(deck.get("dyn")))


def _opened(database: bytes) -> sqlite3.Connection:
    if not database.startswith(b"SQLite format 3\0") or len(database) < 512:
        raise _damaged("it is no SQLite database")
    if database[18:20] != b"\x01\x01":  # in WAL mode, which a database in memory cannot be
        database = b"".join((database[:18], b"\x01\x01", database[20:]))
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.deserialize(database)
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


def _object(text: object) -> dict[str, Any]:
    found = json.loads(str(text))
    if not isinstance(found, dict):
        raise TypeError("settings are no object")
    return found


def _ordered(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda item: int(item.get("ord") or 0))


def _damaged(why: str) -> InputError:
    return InputError(
        "file_damaged",
        f"The collection is damaged: {why}.",
        suggestion="Use Tools → Check Database in Anki, and export again.",
    )
