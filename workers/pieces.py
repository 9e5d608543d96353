"""Bytes in pieces, each let go once it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator


async def given(pieces: list[bytes]) -> AsyncIterator[bytes]:
    """The pieces, one by one, each let go once it is sent."""
    pieces.reverse()
    while pieces:
        yield pieces.pop()
