"""A file of JSON objects, one a line, as resumable chunks. Integers are exact, whatever their size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import repeat
from typing import NoReturn

import pyarrow as pa

from service.domain.errors import InputError
from service.domain.processor import Chunk, Column, ColumnType, Reject, Work
from workers import numbering
from workers.casting import cast, reason
from workers.columns import COLUMN_LIMIT, column_names, infer
from workers.dialect import start_of_text
from workers.numbering import Part, Place, is_cut, kept
from workers.records import Block, blocks, line_count, pieces, records


class Decimal(str):
    """A number with a point or exponent, as the file writes it."""


Json = None | bool | int | Decimal | str | list["Json"] | dict[str, "Json"]
Row = dict[str, Json]
Fault = tuple[str | None, str, str, str]

PIECE_LINES = 16_384
"""Lines that are Python objects at one time."""
EXACT_INTEGER = 2**53
"""Up to here a double holds every integer."""


def read(work: Work) -> Iterator[Chunk]:
    """The chunks behind the work's cursor. Without columns, the keys of the first block become columns."""
    if work.cursor:
        place, columns = numbering.place_of(work.cursor), numbering.loaded(str(work.cursor["columns"]))
        columns = work.columns or columns
    else:
        place = Place(start_of_text(work.source), 1, 1)
        columns = work.columns or _inferred(work, place.offset)
    extra = {"columns": numbering.dumped(columns)}
    for block in blocks(work.source, place.offset, None, numbering.sizes(place, work.chunk_bytes)):
        last = None
        for last in numbering.chunks(block, place, _parts(block, place, columns), columns, extra):
            yield last
        place = numbering.behind(block, place, last)


def _parts(block: Block, place: Place, columns: tuple[Column, ...]) -> Iterator[Part]:
    if block.fault:
        yield numbering.unreadable(block, place)
        return
    row, line, start = place.row, place.line, 0
    for piece in pieces(block.data, None, PIECE_LINES):
        start += len(piece)
        part = _part(piece, columns, row, line, start)
        row, line = row + part.read, line + line_count(piece)
        if part.read:
            yield part


def _part(piece: bytes, columns: tuple[Column, ...], first_row: int, first_line: int, end: int) -> Part:
    found = records(piece, None)
    known = {column.name for column in columns}
    lines = [piece[start:stop] for start, stop in zip(found.starts.tolist(), found.ends.tolist(), strict=True)]
    parsed = [_parsed(line, known) for line in lines]
    faults = {index: row for index, row in enumerate(parsed) if isinstance(row, tuple)}
    rows = [row for row in parsed if isinstance(row, dict)]
    places = [index for index, row in enumerate(parsed) if isinstance(row, dict)]
    arrays = {}
    for column in columns:
        texts = [_text(row.get(column.name), column.type) for row in rows]
        arrays[column.name], bad = cast(pa.array(texts, pa.string()), column)
        for at in bad.nonzero()[0].tolist():
            faults.setdefault(places[at], (column.name, *reason(column, texts[at] or "")))
    good = pa.array([index not in faults for index in places], pa.bool_())
    rejects = tuple(
        Reject(
            first_row + index,
            first_line + int(found.lines[index]),
            *faults[index],
            kept(lines[index]),
            cells=_cells(parsed[index], lines[index], columns),
            cut=is_cut(lines[index]),
        )
        for index in sorted(faults)
    )
    return Part(len(found), end, {name: array.filter(good) for name, array in arrays.items()}, rejects)


def _cells(row: Row | Fault, line: bytes, columns: tuple[Column, ...]) -> tuple[str | None, ...] | None:
    """The values of a refused row in the order of the columns, as a file of text would have them."""
    if not isinstance(row, dict) or is_cut(line):
        return None
    texts = (_text(row.get(column.name), column.type) for column in columns)
    return tuple(None if text is None else text.replace("\0", "\N{SYMBOL FOR NULL}") for text in texts)


def _parsed(line: bytes, known: set[str] | None) -> Row | Fault:
    """The line's object with its keys as column names, or what is wrong with it. `known` None allows any key."""
    try:
        value: Json = json.loads(line.decode(), parse_constant=_refuse, parse_float=Decimal)
        if b"\\u" in line:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        where = f"at byte {error.start + 1}"
        return (None, "invalid_utf8", f"The line is not UTF-8 {where}.", "Save the file as UTF-8 and send it again.")
    except UnicodeEncodeError:
        return _invalid("The line has half of a surrogate pair")
    except json.JSONDecodeError as error:
        return _invalid(f"{error.msg} at character {error.pos + 1}")
    except (ValueError, RecursionError) as error:
        return _invalid("Nested too deeply" if isinstance(error, RecursionError) else str(error).partition(";")[0])
    if not isinstance(value, dict):
        return (None, "not_an_object", "The line is not a JSON object.", 'Write each row as {"column": value, …}.')
    return _named(value, known)


def _named(value: Row, known: set[str] | None) -> Row | Fault:
    row = {_name(key): cell for key, cell in value.items()}
    unknown = [name for name in row if known is not None and name not in known]
    if unknown:
        message = f"There is no column {', '.join(unknown[:5])}."
        return (None, "unknown_key", message, "Remove the key, or use a dataset that has the column.")
    if len(row) < len(value):
        message = "Two keys of the row name the same column."
        return (None, "duplicate_key", message, "Rename one; case and punctuation make no difference.")
    return row


@lru_cache(4096)
def _name(key: str) -> str:
    return column_names([key])[0]


def _invalid(what: str) -> Fault:
    return (None, "invalid_json", f"{what}.", "Write one complete JSON object on each line.")


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


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


def _inferred(work: Work, offset: int) -> tuple[Column, ...]:
    kinds: dict[str, set[str]] = {}
    texts: dict[str, list[pa.Array]] = {}
    for block in blocks(work.source, offset, None, repeat(work.chunk_bytes)):
        for piece in pieces(block.data, None, PIECE_LINES) if block.fault is None else ():
            _observe(piece, kinds, texts)
        if kinds:
            return tuple(_column(name, kinds[name], texts[name]) for name in kinds)
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


def _column(name: str, kinds: set[str], texts: list[pa.Array]) -> Column:
    if "nested" in kinds:
        return Column(name, ColumnType.JSONB)
    if kinds == {"bool"}:
        return Column(name, ColumnType.BOOLEAN)
    if kinds in ({"Decimal"}, {"Decimal", "int"}):
        return Column(name, ColumnType.DOUBLE)
    if kinds == {"str"} or kinds <= {"int", "large"}:
        return infer(name, pa.chunked_array(texts, pa.string()))
    return Column(name, ColumnType.TEXT)
