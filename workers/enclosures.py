"""Takes files that were found inside an input into storage, and attaches them in the transaction of their chunk.

Content that an upload of the account has already is not stored again. A file whose chunk was never committed has no
row, and `maintenance.sweep_files` deletes it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from service.domain.attachment import is_plain
from service.domain.errors import QuotaError, Transient
from service.domain.ids import new_id
from service.domain.upload import label
from service.files.port import Received
from service.store import arrivals, attachments, uploads
from service.store.claims import Claim
from service.store.database import Connection
from workers.frames import Frame
from workers.sandbox import ProcessorCrashed, Sandbox
from workers.tools import Tools

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that is in storage: by which name, as which upload, and what of it is new."""

    name: str
    upload_id: UUID
    media_type: str | None
    received: Received | None


class Enclosures:
    """The files of one attempt, chunk by chunk."""

    def __init__(self, tools: Tools, claim: Claim) -> None:
        self._tools = tools
        self._claim = claim
        self._known: dict[bytes, UUID] = {}
        self._waiting: list[Taken] = []

    async def take(self, frame: Frame, child: Sandbox) -> None:
        """Bring the file that the child has announced to its place. Raises TooLarge, Transient, what the child raises.

        What a child says is checked: one that was taken over must not get hold of another file, or fill the disk.
        """
        name, size, told = frame.fields["name"], frame.fields["size_bytes"], frame.fields["sha256"]
        if not (isinstance(size, int) and size > 0 and is_plain(name) and _DIGEST.fullmatch(told)):
            raise ProcessorCrashed(f"a file inside the input was announced as {name!r:.100}, {size!r:.20} bytes")
        digest, received = bytes.fromhex(told), None
        upload_id = await self._upload_with(digest)
        async with aclosing(child.content()) as content:
            if upload_id is None:
                received = await self._stored(content, size)
                upload_id = received.file.upload_id
                if (received.size_bytes, received.sha256) != (size, digest):
                    raise ProcessorCrashed(f"{name!r} inside the input is not what was announced")
            else:
                async for _ in content:
                    pass
        self._known[digest] = upload_id
        self._waiting.append(Taken(name, upload_id, frame.fields["media_type"], received))

    def taken(self) -> list[Taken]:
        """The files since the last call: those of the chunk that comes now."""
        taken, self._waiting = self._waiting, []
        return taken

    async def attach(self, db: Connection, files: list[Taken]) -> None:
        """Let the dataset show them, in the transaction of their chunk. Raises QuotaError, Transient."""
        if not files:
            return
        for file in files:
            if (new := file.received) is not None:
                account, name = self._claim.account_id, label(file.name)
                given = (new.size_bytes, new.sha256, file.media_type, new.file.seal)
                await uploads.add(db, account, file.upload_id, name, *given)
        await attachments.add(db, self._claim, {file.name: file.upload_id for file in files})
        await self._check_quota(db)

    async def _upload_with(self, digest: bytes) -> UUID | None:
        if (found := self._known.get(digest)) is not None:
            return found
        async with self._tools.database.connection() as db:
            return (await attachments.known(db, self._claim.account_id, [digest])).get(digest)

    async def _stored(self, content: AsyncIterator[bytes], size: int) -> Received:
        settings, files = self._tools.settings, self._tools.files
        if await files.free_bytes() - size < settings.free_bytes_floor:
            raise Transient("disk_full", "There is not enough space left for the files of this one.", retry_after_s=60)
        return await files.receive(new_id(), content, min(size, settings.max_upload_bytes))

    async def _check_quota(self, db: Connection) -> None:
        now = await arrivals.usage(db, self._claim.account_id)
        most = self._tools.settings.account_bytes if now.max_bytes is None else now.max_bytes
        if now.bytes > most:
            raise QuotaError(
                "quota_exceeded",
                f"With the files inside this one the account would hold {now.bytes} bytes; it may hold {most}.",
                suggestion="Delete uploads that are no longer needed, or import without the files (media=false).",
            )
