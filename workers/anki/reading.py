"""One table of an Anki package as resumable chunks: its notes, cards, answers, note types, decks or media."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from service.domain.chunk import Chunk, Enclosed, Reject
from service.domain.processor import Work
from workers.anki.collection import Collection
from workers.anki.contents import Contents
from workers.anki.package import Package
from workers.anki.rows import Row, card_row, note_row, note_type_row, review_row
from workers.anki.tables import COLUMNS, Part
from workers.columns import check_shape, schema
from workers.exact import storable

ROWS = 2_000
"""The most rows of one chunk."""
ROW_BYTES = 500
"""About what a row takes."""
FILES = 200
FILE_BYTES = 32 * 1024 * 1024
"""A chunk ends once it has so many files with it, or so much of them, so that what is stored is soon committed."""


@dataclass(frozen=True, slots=True)
class Item:
    """A row, or why there is none, the key behind which reading goes on, and the names of media it is shown with.

    `line` is where it stands in a text.
    """

    row: Row | str
    key: int
    media: list[str] = field(default_factory=list)
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A package with all that its parts are made of; with `keeps` its media are handed out."""

    collection: Collection
    contents: Contents
    keeps: bool


def read(work: Work, part: Part, *, keeps: bool = True) -> Iterator[Chunk]:
    """The rows of a part behind the work's cursor. Raises InputError for what is no package."""
    check_shape(work.columns, COLUMNS[part])
    package = Package(work.source)
    opened = Opened(Collection(package.collection()), Contents(package, work.total), keeps)
    cursor = work.cursor or {"after": -(2**63), "row": 1}
    row = int(cursor["row"] or 1)
    total = max(1, _count(part, opened))
    items = _ITEMS[part](opened, int(cursor["after"] or 0))
    most = max(1, min(ROWS, work.chunk_bytes // ROW_BYTES))
    lot, files = _lot(items, opened, most)
    while lot or (row == 1 and work.cursor is None):
        following = _lot(items, opened, most)
        after = {"after": lot[-1].key if lot else 0, "row": row + len(lot)}
        read_so_far = row - 1 + len(lot)
        done = min(work.total, work.total * read_so_far // total) if following[0] else work.total
        yield chunk_of(part, lot, row, after, done, files)
        row += len(lot)
        lot, files = following
        if not lot:
            return


def chunk_of(
    part: Part,
    lot: list[Item],
    first_row: int,
    cursor: Mapping[str, int],
    done: int,
    files: tuple[Enclosed, ...] = (),
) -> Chunk:
    """Items as a chunk."""
    columns = COLUMNS[part]
    rows = [item.row for item in lot if not isinstance(item.row, str)]
    rejects = tuple(_reject(first_row + index, item) for index, item in enumerate(lot) if isinstance(item.row, str))
    arrays = [pa.array([row[c.name] for row in rows], f.type) for c, f in zip(columns, schema(columns), strict=True)]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema(columns))
    return Chunk(columns, batch, first_row, len(lot), dict(cursor), done, rejects, enclosed=files)


def _lot(items: Iterator[Item], opened: Opened, most: int) -> tuple[list[Item], tuple[Enclosed, ...]]:
    """The next items, and the files they are shown with: each once, though it may go with other chunks too."""
    lot: list[Item] = []
    files: dict[str, Enclosed] = {}
    size = 0
    while len(lot) < most and len(files) < FILES and size < FILE_BYTES and (item := next(items, None)) is not None:
        lot.append(item)
        for name in item.media if opened.keeps else ():
            if name not in files and name in opened.contents and (file := opened.contents.enclosed(name)) is not None:
                files[name] = file
                size += file.size_bytes
    return lot, tuple(files.values())


def _notes(opened: Opened, after: int) -> Iterator[Item]:
    collection = opened.collection
    for note in collection.notes(after):
        if (kind := collection.types.get(note.type_id)) is None:
            yield Item("Its note type is missing.", note.id)
            continue
        deck = collection.decks.get(note.deck_id) if note.deck_id is not None else None
        row, media = note_row(note, kind, deck.name if deck else None, opened.contents, keeps=opened.keeps)
        yield Item(row, note.id, media)


def _cards(opened: Opened, after: int) -> Iterator[Item]:
    collection = opened.collection
    notes = collection.identities()
    for card in collection.cards(after):
        guid, type_id = notes.get(card.note_id, (None, None))
        kind = None if type_id is None else collection.types.get(type_id)
        yield Item(card_row(card, guid, kind, collection), card.id)


def _reviews(opened: Opened, after: int) -> Iterator[Item]:
    for review in opened.collection.reviews(after):
        yield Item(review_row(review), review.id)


def _note_types(opened: Opened, after: int) -> Iterator[Item]:
    for kind in opened.collection.types.values():
        if kind.id > after:
            row, media = note_type_row(kind)
            yield Item(row, kind.id, media)


def _decks(opened: Opened, after: int) -> Iterator[Item]:
    for deck in sorted(opened.collection.decks.values(), key=lambda deck: deck.id):
        if deck.id > after:
            yield Item({"deck_id": deck.id, "name": storable(deck.name), "is_filtered": deck.is_filtered}, deck.id)


def _media(opened: Opened, after: int) -> Iterator[Item]:
    for number, name in enumerate(opened.contents):
        if number > after:
            found = opened.contents.look(name)
            names = ("name", "size_bytes", "sha256", "media_type")
            row = {known: getattr(found, known) for known in names}
            yield Item(found.fault or row, number, [name])


_ITEMS: Mapping[Part, Callable[[Opened, int], Iterator[Item]]] = {
    "notes": _notes,
    "cards": _cards,
    "reviews": _reviews,
    "note_types": _note_types,
    "decks": _decks,
    "media": _media,
}


def _count(part: Part, opened: Opened) -> int:
    match part:
        case "notes" | "cards":
            return opened.collection.count(part)
        case "reviews":
            return opened.collection.count("revlog")
        case "note_types":
            return len(opened.collection.types)
        case "decks":
            return len(opened.collection.decks)
        case "media":
            return sum(1 for _ in opened.contents)


def _reject(row: int, item: Item) -> Reject:
    suggestion = "Check the collection in Anki, and export again."
    return Reject(row, item.line or row, None, "incomplete", str(item.row), suggestion, "")
