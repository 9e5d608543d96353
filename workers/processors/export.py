"""Writes a dataset's rows into a new upload, as CSV, one JSON object a line, or Parquet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Literal

from pydantic import BaseModel, ConfigDict

from service.domain.errors import InputError
from service.domain.processor import MEDIA_TYPES, ExportFormat, Piece, Processor, Report, Task

LOOK_EVERY_S = 0.25


class Wanted(BaseModel):
    """The input of an export."""

    model_config = ConfigDict(extra="forbid")

    dataset: str
    format: ExportFormat = "csv"
    formulas: Literal["neutralise", "keep"] = "neutralise"


async def run(task: Task) -> AsyncGenerator[Report, None]:
    """Save the rows, telling how many have gone so far; the output names the upload.

    The upload is the cursor too: an attempt that is broken off behind it has nothing left to do.
    """
    wanted = task.wanted(Wanted, 'For example: {"dataset": "contacts", "format": "ndjson"}')
    if task.cursor is None:
        gone, told = [0], 0
        pieces = task.stores.rows(wanted.dataset, wanted.format, as_is=wanted.formulas == "keep")
        name = f"{wanted.dataset}.{wanted.format}"
        saving = asyncio.create_task(task.stores.save(name, MEDIA_TYPES[wanted.format], _content(pieces, gone)))
        try:
            while not (await asyncio.wait([saving], timeout=LOOK_EVERY_S))[0]:
                if gone[0] > told:  # silence is for the deadline to judge
                    told = gone[0]
                    yield Report(done=told, phase="exporting")
        finally:
            saving.cancel()
            await asyncio.wait([saving])
        saved = saving.result()
        made: dict[str, int | str | None] = {
            "upload_id": str(saved.upload_id),
            "rows": gone[0],
            "size_bytes": saved.size_bytes,
            "sha256": saved.sha256,
        }
        yield Report(done=gone[0], total=gone[0], phase="exporting", cursor=made)
    else:
        made = dict(task.cursor)
    yield Report(output=made)


async def _content(pieces: AsyncGenerator[Piece, None], gone: list[int]) -> AsyncIterator[bytes]:
    """The bytes of the pieces; counts their rows into `gone`. Raises InputError if there are none."""
    is_empty = True
    async with aclosing(pieces):
        async for piece in pieces:
            gone[0] += piece.rows
            if piece.content:
                is_empty = False
                yield piece.content
    if is_empty:
        raise InputError("dataset_empty", "This dataset has no rows.", suggestion="Import into it first.")


processor = Processor(
    name="export",
    title="A dataset, as a new upload",
    run=run,
    queue="cpu",  # slots and connections of the worker are counted by it; of `io` there are too many
    unit="rows",
)
