"""Anki's own export of notes as text: fields in quotes where needed, below lines such as `#separator:tab`.

Fields are HTML if `#html:true` says so or, without that line, if tags are found in them.
"""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, BinaryIO, cast

from service.apkg.fields import media, occlusions, plain, uncovered
from service.domain.chunk import Chunk
from service.domain.errors import InputError
from service.domain.processor import Work
from workers.anki.reading import ROW_BYTES, ROWS, Item, chunk_of
from workers.anki.rows import as_json, cloze_count, sides
from workers.anki.tables import COLUMNS
from workers.columns import check_shape
from workers.exact import storable

FIELD_CHARACTERS = 16 * 1024 * 1024
HEAD_BYTES = 64 * 1024

BRINGS = (
    *("guid", "front", "back", "deck", "tags", "note_type", "fields", "texts", "field_names", "media", "clozes"),
    "occlusions",
)
"""What a text has of a note; ids and moments are in packages only."""

_SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "space": " ", "pipe": "|", "colon": ":"}
_GUESSED = "\t|;:,"
"""In the order in which they are thought of, where no line says which it is."""
_KNOWN = (
    *("separator", "html", "columns", "tags", "deck", "notetype", "guid", "tags column", "deck column"),
    *("notetype column", "guid column", "if matches", "match scope"),
)
_TAG = re.compile(r"<[a-z/][^>]*>|&[a-z]+;", re.IGNORECASE)
_CLOZE = re.compile(r"\{\{c\d")


@dataclass(frozen=True, slots=True)
class Heading:
    """What the lines in front of the notes say. Columns count from 0; `lines` is how many lines these are."""

    separator: str = "\t"
    is_html: bool | None = None
    columns: tuple[str, ...] = ()
    columns_of: dict[str, int] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    lines: int = 0


