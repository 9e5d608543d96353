"""What the rows of a dataset mean as notes of Anki: those from Anki as they were, others by front and back."""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.domain.errors import InputError

DEFAULT_DECK = "Default"
FRONTS = ("front", "term", "question", "word")
BACKS = ("back", "definition", "answer", "meaning", "translation")
CSS = ".card { font-family: arial; font-size: 20px; text-align: center; }"
_GUID_CHARACTERS = 10
_FIRST_ID = 1_700_000_000_000

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Template:
    """How one card of a note is shown, with `{{Field}}`."""

    name: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class NoteKind:
    """A note type. A cloze makes a card for each number in its first field, any other one for each template."""

    id: int
    name: str
    fields: tuple[str, ...]
    templates: tuple[Template, ...]
    is_cloze: bool = False
    is_occlusion: bool = False
    css: str = CSS


@dataclass(frozen=True, slots=True)
class NewNote:
    """A note to be written. `values` are HTML, one a field of its kind; `guid` is its identity in Anki."""

    guid: str
    kind: NoteKind
    values: tuple[str, ...]
    deck: str
    tags: tuple[str, ...]
    modified_s: int | None = None


class Notes:
    """Makes notes of rows. `name` is the dataset's; `known` are rows of its note types, where it has such a dataset."""

    def __init__(self, name: str, known: Sequence[Row] = ()) -> None:
        self._name = name
        self._known = {int(row["note_type_id"]): _kind(row) for row in known}
        self._made: dict[tuple[Any, ...], NoteKind] = {}

    def of(self, row: Row) -> NewNote:
        """The note of a row. Raises InputError: it has no columns that could be front and back."""
        is_ankis = isinstance(row.get("fields"), dict) and row["fields"] and isinstance(row.get("field_names"), list)
        kind, values = self._as_it_was(row) if is_ankis else self._by_sides(row)
        deck = str(row.get("deck") or DEFAULT_DECK).strip() or DEFAULT_DECK
        guid = str(row.get("guid") or "") or _guid(deck, values[0])
        return NewNote(guid, kind, values, deck, tuple(str(row.get("tags") or "").split()), _seconds(row))

    def _as_it_was(self, row: Row) -> tuple[NoteKind, tuple[str, ...]]:
        fields: Mapping[str, Any] = row["fields"]
        names = tuple(str(name) for name in row["field_names"])
        kind = self._known.get(int(row.get("note_type_id") or 0))
        if kind is None or set(kind.fields) != set(names):
            kind = self._like(row, names)
        return kind, tuple(str(fields.get(name) or "") for name in kind.fields)

    def _like(self, row: Row, names: tuple[str, ...]) -> NoteKind:
        """A note type of this name with these fields; how its cards looked is not known."""
        is_cloze, is_reversed = bool(row.get("clozes")), len(names) == 2 and row.get("cards") == 2
        key = (str(row.get("note_type") or "Basic"), names, is_cloze, is_reversed and not is_cloze)
        if key not in self._made:
            known_id = row.get("note_type_id")
            free = known_id if known_id and known_id not in {kind.id for kind in self._made.values()} else None
            self._made[key] = _made(int(free or _stable_id(self._name, *key)), *key)
        return self._made[key]

    def _by_sides(self, row: Row) -> tuple[NoteKind, tuple[str, ...]]:
        front, back = _sides(tuple(name for name in row if name not in ("_row", "_job")))
        key = (f"Basic ({self._name})", ("Front", "Back"), False, False)
        if key not in self._made:
            self._made[key] = _made(_stable_id(self._name, *key), *key)
        return self._made[key], tuple(as_html(_text(row[name])) for name in (front, back))


def as_html(text: str) -> str:
    """Text as a field has it."""
    return html.escape(text, quote=False).replace("\x1f", " ").replace("\n", "<br>")


def _sides(names: Sequence[str]) -> tuple[str, str]:
    own = [name for name in names if name not in ("deck", "tags", "guid")]
    front = next((name for name in FRONTS if name in own), None)
    back = next((name for name in BACKS if name in own), None)
    left = [name for name in own if name not in (front, back)]
    front = front or (left.pop(0) if left else None)
    back = back or (left.pop(0) if left else None)
    if front is None or back is None:
        raise InputError(
            "unknown_column",
            f"A deck needs a column for the front and one for the back; there is {', '.join(names)[:500] or 'none'}.",
            suggestion="Name them front and back, or export as csv.",
        )
    return front, back


def _kind(row: Row) -> NoteKind:
    templates = tuple(Template(t["name"], t["question"], t["answer"]) for t in row["templates"])
    given = (int(row["note_type_id"]), str(row["name"]), tuple(row["fields"]), templates)
    return NoteKind(*given, bool(row["is_cloze"]), bool(row["is_occlusion"]), str(row["css"] or ""))


def _made(type_id: int, name: str, fields: tuple[str, ...], is_cloze: bool, is_reversed: bool) -> NoteKind:
    first, rest = fields[0], fields[1:]
    below = "<br>".join(f"{{{{{field}}}}}" for field in rest)
    if is_cloze:
        shown = f"{{{{cloze:{first}}}}}"
        templates = [Template("Cloze", shown, f"{shown}<br>{below}")]
    else:
        templates = [Template("Card 1", f"{{{{{first}}}}}", f"{{{{FrontSide}}}}\n\n<hr id=answer>\n\n{below}")]
    if is_reversed:
        templates.append(Template("Card 2", below, f"{{{{FrontSide}}}}\n\n<hr id=answer>\n\n{{{{{first}}}}}"))
    return NoteKind(type_id, name, fields, tuple(templates), is_cloze)


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _seconds(row: Row) -> int | None:
    try:
        return int(datetime.fromisoformat(str(row["modified_at"])).timestamp())
    except (KeyError, ValueError, OverflowError):
        return None


def _guid(deck: str, front: str) -> str:
    """The same for the same card, so that a second export updates the notes of the first."""
    return hashlib.sha256(f"{deck}\x1f{front}".encode()).hexdigest()[:_GUID_CHARACTERS]


def _stable_id(*parts: object) -> int:
    """An id as Anki gives them, the same in every export."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return _FIRST_ID + int.from_bytes(digest[:4], "big")
