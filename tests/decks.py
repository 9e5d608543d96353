"""Packages of Anki for tests, written by our own writer: one note a medium, or the notes given."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence

from service.apkg.notes import NewNote, Notes
from service.apkg.writing import Writer

NOW_S = 1_700_000_000


def note(front: str, back: str = "back", *, guid: str = "", modified_s: int = NOW_S, note_type_id: int = 7) -> NewNote:
    """A note of two fields, as HTML."""
    row = {
        "guid": guid,
        "fields": {"Front": front, "Back": back},
        "field_names": ["Front", "Back"],
        "note_type_id": note_type_id,
    }
    made = Notes("test").of(row)
    return NewNote(made.guid, made.kind, made.values, "Cards", (), modified_s)


def package(notes: Iterable[NewNote], media: Mapping[str, bytes] | None = None, *, lost: Sequence[str] = ()) -> bytes:
    """A package of generation 1; its index also names `lost`, which it does not hold."""
    writer, written = Writer(NOW_S), io.BytesIO()
    for one in notes:
        writer.add(one)
    writer.write(written)
    packed = io.BytesIO()
    with zipfile.ZipFile(written) as plain, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("collection.anki2", plain.read("collection.anki2"))
        names = [*(media or {}), *lost]
        archive.writestr("media", json.dumps({str(number): name for number, name in enumerate(names)}))
        for number, content in enumerate((media or {}).values()):
            archive.writestr(str(number), content)
    return packed.getvalue()


def deck(media: Mapping[str, bytes], fields: Sequence[str] | None = None, *, lost: str | None = None) -> bytes:
    """A package with one note a medium, or with a note for each of these fields."""
    shown = fields or [f'<img src="{name}">' for name in media]
    notes = (note(field, guid=f"g{number}") for number, field in enumerate(shown))
    return package(notes, media, lost=[lost] if lost else [])
