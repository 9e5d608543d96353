"""Blocks of delimited text as parts: the good rows as typed columns, and each of the others as a reject.

Nearly all rows are read at once, by `workers.sifting`. Only the ones that this leaves out are looked at cell by cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from service.domain.chunk import Reject
from workers.arrow_csv import read
from workers.casting import Mask
from workers.dialect import Dialect
from workers.faults import Looked
from workers.numbering import Part
from workers.quoting import Positions, strays
from workers.records import Records, extents, records
from workers.rewriting import fitting
from workers.shaping import Shape
from workers.sifting import decoded, sifted
from workers.widening import Watch

REJECT_BYTES = 1024 * 1024
"""About how much text of rejects one chunk may carry."""


def parts(
    data: bytes,
    dialect: Dialect,
    shape: Shape,
    first_row: int,
    first_line: int,
    watch: Watch | None = None,
    doubtful: set[int] | None = None,
    *,
    tidy: bool = False,
) -> Iterator[Part]:
    """The block's good rows and its rejects, in as many parts as keep the rejects of one small. Raises TooNarrow.

    Where they are cut depends on the block alone, so that a cursor can count them. `doubtful` and `tidy` are for
    `sifted`.
    """
    sieve = sifted(data, dialect, shape, doubtful, tidy=tidy)
    odd = np.flatnonzero(sieve.odd)
    if len(odd) == 0:
        yield Part(len(sieve.odd), len(data), sieve.arrays)
        return
    starts, ends, lines = extents(data, dialect)
    if len(starts) != len(sieve.odd):
        raise RuntimeError(f"pyarrow found {len(sieve.odd)} rows where {len(starts)} records are")
    behind = np.append(starts[1:], len(data))
    alone = b"".join(data[start:stop] for start, stop in zip(starts[odd].tolist(), behind[odd].tolist(), strict=True))
    looked = look(alone, dialect, shape, first_row + odd, first_line + lines[odd], watch)
    good = ~sieve.odd
    good[odd] = looked.good
    arrays = _merged(sieve.arrays, np.flatnonzero(~sieve.odd), looked.arrays, odd[looked.good])
    before = np.concatenate(([0], np.cumsum(good)))

    def part(start: int, stop: int, rejects: Sequence[Reject]) -> Part:
        low, high = int(before[start]), int(before[stop])
        sliced = {name: array.slice(low, high - low) for name, array in arrays.items()}
        return Part(stop - start, int(ends[stop - 1]), sliced, tuple(rejects))

    start, size, rejects = 0, 0, list[Reject]()
    for reject in looked.rejects():
        rejects.append(reject)
        size += _size(reject)
        if size > REJECT_BYTES:
            stop = reject.row - first_row + 1
            yield part(start, stop, rejects)
            start, size, rejects = stop, 0, []
    if start < len(starts):
        yield part(start, len(starts), rejects)


def look(
    data: bytes, dialect: Dialect, shape: Shape, rows: Positions, lines: Positions, watch: Watch | None = None
) -> Looked:
    """Look at all that is in the cells of these records, which have these numbers and lines. Raises TooNarrow."""
    used = [column is not None for column, _ in shape.readings]
    found, even, texts, illegible = strings(data, dialect, shape.width, used)
    if len(found) != len(rows):
        raise RuntimeError(f"{len(rows)} records were cut out and {len(found)} are there")
    shaped = shape.shaped(texts, len(illegible))
    undecodable, stray = np.zeros((2, len(found)), bool)
    undecodable[even] = illegible
    stray[np.searchsorted(found.starts, strays(data, dialect), "right") - 1] = True
    if watch is not None:
        watch.look(shaped, rows[even], ~(undecodable | stray)[even])
    return Looked(data, dialect, found, shaped, texts, even, undecodable, stray, rows, lines)


def strings(
    data: bytes, dialect: Dialect, width: int, used: Sequence[bool] | None = None
) -> tuple[Records, Mask, list[pa.Array], Mask]:
    """The block's records, which of them can be cut into `width` fields, those as text, and which are not UTF-8.

    A cell that is not UTF-8 is null; in a column that is not `used` it makes no row bad.
    """
    found = records(data, dialect)
    even, fit = fitting(data, found, dialect, width)
    count = int(even.sum())
    raw = read(fit, dialect, [pa.binary()] * width)
    if len(raw[0]) != count:
        raise RuntimeError(f"pyarrow found {len(raw[0])} rows where {count} records are")
    undecodable = np.zeros(count, bool)
    texts = []
    for place, cells in enumerate(raw):
        text, bad = decoded(cells)
        texts.append(text)
        if used is None or used[place]:
            undecodable |= bad
    return found, even, texts, undecodable


def _merged(
    arrays: Mapping[str, pa.Array], rows: Positions, more: Mapping[str, pa.Array], others: Positions
) -> Mapping[str, pa.Array]:
    """The columns of some rows and of some others, in the order of their places."""
    if len(others) == 0:
        return arrays
    order = pa.array(np.argsort(np.concatenate((rows, others))))
    return {name: pa.concat_arrays([array, more[name]]).take(order) for name, array in arrays.items()}


def _size(reject: Reject) -> int:
    told = len(reject.raw) + len(reject.message) + len(reject.suggestion)
    return told + sum(map(len, filter(None, reject.cells or ())))
