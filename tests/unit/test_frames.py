"""The pipe between a processor's child and its parent."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.frames import LAST_PIECE, PIECE_BYTES, head, piece, read_frame, read_payload

FIELDS = st.dictionaries(st.text(min_size=1).filter(lambda n: n != "kind"), st.integers() | st.text())


def reader_of(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


async def all_of(reader: asyncio.StreamReader) -> bytes:
    return b"".join([data async for data in read_payload(reader)])


@given(FIELDS)
def test_a_frame_is_read_as_it_was_announced(fields: dict[str, int | str]) -> None:
    async def read() -> None:
        frame = await read_frame(reader_of(head("chunk", **fields)))
        assert (frame.kind, frame.fields) == ("chunk", fields)

    asyncio.run(read())


async def test_payloads_lie_between_frames() -> None:
    payloads = [b"abc", b"de", b""]
    said = b"".join(head("chunk", n=n) + (piece(data) if data else b"") + LAST_PIECE for n, data in enumerate(payloads))
    reader = reader_of(said + head("end"))
    for number, payload in enumerate(payloads):
        assert (await read_frame(reader)).fields == {"n": number}
        assert await all_of(reader) == payload
    assert (await read_frame(reader)).kind == "end"


async def test_a_large_piece_is_handed_on_in_small_ones() -> None:
    data = bytes(range(256)) * 4096
    pieces = [part async for part in read_payload(reader_of(piece(data) + LAST_PIECE))]
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= PIECE_BYTES


async def test_a_payload_that_breaks_off_is_noticed() -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        await all_of(reader_of(piece(b"abcdef")[:-1]))


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 5])
async def test_a_frame_that_breaks_off_is_noticed(cut: int) -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        await read_frame(reader_of(head("chunk", n=3)[:cut]))
