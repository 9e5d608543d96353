"""How the text of a file is got at: what packed it, which member of an archive it is, which encoding it is in."""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

from workers.encodings import encoding_of
from workers.evidence import Evidence, of_packing
from workers.reading import Reading, head
from workers.unpacking import TABLES, compression_of, member_of

WHOLE_BYTES = 8 * 1024 * 1024
"""Up to this size a plain file is looked at whole for its encoding."""
PLACES = 8
"""From how many places of a larger one some text is taken for it."""


def reading_of(
    source: BinaryIO,
    encoding: str | None = None,
    member: str | None = None,
    legacy: bool = True,
    wanted: tuple[str, ...] = TABLES,
) -> tuple[Reading, list[Evidence]]:
    """How to get at the text of a file. Without `legacy` it must be Unicode. Raises InputError.

    `wanted` are suffixes of the member that is meant in an archive.
    """
    source.seek(0)
    packed = compression_of(source.read(16))
    how = Reading(packed, member_of(source, member, wanted) if packed == "zip" else None)
    evidence = of_packing(packed, how.member, "given" if member else "the only one of its kind")
    given = encoding and Evidence("encoding", encoding, 1.0, "given")
    found = given or encoding_of(_places(source, how))
    if not legacy and not str(found.value).startswith("utf-"):
        found = Evidence("encoding", "utf-8", 0.9, "what the format is in")
    return replace(how, encoding=str(found.value)), [*evidence, found]


def _places(source: BinaryIO, how: Reading) -> list[bytes]:
    """The first text, and where that is cheap some from all over the file."""
    if how.compression is not None:
        return [head(source, how, 1024 * 1024)]
    size = source.seek(0, 2)
    source.seek(0)
    if size <= WHOLE_BYTES:
        return [source.read(size)]
    found = [source.read(1024 * 1024)]
    for number in range(1, PLACES + 1):
        source.seek((size - 64 * 1024) * number // PLACES)
        found.append(source.read(64 * 1024))
    return found
