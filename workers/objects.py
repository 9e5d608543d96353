"""A file of JSON objects, one a line, as resumable chunks. Integers are exact, whatever their size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import repeat
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa

from service.domain.errors import InputError
from service.domain.processor import Chunk, Column, ColumnType, Cursor, Cut, Fault, Work
from service.domain.row_options import RowOptions
from workers import numbering
from workers.columns import COLUMN_LIMIT, column_names, infer
from workers.exact import Decimal, refuse
from workers.explaining import explained
from workers.heading import start_of_text
from workers.mapping import Names
from workers.numbering import CUT_BYTES, Part, Place, readable
from workers.planning import Sampled, plan
from workers.reading import Reading, opened
from workers.records import Block, blocks, count, line_count, pieces, records
from workers.shaping import Shape
from workers.sources import reading_of
from workers.widening import Watch

Json = None | bool | int | Decimal | str | list["Json"] | dict[str, "Json"]
Row = dict[str, Json]

PIECE_LINES = 16_384
"""Lines that are Python objects at one time."""
EXACT_INTEGER = 2**53
"""Up to here a double holds every integer."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys that are known as the file's columns, what comes out of them, and whether others are passed over."""

    file: Names
    shape: Shape
    dataset: tuple[Column, ...]
    ignores_others: bool


def read(work: Work, options: RowOptions) -> Iterator[Chunk]:
    """The chunks behind the work's cursor. Without columns, the keys of the first block become columns.

    Raises TooNarrow.
    """
    how = Reading.loaded(str(work.cursor["reading"])) if work.cursor else reading_of(work.source, legacy=False)[0]
    text = opened(work.source, how)
    work = replace(work, source=cast(BinaryIO, text))
    if work.cursor:
        place, layout = numbering.place_of(work.cursor), _resumed(work, options, work.cursor)
    else:
        place = Place(start_of_text(work.source), 1, 1)
        layout = _opened(work, options, place.offset)
    extra = {"reading": how.dumped(), "columns": numbering.dumped(layout.shape.columns), "file": layout.file.dumped()}
    watch = None if work.widens is None else Watch(work.widens)
    header, brings = layout.file.written, layout.shape.names
    evidence = explained(layout.file, layout.shape, reading=how) if work.explains else None
    for block in blocks(work.source, place.offset, None, numbering.sizes(place, work.chunk_bytes)):
        last = None
        parts = _parts(block, place, layout, watch)
        for last in numbering.chunks(block, place, parts, layout.dataset, extra):
            yield replace(last, done=text.done(last.done), header=header, brings=brings, evidence=evidence)
            evidence = None
        place = numbering.behind(block, place, last)


def cuts(work: Work, every: int) -> Iterator[Cut]:
    """Where the file behind the work's cursor can be cut."""
    if work.cursor and Reading.loaded(str(work.cursor["reading"])).is_plain:
        place = numbering.place_of(work.cursor)
        found = blocks(work.source, place.offset, None, repeat(min(CUT_BYTES, every)))
        yield from numbering.cuts(found, place, every, lambda data: count(data, None), work.cursor)


def _resumed(work: Work, options: RowOptions, cursor: Cursor) -> Layout:
    file = Names.loaded(str(cursor["file"]))
    columns = work.columns or numbering.loaded(str(cursor["columns"]))
    shape = plan(file, options, columns, lambda: Sampled(()))
    return Layout(file, shape, columns, options.others == "drop")


def _opened(work: Work, options: RowOptions, offset: int) -> Layout:
    if work.columns is None:
        keys, sampled = _observed(work, offset)
    else:
        made = {*options.rename.values(), *(spec.name for spec in options.columns)}
        keys, sampled = [column.name for column in work.columns if column.name not in made], Sampled(())
    named = [_name(text) for text in _sources(options)]
    names = list(dict.fromkeys([*keys, *named]))  # a key that is named may come later in the file, or never
    lacking = len(names) - len(keys)
    nothing = [pa.array([], pa.string())] * lacking
    types = [*sampled.types, *(Column(name, ColumnType.TEXT) for name in names[len(keys) :])]
    sampled = Sampled([*sampled.texts, *nothing], types)
    file = Names(names)
    shape = plan(file, options, work.columns, lambda: sampled, widens=work.widens)
    return Layout(file, shape, work.columns or shape.columns, options.others == "drop")


def _sources(options: RowOptions) -> list[str]:
    specified = [spec.source or spec.name for spec in options.columns if spec.constant is None]
    return [*specified, *options.rename, *options.drop]


def _parts(block: Block, place: Place, layout: Layout, watch: Watch | None) -> Iterator[Part]:
    if block.fault:
        yield numbering.unreadable(block, place)
        return
    row, line, start = place.row, place.line, 0
    for piece in pieces(block.data, None, PIECE_LINES):
        start += len(piece)
        part = _part(piece, layout, row, line, start, watch)
        row, line = row + part.read, line + line_count(piece)
        if part.read:
            yield part


def _part(piece: bytes, layout: Layout, first_row: int, first_line: int, end: int, watch: Watch | None) -> Part:
    found = records(piece, None)
    known = None if layout.ignores_others else set(layout.file.names)
    lines = [piece[start:stop] for start, stop in zip(found.starts.tolist(), found.ends.tolist(), strict=True)]
    parsed = [_parsed(line, known) for line in lines]
    faults: dict[int, tuple[Fault, ...]] = {index: (row,) for index, row in enumerate(parsed) if isinstance(row, Fault)}
    places = [index for index, row in enumerate(parsed) if isinstance(row, dict)]
    rows = [row for row in parsed if isinstance(row, dict)]
    shaped = layout.shape.shaped(_texts(rows, layout), len(rows))
    if watch is not None:
        watch.look(shaped, first_row + np.array(places, np.int64), np.ones(len(rows), bool))
    bad = shaped.bad
    cells = {}
    for at in bad.nonzero()[0].tolist():
        faults[places[at]] = shaped.faults(at)
        cells[places[at]] = _cells(rows[at], layout)
    good = pa.array(~bad)
    rejects = tuple(
        numbering.rejected(
            first_row + index, first_line + int(found.lines[index]), faults[index], lines[index], cells.get(index)
        )
        for index in sorted(faults)
    )
    return Part(len(found), end, {name: array.filter(good) for name, array in shaped.arrays.items()}, rejects)


