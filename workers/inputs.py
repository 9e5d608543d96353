"""The file that a job reads: where its child finds it, and what becomes of it when it turns out to be damaged."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

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

    Raises InputError `file_missing`, `file_damaged`. That of a child that found it damaged marks it as such.
    """
    assert claim.upload_id is not None
    async with tools.database.connection() as db:
        upload = await uploads.of_account(db, claim.account_id, claim.upload_id)
    if upload.damaged_at is not None:
        raise damaged()
    if upload.expired_at is not None or upload.size_bytes is None:
        raise missing()
    try:
        async with tools.files.source(File(upload.id, upload.seal), upload.size_bytes) as source:
            yield Input(source, upload.size_bytes)
    except NotFound as error:
        raise missing() from error
    except InputError as error:
        if error.code == "file_damaged":
            async with tools.database.transaction() as db:
                await seals.mark_damaged(db, upload.id)
            log.error("upload.damaged", upload_id=str(upload.id))
        raise


def missing() -> InputError:
    """The file is gone."""
    return InputError("file_missing", "The uploaded file is no longer there.", suggestion="Upload it again.")