def read(work: Work) -> Iterator[Chunk]:
    """The notes behind the work's cursor. Raises InputError for what is no such text."""
    check_shape(work.columns, COLUMNS["notes"])
    row = int((work.cursor or {}).get("row") or 1)
    heading, is_html = _looked_at(work.source)
    items = islice(_items(work.source, heading, is_html), row - 1, None)
    most = max(1, min(ROWS, work.chunk_bytes // ROW_BYTES))
    lot = list(islice(items, most))
    while lot or (row == 1 and work.cursor is None):
        at = work.source.tell()
        following = list(islice(items, most))
        row += len(lot)
        done = min(at, work.total) if following else work.total
        yield replace(chunk_of("notes", lot, row - len(lot), {"row": row}, done), brings=BRINGS)
        lot = following
        if not lot:
            return


def heading_of(text: str) -> Heading:
    """The heading of a text, by its first lines; the separator is guessed where none is named."""
    said: dict[str, str] = {}
    lines = 0
    for line in text.splitlines():
        key, colon, value = line.removeprefix("#").partition(":")
        is_old = lines == 0 and line.lower().startswith("tags:")
        if not is_old and not (line.startswith("#") and colon and key.lower() in _KNOWN):
            break
        said[key.lower()] = value if key.lower() in ("separator", "columns") else value.strip()
        lines += 1
    rest = "\n".join(text.splitlines()[lines:])
    separator = _separator(said.get("separator"), rest)
    columns = next(csv.reader([said["columns"]], delimiter=separator), []) if said.get("columns") else []
    return Heading(
        separator=separator,
        is_html={"true": True, "false": False}.get(said.get("html", "").lower()),
        columns=tuple(columns),
        columns_of={
            what: int(said[key]) - 1
            for what in ("guid", "notetype", "deck", "tags")
            if (key := f"{what} column") in said and said[key].isdecimal() and int(said[key]) > 0
        },
        said={what: said[what] for what in ("notetype", "deck", "tags") if what in said},
        lines=lines,
    )


def _looked_at(source: BinaryIO) -> tuple[Heading, bool]:
    source.seek(0)
    head = source.read(HEAD_BYTES)
    if b"\0" in head:
        raise InputError(
            "unsupported_format",
            "The file is neither a package of Anki nor text.",
            suggestion="Send an .apkg, a .colpkg, or “Notes in Plain Text”.",
        )
    text = head.decode("utf-8-sig", "replace")
    heading = heading_of(text)
    return heading, bool(_TAG.search(text)) if heading.is_html is None else heading.is_html


def _separator(named: str | None, text: str) -> str:
    if named is not None:
        word = named.strip().lower()
        found = _SEPARATORS.get(word, named.strip() or named)
        return found if len(found) == 1 and found != '"' else "\t"
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    return next((mark for mark in _GUESSED if mark in first), "\t")


def _items(source: BinaryIO, heading: Heading, is_html: bool) -> Iterator[Item]:
    for number, (cells, line) in enumerate(_records(source, heading), start=1):
        yield Item(_row(cells, heading, is_html) or "The first field of the note is empty.", number, line=line)


def _records(source: BinaryIO, heading: Heading) -> Iterator[tuple[list[str], int]]:
    """The cells of each record and the line it starts on; comments between records are left out."""
    source.seek(0)
    text = io.TextIOWrapper(cast(Any, source), encoding="utf-8-sig", newline="")
    state = {"line": 0, "starts": True, "first": 0}

    def lines() -> Iterator[str]:
        for line in text:
            state["line"] += 1
            if state["line"] <= heading.lines or (state["starts"] and (line.startswith("#") or not line.strip())):
                continue
            if state["starts"]:
                state["first"], state["starts"] = state["line"], False
            yield line

    previous = csv.field_size_limit(FIELD_CHARACTERS)
    try:
        for cells in csv.reader(lines(), delimiter=heading.separator):
            yield cells, int(state["first"])
            state["starts"] = True
    except UnicodeDecodeError as error:
        raise InputError(
            "unsupported_encoding",
            f"The file is not UTF-8 (near line {state['line'] + 1:,}).",
            suggestion="Save it as UTF-8 and send it again.",
        ) from error
    except csv.Error as error:
        raise InputError(
            "file_damaged",
            f"Line {state['line']:,} cannot be read: {error}.",
            suggestion="Look for a quote that is not closed, or export the notes again.",
        ) from error
    finally:
        csv.field_size_limit(previous)
        text.detach()


def _row(cells: list[str], heading: Heading, is_html: bool) -> dict[str, Any] | None:
    """A note as its package would give it; None if its first field is empty."""
    at = heading.columns_of
    own = [index for index in range(len(cells)) if index not in at.values()]
    while len(own) > 2 and not cells[own[-1]]:
        own.pop()  # rows are filled up to the width of the widest note type
    values = [cells[index] if is_html else html.escape(cells[index], quote=False) for index in own]
    names = [_field_name(index, number, heading) for number, index in enumerate(own)]
    is_cloze = any(_CLOZE.search(value) for value in values)
    texts = [plain(uncovered(value) if is_cloze else value) for value in values]
    shown = list(dict.fromkeys(name for value in values for name in media(value)))
    if not values or not (texts[0] or shown):
        return None
    shapes = occlusions(values[0])
    front, back = sides(texts, shown, is_occlusion=bool(shapes))
    given = {what: cells[index].strip() if index < len(cells) else "" for what, index in at.items()}
    tags = [*heading.said.get("tags", "").split(), *given.get("tags", "").split()]
    row = dict.fromkeys((column.name for column in COLUMNS["notes"]), None)
    return row | {
        "guid": storable(given["guid"]) if given.get("guid") else None,
        "front": storable(front),
        "back": None if back is None else storable(back),
        "deck": storable(given.get("deck") or heading.said.get("deck", "")) or None,
        "tags": storable(" ".join(dict.fromkeys(tags))),
        "note_type": storable(given.get("notetype") or heading.said.get("notetype", "")) or None,
        "fields": as_json(dict(zip(names, values, strict=True))),
        "texts": as_json(dict(zip(names, texts, strict=True))),
        "field_names": as_json(names),
        "media": as_json([{"name": name, "is_there": False} for name in shown]),
        "clozes": cloze_count(values) if is_cloze else 0,
        "occlusions": as_json(shapes) if shapes else None,
    }


def _field_name(index: int, number: int, heading: Heading) -> str:
    if index < len(heading.columns) and heading.columns[index].strip():
        return heading.columns[index].strip()
    return ("Front", "Back")[number] if number < 2 else f"Field {number + 1}"
