"""What a processor's child says to its parent: a JSON header, then a payload in pieces, each behind its length.

`chunk` carries rows (the payload is a binary COPY stream), `enclosed` a file that belongs to the chunk that comes next
(its bytes), `failed` an error that is the file's fault, `crashed` a bug. A child that has said everything says `end`.
A payload ends with a piece of no length; only those two have one.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from operator import attrgetter
from typing import Any

from service.domain.chunk import Fault, Reject

_LENGTH = struct.Struct(">I")
_NAMES = [field.name for field in fields(Reject)]
_VALUES, _FAULTS = attrgetter(*_NAMES), _NAMES.index("faults")

PIECE_BYTES = 128 * 1024
"""The largest pieces that payloads are passed on in: they fit into a socket's buffer, so nothing is copied twice."""

PIPE_BYTES = 1024 * 1024
"""Room between child and parent, where the system lets us say so: fewer and larger steps for both."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One announcement of the child."""

    kind: str
    fields: Mapping[str, Any]


def head(kind: str, **fields: object) -> bytes:
    """The bytes that announce a frame."""
    return piece(json.dumps({"kind": kind, **fields}).encode())


def piece(data: bytes) -> bytes:
    """Bytes behind their length."""
    return piece_head(data) + data


def piece_head(data: bytes) -> bytes:
    """What stands in front of a piece."""
    return _LENGTH.pack(len(data))


LAST_PIECE = piece(b"")


def values_of(reject: Reject) -> list[Any]:
    """A reject as a frame holds it: its values without their names."""
    values = list(_VALUES(reject))
    values[_FAULTS] = [astuple(fault) for fault in reject.faults]
    return values


def reject_of(values: Sequence[Any]) -> Reject:
    """The same reject on the other side."""
    given = list(values)
    given[_FAULTS] = tuple(Fault(*fault) for fault in values[_FAULTS])
    return Reject(*given)


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """Wait for the next announcement. Raises IncompleteReadError when the child is gone."""
    fields = json.loads(await reader.readexactly(await _length(reader)))
    return Frame(fields.pop("kind"), fields)


async def read_payload(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The payload as it comes; must be read to its end before the next frame."""
    while left := await _length(reader):
        while left:
            data = await reader.read(min(left, PIECE_BYTES))
            if not data:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(data)
            yield data


async def _length(reader: asyncio.StreamReader) -> int:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    return int(length)
