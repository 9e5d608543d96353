"""Streams a dataset as a package of Anki: rows and files go into a child process, the package comes out of it.

How notes of other types than front and back look is known where the dataset NAME_note_types is there, as Anki's
processor makes it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path
from uuid import UUID

from service.apkg.child import FAULT
from service.domain.dataset import Dataset
from service.domain.errors import InputError, NotFound, Transient
from service.domain.processor import Piece
from service.domain.row_filter import Wanted
from service.files.port import File, Files
from service.store import attachments, datasets, exports, rows, uploads
from service.store.database import Database

READ_BYTES = 256 * 1024
PAGE = 500
KINDS_BYTES = 8 * 1024 * 1024
"""Of the note types; none are taken over from a dataset that is larger."""

_CODE = str(Path(__file__).resolve().parents[2])


async def pieces(
    database: Database, files: Files, account_id: UUID | None, dataset: Dataset, wanted: Wanted = rows.ALL
) -> AsyncGenerator[Piece, None]:
    """The package in pieces; the API names the account that its connection is to see.

    Raises InputError: the rows are no cards, or too many; Transient; what the database and the store of files raise.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "service.apkg.child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.defpath, "PYTHONPATH": _CODE, "LANG": "C.UTF-8"},
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    counted = [0]
    feeding = asyncio.create_task(_feed(child, _given(database, files, account_id, dataset, wanted, counted)))
    try:
        while content := await child.stdout.read(READ_BYTES):
            said, counted[0] = counted[0], 0
            yield Piece(content, said)
        await feeding
        told = await child.stderr.read(READ_BYTES)
        if (code := await child.wait()) != 0:
            raise _failure(code, told)
        if counted[0]:
            yield Piece(b"", counted[0])
    finally:
        feeding.cancel()
        _end(child)
        await asyncio.wait([feeding])
        await child.wait()


async def _given(
    database: Database, files: Files, account_id: UUID | None, dataset: Dataset, wanted: Wanted, counted: list[int]
) -> AsyncGenerator[bytes, None]:
    kinds = await _note_types(database, account_id, dataset)
    head = {"name": dataset.name, "now_s": int(time.time()), "note_types": kinds}
    yield json.dumps(head).encode() + b"\n"
    async with aclosing(exports.pieces(database, account_id, dataset, "ndjson", wanted)) as found:
        async for piece in found:
            counted[0] += piece.rows
            yield piece.content
    yield b"\n"
    async with aclosing(_files(database, files, account_id, dataset)) as content:
        async for data in content:
            yield data


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


async def _feed(child: asyncio.subprocess.Process, given: AsyncIterator[bytes]) -> None:
    assert child.stdin is not None
    try:
        async for data in given:
            child.stdin.write(data)
            await child.stdin.drain()
        child.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        return  # its exit code tells
    except BaseException:
        _end(child)  # half is never shown as whole
        raise


def _failure(code: int, told: bytes) -> Exception:
    with suppress(ValueError, KeyError):
        if code == FAULT:
            said = json.loads(told)
            return InputError(said["code"], said["message"], suggestion=said["suggestion"])
    return Transient("busy", "The package could not be written.", suggestion="Try it again.")


def _end(child: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        child.kill()
