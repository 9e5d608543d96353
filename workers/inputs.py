"""The file that a job reads: where its child finds it, and what becomes of it when it turns out to be damaged."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import structlog

from service.domain.errors import InputError, NotFound
from service.files.frames import damaged
from service.files.port import File
from service.store import seals, uploads
from service.store.claims import Claim
from workers.tools import Tools

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Input:
    """What a child is told of a file so that it can open it, and the file's size."""

    source: Mapping[str, object]
    size_bytes: int


@asynccontextmanager
async def source_of(tools: Tools, claim: Claim) -> AsyncGenerator[Input, None]:
    """The job's file.

    Raises InputError `file_missing`, `upload_damaged`. That of a child that found it damaged marks it as such.
    """
    assert claim.upload_id is not None
    async with tools.database.connection() as db:
        upload = await uploads.of_account(db, claim.account_id, claim.upload_id)
    if upload.damaged_at is not None:
        raise damaged()
    if upload.expired_at is not None or upload.size_bytes is None:
        raise missing()
    async with AsyncExitStack() as stack:
        try:
            source = await stack.enter_async_context(
                tools.files.source(File(upload.id, upload.seal), upload.size_bytes)
            )
        except NotFound as error:
            raise missing() from error
        try:
            yield Input(source, upload.size_bytes)
        except InputError as error:
            if error.code == "upload_damaged":
                await mark_damaged(tools, upload.id)
            raise


async def mark_damaged(tools: Tools, upload_id: UUID) -> None:
    """Remember that a file is not what was stored, so that nobody reads it again."""
    async with tools.database.transaction() as db:
        await seals.mark_damaged(db, upload_id)
    log.error("upload.damaged", upload_id=str(upload_id))


def missing() -> InputError:
    """The file is gone."""
    return InputError("file_missing", "The uploaded file is no longer there.", suggestion="Upload it again.")
