"""Anki's packages, `.apkg` and `.colpkg`: a zip with one collection and its media.

Generations: 1 has `collection.anki2`, 2 `collection.anki21`, 3 `collection.anki21b`, which is compressed as the media
of 3 are. The newer two also hold an old collection with one note that asks to update Anki: never that one.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from lzma import LZMAError
from struct import error as StructError
from typing import IO, BinaryIO
from zipfile import BadZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError

from zstandard import ZstdDecompressor, ZstdError

from service.domain.attachment import is_plain
from service.domain.errors import InputError
from workers.anki import protobuf
from workers.members import refuse_overlaps

COLLECTION_BYTES = 512 * 1024 * 1024
"""The largest collection that is read: SQLite has it in memory."""
INDEX_BYTES = 64 * 1024 * 1024
MEMBERS = 200_000
WINDOW_BYTES = 8 * 1024 * 1024
PIECE_BYTES = 256 * 1024

UNREADABLE = (*(BadZipFile, ZstdError, LZMAError, ZlibError, StructError, OSError, EOFError, ValueError, RuntimeError),)
"""What a damaged member may raise."""

_NAMES = {1: "collection.anki2", 2: "collection.anki21", 3: "collection.anki21b"}


@dataclass(frozen=True, slots=True)
class Medium:
    """A file of the package: what notes call it, and the member that holds it, None if the package lacks it."""

    name: str
    member: str | None


class Package:
    """An open package. Raises InputError: no package, too new, damaged, encrypted, too large."""

    def __init__(self, source: BinaryIO) -> None:
        try:
            self._zip = ZipFile(source)
        except UNREADABLE as error:
            raise _damaged("It is no zip archive", error) from error
        members = self._zip.infolist()
        if len(members) > MEMBERS:
            raise InputError("too_large", f"The package has more than {MEMBERS:,} files.", suggestion="Split the deck.")
        refuse_overlaps(members, self._zip.start_dir)
        self._members = {member.filename: member for member in members}
        self.generation = 0  # nothing is compressed twice until it is known
        self.generation = self._generation()

    def collection(self) -> bytes:
        """The collection: an SQLite database."""
        name = _NAMES[self.generation]
        if name not in self._members:
            raise InputError(
                "file_damaged", f"The package has no {name}.", suggestion="Export the deck from Anki again."
            )
        return self._whole(name, COLLECTION_BYTES)

    def media(self) -> Iterator[Medium]:
        """The package's media in the order of its index; names that are no plain file name are left out."""
        seen: set[str] = set()
        for member, name in self._index():
            plain = unicodedata.normalize("NFC", name)
            if is_plain(plain) and plain not in seen:
                seen.add(plain)
                yield Medium(plain, member if member in self._members else None)

    def open(self, medium: Medium) -> IO[bytes]:
        """The content of a medium, as a stream."""
        assert medium.member is not None
        return self._open(medium.member)

    def _generation(self) -> int:
        if "meta" in self._members:
            try:
                version = protobuf.number(protobuf.fields(self._whole("meta", 4096)), 1)
            except ValueError as error:
                raise _damaged("Its version cannot be read", error) from error
            if version not in _NAMES:
                raise InputError(
                    "unsupported_format",
                    f"The package is of version {version}, which is newer than what is known here.",
                    suggestion="Export it from Anki with “Support older Anki versions”.",
                )
            return version
        found = [generation for generation, name in _NAMES.items() if name in self._members]
        if not found:
            raise InputError(
                "unsupported_format",
                "The archive has no collection of Anki.",
                suggestion="Send an .apkg or .colpkg that Anki exported.",
            )
        return max(found)

    def _index(self) -> list[tuple[str, str]]:
        """Member and name of each medium."""
        if "media" not in self._members:
            return []
        data = self._whole("media", INDEX_BYTES)
        try:
            if self.generation == 3:
                entries = protobuf.fields(data).get(1, [])
                named = [protobuf.text(protobuf.fields(e), 1) for e in entries if isinstance(e, bytes)]
                return [(str(number), name) for number, name in enumerate(named)]
            found = json.loads(data or b"{}")
            return sorted(((str(k), str(v)) for k, v in found.items()), key=lambda item: (len(item[0]), item[0]))
        except (ValueError, AttributeError, RecursionError) as error:
            raise _damaged("Its list of media cannot be read", error) from error

    def _whole(self, name: str, limit: int) -> bytes:
        parts, size = [], 0
        try:
            with self._open(name) as stream:
                while part := stream.read(PIECE_BYTES):
                    size += len(part)
                    if size > limit:
                        raise InputError(
                            "too_large",
                            f"{name} in the package is larger than {limit // 1024 // 1024} MiB.",
                            suggestion="Export fewer decks at a time.",
                        )
                    parts.append(part)
        except UNREADABLE as error:
            raise _damaged(f"{name} in it cannot be read", error) from error
        return b"".join(parts)

    def _open(self, name: str) -> IO[bytes]:
        member = self._members[name]
        if _is_encrypted(member):
            raise InputError(
                "password_protected", "The package is encrypted.", suggestion="Send it without a password."
            )
        stream = self._zip.open(member)
        if self.generation == 3:
            decompressor = ZstdDecompressor(max_window_size=WINDOW_BYTES)
            return decompressor.stream_reader(stream, read_across_frames=True, closefd=True)
        return stream


def _is_encrypted(member: ZipInfo) -> bool:
    return bool(member.flag_bits & 0x1)


def _damaged(what: str, error: Exception) -> InputError:
    return InputError(
        "file_damaged", f"The package is damaged. {what}: {error}.", suggestion="Export the deck from Anki again."
    )
