"""Compressed files as streams: gzip, zip, zstd, bzip2 and xz, known by their first bytes, with an end to bombs."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Literal, Protocol

from service.domain.errors import InputError
from workers.members import chosen, damaged, files_of

Compression = Literal["gzip", "zip", "zstd", "bzip2", "xz"]

RATIO_LIMIT = 500
"""Bytes that may come out for one that went in, looked at behind the first FREE_BYTES."""
FREE_BYTES = 64 * 1024 * 1024
SIZE_LIMIT = 256 * 1024**3
"""Bytes that may come out in all."""

_MAGIC: tuple[tuple[bytes, Compression], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)
TABLES = (".csv", ".tsv", ".tab", ".txt", ".psv", ".dat")
DOCUMENTS = (".json", ".ndjson", ".jsonl", ".geojson")
"""How files are called that are meant in an archive of several."""


class Stream(Protocol):
    """What unpacks."""

    def read(self, size: int, /) -> bytes: ...


def compression_of(first: bytes) -> Compression | None:
    """What the first bytes of a file say it was packed with."""
    return next((kind for magic, kind in _MAGIC if first.startswith(magic)), None)


def member_of(source: BinaryIO, wanted: str | None, suffixes: tuple[str, ...] = TABLES) -> str:
    """The file to read in a zip archive: the wanted one, the only one, or the only one of these suffixes.

    Raises InputError.
    """
    names = [info.filename for info in files_of(source)[1]]
    if any(name == "[Content_Types].xml" for name in names):
        raise InputError(
            "not_delimited_text",
            "The file is an Office document, not delimited text.",
            suggestion="Save the sheet as CSV and send that.",
        )
    return picked(names, wanted, suffixes)


def picked(names: list[str], wanted: str | None, suffixes: tuple[str, ...]) -> str:
    """The same, of the names of the files in an archive. Raises InputError."""
    names = [name for name in names if not _is_hidden(name)]
    if wanted is not None:
        if wanted in names:
            return chosen(names, wanted)
        raise needs_choice(names, f"The archive has no member {wanted!r}.")
    tables = [name for name in names if name.lower().endswith(suffixes)]
    for only in (names, tables):
        if len(set(only)) == 1:
            return chosen(only, only[0])
    raise needs_choice(names, f"The archive has {len(names):,} members and no single one to read.")


def unpacked(source: BinaryIO, compression: Compression | None, member: str | None, size: int) -> Iterator[bytes]:
    """What is in the file from its start, in steps of at most `size` bytes. Raises InputError."""
    source.seek(0)
    total = 0
    try:
        stream = _stream(source, compression, member)
        while step := stream.read(size):
            total += len(step)
            if compression is not None:
                _check(total, source.tell())
            yield step
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise damaged(compression, error) from error
    except (NotImplementedError, RuntimeError) as error:  # how zipfile tells of unknown methods and of passwords
        raise InputError(
            "unsupported_archive",
            f"The archive cannot be read: {error}.",
            suggestion="Send it without a password, packed as zip (deflate), gzip or zstd.",
        ) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise damaged(compression, error) from error


def _stream(source: BinaryIO, compression: Compression | None, member: str | None) -> Stream:
    match compression:
        case None:
            return source
        case "gzip":
            return gzip.GzipFile(fileobj=source)
        case "bzip2":
            return bz2.BZ2File(source)
        case "xz":
            return lzma.LZMAFile(source)
        case "zip":
            return zipfile.ZipFile(source).open(member or member_of(source, None))
        case "zstd":
            import pyarrow as pa

            stream: Stream = pa.CompressedInputStream(pa.PythonFile(_Shared(source), mode="r"), "zstd")
            return stream


class _Shared:
    """A file that does not mind being closed."""

    closed = False

    def __init__(self, source: BinaryIO) -> None:
        self._source = source

    def read(self, size: int = -1) -> bytes:
        return self._source.read(size)

    def close(self) -> None:
        """It is somebody else's."""


def _is_hidden(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rsplit("/", 1)[-1].startswith(".")


def _check(total: int, taken: int) -> None:
    if total > SIZE_LIMIT or (total > FREE_BYTES and total > RATIO_LIMIT * max(taken, 1)):
        raise InputError(
            "unpacks_too_large",
            f"{taken:,} bytes of the file unpack to more than {total:,}.",
            suggestion="Check what was packed; send it unpacked if it is meant to be so.",
        )


def needs_choice(names: list[str], message: str) -> InputError:
    """The caller has to say which member of an archive is meant."""
    some = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
    return InputError(
        "member_needed",
        f"{message} It has: {some[:1_500] or 'nothing'}.",
        suggestion="Name one with the option member.",
    )
