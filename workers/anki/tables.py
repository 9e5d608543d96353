"""What datasets Anki's packages become: the columns of each part, always the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from service.domain.chunk import Column, ColumnType

Part = Literal["notes", "cards", "reviews", "note_types", "decks", "media"]

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
        "texts": _JSON,
        "field_names": _JSON,
        "media": _JSON,
        "clozes": _WHOLE,
        "occlusions": _JSON,
        "cards": _WHOLE,
        "note_id": _BIG,
        "note_type_id": _BIG,
        "modified_at": _TIME,
    },
    "cards": {
        "card_id": _BIG,
        "note_id": _BIG,
        "guid": _TEXT,
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
COLUMNS: Mapping[Part, tuple[Column, ...]] = {
    part: tuple(Column(name, kind) for name, kind in named.items()) for part, named in _NAMED.items()
}
