"""A collection with thousands of media, imported in flat memory: every file is kept, and no process grows with them.

`make campaign` takes 20,000 media of 1 GB together; `COLLECTION_MEDIA` says how many.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import zstandard

from tests.bench.measuring import watched
from tests.conftest import StartService
from tests.decks import note
from tests.running import eventually, post_import

MEDIA = int(os.environ.get("COLLECTION_MEDIA", "300"))
MEDIUM_BYTES = 52_000
PEAK_MIB = 260
"""Of the child and of the service alike; what they have loaded takes half of it."""


def name_of(number: int) -> str:
    return f"picture {number:05}.jpg"


def content_of(number: int) -> bytes:
    return random.Random(number).randbytes(MEDIUM_BYTES)


def write_collection(path: Path, media: int) -> None:
    """A .colpkg of generation 3: one note a medium, everything compressed on its own."""
    from service.apkg.writing import Writer

    writer, plain = Writer(1_700_000_000), io.BytesIO()
    for number in range(media):
        writer.add(note(f'<img src="{name_of(number)}">', guid=f"g{number}"))
    writer.write(plain)
    packer = zstandard.ZstdCompressor(level=1)
    entries = b"".join(_field(1, _field(1, name_of(number).encode())) for number in range(media))
    with zipfile.ZipFile(plain) as written, zipfile.ZipFile(path, "w") as archive:
        archive.writestr("meta", b"\x08\x03")
        archive.writestr("collection.anki21b", packer.compress(written.read("collection.anki2")))
        archive.writestr("media", packer.compress(entries))
        for number in range(media):
            archive.writestr(str(number), packer.compress(content_of(number)))


def _field(number: int, value: bytes) -> bytes:
    size, length = len(value), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


async def pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(1024 * 1024):
            yield piece


@pytest.mark.slow
@pytest.mark.timeout(300 + MEDIA // 4)
async def test_a_collection_with_many_media_takes_no_more_memory_than_one_with_few(
    start_service: StartService, tmp_path: Path
) -> None:
    path = tmp_path / "large.colpkg"
    write_collection(path, MEDIA)
    service = await start_service()

    async def ended() -> dict[str, object]:
        shown: dict[str, object] = (await service.client.get(f"/v1/jobs/{job['id']}")).json()
        return shown if shown["state"] in ("completed", "failed") else {}

    with watched(service.pid) as usage:
        job = await post_import(service.client, pieces(path), "large", processor="anki", name=path.name)
        done = await eventually(ended, 300 + MEDIA // 4, pause_s=0.1)
    assert done["counts"]["inserted"] == MEDIA, done["problem"]  # type: ignore[index]
    peaks = {kind: round(usage[kind].peak_mib) for kind in ("service", "child")}
    cpu = {kind: round(usage[kind].total_cpu_s, 1) for kind in ("service", "child", "postgres")}
    print(f"\n{MEDIA:,} media in {path.stat().st_size / 1e6:,.0f} MB: peak MiB {peaks}, processor seconds {cpu}")
    assert max(peaks.values()) < PEAK_MIB, peaks
    found = {}
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": "1000"} | ({"cursor": cursor} if cursor else {})
        page = json.loads((await service.client.get("/v1/datasets/large/files", params=query)).content)
        found |= {file["name"]: file["sha256"] for file in page["files"]}
        cursor = page["next_cursor"]
    assert len(found) == MEDIA
    for number in (0, MEDIA // 2, MEDIA - 1):
        assert found[name_of(number)] == hashlib.sha256(content_of(number)).hexdigest()
        answer = await service.client.get(f"/v1/datasets/large/files/{name_of(number)}")
        assert answer.content == content_of(number)
