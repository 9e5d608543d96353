"""Looks into the sealed files of a service under test, and puts others in their place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from service.config import Settings
from service.files.opening import StoredFiles, open_files
from service.files.port import File
from tests.running import Service, superuser


@contextmanager
def files_of(folder: Path) -> Iterator[StoredFiles]:
    """The files of a service by its data folder."""
    files = open_files(Settings(data_dir=folder))
    try:
        yield files
    finally:
        files.close()


async def content_of(service: Service, upload_id: str) -> bytes:
    """What is kept of an upload, opened."""
    async with superuser(service.database_url) as db:
        row = await db.fetchrow("select seal, size_bytes from upload where id = $1", UUID(upload_id))
    assert row is not None
    with files_of(service.folder) as files:
        return b"".join([piece async for piece in files.read(File(UUID(upload_id), row["seal"]), row["size_bytes"])])


async def put_content(service: Service, upload_id: str, content: bytes) -> None:
    """Keep other content under an upload."""

    async def body() -> AsyncIterator[bytes]:
        yield content

    with files_of(service.folder) as files:
        received = await files.receive(UUID(upload_id), body(), len(content))
    async with superuser(service.database_url) as db:
        statement = "update upload set seal = $2, size_bytes = $3, sha256 = $4 where id = $1"
        await db.execute(statement, UUID(upload_id), received.file.seal, received.size_bytes, received.sha256)
