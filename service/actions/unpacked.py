"""How large an archive would be unpacked, by its own table of contents: no byte of it is unpacked to know."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from service.deps import Deps
from service.domain.errors import TooLarge
from service.domain.zip_table import TAIL_BYTES, entries, table_of
from service.files.port import Received

MOST_TABLE_BYTES = 32 * 1024 * 1024


async def check_unpacked(deps: Deps, received: Received, kind: str) -> None:
    """Refuse a zip that says of itself that it would be too large. A broken one is its reader's affair.

    Raises TooLarge.
    """
    if kind != "zip":
        return
    tail = await bytes_of(deps, received, max(0, received.size_bytes - TAIL_BYTES), received.size_bytes)
    start, size = table_of(tail)
    if start + size > received.size_bytes:
        return
    table = await bytes_of(deps, received, start, start + min(size, MOST_TABLE_BYTES))
    total = sum(entry.size_bytes for entry in entries(table))
    if size > MOST_TABLE_BYTES or total > deps.settings.max_unpacked_bytes:
        raise TooLarge(
            "too_large",
            f"Unpacked this archive has {total} bytes or more; {deps.settings.max_unpacked_bytes} are accepted here.",
            suggestion="Split it, or raise MILLRACE_MAX_UNPACKED_BYTES.",
        )


async def bytes_of(deps: Deps, received: Received, start: int, stop: int) -> bytes:
    """A stretch of a stored file, which is to be short."""
    if start >= stop:
        return b""
    pieces: AsyncGenerator[bytes, None] = deps.files.read(received.file, received.size_bytes, start, stop)
    async with aclosing(pieces):
        return b"".join([piece async for piece in pieces])
