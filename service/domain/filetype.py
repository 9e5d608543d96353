"""What a file is by its first bytes, and whether a processor reads that kind. Name and media type are mere claims."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain.errors import InputError
from service.domain.processor import Processor
from service.domain.upload import suffix_of

HEAD_BYTES = 4096
"""So much of a file tells its kind."""

TEXT = "text"
BINARY = "binary"

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (257, b"ustar", "tar"),
    (0, b"%PDF-", "pdf"),
    (0, b"SQLite format 3\x00", "sqlite"),
    (0, b"PAR1", "parquet"),
    (0, b"ARROW1", "arrow"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
    (8, b"WEBP", "webp"),
    (8, b"WAVE", "wav"),
    (0, b"fLaC", "flac"),
    (0, b"OggS", "ogg"),
    (0, b"ID3", "mp3"),
    (4, b"ftyp", "mp4"),
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (0, b"\x7fELF", "program"),
    (0, b"MZ", "program"),
    (0, b"\xcf\xfa\xed\xfe", "program"),
    (0, b"\xca\xfe\xba\xbe", "program"),
)
_LETTERS = (b"MZ", b"ID3", b"BZh")
"""Marks that a text may begin with too."""
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")

_SUFFIXES: Mapping[str, str] = {
    ".zip": "zip", ".xlsx": "zip", ".docx": "zip", ".pptx": "zip", ".apkg": "zip", ".gz": "gzip", ".zst": "zstd",
    ".bz2": "bzip2", ".xz": "xz", ".7z": "7z", ".rar": "rar", ".tar": "tar", ".pdf": "pdf", ".sqlite": "sqlite",
    ".parquet": "parquet", ".xls": "ole", ".doc": "ole", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif",
    ".webp": "webp", ".wav": "wav", ".flac": "flac", ".ogg": "ogg", ".mp3": "mp3", ".mp4": "mp4", ".mkv": "matroska",
    ".exe": "program", ".dll": "program",
}  # fmt: skip
"""Suffixes that promise bytes that are not text."""


PACKINGS = ("zip", "gzip", "zstd", "bzip2", "xz")
"""Kinds that a file of another may be packed as."""
_PACKED = (".zip", ".gz", ".zst", ".bz2", ".xz")


def kind_of(head: bytes) -> str:
    """The kind of a file by its first bytes: a format by name, else `text` or `binary`."""
    for at, mark, kind in _SIGNATURES:
        if head[at : at + len(mark)] == mark and (mark not in _LETTERS or b"\x00" in head):
            return kind
    if head.startswith(_WIDE_MARKS):
        return TEXT
    return BINARY if b"\x00" in head and not _may_be_wide(head) else TEXT


def check_name(name: str, processor: Processor, catalog: Mapping[str, Processor]) -> None:
    """Refuse a name whose suffix says that another processor, or none, reads it. Raises InputError."""
    suffix = suffix_of(name)
    if not suffix or not processor.suffixes or suffix in processor.suffixes:
        return
    if suffix in _PACKED and "member" in processor.options.model_fields:
        return
    others = sorted(other.name for other in catalog.values() if suffix in other.suffixes)
    if others:
        raise _unsupported(
            f"{name!r} is not for processor {processor.name!r}.", f"Use processor {' or '.join(others)}."
        )
    if suffix in _SUFFIXES:
        raise _unsupported(
            f"Processor {processor.name!r} does not read {suffix} files.", f"It reads {', '.join(processor.suffixes)}."
        )


def check_kind(kind: str | None, processor: Processor) -> None:
    """Refuse content of a kind that the processor does not read. Raises InputError."""
    if kind is None or not processor.accepts or kind in processor.accepts:
        return
    raise _unsupported(
        f"This file's first bytes say {kind}, which processor {processor.name!r} does not read.",
        f"It reads {', '.join(processor.accepts)}.",
    )


def check_allowed(name: str, kind: str | None, allowed: frozenset[str]) -> None:
    """Refuse what an operator has not allowed: neither its suffix nor its kind is among them. Raises InputError."""
    suffix = suffix_of(name)
    if not allowed or (kind is None and not suffix):
        return
    promised = _SUFFIXES.get(suffix)
    fits_name = suffix in allowed and (kind is None or promised is None or promised == kind)
    if not fits_name and kind not in allowed and not (kind is None and promised in allowed):
        raise _unsupported(
            f"Files of this type ({suffix or kind}) are not accepted here.",
            f"Send one of: {', '.join(sorted(allowed))}.",
        )


def _may_be_wide(head: bytes) -> bool:
    """UTF-16 or UTF-32 without a mark: every other byte, or three of four, are mostly zero."""
    odd, even = head[1::2], head[0::2]
    zeros = max(odd.count(0) / max(len(odd), 1), even.count(0) / max(len(even), 1))
    return zeros > 0.7 and b"\x00\x00\x00\x00" not in head


def _unsupported(message: str, suggestion: str) -> InputError:
    return InputError("unsupported_type", message, suggestion=suggestion)
