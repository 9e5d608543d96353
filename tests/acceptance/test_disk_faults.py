"""The disk that uploads go to is full, or takes nothing: the client is told, nothing is left, and later all is well."""

from __future__ import annotations

import asyncio
import hashlib
import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from service.domain.errors import Transient
from service.files.local import LocalStore
from service.files.masters import Masters
from service.files.opening import StoredFiles
from service.files.threads import Threads
from tests import running
from tests.running import Servers, Service, imported

MIB = 1024 * 1024
NOISE = random.Random(4).randbytes(24 * MIB)
ROWS = b"id,name\n1,Ann\n2,Bob\n"


class Disk:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self, options: str) -> bool:
        """Whether the system lets us."""
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)], capture_output=True)
        return done.returncode == 0

    def remount(self, options: str) -> None:
        """Change its options."""
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.folder)], check=True)

    def fill(self) -> Path:
        """A file that takes all the space there is."""
        ballast = self.folder / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(64 * 1024)):
                    pass
            except OSError:
                return ballast
        raise AssertionError("the disk has no end")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """16 MiB."""
    found = Disk(tmp_path / "data" / "files")
    found.folder.mkdir(parents=True)
    if not found.mount("size=16m"):
        pytest.skip("mounting is not allowed here")
    yield found
    subprocess.run(["umount", "-l", str(found.folder)], check=True)


@pytest.fixture
def files(disk: Disk) -> Iterator[StoredFiles]:
    """Files on that disk."""
    threads = Threads(2)
    yield StoredFiles(disk.folder, LocalStore(disk.folder, threads), Masters([bytes(32)]), threads)
    threads.close()


@pytest.fixture
async def service(servers: Servers, disk: Disk) -> AsyncIterator[Service]:
    """A service that keeps its files there."""
    async with running.service(servers, disk.folder.parent, free_bytes_floor=0) as started:
        yield started


async def body(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 50_000):
        yield data[at : at + 50_000]


async def test_a_file_that_does_not_fit_leaves_nothing(files: StoredFiles, disk: Disk) -> None:
    with pytest.raises(Transient) as refused:
        await files.receive(uuid4(), body(NOISE), len(NOISE))
    assert refused.value.code == "disk_full"
    assert list(disk.folder.iterdir()) == []


async def test_what_came_before_the_disk_was_full_is_gone_on_from(files: StoredFiles, disk: Disk) -> None:
    told = [0]

    async def durable(offset: int) -> None:
        told.append(offset)

    data = NOISE[: 10 * MIB]
    file = files.new(uuid4())
    await files.append(file, 0, body(data[: 2 * MIB + 5]), max_bytes=len(data), durable=durable)
    ballast = disk.fill()
    with pytest.raises(Transient) as refused:
        await files.append(file, told[-1], body(data[told[-1] :]), max_bytes=len(data), durable=durable)
    assert refused.value.code == "disk_full"
    assert told[-1] == 2 * MIB + 5
    ballast.unlink()
    at = await files.recover(file, told[-1])
    assert at >= told[-1]
    end = await files.append(file, at, body(data[at:]), max_bytes=len(data))
    assert (await files.finish(file, end)).sha256 == hashlib.sha256(data).digest()


async def test_a_part_that_cannot_be_ended_for_want_of_space_is_ended_later(files: StoredFiles, disk: Disk) -> None:
    data = NOISE[: 3 * MIB + 60_000]
    file = files.new(uuid4())
    await files.append(file, 0, body(data), max_bytes=len(data))
    ballast = disk.fill()
    with pytest.raises(Transient):
        await files.finish(file, len(data))
    ballast.unlink()
    assert (await files.finish(file, len(data))).sha256 == hashlib.sha256(data).digest()
    assert b"".join([piece async for piece in files.read(file, len(data))]) == data


async def test_a_folder_that_may_not_be_written_to_says_so(files: StoredFiles, disk: Disk) -> None:
    data = NOISE[:MIB]
    kept = (await files.receive(uuid4(), body(data), MIB)).file
    file = files.new(uuid4())
    await files.append(file, 0, body(data[:1000]), max_bytes=MIB)
    disk.remount("ro")
    for attempt in (
        files.receive(uuid4(), body(data), MIB),
        files.append(file, 1000, body(data[1000:]), max_bytes=MIB),
        files.finish(file, 1000),
        files.remove(file.upload_id),
        files.set_mark(uuid4()),
    ):
        with pytest.raises(Transient) as refused:
            await attempt
        assert refused.value.code == "storage_unavailable"
    assert b"".join([piece async for piece in files.read(kept, MIB)]) == data
    disk.remount("rw")
    await files.append(file, 1000, body(data[1000:]), max_bytes=MIB)
    assert (await files.finish(file, MIB)).sha256 == hashlib.sha256(data).digest()


async def test_a_client_is_told_of_a_full_disk_and_the_next_one_is_served(service: Service) -> None:
    answer = await service.client.post("/v1/uploads", content=body(NOISE))
    assert (answer.status_code, answer.json()["code"]) == (507, "disk_full"), answer.text
    assert service.files == []
    job = await imported(service.client, ROWS, "people")
    assert (job["state"], job["counts"]["inserted"]) == ("completed", 2)


async def test_a_client_is_told_of_a_disk_that_takes_nothing(service: Service, disk: Disk) -> None:
    disk.remount("ro")
    answer = await service.client.post("/v1/uploads", content=ROWS)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable"), answer.text
    assert answer.headers["retry-after"]
    disk.remount("rw")
    assert (await service.client.post("/v1/uploads", content=ROWS)).status_code == 201


async def test_a_full_disk_harms_no_other_upload_on_its_way(service: Service) -> None:
    small, large = await asyncio.gather(
        service.client.post("/v1/uploads", content=body(NOISE[:MIB])),
        service.client.post("/v1/uploads", content=body(NOISE)),
    )
    assert large.status_code == 507
    assert small.status_code in (201, 507)  # it may have come while there was no space
    assert len(service.files) == (small.status_code == 201)
