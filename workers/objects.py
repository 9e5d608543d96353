"""JSON objects into typed rows: which columns their keys are, and what is wrong with one. Numbers are exact, whatever
their size. Where the objects come from is the affair of `workers.lines` and `workers.documents`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from service.domain.chunk import Column, ColumnType, Cursor, Fault
from service.domain.errors import InputError
from service.domain.json_options import JsonOptions
from service.domain.processor import Work
from workers import numbering
from workers.columns import COLUMN_LIMIT, column_names, exact_double, infer
from workers.elements import DEPTH_LIMIT, is_too_deep
from workers.exact import Decimal, refuse
from workers.mapping import Names
from workers.numbering import Part, readable
from workers.planning import Sampled, plan
from workers.shaping import Shape
from workers.widening import Watch

Json = None | bool | int | Decimal | str | list["Json"] | dict[str, "Json"]
Row = dict[str, Json]

PIECE_ROWS = 16_384
"""Rows that are Python objects at one time."""
EXACT_INTEGER = 2**53
"""Up to here a double holds every integer."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys that are known as the file's columns, what comes out of them, and what becomes of objects.

    `flattens` makes `{"a": {"b": 1}}` a column `a_b`. With `ignores_others`, keys that are no columns are passed over.
    """

    file: Names
    shape: Shape
    dataset: tuple[Column, ...]
    flattens: bool
    ignores_others: bool

    def row(self, value: Json | Fault) -> Row | Fault:
        """An object with its keys as column names, or what is wrong with it."""
        return named(value, self.flattens, None if self.ignores_others else frozenset(self.file.names))


@dataclass(frozen=True, slots=True)
class Record:
    """What the file writes as one row, the line it starts on, and what it is read as."""

    raw: bytes
    line: int
    row: Row | Fault


def planned(work: Work, options: JsonOptions, samples: Iterable[Sequence[Row]]) -> Layout:
    """The layout of a file whose first rows these are; they are looked at only where no columns are given.

    Raises InputError: none of them has a key.
    """
    if work.columns is None:
        keys, sampled = _observed(samples)
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
    return _layout(file, shape, work.columns or shape.columns, options)


def resumed(work: Work, options: JsonOptions, cursor: Cursor) -> Layout:
    """The layout that a cursor was written under."""
    file = Names.loaded(str(cursor["file"]))
    columns = work.columns or numbering.loaded(str(cursor["columns"]))
    return _layout(file, plan(file, options, columns, lambda: Sampled(())), columns, options)


def part(records: Sequence[Record], layout: Layout, first_row: int, end: int, watch: Watch | None) -> Part:
    """These records as columns, the bad ones as rejects. `end` is where they end in what they are a part of."""
    faults = {index: (record.row,) for index, record in enumerate(records) if isinstance(record.row, Fault)}
    places = [index for index, record in enumerate(records) if isinstance(record.row, dict)]
    rows = [record.row for record in records if isinstance(record.row, dict)]
    shaped = layout.shape.shaped(_texts(rows, layout), len(rows))
    if watch is not None:
        watch.look(shaped, first_row + np.array(places, np.int64), np.ones(len(rows), bool))
    bad = shaped.bad
    told: dict[int, tuple[Fault, ...]] = dict(faults)
    cells = {}
    wrong = np.flatnonzero(bad)
    for at, found in zip(wrong.tolist(), shaped.faults(wrong), strict=True):
        told[places[at]] = found
        cells[places[at]] = _cells(rows[at], layout)
    good = pa.array(~bad)
    rejects = tuple(
        numbering.rejected(first_row + index, records[index].line, told[index], records[index].raw, cells.get(index))
        for index in sorted(told)
    )
    return Part(len(records), end, {name: array.filter(good) for name, array in shaped.arrays.items()}, rejects)


def parsed(text: bytes) -> Json | Fault:
    """The value of one JSON text, or what is wrong with it."""
    try:
        decoded = text.decode()
        value: Json = json.loads(decoded, parse_constant=refuse, parse_float=Decimal)
    except UnicodeDecodeError as error:
        where = f"at byte {error.start + 1}"
        return _fault("invalid_utf8", f"The line is not UTF-8 {where}.", "Save the file as UTF-8 and send it again.")
    except json.JSONDecodeError as error:
        return _invalid(f"{error.msg} at character {error.pos + 1}")
    except (ValueError, RecursionError) as error:
        return _invalid("Nested too deeply" if isinstance(error, RecursionError) else str(error).partition(";")[0])
    return checked(value, decoded)


def checked(value: Json, text: str) -> Json | Fault:
    """A value that can be stored, or what is wrong with it; `text` is how it is written."""
    if is_too_deep(value, text):
        return _invalid(f"More than {DEPTH_LIMIT} levels deep")
    try:
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return _invalid("There is half of a surrogate pair")
    return value


def named(value: Json | Fault, flattens: bool, known: frozenset[str] | None = None) -> Row | Fault:
    """An object with its keys as column names, or what is wrong with it. `known` None allows any key."""
    if isinstance(value, Fault):
        return value
    if not isinstance(value, dict):
        return _fault("not_an_object", "The row is not a JSON object.", 'Write each row as {"column": value, …}.')
    cells = list(_flat(value)) if flattens else list(value.items())
    row = {_name(key): cell for key, cell in cells}
    unknown = [name for name in row if known is not None and name not in known]
    if unknown:
        return _fault(
            "unknown_key",
            f"There is no column {', '.join(unknown[:5])}.",
            "Remove the key, import with extra_keys=ignore, or use a dataset that has the column.",
        )
    if len(row) < len(cells):
        message = "Two keys of the row name the same column."
        return _fault("duplicate_key", message, "Rename one; case and punctuation make no difference.")
    return row


def _layout(file: Names, shape: Shape, dataset: tuple[Column, ...], options: JsonOptions) -> Layout:
    ignores = options.others == "drop" or options.extra_keys == "ignore"
    return Layout(file, shape, dataset, options.nested == "flatten", ignores)


def _flat(value: Row) -> Iterator[tuple[str, Json]]:
    """The values that are no objects, in their order, under the keys that lead to them."""
    stack = [("", iter(value.items()))]
    while stack:
        prefix, items = stack[-1]
        for key, cell in items:
            if isinstance(cell, dict) and cell:
                stack.append((f"{prefix}{key}.", iter(cell.items())))
                break
            yield prefix + key, cell
        else:
            stack.pop()


def _sources(options: JsonOptions) -> list[str]:
    specified = [spec.source or spec.name for spec in options.columns if spec.constant is None]
    return [*specified, *options.rename, *options.drop]


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


@lru_cache(4096)
def _name(key: str) -> str:
    return column_names([key])[0]


def _invalid(what: str) -> Fault:
    return _fault("invalid_json", f"{what}.", "Write one complete JSON object for each row.")


def _fault(code: str, message: str, suggestion: str) -> Fault:
    return Fault(None, code, message, suggestion)


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


def _observed(samples: Iterable[Sequence[Row]]) -> tuple[list[str], Sampled]:
    """The keys of the first rows, their text and their types."""
    kinds: dict[str, set[str]] = {}
    texts: dict[str, list[pa.Array]] = {}
    for rows in samples:
        _observe(rows, kinds, texts)
    if not kinds:
        raise InputError(
            "no_objects",
            "There is no JSON object with a key in the beginning of the file.",
            suggestion='Write each row as {"column": value, …}.',
        )
    found = [pa.concat_arrays(texts[name]) for name in kinds]
    types = [_column(name, kinds[name], text) for name, text in zip(kinds, found, strict=True)]
    return list(kinds), Sampled(found, types)


def _observe(rows: Sequence[Row], kinds: dict[str, set[str]], texts: dict[str, list[pa.Array]]) -> None:
    seen: dict[str, list[str]] = {}
    for row in rows:
        for name, value in row.items():
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
        return exact_double(name, text) or infer(name, text)
    if kinds == {"str"} or kinds <= {"int", "large"}:
        return infer(name, text)
    return Column(name, ColumnType.TEXT)
