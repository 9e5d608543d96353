"""The table of contents of a zip archive, out of its bytes alone: nothing is unpacked, no offset is believed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_END = struct.Struct("<4s4H2LH")
_WIDE_END = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_HEADER = struct.Struct("<4s5H3L2H")
_END_MARK, _WIDE_END_MARK, _ENTRY_MARK, _HEADER_MARK = b"PK\x05\x06", b"PK\x06\x06", b"PK\x01\x02", b"PK\x03\x04"
_WIDE = 0xFFFFFFFF
_ENCRYPTED, _STREAMED, _UTF8 = 0x1, 0x8, 0x800

TAIL_BYTES = 66_000
"""The end of the table is in the last 64 KiB and a little, whatever comment follows it."""
HEADER_BYTES = _HEADER.size


@dataclass(frozen=True, slots=True)
class Entry:
    """A member as the table tells of it: sizes may be lies. `at` is where its own header should be."""

    name: str
    is_encrypted: bool
    method: int
    packed_bytes: int
    size_bytes: int
    at: int


def table_of(tail: bytes) -> tuple[int, int]:
    """Where the table of contents begins, and its size, by the end of the file; both 0 if there is none."""
    at = tail.rfind(_END_MARK)
    if at < 0 or len(tail) < at + _END.size:
        return 0, 0
    *_, size, start, _ = _END.unpack_from(tail, at)
    wide = tail.rfind(_WIDE_END_MARK, 0, at)
    if _WIDE in (size, start) and 0 <= wide <= at - _WIDE_END.size:
        *_, size, start = _WIDE_END.unpack_from(tail, wide)
    return start, size


def entries(table: bytes) -> Iterator[Entry]:
    """The members, as far as the table goes on as one."""
    at = 0
    while at + _ENTRY.size <= len(table) and table[at : at + 4] == _ENTRY_MARK:
        fields = _ENTRY.unpack_from(table, at)
        flags, method, packed, size, name_length, extra_length, comment_length = (
            *(fields[3], fields[4]),
            *fields[8:13],
        )
        start = fields[16]
        behind = at + _ENTRY.size + name_length
        if _WIDE in (size, packed, start):
            size, packed, start = _widened(table[behind : behind + extra_length], size, packed, start)
        name = table[at + _ENTRY.size : behind].decode("utf-8" if flags & _UTF8 else "cp437", "replace")
        yield Entry(name, bool(flags & _ENCRYPTED), method, packed, size, start)
        at = behind + extra_length + comment_length


def content_at(header: bytes, at: int) -> int | None:
    """Where the content of a member starts whose own header, at `at`, begins so; None if that is none."""
    if len(header) < _HEADER.size or header[:4] != _HEADER_MARK:
        return None
    *_, name_length, extra_length = _HEADER.unpack_from(header)
    return at + _HEADER.size + int(name_length) + int(extra_length)


def names_in(head: bytes) -> Iterator[str]:
    """Names of members by their own headers, as many as the beginning of an archive has."""
    at = 0
    while 0 <= at <= len(head) - _HEADER.size and head[at : at + 4] == _HEADER_MARK:
        _, _, flags, *_, packed, _, name_length, extra_length = _HEADER.unpack_from(head, at)
        name = at + _HEADER.size
        yield head[name : name + name_length].decode("utf-8" if flags & _UTF8 else "cp437", "replace")
        behind = name + name_length + extra_length
        # A packer that streams does not know the size yet.
        at = head.find(_HEADER_MARK, behind) if flags & _STREAMED else behind + packed


def _widened(extra: bytes, *sizes: int) -> list[int]:
    """Those of the sizes that do not fit into 32 bits, as the extra field has them, one after the other."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            wide = iter(
                struct.unpack(
                    f"<{length // 8}Q", extra[at + 4 : at + 4 + length // 8 * 8].ljust(length // 8 * 8, b"\0")
                )
            )
            return [next(wide, size) if size == _WIDE else size for size in sizes]
        at += 4 + length
    return list(sizes)
