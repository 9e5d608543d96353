"""Where delimited text can be cut: whatever is in it, its parts read one by one give what the whole gives."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable
from typing import BinaryIO, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.domain.chunk import Chunk, Cursor
from service.domain.processor import Work
from workers.dialect import COMMA
from workers.processors.csv import processor
from workers.records import count, records
from workers.until import Until

HEAD = b"a,b\n1,x\n"
DIALECT = {"delimiter": ",", "quote": '"', "escape": "", "comment": ""}
OPTIONS = processor.options.model_validate({**DIALECT, "header": True, "encoding": "utf-8"})
NASTY = (
    b'2,"two\nlines"\r\n\r\n3,"doubled ""quotes"", and\r\nmore"\n\n\n4,Z\xc3\xbcrich \xf0\x9f\x99\x82\r5,lone return\n'
    b'6,stray "quote"\n7,too,many\n8,"never closed\n9,"\xff\xfe"\n"10","ten"\n,\n11,eleven'
)


def work(data: bytes, cursor: Cursor | None, stop: int | None = None, chunk_bytes: int = 1 << 20) -> Work:
    source: BinaryIO = io.BytesIO(data)
    if stop is not None:
        source = cast(BinaryIO, Until(source, stop))
    return Work(source, len(data), OPTIONS, cursor, None, chunk_bytes)


def read(work: Work) -> list[Chunk]:
    async def collect() -> list[Chunk]:
        assert processor.chunks is not None
        return [chunk async for chunk in processor.chunks(work)]

    return asyncio.run(collect())


def told(chunks: Iterable[Chunk]) -> tuple[list[object], list[object]]:
    """Rows with their numbers, and rejects."""
    rows, rejects = [], []
    for chunk in chunks:
        refused = {reject.row for reject in chunk.rejects}
        numbers = [n for n in range(chunk.first_row, chunk.first_row + chunk.read) if n not in refused]
        rows += [(n, *row.values()) for n, row in zip(numbers, chunk.batch.to_pylist(), strict=True)]
        rejects += [(r.row, r.line, r.code, r.raw) for r in chunk.rejects]
    return rows, rejects


def holds(data: bytes, every: int) -> int:
    """Check all cuts of `data`; returns how many there are."""
    first = read(work(data, None, chunk_bytes=len(HEAD)))[0]
    assert processor.cuts is not None
    found = list(processor.cuts(work(data, first.cursor), every))
    ends = [*(cut.offset for cut in found), None]
    rows, rejects = [], []
    for cursor, stop in zip([first.cursor, *(cut.cursor for cut in found)], ends, strict=True):
        some_rows, some_rejects = told(read(work(data, cursor, stop, chunk_bytes=16)))
        rows += some_rows
        rejects += some_rejects
    assert (rows, rejects) == told(read(work(data, first.cursor)))
    return len(found)


@pytest.mark.parametrize("every", range(1, len(NASTY)))
def test_a_nasty_file_can_be_cut_at_any_distance(every: int) -> None:
    assert holds(HEAD + NASTY, every) or every > len(NASTY) // 2


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([b"1", b"x", b",", b'"', b'""', b"\n", b"\r\n", b"\r", b" ", b"\0"]), max_size=60),
    st.integers(1, 20),
)
@example([b'""', b'""', b"1", b",", b"\n", b"1", b'""'], 1)
def test_any_text_can_be_cut(pieces: list[bytes], every: int) -> None:
    holds(HEAD + b"".join(pieces), every)


@given(st.lists(st.sampled_from([b"1", b",", b'"', b"\n", b"\r\n", b"\r", b"ab"]), max_size=40))
def test_records_are_counted_as_they_are_found(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    assert count(data, COMMA) == len(records(data, COMMA))
    assert count(data, None) == len(records(data, None))
