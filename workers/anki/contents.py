"""What is in the media of a package: size and digest of each, looked at once, and the bytes for whoever keeps them."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from service.domain.chunk import Enclosed
from service.domain.errors import InputError
from workers.anki.package import PIECE_BYTES, UNREADABLE, Medium, Package
from workers.unpacking import FREE_BYTES, RATIO_LIMIT

MEDIUM_BYTES = 1024 * 1024 * 1024
"""The largest file that is kept; Anki itself does not sync any over 100 MB."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A medium as it was found; `fault` says why it cannot be had, and then it has no digest."""

    name: str
    size_bytes: int = 0
    sha256: str | None = None
    media_type: str | None = None
    fault: str | None = None


class Contents:
    """The media of a package by what notes call them."""

    def __init__(self, package: Package, packed_bytes: int) -> None:
        self._package = package
        self._packed_bytes = packed_bytes
        self._unpacked_bytes = 0
        self._media = {medium.name: medium for medium in package.media()}
        self._looked: dict[str, Looked] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._media

    def __iter__(self) -> Iterator[str]:
        return iter(self._media)

    def is_there(self, name: str) -> bool:
        """Whether the package says that it holds this."""
        return (medium := self._media.get(name)) is not None and medium.member is not None

    def look(self, name: str) -> Looked:
        """Read it through. Raises InputError `unpacks_too_large` if the package is a bomb."""
        if name not in self._looked:
            self._looked[name] = self._read(name)
        return self._looked[name]

    def enclosed(self, name: str) -> Enclosed | None:
        """The file to be kept, None if there is nothing of it."""
        found = self.look(name)
        if found.sha256 is None or not found.size_bytes:
            return None
        content = partial(self._pieces, self._media[name])
        return Enclosed(name, found.size_bytes, found.sha256, content, found.media_type)

    def _read(self, name: str) -> Looked:
        medium = self._media.get(name)
        if medium is None or medium.member is None:
            return Looked(name, fault=f"The package does not hold {name}.")
        digest, size = hashlib.sha256(), 0
        try:
            for piece in self._pieces(medium):
                digest.update(piece)
                size += len(piece)
                self._count(len(piece))
                if size > MEDIUM_BYTES:
                    return Looked(name, fault=f"{name} is larger than {MEDIUM_BYTES // 1024 // 1024} MiB.")
        except UNREADABLE as error:
            return Looked(name, fault=f"{name} in the package is damaged: {error}.")
        return Looked(name, size, digest.hexdigest(), mimetypes.guess_type(name)[0])

    def _pieces(self, medium: Medium) -> Iterator[bytes]:
        with self._package.open(medium) as content:
            while piece := content.read(PIECE_BYTES):
                yield piece

    def _count(self, size: int) -> None:
        self._unpacked_bytes += size
        if self._unpacked_bytes > FREE_BYTES and self._unpacked_bytes > RATIO_LIMIT * self._packed_bytes:
            raise InputError(
                "unpacks_too_large",
                f"The media of the package unpack to more than {RATIO_LIMIT} times its size.",
                suggestion="Export the deck from Anki again.",
            )
