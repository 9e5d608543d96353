"""A file that is packed, or in an archive, as one that can be sought in: for formats that are not read as a stream."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from typing import BinaryIO

from service.domain.chunk import Chunk
from service.domain.errors import InputError
from service.domain.processor import Work
from workers.evidence import Evidence, of_packing
from workers.members import files_of
from workers.unpacking import Compression, compression_of, picked, unpacked

UNWRAPPED_BYTES = 24 * 1024 * 1024
"""The largest file that is unpacked for this: it is in memory as a whole, a workbook three times while it is opened."""
STEP_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """The work on the file that is meant, and what was found out on the way to it."""

    work: Work
    evidence: list[Evidence] = field(default_factory=list)

    def told(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """The chunks of that work; where evidence is asked for, the first one has this as well."""
        for number, chunk in enumerate(chunks):
            if number or not self.evidence or not self.work.explains:
                yield chunk
                continue
            known = chunk.evidence or {}
            found = [*map(asdict, self.evidence), *known.get("evidence", ())]
            yield replace(chunk, evidence={**known, "compression": self.evidence[0].value, "evidence": found})


def unwrapped(work: Work, member: str | None, suffixes: tuple[str, ...], own: Collection[str] = ()) -> Unwrapped:
    """The work with the file that is meant as its source; the same work where that is the upload itself.

    A zip that has one of the members `own` is a file of the format, not an archive of such. Without `member`, the only
    one of these suffixes is meant. `Work.total`, and so progress, stay those of the upload. Raises InputError.
    """
    work.source.seek(0)
    packed = compression_of(work.source.read(16))
    if packed is None:
        return Unwrapped(work)
    why = "given" if member else "the only one of its kind"
    if packed != "zip":
        member = None
    elif (member := _member(work.source, member, suffixes, own)) is None:
        return Unwrapped(work)
    return Unwrapped(replace(work, source=_content(work.source, packed, member)), of_packing(packed, member, why))


def _member(source: BinaryIO, wanted: str | None, suffixes: tuple[str, ...], own: Collection[str]) -> str | None:
    if wanted is not None:
        return picked([info.filename for info in files_of(source)[1]], wanted, suffixes)
    try:
        names = [info.filename for info in files_of(source)[1]]
    except InputError:
        return None  # the reader of the format says better what is wrong
    is_archive = any(name.lower().endswith(suffixes) for name in names) and not set(own) & set(names)
    return picked(names, None, suffixes) if is_archive else None


def _content(source: BinaryIO, packed: Compression, member: str | None) -> BinaryIO:
    content = BytesIO()
    for step in unpacked(source, packed, member, STEP_BYTES):
        if content.tell() + len(step) > UNWRAPPED_BYTES:
            raise InputError(
                "too_large",
                f"{'The file' if member is None else repr(member[:200])} unpacks to more than "
                f"{UNWRAPPED_BYTES // 1024 // 1024} MiB, which is the most of such a file.",
                suggestion="Send it by itself, unpacked.",
            )
        content.write(step)
    content.seek(0)
    return content
