"""The memory of a child that reads a packed file, which it has as a whole."""

from __future__ import annotations

import io
import os
import re
import zipfile
from pathlib import Path
from uuid import UUID

import pytest

from service.config import Settings
from service.domain.errors import InputError
from tests.books import xlsx
from workers.sandbox import Sandboxes
from workers.unwrapping import UNWRAPPED_BYTES

MOST_BYTES = 200 * 1024 * 1024


def boxed(path: Path, size: int) -> Path:
    """A workbook of about `size` bytes, most of them a picture, in an archive."""
    book = io.BytesIO(xlsx({"x": [["a", "b"], *([float(n), f"row {n}"] for n in range(20))]}))
    with zipfile.ZipFile(book, "a") as archive:
        archive.writestr("xl/media/image1.png", os.urandom(size - len(book.getvalue()) - 10_000))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("book.xlsx", book.getvalue())
    return path


async def read(path: Path, settings: Settings) -> tuple[int, str | None, int]:
    """The rows that a child reads, why it reads no more, and the most memory it had."""
    size, rows, code = path.stat().st_size, 0, None
    request = {"processor": "spreadsheet", "job_id": str(UUID(int=1)), "total": size, "options": {}}
    behind = {"cursor": None, "columns": None, "stop": None, "cut_bytes": None, "widens": None}
    source = {"path": str(path), "size": size, "key": None}
    async with (
        Sandboxes(settings) as sandboxes,
        sandboxes.open(source, {**request, **behind, "chunk_bytes": settings.chunk_bytes}) as child,
    ):
        try:
            async for frame in child.frames():
                rows += frame.fields["inserted"]
                (await child.payload(frame)).free()
        except InputError as error:
            code = error.code
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{child.pid}/status").read_text())
    assert found
    return rows, code, int(found[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to ask")
async def test_a_workbook_in_an_archive_is_read_in_200_mib_or_refused_in_them(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    rows, code, peak = await read(boxed(tmp_path / "fits.zip", UNWRAPPED_BYTES - 100_000), settings)
    assert (rows, code) == (20, None)
    assert peak < MOST_BYTES
    rows, code, peak = await read(boxed(tmp_path / "large.zip", UNWRAPPED_BYTES + 100_000), settings)
    assert (rows, code) == (0, "too_large")
    assert peak < MOST_BYTES
