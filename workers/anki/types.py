"""Note types and decks of a collection: JSON in one row up to schema 14, tables with Protocol Buffers after that."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workers.anki import protobuf

_LEVEL_MARK = "\x1f"
_OCCLUSION = 6


@dataclass(frozen=True, slots=True)
class Template:
    """How one card of a note is shown, in Anki's own HTML with `{{Field}}`."""

    name: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class NoteType:
    """Names of fields, and templates, in their order. `is_occlusion` hides parts of an image."""

    id: int
    name: str
    fields: tuple[str, ...]
    templates: tuple[Template, ...]
    is_cloze: bool
    is_occlusion: bool
    css: str


@dataclass(frozen=True, slots=True)
class Deck:
    """A deck; levels of its name are parted by `::`."""

    id: int
    name: str
    is_filtered: bool


def types(db: sqlite3.Connection, tables: Collection[str]) -> Iterator[NoteType]:
    """The note types. Raises what SQLite, JSON and the wire format raise where these are damaged."""
    if "notetypes" in tables:
        if lacking := sorted({"fields", "templates"} - set(tables)):
            raise ValueError(f"it has no table {lacking[0]}")  # a view of that name could be anything
        yield from _types_of_tables(db)
        return
    for key, model in _object(db.execute("select models from col").fetchone()[0]).items():
        yield NoteType(
            id=int(key),
            name=str(model["name"]),
            fields=tuple(str(field["name"]) for field in _ordered(model["flds"])),
            templates=tuple(
                Template(str(found["name"]), str(found.get("qfmt", "")), str(found.get("afmt", "")))
                for found in _ordered(model["tmpls"])
            ),
            is_cloze=model.get("type") == 1,
            is_occlusion=model.get("originalStockKind") == _OCCLUSION,
            css=str(model.get("css", "")),
        )


def decks(db: sqlite3.Connection, tables: Collection[str]) -> Iterator[Deck]:
    """The decks. Raises as `types` does."""
    if "decks" in tables:
        for deck_id, name, kind in db.execute("select id, name, kind from decks"):
            is_filtered = 2 in protobuf.fields(bytes(kind))
            yield Deck(int(deck_id), str(name).replace(_LEVEL_MARK, "::"), is_filtered)
    else:
        for key, deck in _object(db.execute("select decks from col").fetchone()[0]).items():
            yield Deck(int(key), str(deck["name"]), bool(deck.get("dyn")))


def _types_of_tables(db: sqlite3.Connection) -> Iterator[NoteType]:
    fields: dict[int, list[str]] = {}
    for type_id, name in db.execute("select ntid, name from fields order by ntid, ord"):
        fields.setdefault(int(type_id), []).append(str(name))
    templates: dict[int, list[Template]] = {}
    for type_id, name, config in db.execute("select ntid, name, config from templates order by ntid, ord"):
        found = protobuf.fields(bytes(config))
        template = Template(str(name), protobuf.text(found, 1), protobuf.text(found, 2))
        templates.setdefault(int(type_id), []).append(template)
    for type_id, name, config in db.execute("select id, name, config from notetypes"):
        found = protobuf.fields(bytes(config))
        yield NoteType(
            id=int(type_id),
            name=str(name),
            fields=tuple(fields.get(type_id, ())),
            templates=tuple(templates.get(type_id, ())),
            is_cloze=protobuf.number(found, 1) == 1,
            is_occlusion=protobuf.number(found, 9) == _OCCLUSION,
            css=protobuf.text(found, 3),
        )


def _object(text: object) -> Mapping[str, Any]:
    found = json.loads(str(text))
    if not isinstance(found, dict):
        raise TypeError("settings are no object")
    return found


def _ordered(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda item: int(item.get("ord") or 0))
