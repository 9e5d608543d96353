"""Rows out of what a collection holds: notes, cards, answers, note types, decks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from service.apkg.fields import clozes, media, media_of_css, occlusions, plain, uncovered
from workers.anki.collection import Card, Collection, Note, Review
from workers.anki.contents import Contents
from workers.anki.types import NoteType
from workers.exact import storable

Row = dict[str, Any]

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


def note_row(note: Note, kind: NoteType, deck: str | None, contents: Contents, *, keeps: bool) -> tuple[Row, list[str]]:
    """A note, and the names of the media it shows; with `keeps` they are read, and the row has their digests."""
    texts = [plain(uncovered(value) if kind.is_cloze else value) for value in note.values]
    shown = list(dict.fromkeys(name for value in note.values for name in media(value)))
    front, back = sides(texts, shown, is_occlusion=kind.is_occlusion)
    row = {
        "guid": storable(note.guid),
        "front": storable(front),
        "back": None if back is None else storable(back),
        "deck": None if deck is None else storable(deck),
        "tags": storable(" ".join(note.tags)),
        "note_type": storable(kind.name),
        "fields": as_json(dict(zip(kind.fields, note.values, strict=False))),
        "texts": as_json(dict(zip(kind.fields, texts, strict=False))),
        "field_names": as_json(kind.fields),
        "media": as_json([_medium(name, contents, keeps) for name in shown]),
        "clozes": cloze_count(note.values) if kind.is_cloze else 0,
        "occlusions": as_json(occlusions(note.values[0])) if kind.is_occlusion else None,
        "cards": note.cards,
        "note_id": note.id,
        "note_type_id": kind.id,
        "modified_at": moment(note.modified_s),
    }
    return row, shown


def sides(texts: Sequence[str], shown: Sequence[str], *, is_occlusion: bool = False) -> tuple[str, str | None]:
    """Front and back as plain text. A note that hides parts of an image goes by its header, or the image's name."""
    if not is_occlusion:
        return texts[0], texts[1] if len(texts) > 1 else None
    said = [text for text in texts[1:] if text]
    return (said or shown or [""])[0], said[1] if len(said) > 1 else None


def cloze_count(values: Sequence[str]) -> int:
    """How many cards the clozes of these fields make; c0 marks what is shown and never asked."""
    return len({number for value in values for cloze in clozes(value) for number in cloze.numbers if number})


def card_row(card: Card, guid: str | None, kind: NoteType | None, collection: Collection) -> Row:
    """A card with its scheduling, in words and seconds."""
    deck = collection.decks.get(card.deck_id)
    template = None
    if kind is not None and kind.templates:
        template = kind.templates[0 if kind.is_cloze else min(card.ord, len(kind.templates) - 1)].name
    return {
        "card_id": card.id,
        "note_id": card.note_id,
        "guid": None if guid is None else storable(guid),
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
        "modified_at": moment(card.modified_s),
    }


def review_row(review: Review) -> Row:
    """One answer."""
    return {
        "at": moment(review.id / 1000),
        "card_id": review.card_id,
        "answer": review.ease,
        "interval_s": _seconds(review.interval),
        "last_interval_s": _seconds(review.last_interval),
        "ease": review.factor,
        "took_ms": review.time_ms,
        "kind": _REVIEWS.get(review.type, str(review.type)),
    }


def note_type_row(kind: NoteType) -> tuple[Row, list[str]]:
    """A note type, and the names of the media that its cards show on all notes."""
    sides_ = [side for template in kind.templates for side in (template.question, template.answer)]
    row = {
        "note_type_id": kind.id,
        "name": storable(kind.name),
        "is_cloze": kind.is_cloze,
        "is_occlusion": kind.is_occlusion,
        "fields": as_json(kind.fields),
        "templates": as_json([{"name": t.name, "question": t.question, "answer": t.answer} for t in kind.templates]),
        "css": storable(kind.css),
    }
    return row, [*media_of_css(kind.css), *(name for side in sides_ for name in media(side))]


def moment(seconds: float) -> datetime | None:
    """A moment from seconds since 1970, None if there is no such year."""
    try:
        found = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return None
    return found if found.year > 0 else None


def as_json(value: object) -> str:
    """JSON that PostgreSQL can store."""
    return storable(json.dumps(value, ensure_ascii=False)).replace("\\u0000", "")


def _medium(name: str, contents: Contents, keeps: bool) -> Row:
    if not keeps or not contents.is_there(name):
        return {"name": name, "is_there": contents.is_there(name)}
    found = contents.look(name)
    if found.sha256 is None:
        return {"name": name, "is_there": False, "fault": found.fault}
    return {"name": name, "is_there": True, "size_bytes": found.size_bytes, "sha256": found.sha256}


def _due_at(card: Card, collection: Collection) -> datetime | None:
    """When it is due: reviews count days since the collection began, cards in learning have a moment."""
    if card.queue in (2, 3) or (card.queue < 0 and card.type == 2):
        return moment(collection.created_s + card.due * _DAY_S)
    return moment(card.due) if card.queue == 1 else None


def _seconds(interval: int) -> int:
    """Anki counts days above zero and seconds below."""
    return interval * _DAY_S if interval > 0 else -interval


def _json_or_none(text: str) -> str | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return as_json(found) if found else None
