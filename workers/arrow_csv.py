"""Has Arrow read delimited text: a block at once, or the fields of one record."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from workers.casting import FALSE_WORDS, TRUE_WORDS
from workers.dialect import Dialect
from workers.quoting import Positions, has_escapes
from workers.records import Records, records
from workers.rewriting import plain


def read(
    data: bytes,
    dialect: Dialect,
    types: Sequence[pa.DataType | None],
    left_out: list[int] | None = None,
    *,
    is_legible: bool = False,
) -> list[pa.Array]:
    """The block's columns as these types; None where none is wanted, but for one, so that rows can be counted.

    `left_out` gets the places of records of another width, which are an error without it; all of them must be UTF-8.
    `is_legible` says that everything is known to be.
    """
    data = plain(data, dialect)
    # Without a line end pyarrow may take a line break in the last quoted field for the end of its block.
    whole = data if data.endswith((b"\n", b"\r")) else data + b"\n"
    # A blank line in front keeps it from leaving out a byte order mark, which is text behind the start of a file.
    whole = b"\n" + whole if whole.startswith(BOM_UTF8) else whole
    names = [str(position) for position in range(len(types))]
    wanted = {name: kind for name, kind in zip(names, types, strict=True) if kind is not None}
    wanted = wanted or {names[0]: pa.binary()}
    table = csv.read_csv(
        pa.BufferReader(whole),
        read_options=csv.ReadOptions(use_threads=False, block_size=len(whole) + 1, column_names=names),
        parse_options=csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote if dialect.quote and dialect.quote.encode() in whole else False,
            escape_char=dialect.escape if has_escapes(whole, dialect) else False,
            newlines_in_values=False,
            invalid_row_handler=None if left_out is None else lambda row: _skipped(row, left_out),
        ),
        convert_options=csv.ConvertOptions(
            check_utf8=not is_legible,
            column_types=wanted,
            include_columns=list(wanted),
            null_values=[""],
            true_values=TRUE_WORDS,
            false_values=FALSE_WORDS,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    found = dict(zip(wanted, table.columns, strict=True))
    return [_respelled(_joined(found[name]), dialect) if name in found else None for name in names]


def fields(record: bytes, dialect: Dialect) -> list[str]:
    """The fields of one record. Raises UnicodeDecodeError."""
    return [cell.decode() for cell in cut(record, dialect)]


def cut(record: bytes, dialect: Dialect) -> list[bytes]:
    """The fields of one record as they are."""
    if dialect.escape is None and (dialect.quote is None or dialect.quote.encode() not in record):
        return record.split(dialect.delimiter.encode())
    width = int(records(record, dialect).widths[0])
    return [(array[0].as_py() or b"") for array in read(record, dialect, [pa.binary()] * width)]


def cut_each(data: bytes, found: Records, chosen: Positions, dialect: Dialect) -> Iterator[tuple[int, list[bytes]]]:
    """The fields of some of the block's records, whatever their widths, as they are; those of one width together."""
    for width in np.unique(found.widths[chosen]).tolist():
        alike = chosen[found.widths[chosen] == width].tolist()
        text = b"\n".join(data[found.starts[index] : found.ends[index]] for index in alike)
        columns = [array.to_pylist() for array in read(text, dialect, [pa.binary()] * width)]
        for index, cells in zip(alike, zip(*columns, strict=True), strict=True):
            yield index, [cell or b"" for cell in cells]


def _skipped(row: csv.InvalidRow, left_out: list[int]) -> str:
    left_out.append(row.number - 1)
    return "skip"


def _respelled(array: pa.Array, dialect: Dialect) -> pa.Array:
    """Text with the delimiter in it as the file spells it."""
    if dialect.spelling is None or array.type not in (pa.string(), pa.binary()):
        return array
    if array.type == pa.string():
        return pc.replace_substring(array, dialect.delimiter, dialect.spelling)
    return pc.replace_substring(array, dialect.delimiter.encode(), dialect.spelling.encode())


def _joined(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
