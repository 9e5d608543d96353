"""Looks at the beginning of a stored file: a bounded stretch of it, unpacked to a bounded size, and what a zip lists.

Nothing a file says of itself is believed: what does not add up is not looked at. Unpacking happens in a thread.
"""

from __future__ import annotations

import asyncio
import bz2
import lzma
import zlib
from collections.abc import Callable
from itertools import islice

import zstandard

from service.actions.unpacked import bytes_of
from service.deps import Deps
from service.domain.filetype import kind_of
from service.domain.glimpse import Glimpse, Member
from service.domain.zip_table import HEADER_BYTES, TAIL_BYTES, Entry, content_at, entries, names_in, table_of
from service.files.port import Received

HEAD_BYTES = 256 * 1024
"""Enough for what is behind 142 KB of style sheets."""
TABLE_BYTES = 4 * 1024 * 1024
MOST_NAMES = 10_000
MOST_LOOKED_AT = 200
"""Members whose beginning is unpacked."""
MEMORY_BYTES = 64 * 1024 * 1024
"""What xz may ask for."""
STORED, DEFLATED = 0, 8


async def glimpse_of(deps: Deps, received: Received, name: str) -> Glimpse:
    """The beginning of a complete upload called `name`."""
    head = await bytes_of(deps, received, 0, min(HEAD_BYTES, received.size_bytes))
    kind, is_whole = kind_of(head), received.size_bytes <= HEAD_BYTES
    if kind == "zip":
        return Glimpse(name, kind, head, is_whole, members=await _members(deps, received))
    if (unpack := _UNPACKERS.get(kind)) is None:
        return Glimpse(name, kind, head, is_whole)
    inside = await asyncio.to_thread(_unpacked, unpack, head)
    is_all = is_whole and len(inside) < HEAD_BYTES
    return Glimpse(name, kind, inside, is_all, packed=kind, members=_named(inside))


async def _members(deps: Deps, received: Received) -> tuple[Member, ...]:
    tail = await bytes_of(deps, received, max(0, received.size_bytes - TAIL_BYTES), received.size_bytes)
    start, size = table_of(tail)
    stop = min(start + size, start + TABLE_BYTES, received.size_bytes)
    table = await bytes_of(deps, received, start, stop)
    members, looked_at = [], 0
    for number, entry in enumerate(entries(table)):
        if number == MOST_NAMES:
            break
        inside = None
        if looked_at < MOST_LOOKED_AT and _is_readable(entry):
            looked_at += 1
            inside = await _inside(deps, received, entry)
        members.append(Member(entry.name, entry.size_bytes, entry.is_encrypted, inside))
    return tuple(members)


async def _inside(deps: Deps, received: Received, entry: Entry) -> Glimpse | None:
    stop = min(entry.at + HEADER_BYTES, received.size_bytes)
    start = content_at(await bytes_of(deps, received, entry.at, stop), entry.at)
    if start is None:
        return None
    packed = await bytes_of(
        deps, received, start, min(start + min(entry.packed_bytes, HEAD_BYTES), received.size_bytes)
    )
    head = packed if entry.method == STORED else await asyncio.to_thread(_unpacked, _inflated, packed)
    name = entry.name.rsplit("/", 1)[-1]
    is_all = len(head) == entry.size_bytes
    return Glimpse(name, kind_of(head), head, is_all, members=_named(head)) if head else None


def _named(head: bytes) -> tuple[Member, ...]:
    """The members of what is itself in an archive, by name alone: workbooks and packages are known by these."""
    return tuple(Member(name, 0, is_encrypted=False) for name in islice(names_in(head), MOST_NAMES))


def _is_readable(entry: Entry) -> bool:
    last = entry.name.rsplit("/", 1)[-1]
    is_hidden = not last or last.startswith(".") or entry.name.startswith("__MACOSX/")
    return not (is_hidden or entry.is_encrypted) and entry.method in (STORED, DEFLATED)


def _unpacked(unpack: Callable[[bytes], bytes], packed: bytes) -> bytes:
    try:
        return unpack(packed)
    except (zlib.error, OSError, ValueError, EOFError, lzma.LZMAError, zstandard.ZstdError, MemoryError):
        return b""


def _inflated(packed: bytes) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, HEAD_BYTES)


_UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda packed: zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(packed, HEAD_BYTES),
    "bzip2": lambda packed: bz2.BZ2Decompressor().decompress(packed, HEAD_BYTES),
    "xz": lambda packed: lzma.LZMADecompressor(memlimit=MEMORY_BYTES).decompress(packed, HEAD_BYTES),
    "zstd": lambda packed: (
        zstandard.ZstdDecompressor(max_window_size=MEMORY_BYTES).stream_reader(packed).read(HEAD_BYTES)
    ),
}
