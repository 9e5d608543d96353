"""What a child says arrives as it was said, and a child that stops in the middle is noticed."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.frames import PIECE_BYTES, head, read_frame, read_payload

FIELDS = st.dictionaries(
    st.text(min_size=1).filter(lambda n: n not in ("kind", "payload_bytes")), st.integers() | st.text()
)


def reader_of(data: bytes) -> asyncio.StreamReader:
    """A stream that holds `data` and then ends."""
    reader = asyncio.StreamReader(limit=PIECE_BYTES)
    reader.feed_data(data)
    reader.feed_eof()
    return reader


async def all_of(reader: asyncio.StreamReader, size: int) -> bytes:
    return b"".join([piece async for piece in read_payload(reader, size)])


@given(FIELDS)
def test_an_announcement_arrives_as_it_was_made(fields: dict[str, int | str]) -> None:
    async def read() -> None:
        frame = await read_frame(reader_of(head("chunk", 7, **fields)))
        assert (frame.kind, frame.payload_bytes, frame.fields) == ("chunk", 7, fields)

    asyncio.run(read())


async def test_frames_and_payloads_follow_each_other() -> None:
    reader = reader_of(head("chunk", 3, n=1) + b"abc" + head("chunk", 2, n=2) + b"de" + head("end"))
    for number, payload in ((1, b"abc"), (2, b"de")):
        frame = await read_frame(reader)
        assert frame.fields == {"n": number}
        assert await all_of(reader, frame.payload_bytes) == payload
    assert (await read_frame(reader)).kind == "end"


async def test_a_large_payload_comes_in_small_pieces() -> None:
    payload = bytes(3 * PIECE_BYTES + 1)
    pieces = [piece async for piece in read_payload(reader_of(payload), len(payload))]
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert b"".join(pieces) == payload


async def test_an_announcement_without_payload_has_none_to_read() -> None:
    assert await all_of(reader_of(b"next"), 0) == b""


@pytest.mark.parametrize("cut", [0, 2, 4, 10])
async def test_a_child_that_ends_within_an_announcement_is_noticed(cut: int) -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        await read_frame(reader_of(head("chunk", 3)[:cut]))


async def test_a_child_that_ends_within_a_payload_is_noticed() -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        await all_of(reader_of(b"ab"), 3)
