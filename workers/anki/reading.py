"""One table of an Anki package as resumable chunks: its notes, cards, answers, note types, decks or media."""

from __future__ import annotations

import hashlib
import json
import mimetypes
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal

import pyarrow as pa

from service.domain.processor import Chunk, Column, ColumnType, Reject, Work
from workers.anki.collection import Card, Collection, Note, NoteType, Review
from workers.anki.fields import clozes, media, plain, uncovered
from workers.anki.package import PIECE_BYTES, Medium, Package
from workers.columns import check_shape, schema
from workers.exact import storable

Part = Literal["notes", "cards", "reviews", "note_types", "decks", "media"]
Row = dict[str, Any]

ROWS = 2_000
"""The most rows of one chunk."""
ROW_BYTES = 500
"""About what a row takes."""

_TEXT, _WHOLE, _BIG = ColumnType.TEXT, ColumnType.INTEGER, ColumnType.BIGINT
_JSON, _TIME, _TRUTH = ColumnType.JSONB, ColumnType.TIMESTAMPTZ, ColumnType.BOOLEAN

_NAMED: Mapping[Part, Mapping[str, ColumnType]] = {
    "notes": {
        "guid": _TEXT,
        "front": _TEXT,
        "back": _TEXT,
        "deck": _TEXT,
        "tags": _TEXT,
        "note_type": _TEXT,
        "fields": _JSON,
        "media": _JSON,
        "clozes": _WHOLE,
        "cards": _WHOLE,
        "note_id": _BIG,
        "modified_at": _TIME,
    },
    "cards": {
        "card_id": _BIG,
        "note_id": _BIG,
        "deck": _TEXT,
        "template": _TEXT,
        "ord": _WHOLE,
        "state": _TEXT,
        "queue": _TEXT,
        "due": _BIG,
        "due_at": _TIME,
        "interval_s": _BIG,
        "ease": _WHOLE,
        "reps": _WHOLE,
        "lapses": _WHOLE,
        "flag": _WHOLE,
        "memory": _JSON,
        "modified_at": _TIME,
    },
    "reviews": {
        "at": _TIME,
        "card_id": _BIG,
        "answer": _WHOLE,
        "interval_s": _BIG,
        "last_interval_s": _BIG,
        "ease": _WHOLE,
        "took_ms": _BIG,
        "kind": _TEXT,
    },
    "note_types": {
        "note_type_id": _BIG,
        "name": _TEXT,
        "is_cloze": _TRUTH,
        "is_occlusion": _TRUTH,
        "fields": _JSON,
        "templates": _JSON,
        "css": _TEXT,
    },
    "decks": {"deck_id": _BIG, "name": _TEXT, "is_filtered": _TRUTH},
    "media": {"name": _TEXT, "size_bytes": _BIG, "sha256": _TEXT, "media_type": _TEXT},
}
COLUMNS = {part: tuple(Column(name, kind) for name, kind in named.items()) for part, named in _NAMED.items()}

_STATES = {0: "new", 1: "learning", 2: "review", 3: "relearning"}
_QUEUES = {
    -3: "buried",
    -2: "buried",
    -1: "suspended",
    0: "new",
    1: "learning",
    2: "review",
    3: "learning",
    4: "preview",
}
_REVIEWS = {0: "learning", 1: "review", 2: "relearning", 3: "filtered", 4: "manual", 5: "rescheduled"}
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Item:
    """A row, or why there is none, and the key behind which reading goes on."""

    row: Row | str
    key: int


