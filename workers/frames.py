"""What a processor's child says to its parent: a JSON header, then as many payload bytes as the header announces.

`chunk` carries rows (the payload is a binary COPY stream), `failed` an error that is the file's fault, `crashed` a bug.
A child that has said everything says `end`.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

_LENGTH = struct.Struct(">I")

PIECE_BYTES = 256 * 1024
"""The pieces that payloads are passed on in; COPY slows down by a quarter at 1 MiB."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One announcement of the child."""

    kind: str
    payload_bytes: int
    fields: Mapping[str, Any]


def head(kind: str, payload_bytes: int = 0, **fields: object) -> bytes:
    """The bytes that announce a frame."""
    body = json.dumps({"kind": kind, "payload_bytes": payload_bytes, **fields}).encode()
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """Wait for the next announcement. Raises IncompleteReadError when the child is gone."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    fields = json.loads(await reader.readexactly(length))
    return Frame(fields.pop("kind"), fields.pop("payload_bytes"), fields)


async def read_payload(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    """The payload in pieces; must be read to its end before the next frame."""
    while size:
        piece = await reader.read(min(size, PIECE_BYTES))
        if not piece:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(piece)
        yield piece
