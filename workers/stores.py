"""What a processor may read and write beside its input: datasets and uploads of the job's own account."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from uuid import UUID

from service.apkg import exporting
from service.domain.chunk import Cursor
from service.domain.errors import InputError
from service.domain.ids import new_id
from service.domain.processor import ExportFormat, Piece, Report, Saved, Videos
from service.domain.upload import label
from service.store import claims, datasets, exports, uploads
from service.store.claims import Claim
from workers import taking_back
from workers.enriching import JobVideos
from workers.tools import Tools


class JobStores:
    """The stores of one attempt. Workers see every account's rows, so each look names the job's account."""

    def __init__(self, tools: Tools, claim: Claim) -> None:
        self._tools = tools
        self._claim = claim

    async def rows(self, dataset: str, wanted: ExportFormat, *, as_is: bool) -> AsyncGenerator[Piece, None]:
        """The rows of a dataset as of one moment. Raises NotFound, InputError: it has no columns yet."""
        async with self._tools.database.connection() as db:
            found = await datasets.of_account(db, self._claim.account_id, dataset)
        if found.columns is None:
            raise InputError("dataset_empty", "This dataset has no columns yet.", suggestion="Import into it first.")
        tools = self._tools
        if wanted == "apkg":
            pieces = exporting.pieces(tools.database, tools.files, None, found)
        else:
            pieces = exports.pieces(tools.database, None, found, wanted, as_is=as_is)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def save(self, name: str, media_type: str, content: AsyncIterable[bytes]) -> Saved:
        """Store content as a new upload. Raises InputError: empty, or too large; Transient: no space; LeaseLost."""
        files, claim, upload_id = self._tools.files, self._claim, new_id()
        received = await files.receive(upload_id, content, self._tools.settings.max_upload_bytes)
        try:
            async with self._tools.database.transaction() as db:
                await claims.wish(db, claim)  # a worker that has lost the job adds nothing
                await uploads.add(
                    db,
                    claim.account_id,
                    upload_id,
                    label(name),
                    received.size_bytes,
                    received.sha256,
                    media_type,
                    received.file.seal,
                )
        except BaseException:
            await files.remove(upload_id)
            raise
        return Saved(upload_id, received.size_bytes, received.sha256.hex())

    async def take_back(self, job_id: UUID, cursor: Cursor | None) -> Report:
        """Take back some more of what a job has stored; the last report has the output.

        Raises NotFound, StateError: it cannot be undone; Occupied: another job writes there; LeaseLost.
        """
        return await taking_back.step(self._tools.database, self._claim, job_id, cursor)

    def videos(self, dataset: str) -> Videos:
        """Those of the watch history in this dataset."""
        assert self._tools.youtube is not None
        return JobVideos(self._tools, self._claim, self._tools.youtube, dataset)
