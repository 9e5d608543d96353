"""What a place for complete files has to be able to do: a folder (`local`) and an object store (`objects`) are such.

A store knows nothing of keys and frames: to it a file is bytes under the id of an upload, written once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol
from uuid import UUID

from service.domain.errors import Transient

MARK = ".millrace"
"""The name that says whose the store is. A mount that is missing has none."""


class Kept(Protocol):
    """A file of a store that is open for reading."""

    @property
    def size(self) -> int:
        """Bytes as stored."""
        ...

    async def get(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to before `stop`; fewer where the file ends. Raises OSError."""
        ...


class Store(Protocol):
    """Complete files, each under the id of its upload. Every call may raise OSError or Transient."""

    async def keep(self, upload_id: UUID, part: Path) -> None:
        """Make a synced part the file of an upload, whole, durable and at once; the part is gone then."""
        ...

    def open(self, upload_id: UUID) -> AbstractAsyncContextManager[Kept]:
        """A file. Raises FileNotFoundError."""
        ...

    def local(self, upload_id: UUID) -> AbstractAsyncContextManager[Path]:
        """A path under which a child process can read the file while the context lasts. Raises FileNotFoundError."""
        ...

    async def remove(self, upload_id: UUID) -> bool:
        """Delete a file if it is there; whether it was."""
        ...

    async def missing(self, upload_ids: Sequence[UUID]) -> list[UUID]:
        """Those that have no file here."""
        ...

    def untouched_for(self, age_s: float, batch: int) -> AsyncIterator[list[UUID]]:
        """Files last written longer ago than that by the store's own clock, in batches."""
        ...

    async def mark(self) -> UUID | None:
        """See `Files.mark`."""
        ...

    async def set_mark(self, mark: UUID) -> None:
        """See `Files.set_mark`."""
        ...


def mark_of(text: str) -> UUID:
    """The mark as written; the nil UUID, nobody's, for one that is damaged."""
    try:
        return UUID(text.strip())
    except ValueError:
        return UUID(int=0)


def storage_unavailable() -> Transient:
    """The place for files refuses."""
    return Transient(
        "storage_unavailable",
        "The storage of files does not take or give anything at the moment.",
        suggestion="Try again later. Operators: the log has the cause; see MILLRACE_DATA_DIR and MILLRACE_STORE_URL.",
        retry_after_s=5,
    )