def read(work: Work, part: Part) -> Iterator[Chunk]:
    """The rows of a part behind the work's cursor. Raises InputError for what is no package."""
    check_shape(work.columns, COLUMNS[part])
    package = Package(work.source)
    collection = Collection(package.collection())
    cursor = work.cursor or {"after": -(2**63), "row": 1}
    row = int(cursor["row"] or 1)
    total = max(1, _count(part, package, collection))
    items = _ITEMS[part](package, collection, int(cursor["after"] or 0))
    most = max(1, min(ROWS, work.chunk_bytes // ROW_BYTES))
    lot = list(islice(items, most))
    while lot or (row == 1 and work.cursor is None):
        following = list(islice(items, most))
        after = {"after": lot[-1].key if lot else 0, "row": row + len(lot)}
        read_so_far = row - 1 + len(lot)
        done = min(work.total, work.total * read_so_far // total) if following else work.total
        yield _chunk(part, lot, row, after, done)
        row += len(lot)
        lot = following
        if not lot:
            return


def _chunk(part: Part, lot: list[Item], first_row: int, cursor: Mapping[str, int], done: int) -> Chunk:
    columns = COLUMNS[part]
    rows = [item.row for item in lot if not isinstance(item.row, str)]
    rejects = tuple(_reject(first_row + index, item.row) for index, item in enumerate(lot) if isinstance(item.row, str))
    arrays = [pa.array([row[c.name] for row in rows], f.type) for c, f in zip(columns, schema(columns), strict=True)]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema(columns))
    return Chunk(columns, batch, first_row, len(lot), dict(cursor), done, rejects)


def _notes(package: Package, collection: Collection, after: int) -> Iterator[Item]:
    names = {medium.name for medium in package.media()}
    for note in collection.notes(after):
        kind = collection.types.get(note.type_id)
        yield Item("Its note type is missing." if kind is None else _note(note, kind, collection, names), note.id)


def _note(note: Note, kind: NoteType, collection: Collection, names: set[str]) -> Row:
    texts = [plain(uncovered(value) if kind.is_cloze else value) for value in note.values]
    deck = collection.decks.get(note.deck_id) if note.deck_id is not None else None
    shown = [name for value in note.values for name in media(value)]
    return {
        "guid": storable(note.guid),
        "front": storable(texts[0]),
        "back": storable(texts[1]) if len(texts) > 1 else None,
        "deck": None if deck is None else storable(deck.name),
        "tags": storable(" ".join(note.tags)),
        "note_type": storable(kind.name),
        "fields": _json(dict(zip(kind.fields, note.values, strict=False))),
        "media": _json([{"name": name, "is_there": name in names} for name in dict.fromkeys(shown)]),
        "clozes": len({n for value in note.values for c in clozes(value) for n in c.numbers}) if kind.is_cloze else 0,
        "cards": note.cards,
        "note_id": note.id,
        "modified_at": _moment(note.modified_s),
    }


def _cards(package: Package, collection: Collection, after: int) -> Iterator[Item]:
    types = {note.id: collection.types.get(note.type_id) for note in collection.notes()}
    for card in collection.cards(after):
        yield Item(_card(card, types.get(card.note_id), collection), card.id)


def _card(card: Card, kind: NoteType | None, collection: Collection) -> Row:
    deck = collection.decks.get(card.deck_id)
    template = None
    if kind is not None and kind.templates:
        template = kind.templates[0 if kind.is_cloze else min(card.ord, len(kind.templates) - 1)]
    return {
        "card_id": card.id,
        "note_id": card.note_id,
        "deck": None if deck is None else storable(deck.name),
        "template": None if template is None else storable(template),
        "ord": card.ord,
        "state": _STATES.get(card.type, str(card.type)),
        "queue": _QUEUES.get(card.queue, str(card.queue)),
        "due": card.due,
        "due_at": _due_at(card, collection),
        "interval_s": _seconds(card.interval_days),
        "ease": card.factor,
        "reps": card.reps,
        "lapses": card.lapses,
        "flag": card.flag,
        "memory": _json_or_none(card.data),
        "modified_at": _moment(card.modified_s),
    }


def _due_at(card: Card, collection: Collection) -> datetime | None:
    """When it is due: reviews count days since the collection began, cards in learning have a moment."""
    if card.queue in (2, 3) or (card.queue < 0 and card.type == 2):
        return _moment(collection.created_s + card.due * _DAY_S)
    return _moment(card.due) if card.queue == 1 else None


def _reviews(package: Package, collection: Collection, after: int) -> Iterator[Item]:
    for review in collection.reviews(after):
        yield Item(_review(review), review.id)


def _review(review: Review) -> Row:
    return {
        "at": _moment(review.id / 1000),
        "card_id": review.card_id,
        "answer": review.ease,
        "interval_s": _seconds(review.interval),
        "last_interval_s": _seconds(review.last_interval),
        "ease": review.factor,
        "took_ms": review.time_ms,
        "kind": _REVIEWS.get(review.type, str(review.type)),
    }


def _note_types(package: Package, collection: Collection, after: int) -> Iterator[Item]:
    for kind in collection.types.values():
        if kind.id > after:
            row = {
                "note_type_id": kind.id,
                "name": storable(kind.name),
                "is_cloze": kind.is_cloze,
                "is_occlusion": kind.is_occlusion,
                "fields": _json(kind.fields),
                "templates": _json(kind.templates),
                "css": storable(kind.css),
            }
            yield Item(row, kind.id)


def _decks(package: Package, collection: Collection, after: int) -> Iterator[Item]:
    for deck in sorted(collection.decks.values(), key=lambda deck: deck.id):
        if deck.id > after:
            yield Item({"deck_id": deck.id, "name": storable(deck.name), "is_filtered": deck.is_filtered}, deck.id)


def _media(package: Package, collection: Collection, after: int) -> Iterator[Item]:
    for number, medium in enumerate(package.media()):
        if number > after:
            yield Item(_medium(package, medium), number)


def _medium(package: Package, medium: Medium) -> Row | str:
    if medium.member is None:
        return f"The package names {medium.name} and does not hold it."
    digest, size = hashlib.sha256(), 0
    with package.open(medium) as content:
        while piece := content.read(PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
    kind = mimetypes.guess_type(medium.name)[0]
    return {"name": storable(medium.name), "size_bytes": size, "sha256": digest.hexdigest(), "media_type": kind}


_ITEMS: Mapping[Part, Callable[[Package, Collection, int], Iterator[Item]]] = {
    "notes": _notes,
    "cards": _cards,
    "reviews": _reviews,
    "note_types": _note_types,
    "decks": _decks,
    "media": _media,
}


def _count(part: Part, package: Package, collection: Collection) -> int:
    match part:
        case "notes" | "cards":
            return collection.count(part)
        case "reviews":
            return collection.count("revlog")
        case "note_types":
            return len(collection.types)
        case "decks":
            return len(collection.decks)
        case "media":
            return sum(1 for _ in package.media())


def _reject(row: int, why: str) -> Reject:
    return Reject(row, row, None, "incomplete", why, "Check the collection in Anki, and export again.", "")


def _moment(seconds: float) -> datetime | None:
    try:
        found = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return None
    return found if found.year > 0 else None


def _seconds(interval: int) -> int:
    """Anki counts days above zero and seconds below."""
    return interval * _DAY_S if interval > 0 else -interval


def _json_or_none(text: str) -> str | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _json(found) if found else None


def _json(value: object) -> str:
    return storable(json.dumps(value, ensure_ascii=False)).replace("\\u0000", "")
