"""Streams a dataset out of the database, as of one moment, no quicker than its reader takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

from service import parquet
from service.domain.dataset import Dataset
from service.domain.processor import ExportFormat, Piece
from service.domain.row_filter import Wanted
from service.store import rows
from service.store.database import Database

DEADLINE_S = 3600
"""For one statement of an export."""


def pieces(
    database: Database,
    account_id: UUID | None,
    dataset: Dataset,
    form: ExportFormat,
    wanted: Wanted = rows.ALL,
    *,
    as_is: bool = False,
) -> AsyncGenerator[Piece, None]:
    """The dataset's rows in a format, piece by piece; the API names the account that its connection is to see.

    CSV is safe to open in a spreadsheet, unless `as_is`. Raises what the database raises: who writes the pieces down
    must not take half for the whole.
    """
    if form == "parquet":
        text = _pieces(database, account_id, dataset, "csv", wanted, as_is=True)
        return parquet.written(text, rows.exported(dataset, wanted))
    return _pieces(database, account_id, dataset, form, wanted, as_is=as_is)


async def _pieces(
    database: Database,
    account_id: UUID | None,
    dataset: Dataset,
    form: ExportFormat,
    wanted: Wanted,
    *,
    as_is: bool,
) -> AsyncGenerator[Piece, None]:
    waiting: asyncio.Queue[Piece | None] = asyncio.Queue(maxsize=4)  # a slow reader slows the query down

    async def put(content: bytes) -> None:
        await waiting.put(Piece(bytes(content)))  # asyncpg hands over a bytearray

    async def count(number: int) -> None:
        await waiting.put(Piece(b"", number))

    async def copy() -> None:
        try:
            async with database.transaction(account_id, isolation="repeatable_read") as db:
                await rows.export(db, dataset, form, put, count, DEADLINE_S, wanted, as_is=as_is)
        finally:
            if not left:
                await waiting.put(None)

    left = False
    copying = asyncio.create_task(copy())
    try:
        while (piece := await waiting.get()) is not None:
            yield piece
        await copying  # a failing query breaks the stream off: half is never shown as whole
    finally:
        left = True
        copying.cancel()
        await asyncio.wait([copying])