def _cells(row: Row, layout: Layout) -> tuple[str | None, ...]:
    """The values of a refused row as text, in the order of the file's columns."""
    named = zip(layout.file.names, layout.shape.readings, strict=True)
    texts = (_text(row.get(name), ColumnType.TEXT if column is None else column.type) for name, (column, _) in named)
    return tuple(None if text is None else readable(text) for text in texts)


def _texts(rows: list[Row], layout: Layout) -> list[pa.Array | None]:
    texts = list[pa.Array | None]()
    for name, (column, _) in zip(layout.file.names, layout.shape.readings, strict=True):
        if column is None:
            texts.append(None)
        else:
            texts.append(pa.array([_text(row.get(name), column.type) for row in rows], pa.string()))
    return texts


def _parsed(line: bytes, known: set[str] | None) -> Row | Fault:
    """The line's object with its keys as column names, or what is wrong with it. `known` None allows any key."""
    try:
        value: Json = json.loads(line.decode(), parse_constant=refuse, parse_float=Decimal)
        if b"\\u" in line:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        where = f"at byte {error.start + 1}"
        return Fault(
            None, *("invalid_utf8", f"The line is not UTF-8 {where}.", "Save the file as UTF-8 and send it again.")
        )
    except UnicodeEncodeError:
        return _invalid("The line has half of a surrogate pair")
    except json.JSONDecodeError as error:
        return _invalid(f"{error.msg} at character {error.pos + 1}")
    except (ValueError, RecursionError) as error:
        return _invalid("Nested too deeply" if isinstance(error, RecursionError) else str(error).partition(";")[0])
    if not isinstance(value, dict):
        return Fault(
            None, *("not_an_object", "The line is not a JSON object.", 'Write each row as {"column": value, …}.')
        )
    return _named(value, known)


def _named(value: Row, known: set[str] | None) -> Row | Fault:
    row = {_name(key): cell for key, cell in value.items()}
    unknown = [name for name in row if known is not None and name not in known]
    if unknown:
        message = f"There is no column {', '.join(unknown[:5])}."
        return Fault(None, *("unknown_key", message, "Remove the key, or use a dataset that has the column."))
    if len(row) < len(value):
        message = "Two keys of the row name the same column."
        return Fault(None, *("duplicate_key", message, "Rename one; case and punctuation make no difference."))
    return row


@lru_cache(4096)
def _name(key: str) -> str:
    return column_names([key])[0]


def _invalid(what: str) -> Fault:
    return Fault(None, *("invalid_json", f"{what}.", "Write one complete JSON object on each line."))


def _text(value: Json, kind: ColumnType) -> str | None:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, str) and kind is not ColumnType.JSONB:
        return value
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, dict | list) else _dumped(value)


def _dumped(value: Json) -> str:
    """JSON with its numbers as they were written."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)}: {_dumped(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_dumped(item) for item in value) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


def _observed(work: Work, offset: int) -> tuple[list[str], Sampled]:
    """The keys of the first rows, their text and their types."""
    kinds: dict[str, set[str]] = {}
    texts: dict[str, list[pa.Array]] = {}
    for block in blocks(work.source, offset, None, repeat(work.chunk_bytes)):
        for piece in pieces(block.data, None, PIECE_LINES) if block.fault is None else ():
            _observe(piece, kinds, texts)
        if kinds:
            found = [pa.concat_arrays(texts[name]) for name in kinds]
            types = [_column(name, kinds[name], text) for name, text in zip(kinds, found, strict=True)]
            return list(kinds), Sampled(found, types)
    raise InputError(
        "no_objects", "The file has no line with a JSON object.", suggestion='Write each row as {"column": value, …}.'
    )


def _observe(piece: bytes, kinds: dict[str, set[str]], texts: dict[str, list[pa.Array]]) -> None:
    seen: dict[str, list[str]] = {}
    for line in piece.splitlines():
        row = _parsed(line, None) if line else ()
        for name, value in row.items() if isinstance(row, dict) else ():
            cells = seen.setdefault(name, [])
            kinds.setdefault(name, set())
            if value is not None:
                kinds[name].add(_kind(value))
                cells.append(_text(value, ColumnType.TEXT) or "")
        if len(kinds) > COLUMN_LIMIT:
            column_names(list(kinds))
    for name, cells in seen.items():
        texts.setdefault(name, []).append(pa.array(cells, pa.string()))


def _kind(value: Json) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > EXACT_INTEGER:
        return "large"
    return "nested" if isinstance(value, dict | list) else type(value).__name__


def _column(name: str, kinds: set[str], text: pa.Array) -> Column:
    if "nested" in kinds:
        return Column(name, ColumnType.JSONB)
    if kinds == {"bool"}:
        return Column(name, ColumnType.BOOLEAN)
    if kinds in ({"Decimal"}, {"Decimal", "int"}):
        return Column(name, ColumnType.DOUBLE)
    if kinds == {"str"} or kinds <= {"int", "large"}:
        return infer(name, text)
    return Column(name, ColumnType.TEXT)
