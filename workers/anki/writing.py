"""Writes a package that Anki opens: generation 1, schema 11, one note type with a front and a back."""

from __future__ import annotations

import hashlib
import html
import io
import json
import re
import sqlite3
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_SCHEMA = """
create table col (
  id integer primary key, crt integer not null, mod integer not null, scm integer not null, ver integer not null,
  dty integer not null, usn integer not null, ls integer not null, conf text not null, models text not null,
  decks text not null, dconf text not null, tags text not null
);
create table notes (
  id integer primary key, guid text not null, mid integer not null, mod integer not null, usn integer not null,
  tags text not null, flds text not null, sfld integer not null, csum integer not null, flags integer not null,
  data text not null
);
create table cards (
  id integer primary key, nid integer not null, did integer not null, ord integer not null, mod integer not null,
  usn integer not null, type integer not null, queue integer not null, due integer not null, ivl integer not null,
  factor integer not null, reps integer not null, lapses integer not null, left integer not null,
  odue integer not null, odid integer not null, flags integer not null, data text not null
);
create table revlog (
  id integer primary key, cid integer not null, usn integer not null, ease integer not null, ivl integer not null,
  lastIvl integer not null, factor integer not null, time integer not null, type integer not null
);
create table graves (usn integer not null, oid integer not null, type integer not null);
create index ix_notes_usn on notes (usn);
create index ix_cards_usn on cards (usn);
create index ix_revlog_usn on revlog (usn);
create index ix_cards_nid on cards (nid);
create index ix_cards_sched on cards (did, queue, due);
create index ix_revlog_cid on revlog (cid);
create index ix_notes_csum on notes (csum);
"""
_DEFAULT_DECK = "Default"
_MODEL_ID = 1_700_000_000_001
_GUID_CHARACTERS = 10


@dataclass(frozen=True, slots=True)
class Flashcard:
    """A card as text; `guid` is its identity in Anki, made from its front and deck where it has none."""

    front: str
    back: str
    deck: str = _DEFAULT_DECK
    tags: str = ""
    guid: str | None = None


class Writer:
    """Collects cards, then gives the package. `now_s` is the moment of the export, in seconds since 1970."""

    def __init__(self, name: str, now_s: int) -> None:
        self._name, self._now_s = name, now_s
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._db.execute("begin")
        self._decks: dict[str, int] = {_DEFAULT_DECK: 1}
        self._count = 0

    def add(self, cards: Iterable[Flashcard]) -> None:
        """Add cards in this order."""
        for card in cards:
            self._count += 1
            number = self._now_s * 1000 + self._count  # ids are moments in Anki, and must only differ
            front, back = (_as_html(text) for text in (card.front, card.back))
            tags = f" {' '.join(card.tags.split())} " if card.tags.strip() else ""
            note = (number, card.guid or _guid(card), _MODEL_ID, self._now_s, tags, f"{front}\x1f{back}")
            self._db.execute(
                "insert into notes values (?, ?, ?, ?, -1, ?, ?, ?, ?, 0, '')",
                (*note, _plain(front), _checksum(front)),
            )
            deck_id = self._decks.setdefault(card.deck or _DEFAULT_DECK, self._now_s * 1000 + len(self._decks))
            self._db.execute(
                "insert into cards values (?, ?, ?, 0, ?, -1, 0, 0, ?, 0, 0, 0, 0, 0, 0, 0, 0, '')",
                (number, number, deck_id, self._now_s, self._count),
            )

    def package(self) -> bytes:
        """The whole package."""
        self._db.execute(
            "insert into col values (1, ?, ?, ?, 11, 0, 0, 0, ?, ?, ?, ?, '{}')",
            (
                self._now_s,
                self._now_s * 1000,
                self._now_s * 1000,
                json.dumps({"nextPos": self._count + 1, "curDeck": 1, "activeDecks": [1], "schedVer": 2}),
                json.dumps({str(_MODEL_ID): self._model()}),
                json.dumps({str(deck_id): self._deck(deck_id, name) for name, deck_id in self._decks.items()}),
                json.dumps({"1": _CONFIGURATION}),
            ),
        )
        self._db.execute("commit")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("collection.anki2", self._db.serialize())
            archive.writestr("media", "{}")
        self._db.close()
        return packed.getvalue()

    def _deck(self, deck_id: int, name: str) -> Mapping[str, object]:
        nothing = [0, 0]
        return {
            "id": deck_id,
            "name": name,
            "mod": self._now_s,
            "usn": -1,
            "conf": 1,
            "desc": "",
            "dyn": 0,
            "collapsed": False,
            "browserCollapsed": False,
            "extendNew": 0,
            "extendRev": 0,
            "newToday": nothing,
            "revToday": nothing,
            "lrnToday": nothing,
            "timeToday": nothing,
        }

    def _model(self) -> Mapping[str, object]:
        fields = [
            {"name": name, "ord": ord_, "sticky": False, "rtl": False, "font": "Arial", "size": 20, "media": []}
            for ord_, name in enumerate(("Front", "Back"))
        ]
        template = {
            "name": "Card 1",
            "ord": 0,
            "qfmt": "{{Front}}",
            "afmt": "{{FrontSide}}\n\n<hr id=answer>\n\n{{Back}}",
            "bqfmt": "",
            "bafmt": "",
            "did": None,
        }
        return {
            "id": _MODEL_ID,
            "name": self._name,
            "type": 0,
            "mod": self._now_s,
            "usn": -1,
            "sortf": 0,
            "did": 1,
            "flds": fields,
            "tmpls": [template],
            "req": [[0, "any", [0]]],
            "css": ".card { font-family: arial; font-size: 20px; text-align: center; }",
            "latexPre": "\\documentclass[12pt]{article}\n\\begin{document}\n",
            "latexPost": "\\end{document}",
            "tags": [],
            "vers": [],
        }


_CONFIGURATION: Mapping[str, object] = {
    "id": 1,
    "name": "Default",
    "mod": 0,
    "usn": 0,
    "maxTaken": 60,
    "timer": 0,
    "autoplay": True,
    "replayq": True,
    "dyn": False,
    "new": {"delays": [1, 10], "ints": [1, 4, 7], "initialFactor": 2500, "perDay": 20, "order": 1, "bury": False},
    "rev": {"perDay": 200, "ease4": 1.3, "ivlFct": 1, "maxIvl": 36500, "hardFactor": 1.2, "bury": False},
    "lapse": {"delays": [10], "mult": 0, "minInt": 1, "leechFails": 8, "leechAction": 0},
}


def _as_html(text: str) -> str:
    return html.escape(text, quote=False).replace("\x1f", " ").replace("\n", "<br>")


def _plain(field: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", field))


def _checksum(field: str) -> int:
    """Anki's mark for duplicates: the first four bytes of the plain first field's SHA-1."""
    return int.from_bytes(hashlib.sha1(_plain(field).encode(), usedforsecurity=False).digest()[:4], "big")


def _guid(card: Flashcard) -> str:
    """The same for the same card, so that a second export updates the notes of the first."""
    return hashlib.sha256(f"{card.deck}\x1f{card.front}".encode()).hexdigest()[:_GUID_CHARACTERS]
