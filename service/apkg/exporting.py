"""Streams a dataset as a package of Anki: rows and files go into a child process, the package comes out of it.

How notes of other types than front and back look is known where the dataset NAME_note_types is there, as Anki's
processor makes it.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from uuid import UUID

from service.apkg.child import FAULT
from service.domain.dataset import Dataset
from service.domain.errors import InputError, NotFound, Transient
from service.domain.processor import Piece
from service.domain.row_filter import Wanted
from service.files.port import File, Files
from service.piped import piped
from service.store import attachments, datasets, exports, rows, uploads
from service.store.database import Database

PAGE = 500
KINDS_BYTES = 8 * 1024 * 1024
"""Of the note types; none are taken over from a dataset that is larger."""


async def pieces(
    database: Database, files: Files, account_id: UUID | None, dataset: Dataset, wanted: Wanted = rows.ALL
) -> AsyncGenerator[Piece, None]:
    """The package in pieces; the API names the account that its connection is to see.

    Raises InputError: the rows are no cards, or too many; Transient; what the database and the store of files raise.
    """
    given = _given(database, files, account_id, dataset, wanted)
    async with aclosing(piped("service.apkg.child", given, _failure, hears=True)) as made:
        async for piece in made:
            yield piece


async def _given(
    database: Database, files: Files, account_id: UUID | None, dataset: Dataset, wanted: Wanted
) -> AsyncGenerator[Piece, None]:
    kinds = await _note_types(database, account_id, dataset)
    head = {"name": dataset.name, "now_s": int(time.time()), "note_types": kinds}
    yield Piece(json.dumps(head).encode() + b"\n")
    async with aclosing(exports.pieces(database, account_id, dataset, "ndjson", wanted)) as found:
        async for piece in found:
            yield piece
    yield Piece(b"\n")
    async with aclosing(_files(database, files, account_id, dataset)) as content:
        async for data in content:
            yield Piece(data)


async def _files(
    database: Database, files: Files, account_id: UUID | None, dataset: Dataset
) -> AsyncGenerator[bytes, None]:
    after: str | None = None
    while True:
        async with database.transaction(account_id) as db:
            page = await attachments.page(db, dataset.id, after=after, limit=PAGE)
            kept = [await uploads.get(db, file.upload_id) for file in page]
        for file, upload in zip(page, kept, strict=True):
            if upload.expired_at is None and upload.damaged_at is None:
                yield json.dumps({"name": file.name, "size": file.size_bytes}).encode() + b"\n"
                async with aclosing(files.read(File(upload.id, upload.seal), file.size_bytes)) as content:
                    async for data in content:
                        yield data
        if len(page) < PAGE:
            return
        after = page[-1].name


async def _note_types(database: Database, account_id: UUID | None, dataset: Dataset) -> list[object]:
    try:
        async with database.transaction(account_id) as db:
            found = await datasets.of_account(db, dataset.account_id, f"{dataset.name}_note_types")
    except NotFound:
        return []
    needed = {"note_type_id", "name", "is_cloze", "is_occlusion", "fields", "templates", "css"}
    if not needed <= {column.name for column in found.columns or ()}:
        return []
    text = b""
    async with aclosing(exports.pieces(database, account_id, found, "ndjson")) as content:
        async for piece in content:
            text += piece.content
            if len(text) > KINDS_BYTES:
                return []
    return [json.loads(line) for line in text.splitlines()]


def _failure(code: int, told: bytes) -> Exception:
    with suppress(ValueError, KeyError):
        if code == FAULT:
            said = json.loads(told)
            return InputError(said["code"], said["message"], suggestion=said["suggestion"])
    return Transient("busy", "The package could not be written.", suggestion="Try it again.")
