"""How large an archive would be unpacked, by its own table of contents: no byte of it is unpacked to know."""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator
from contextlib import aclosing

from service.deps import Deps
from service.domain.errors import TooLarge
from service.files.port import Received

_END = struct.Struct("<4s4H2LH")
_WIDE_END = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_END_MARK, _WIDE_END_MARK, _ENTRY_MARK = b"PK\x05\x06", b"PK\x06\x06", b"PK\x01\x02"
_WIDE = 0xFFFFFFFF
_TAIL_BYTES = 66_000
"""The end of the table is in the last 64 KiB and a little, whatever comment follows it."""

MOST_TABLE_BYTES = 32 * 1024 * 1024


async def check_unpacked(deps: Deps, received: Received, kind: str) -> None:
    """Refuse a zip that says of itself that it would be too large. A broken one is its reader's affair.

    Raises TooLarge.
    """
    if kind != "zip":
        return
    tail = await _bytes(deps, received, max(0, received.size_bytes - _TAIL_BYTES), received.size_bytes)
    start, size = _table(tail)
    if start + size > received.size_bytes:
        return
    table = await _bytes(deps, received, start, start + min(size, MOST_TABLE_BYTES))
    total = _total(table)
    if size > MOST_TABLE_BYTES or total > deps.settings.max_unpacked_bytes:
        raise TooLarge(
            "too_large",
            f"Unpacked this archive has {total} bytes or more; {deps.settings.max_unpacked_bytes} are accepted here.",
            suggestion="Split it, or raise MILLRACE_MAX_UNPACKED_BYTES.",
        )


def _table(tail: bytes) -> tuple[int, int]:
    """Where the table of contents begins, and its size; both 0 if there is none."""
    at = tail.rfind(_END_MARK)
    if at < 0 or len(tail) < at + _END.size:
        return 0, 0
    *_, size, start, _ = _END.unpack_from(tail, at)
    wide = tail.rfind(_WIDE_END_MARK, 0, at)
    if _WIDE in (size, start) and 0 <= wide <= at - _WIDE_END.size:
        *_, size, start = _WIDE_END.unpack_from(tail, wide)
    return start, size


def _total(table: bytes) -> int:
    total, at = 0, 0
    while at + _ENTRY.size <= len(table) and table[at : at + 4] == _ENTRY_MARK:
        fields = _ENTRY.unpack_from(table, at)
        size, name, extra, comment = fields[9], fields[10], fields[11], fields[12]
        behind = at + _ENTRY.size + name
        total += _wide_size(table[behind : behind + extra]) if size == _WIDE else size
        at = behind + extra + comment
    return total


def _wide_size(extra: bytes) -> int:
    at = 0
    while at + 12 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            return int(struct.unpack_from("<Q", extra, at + 4)[0])
        at += 4 + length
    return _WIDE


async def _bytes(deps: Deps, received: Received, start: int, stop: int) -> bytes:
    if start >= stop:
        return b""
    pieces: AsyncGenerator[bytes, None] = deps.files.read(received.file, received.size_bytes, start, stop)
    async with aclosing(pieces):
        return b"".join([piece async for piece in pieces])
