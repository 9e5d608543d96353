"""CSV rows into Parquet: `python -m service.parquet`, a child of its own, so that no event loop waits for Arrow.

It gets the columns as one line of JSON on standard input, then CSV as PostgreSQL's COPY writes it, with a header; it
answers with the file on standard output, row group by row group, in flat memory.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, BinaryIO

from service.domain.chunk import Column, ColumnType
from service.domain.dataset import LINEAGE, columns_from_json, columns_to_json
from service.domain.errors import Transient
from service.domain.processor import Piece
from service.piped import piped

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_BYTES = 8 * 1024 * 1024
"""A row group is written once its columns take this much in memory."""
BLOCK_BYTES = 4 * 1024 * 1024
PRECISION = 38


async def written(text: AsyncGenerator[Piece, None], columns: Sequence[Column]) -> AsyncGenerator[Piece, None]:
    """Rows that come as CSV, as a Parquet file in pieces. Raises what `text` raises, Transient if the child dies."""
    given = _behind_columns(columns, text)
    async with aclosing(piped("service.parquet", given, _failure, ARROW_DEFAULT_MEMORY_POOL="system")) as pieces:
        async for piece in pieces:
            yield piece


async def _behind_columns(columns: Sequence[Column], text: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    yield Piece(json.dumps(columns_to_json(columns)).encode() + b"\n")
    async with aclosing(text):
        async for piece in text:
            yield piece


def _failure(_code: int, _told: bytes) -> Exception:
    return Transient("busy", "The Parquet file could not be written.", suggestion="Try it again.")


def main() -> None:
    """Read until the end, then complete the file."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    source = sys.stdin.buffer
    columns = columns_from_json(json.loads(source.readline()))
    kinds = {column.name: _arrow(column) for column in columns}
    schema = pa.schema(list(kinds.items()))
    source.readline()  # the header
    with pq.ParquetWriter(pa.PythonFile(sys.stdout.buffer, mode="w"), schema, compression="zstd") as out:
        for group in _groups(_parsed(block, kinds) for block in _blocks(source)):
            out.write_table(pa.concat_tables(group).combine_chunks(), row_group_size=sum(map(len, group)))


def _blocks(source: BinaryIO) -> Iterator[bytes]:
    """Whole records. A line end is one of a record where the quotes before it are paired."""
    data = b""
    while more := source.read(BLOCK_BYTES):
        data += more
        end = data.rfind(b"\n") + 1
        is_inside = data.count(b'"', 0, end) % 2 == 1
        while end and is_inside:
            before = data.rfind(b"\n", 0, end - 1) + 1
            is_inside ^= data.count(b'"', before, end) % 2 == 1
            end = before
        if end:
            yield data[:end]
            data = data[end:]
    if data:
        yield data


def _parsed(block: bytes, kinds: dict[str, pa.DataType]) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    return csv.read_csv(
        pa.BufferReader(block),
        read_options=csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=list(kinds)),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),  # one may be a null
        convert_options=csv.ConvertOptions(
            column_types=kinds,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _groups(tables: Iterator[pa.Table]) -> Iterator[list[pa.Table]]:
    group, size = list["pa.Table"](), 0
    for table in tables:
        group.append(table)
        size += table.nbytes
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _arrow(column: Column) -> pa.DataType:
    import pyarrow as pa

    if column.name in LINEAGE:
        return pa.int64() if column.name == "_row" else pa.string()
    kinds = {
        ColumnType.INTEGER: pa.int32(),
        ColumnType.BIGINT: pa.int64(),
        ColumnType.DOUBLE: pa.float64(),
        ColumnType.NUMERIC: pa.decimal128(PRECISION, column.scale or 0),
        ColumnType.BOOLEAN: pa.bool_(),
        ColumnType.DATE: pa.date32(),
        ColumnType.TIMESTAMP: pa.timestamp("us"),
        ColumnType.TIMESTAMPTZ: pa.timestamp("us", tz="UTC"),
    }
    return kinds.get(column.type, pa.string())  # uuid and jsonb as PostgreSQL writes them


if __name__ == "__main__":
    main()
