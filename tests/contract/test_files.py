"""What `service.files.port` promises, held against every store: the same tests for a folder and for object stores."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from service.domain.errors import InputError, NotFound, StateError, TooLarge, Transient
from service.files.local import LocalStore
from service.files.masters import Masters
from service.files.objects import ObjectStore, remote
from service.files.opening import StoredFiles
from service.files.port import File, Found
from service.files.threads import Threads
from tests.object_server import ObjectServer, object_server
from workers.source import open_source

MIB = 1024 * 1024
FRAME = 65536
SIZES = [1, FRAME - 1, FRAME, FRAME + 1, 3 * MIB, 3 * MIB + 5]
MASTER = bytes(range(32))


def content(size: int, seed: int = 7) -> bytes:
    """Half of it shrinks by zstd and half does not."""
    noise = random.Random(seed).randbytes(size)
    return b"".join(noise[at : at + 500] + b"a" * 500 for at in range(0, size, 1000))[:size]


async def body(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def broken(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    raise InputError("upload_timeout", "nothing more came")


def pieces_of(data: bytes, size: int = 70_000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def of(folder: Path, *, packs: bool = False) -> StoredFiles:
    folder.mkdir(exist_ok=True)
    threads = Threads(4)
    return StoredFiles(folder, LocalStore(folder, threads), Masters([MASTER]), threads, packs=packs)


@pytest.fixture(scope="module")
async def objects(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ObjectServer]:
    """A running S3 server."""
    async with object_server(tmp_path_factory.mktemp("objects")) as started:
        yield started


@pytest.fixture(params=["local", "packed", "s3"])
async def files(request: pytest.FixtureRequest, tmp_path: Path, objects: ObjectServer) -> AsyncIterator[StoredFiles]:
    folder = tmp_path / "files"
    if request.param == "s3":
        made = in_bucket(folder, objects, objects.bucket())
    else:
        made = of(folder, packs=request.param == "packed")
    yield made
    made.close()


def in_bucket(
    folder: Path, objects: ObjectServer, bucket: str, url: str | None = None, timeout_s: float = 10
) -> StoredFiles:
    folder.mkdir(exist_ok=True)
    threads = Threads(4)
    store = ObjectStore(remote(f"s3://{bucket}/files", objects.options(url), timeout_s), folder / "copies", threads)
    return StoredFiles(folder, store, Masters([MASTER]), threads)


async def all_of(files: StoredFiles, file: File, size: int, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([piece async for piece in files.read(file, size, start, stop)])


async def from_child(files: StoredFiles, file: File, size: int) -> bytes:
    async with files.source(file, size) as spec:
        with open_source(spec) as source:
            return source.read()


@pytest.mark.parametrize("size", SIZES)
async def test_what_was_received_is_read_back(files: StoredFiles, size: int) -> None:
    data, upload_id = content(size), uuid4()
    received = await files.receive(upload_id, body(*pieces_of(data)), size)
    assert (received.size_bytes, received.sha256) == (size, hashlib.sha256(data).digest())
    assert await all_of(files, received.file, size) == data
    assert await from_child(files, received.file, size) == data
    assert await files.missing([upload_id]) == []


async def test_any_range_is_read(files: StoredFiles) -> None:
    data = content(5 * FRAME + 17)
    received = await files.receive(uuid4(), body(data), len(data))
    edges = [0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME, 5 * FRAME, len(data) - 1, len(data)]
    for start in edges:
        for stop in edges:
            assert await all_of(files, received.file, len(data), start, stop) == data[start:stop]


async def test_a_child_seeks_and_reads(files: StoredFiles) -> None:
    data, chance = content(40 * FRAME + 99), random.Random(1)
    received = await files.receive(uuid4(), body(data), len(data))
    async with files.source(received.file, len(data)) as spec:
        with open_source(spec) as source:
            for _ in range(200):
                at, size = chance.randrange(len(data) + 10), chance.choice([1, 100, FRAME, 3 * MIB])
                source.seek(at)
                assert source.read(size) == data[at : at + size]
                assert source.tell() == max(at, min(at + size, len(data)))
            assert source.seek(-3, os.SEEK_END) == len(data) - 3


@pytest.mark.parametrize(
    ("given", "max_bytes", "code"), [([], 10, "file_empty"), ([b"x" * 6, b"x" * 6], 11, "too_large")]
)
async def test_a_body_that_is_refused_leaves_nothing(
    files: StoredFiles, tmp_path: Path, given: list[bytes], max_bytes: int, code: str
) -> None:
    upload_id = uuid4()
    with pytest.raises(InputError) as refused:
        await files.receive(upload_id, body(*given), max_bytes)
    assert refused.value.code == code
    assert not await files.remove(upload_id)
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []


async def test_a_body_that_breaks_off_leaves_nothing_of_a_file_in_one_pass(files: StoredFiles) -> None:
    upload_id = uuid4()
    with pytest.raises(InputError):
        await files.receive(upload_id, broken(content(MIB)), MIB)
    assert not await files.remove(upload_id)


async def test_an_upload_grows_in_any_steps(files: StoredFiles, tmp_path: Path) -> None:
    data, chance = content(9 * FRAME + 3), random.Random(2)
    file, at = files.new(uuid4()), 0
    while at < len(data):
        step = chance.choice([1, 7, 1000, FRAME, FRAME + 1])
        at = await files.append(file, at, body(data[at : at + step]), max_bytes=len(data))
    received = await files.finish(file, len(data))
    assert received.sha256 == hashlib.sha256(data).digest()
    assert await all_of(files, file, len(data)) == data
    assert [path.name for path in (tmp_path / "files").iterdir() if path.suffix] == []


@pytest.mark.parametrize("back_to", [0, 5, FRAME - 1, FRAME, FRAME + 5, 3 * FRAME, 3 * FRAME + 9])
async def test_an_append_cuts_back_to_where_it_begins(files: StoredFiles, back_to: int) -> None:
    data, other = content(4 * FRAME), content(2 * FRAME + 1, seed=8)
    file = files.new(uuid4())
    await files.append(file, 0, body(data[:back_to]), max_bytes=10**9)  # so that it was durable once
    await files.append(file, back_to, body(data[back_to:]), max_bytes=10**9)
    end = await files.append(file, back_to, body(other), max_bytes=10**9)
    assert (await files.finish(file, end)).sha256 == hashlib.sha256(data[:back_to] + other).digest()
    assert await all_of(files, file, end) == data[:back_to] + other


@pytest.mark.parametrize("size", [1, 100, FRAME - 1, FRAME, FRAME + 1, 3 * MIB + 1])
async def test_what_came_before_a_break_counts(files: StoredFiles, size: int) -> None:
    data, told = content(size), []

    async def durable(offset: int) -> None:
        told.append(offset)

    file = files.new(uuid4())
    with pytest.raises(InputError):
        await files.append(file, 0, broken(*pieces_of(data)), max_bytes=size, durable=durable)
    assert told[-1] == size
    assert await files.recover(file, 0) == size


async def test_what_came_before_a_cancel_counts(files: StoredFiles) -> None:
    waits, told = asyncio.Event(), []

    async def durable(offset: int) -> None:
        told.append(offset)

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 100_001
        waits.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(files.append(files.new(uuid4()), 0, endless(), max_bytes=10**9, durable=durable))
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == [100_001]


async def test_a_growing_file_takes_no_more_than_its_limit(files: StoredFiles) -> None:
    file = files.new(uuid4())
    with pytest.raises(TooLarge):
        await files.append(file, 0, body(b"abc", b"def"), max_bytes=5)
    assert await files.recover(file, 0) == 5
    await files.finish(file, 5)
    assert await all_of(files, file, 5) == b"abcde"


async def test_durable_hears_of_syncs_on_the_way(files: StoredFiles) -> None:
    told: list[int] = []

    async def durable(offset: int) -> None:
        told.append(offset)
        assert await asyncio.to_thread(lambda: True)

    data = content(70 * MIB)
    await files.append(files.new(uuid4()), 0, body(*pieces_of(data, MIB)), max_bytes=len(data), durable=durable)
    assert len(told) > 1
    assert told == sorted(set(told))
    assert told[-1] == len(data)


async def test_an_append_whose_offset_is_not_wanted_ends(files: StoredFiles) -> None:
    async def durable(_offset: int) -> None:
        raise StateError("conflict", "somebody else was first")

    with pytest.raises(StateError) as refused:
        await files.append(files.new(uuid4()), 0, body(b"abc"), max_bytes=10, durable=durable)
    assert refused.value.code == "conflict"


async def test_a_part_is_written_by_one_at_a_time(files: StoredFiles) -> None:
    file, waits, go_on = files.new(uuid4()), asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"first"
        waits.set()
        await go_on.wait()

    task = asyncio.create_task(files.append(file, 0, slow(), max_bytes=100))
    await waits.wait()
    for attempt in (files.append(file, 0, body(b"second"), max_bytes=100), files.recover(file, 0)):
        with pytest.raises(StateError) as refused:
            await attempt
        assert refused.value.code == "upload_busy"
    go_on.set()
    assert await task == 5
    assert await files.append(file, 5, body(b" second"), max_bytes=100) == 12


@pytest.mark.parametrize("before", [0, 3, FRAME, FRAME + 3])
async def test_provisional_bytes_count_once_a_later_offset_is_used(files: StoredFiles, before: int) -> None:
    data = content(3 * FRAME + 8)
    file = files.new(uuid4())
    await files.append(file, 0, body(data[:before]), max_bytes=10**9)
    end = await files.append(file, before, body(data[before:]), max_bytes=10**9, provisional=True)
    assert await files.recover(file, before) == before
    assert await files.recover(file, end) == end
    assert await files.append(file, end, body(b"more"), max_bytes=10**9) == end + 4
    assert await files.recover(file, before) == end + 4


async def test_a_file_is_finished_again_after_a_crash(files: StoredFiles) -> None:
    data = content(2 * FRAME + 5)
    file = files.new(uuid4())
    await files.append(file, 0, body(data), max_bytes=len(data))
    first = await files.finish(file, len(data))
    assert await files.finish(file, len(data)) == first


async def test_parts_are_joined(files: StoredFiles) -> None:
    data = [content(size, seed) for seed, size in enumerate([5, FRAME, 2 * MIB + 1, 1])]
    parts = []
    for piece in data:
        part = files.new(uuid4())
        parts.append((part, await files.append(part, 0, body(piece), max_bytes=len(piece))))
    whole = files.new(uuid4())
    for _ in range(2):
        received = await files.concat(whole, parts, 10**9)
        assert received.sha256 == hashlib.sha256(b"".join(data)).digest()
    assert await all_of(files, whole, received.size_bytes) == b"".join(data)
    with pytest.raises(TooLarge):
        await files.concat(files.new(uuid4()), parts, 100)


async def test_what_is_removed_is_gone(files: StoredFiles) -> None:
    grown, kept = files.new(uuid4()), uuid4()
    await files.append(grown, 0, body(b"abc"), max_bytes=10)
    file = (await files.receive(kept, body(b"abc"), 10)).file
    for upload_id in (grown.upload_id, kept):
        assert await files.remove(upload_id)
        assert not await files.remove(upload_id)
    assert await files.missing([kept]) == [kept]
    with pytest.raises(NotFound):
        await all_of(files, file, 3)
    with pytest.raises(NotFound):
        async with files.source(file, 3):
            pass
    with pytest.raises(NotFound):
        await files.append(grown, 3, body(b"def"), max_bytes=10)


async def test_what_is_there_is_listed_by_age(files: StoredFiles) -> None:
    grown, kept = files.new(uuid4()), uuid4()
    await files.append(grown, 0, body(b"abc"), max_bytes=10)
    await files.receive(kept, body(b"abc"), 10)

    async def listed(age_s: float) -> set[Found]:
        return {found async for batch in files.untouched_for(age_s, 1) for found in batch}

    assert await listed(3600) == set()
    assert await listed(-3600) == {Found(grown.upload_id, partial=True), Found(kept, partial=False)}


async def test_a_mark_is_kept(files: StoredFiles) -> None:
    assert await files.mark() is None
    mark = uuid4()
    await files.set_mark(mark)
    assert await files.mark() == mark
    assert [found async for found in files.untouched_for(-3600, 10) if found] == []


async def test_no_byte_of_content_is_stored_in_the_clear(files: StoredFiles, tmp_path: Path) -> None:
    secret = b"a secret that nobody else has written"
    await files.append(files.new(uuid4()), 0, body(secret), max_bytes=100)
    await files.receive(uuid4(), body(secret), 100)
    stored = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert stored
    assert not any(secret[:8] in data for data in stored)


async def test_a_file_opens_only_with_its_own_seal_and_master_key(files: StoredFiles) -> None:
    one, other = [(await files.receive(uuid4(), body(b"abc"), 10)).file for _ in range(2)]
    for wrong in (File(one.upload_id, other.seal), File(one.upload_id, one.seal[:-1]), File(one.upload_id, b"")):
        with pytest.raises(InputError) as refused:
            await all_of(files, wrong, 3)
        assert refused.value.code == "upload_damaged"
    stranger = StoredFiles(files._parts, files._store, Masters([bytes(32)]), files._threads)
    with pytest.raises(Transient) as unknown:
        await all_of(stranger, one, 3)
    assert unknown.value.code == "key_missing"


async def test_the_master_key_is_changed_without_touching_a_file(tmp_path: Path) -> None:
    threads, folder = Threads(2), tmp_path
    old, new = MASTER, bytes(32)
    store = LocalStore(folder, threads)
    before, between, after = (StoredFiles(folder, store, Masters(keys), threads) for keys in ([old], [new, old], [new]))
    file = (await before.receive(uuid4(), body(b"abc"), 10)).file
    assert await all_of(between, file, 3) == b"abc"
    seal = between.rewrapped(file)
    assert seal is not None
    assert between.rewrapped(File(file.upload_id, seal)) is None
    assert await all_of(after, File(file.upload_id, seal), 3) == b"abc"
    threads.close()


async def test_a_file_from_before_seals_is_read(tmp_path: Path) -> None:
    files, upload_id = of(tmp_path), UUID(int=5)
    data = content(3 * MIB)
    (tmp_path / str(upload_id)).write_bytes(data)
    file = File(upload_id, None)
    assert await all_of(files, file, len(data), 5, MIB + 9) == data[5 : MIB + 9]
    assert await from_child(files, file, len(data)) == data
    files.close()
