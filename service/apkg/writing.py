"""Writes a package that Anki opens: generation 1, schema 11, its media behind the collection."""

from __future__ import annotations

import hashlib
import html
import json
import re
import sqlite3
import zipfile
from collections.abc import Iterable
from typing import IO, BinaryIO

from service.apkg.fields import media, media_of_css
from service.apkg.layout import CONFIGURATION, SCHEMA, deck_of, model_of
from service.apkg.notes import DEFAULT_DECK, NewNote, NoteKind
from service.apkg.templates import cloze_cards, shows

PIECE_BYTES = 256 * 1024


class Writer:
    """Collects notes, then writes the package. `now_s` is the moment of the export, in seconds since 1970."""

    def __init__(self, now_s: int) -> None:
        self._now_s = now_s
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._db.executescript(SCHEMA)
        self._db.execute("begin")
        self._decks: dict[str, int] = {DEFAULT_DECK: 1}
        self._kinds: dict[int, NoteKind] = {}
        self._guids: set[str] = set()
        self._cards = 0
        self.shown: set[str] = set()
        """Names of the media that the notes show."""

    def add(self, note: NewNote) -> None:
        """Add a note with its cards, as new ones. A second note of one guid is left out: Anki could not hold both."""
        if note.guid in self._guids:
            return
        self._guids.add(note.guid)
        self._meet(note.kind)
        number = self._now_s * 1000 + len(self._guids)  # ids are moments in Anki, and must only differ
        first = note.values[0] if note.values else ""
        tags = f" {' '.join(note.tags)} " if note.tags else ""
        self._db.execute(
            "insert into notes values (?, ?, ?, ?, -1, ?, ?, ?, ?, 0, '')",
            (
                *(number, note.guid, note.kind.id, note.modified_s or self._now_s, tags, "\x1f".join(note.values)),
                *(_plain(first), _checksum(first)),
            ),
        )
        for value in note.values:
            self.shown.update(media(value))
        for ord_ in _cards(note):
            self._cards += 1
            card = (self._now_s * 1000 + self._cards, number, self._deck_id(note.deck), ord_, self._now_s, self._cards)
            self._db.execute("insert into cards values (?, ?, ?, ?, ?, -1, 0, 0, ?, 0, 0, 0, 0, 0, 0, 0, 0, '')", card)

    def write(self, out: BinaryIO, media: Iterable[tuple[str, int, IO[bytes]]] = ()) -> None:
        """The whole package; of the media, each with its size, those that notes show. Raises EOFError: one is short."""
        self._finish()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("collection.anki2", self._db.serialize())
            self._db.close()
            names = dict[str, str]()
            for name, size, content in media:
                is_wanted = name in self.shown and name not in names.values()
                member = str(len(names))
                if is_wanted:
                    names[member] = name
                    with archive.open(zipfile.ZipInfo(member), "w", force_zip64=size >= 2**31) as kept:
                        _copy(content, kept, size)
                else:
                    _copy(content, None, size)
            archive.writestr("media", json.dumps(names, ensure_ascii=False))

    def _meet(self, kind: NoteKind) -> None:
        if kind.id not in self._kinds:
            self._kinds[kind.id] = kind
            self.shown.update(media_of_css(kind.css))
            for template in kind.templates:
                self.shown.update((*media(template.question), *media(template.answer)))

    def _deck_id(self, name: str) -> int:
        digest = hashlib.sha256(name.encode()).digest()
        return self._decks.setdefault(name, 1_700_000_000_000 + int.from_bytes(digest[:4], "big"))

    def _finish(self) -> None:
        self._db.execute(
            "insert into col values (1, ?, ?, ?, 11, 0, 0, 0, ?, ?, ?, ?, '{}')",
            (
                self._now_s,
                self._now_s * 1000,
                self._now_s * 1000,
                json.dumps({"nextPos": self._cards + 1, "curDeck": 1, "activeDecks": [1], "schedVer": 2}),
                json.dumps({str(kind.id): model_of(kind, self._now_s) for kind in self._kinds.values()}),
                json.dumps({str(id_): deck_of(id_, name, self._now_s) for name, id_ in self._decks.items()}),
                json.dumps({"1": CONFIGURATION}),
            ),
        )
        self._db.execute("commit")


def _cards(note: NewNote) -> list[int]:
    if note.kind.is_cloze:
        return cloze_cards(note.values)
    values = dict(zip(note.kind.fields, note.values, strict=False))
    return [at for at, template in enumerate(note.kind.templates) if shows(template.question, values)] or [0]


def _copy(source: IO[bytes], target: IO[bytes] | None, size: int) -> None:
    while size:
        piece = source.read(min(size, PIECE_BYTES))
        if not piece:
            raise EOFError("a file inside the package is cut short")
        size -= len(piece)
        if target is not None:
            target.write(piece)


def _plain(field: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", field))


def _checksum(field: str) -> int:
    """Anki's mark for duplicates: the first four bytes of the plain first field's SHA-1."""
    return int.from_bytes(hashlib.sha1(_plain(field).encode(), usedforsecurity=False).digest()[:4], "big")
