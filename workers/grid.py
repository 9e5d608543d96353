"""Rows of text cells as resumable chunks of typed columns, for formats that give rows rather than bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import pyarrow as pa

from service.domain.chunk import Chunk, Column, Cursor, Fault, Reject
from service.domain.processor import Work
from service.domain.row_options import RowOptions
from workers import numbering
from workers.columns import schema
from workers.evidence import Evidence
from workers.explaining import explained
from workers.inference import judge
from workers.mapping import Names
from workers.numbering import readable
from workers.planning import Sampled, plan
from workers.shaping import Shape
from workers.widening import Watch

CHUNK_ROWS = 8_192
SAMPLE_ROWS = 8_192

Cells = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the input: its cells, the line or row it stands on, and what is wrong with it as a whole."""

    cells: Cells
    line: int
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """What a file was found to be: its columns, and its rows from number `skip` on, counted from 0.

    `types` are what the values of the sample come to where the format itself has types; None: the text tells.
    `evidence` is what was found out about the file.
    """

    names: Names
    lines: Callable[[int], Iterator[Line]]
    total: int
    types: Sequence[Column | None] | None = None
    evidence: Sequence[Evidence] = ()


def read(work: Work, options: RowOptions, grid: Grid) -> Iterator[Chunk]:
    """The chunks behind the work's cursor. Raises InputError, TooNarrow."""
    if work.cursor:
        row = int(work.cursor["row"] or 1)
        columns = work.columns or numbering.loaded(str(work.cursor["columns"]))
        shape = plan(grid.names, options, columns, lambda: Sampled(()))
    else:
        row = 1
        shape = plan(grid.names, options, work.columns, lambda: _sample(grid), widens=work.widens)
    dataset = work.columns or shape.columns
    watch = None if work.widens is None else Watch(work.widens)
    extra: Cursor = {"columns": numbering.dumped(shape.columns)}
    lines = grid.lines(row - 1)
    most = max(1, min(CHUNK_ROWS, work.chunk_bytes // (16 * max(1, len(grid.names.names)))))
    lot = list(islice(lines, most))
    while lot or (row == 1 and work.cursor is None):
        arrays, rejects = _shaped(lot, shape, row, watch)
        following = list(islice(lines, most))
        read_so_far = row - 1 + len(lot)
        done = work.total * read_so_far // max(grid.total, read_so_far, 1) if following else work.total
        yield replace(
            _chunk(arrays, dataset, row, len(lot), rejects, {**extra, "row": row + len(lot)}, done),
            header=grid.names.written,
            brings=shape.names,
            evidence=explained(grid.names, shape, evidence=grid.evidence) if work.explains else None,
        )
        row, lot = row + len(lot), following
        if not lot:
            return


def _shaped(
    lot: list[Line], shape: Shape, first_row: int, watch: Watch | None
) -> tuple[dict[str, pa.Array], tuple[Reject, ...]]:
    whole = [index for index, line in enumerate(lot) if line.fault is None]
    texts = [
        None if column is None else pa.array([lot[index].cells[place] for index in whole], pa.string())
        for place, (column, _) in enumerate(shape.readings)
    ]
    shaped = shape.shaped(texts, len(whole))
    if watch is not None:
        watch.look(shaped, first_row + np.array(whole, np.int64), np.ones(len(whole), bool))
    bad = shaped.bad
    wrong = np.flatnonzero(bad)
    faults: dict[int, tuple[Fault, ...]] = {i: (line.fault,) for i, line in enumerate(lot) if line.fault is not None}
    faults |= {whole[at]: found for at, found in zip(wrong.tolist(), shaped.faults(wrong), strict=True)}
    good = pa.array(~bad)
    rejects = tuple(
        numbering.rejected(first_row + i, lot[i].line, faults[i], _raw(lot[i].cells), _shown(lot[i].cells))
        for i in sorted(faults)
    )
    return {name: array.filter(good) for name, array in shaped.arrays.items()}, rejects


def _chunk(
    arrays: dict[str, pa.Array],
    dataset: tuple[Column, ...],
    row: int,
    count: int,
    rejects: tuple[Reject, ...],
    cursor: Cursor,
    done: int,
) -> Chunk:
    fields = schema(dataset)
    rows = count - len(rejects)
    columns = [arrays[field.name] if field.name in arrays else pa.nulls(rows, field.type) for field in fields]
    batch = pa.RecordBatch.from_arrays(columns, schema=fields)
    return Chunk(dataset, batch, row, count, cursor, done, rejects)


def _sample(grid: Grid) -> Sampled:
    lines = [line for line in islice(grid.lines(0), SAMPLE_ROWS) if line.fault is None]
    names = grid.names.names
    texts = [pa.array([line.cells[place] for line in lines], pa.string()) for place in range(len(names))]
    if grid.types is None:
        return Sampled(texts)
    known = zip(names, texts, grid.types, strict=True)
    return Sampled(texts, [judge(name, text).column if kind is None else kind for name, text, kind in known])


def _raw(cells: Cells) -> bytes:
    return "\t".join(cell or "" for cell in cells).encode("utf-8", "replace")


def _shown(cells: Cells) -> Cells:
    return tuple(None if cell is None else readable(cell) for cell in cells)
