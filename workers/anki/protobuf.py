"""Just enough of Protocol Buffers' wire format to read Anki's messages: fields by number, nothing of their meaning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Fields = Mapping[int, list[int | bytes]]


def fields(message: bytes) -> Fields:
    """The values of each field, in order: integers for varints, bytes for everything else. Raises ValueError."""
    found: dict[int, list[int | bytes]] = defaultdict(list)
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        value: int | bytes
        if kind == _VARINT:
            value, at = _varint(message, at)
        elif kind == _BYTES:
            size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
            value, at = message[at : at + size], at + size
        else:
            raise ValueError(f"wire type {kind}")
        if at > len(message):
            raise ValueError("cut short")
        found[number].append(value)
    return found


def number(found: Fields, field: int) -> int:
    """The last integer of a field, 0 if it has none."""
    return next((value for value in reversed(found.get(field, [])) if isinstance(value, int)), 0)


def blob(found: Fields, field: int) -> bytes:
    """The last bytes of a field, empty if it has none."""
    return next((value for value in reversed(found.get(field, [])) if isinstance(value, bytes)), b"")


def text(found: Fields, field: int) -> str:
    """The last text of a field, empty if it has none."""
    return blob(found, field).decode("utf-8", "replace")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("a number has no end")
        octet = message[at]
        value |= (octet & 0x7F) << shift
        at += 1
        if octet < 0x80:
            return value, at
        shift += 7
