"""What is sealed opens as it was written, or not at all."""

from __future__ import annotations

import random
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from service.domain.errors import InputError
from service.files.frames import FRAME_BYTES, INDEX_LENGTH, SLOT_BYTES, Frames
from service.files.local import LocalStore
from service.files.masters import Masters, kept_keys, parsed
from service.files.opening import StoredFiles
from service.files.parts import Part
from service.files.port import File
from service.files.threads import Threads
from workers.source import open_source

SIZE = 5 * FRAME_BYTES + 1000
NOISE = random.Random(3).randbytes(SIZE)
UPLOAD = UUID(int=7)

Change = Callable[[bytearray], None]


def flip(at: int) -> Change:
    def change(data: bytearray) -> None:
        data[at] ^= 1

    return change


def cut(count: int) -> Change:
    def change(data: bytearray) -> None:
        del data[-count:]

    return change


def append(more: bytes) -> Change:
    def change(data: bytearray) -> None:
        data += more

    return change


def swap(data: bytearray) -> None:
    one, two = slice(0, SLOT_BYTES), slice(SLOT_BYTES, 2 * SLOT_BYTES)
    data[one], data[two] = data[two], data[one]


def repeat(data: bytearray) -> None:
    data[2 * SLOT_BYTES : 3 * SLOT_BYTES] = data[:SLOT_BYTES]


def drop_a_frame(data: bytearray) -> None:
    del data[SLOT_BYTES : 2 * SLOT_BYTES]


def end_early(data: bytearray) -> None:
    """A whole number of frames, without the last."""
    del data[5 * SLOT_BYTES :]


CHANGES: dict[str, Change] = {
    "a bit of content": flip(FRAME_BYTES // 2),
    "a bit of a nonce": flip(SLOT_BYTES + 3),
    "a bit of a tag": flip(SLOT_BYTES - 1),
    "a bit of the last frame": flip(5 * SLOT_BYTES + 20),
    "a byte short": cut(1),
    "a frame short": end_early,
    "nothing left": lambda data: data.clear(),
    "a byte more": append(b"x"),
    "a frame more": append(bytes(SLOT_BYTES)),
    "two frames swapped": swap,
    "a frame in two places": repeat,
    "a frame missing in the middle": drop_a_frame,
}


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads(2)
    yield made
    made.close()


async def body(data: bytes) -> AsyncIterator[bytes]:
    yield data


def files_in(folder: Path, threads: Threads, *, packs: bool = False) -> StoredFiles:
    return StoredFiles(folder, LocalStore(folder, threads), Masters([bytes(32)]), threads, packs=packs)


async def refused(files: StoredFiles, file: File, size: int = SIZE) -> None:
    """Neither the API nor a child gets to the end of it, nor a byte that was not written."""
    seen = b""
    with pytest.raises(InputError) as by_api:
        async for piece in files.read(file, size):
            seen += piece
    assert NOISE.startswith(seen)
    with pytest.raises(InputError) as by_child:
        async with files.source(file, size) as spec:
            with open_source(spec) as source:
                source.read()
    assert by_api.value.code == by_child.value.code == "upload_damaged"


@pytest.mark.parametrize("packs", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("what", CHANGES)
async def test_a_file_that_was_changed_does_not_open(tmp_path: Path, threads: Threads, what: str, packs: bool) -> None:
    files = files_in(tmp_path, threads, packs=packs)
    file = (await files.receive(UPLOAD, body(NOISE), SIZE)).file
    path = tmp_path / str(UPLOAD)
    data = bytearray(path.read_bytes())
    CHANGES[what](data)
    path.write_bytes(data)
    await refused(files, file)


@pytest.mark.parametrize("packs", [False, True], ids=["plain", "packed"])
async def test_a_bit_changed_anywhere_is_found(tmp_path: Path, threads: Threads, packs: bool) -> None:
    files = files_in(tmp_path, threads, packs=packs)
    size = 300
    file = (await files.receive(UPLOAD, body(NOISE[:size]), size)).file
    path = tmp_path / str(UPLOAD)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        await refused(files, file, size)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        await refused(files, file, size)


async def test_the_file_of_another_upload_does_not_open(tmp_path: Path, threads: Threads) -> None:
    files = files_in(tmp_path, threads)
    file = (await files.receive(UPLOAD, body(NOISE), SIZE)).file
    other = (await files.receive(uuid4(), body(NOISE), SIZE)).file
    shutil.copy(tmp_path / str(other.upload_id), tmp_path / str(UPLOAD))
    await refused(files, file)


async def test_a_damaged_frame_far_away_is_no_hindrance(tmp_path: Path, threads: Threads) -> None:
    files = files_in(tmp_path, threads)
    file = (await files.receive(UPLOAD, body(NOISE), SIZE)).file
    path = tmp_path / str(UPLOAD)
    data = bytearray(path.read_bytes())
    flip(4 * SLOT_BYTES + 100)(data)
    path.write_bytes(data)
    found = b"".join([piece async for piece in files.read(file, SIZE, 10, FRAME_BYTES + 10)])
    assert found == NOISE[10 : FRAME_BYTES + 10]


async def test_a_packed_file_is_smaller_by_what_zstd_saves(tmp_path: Path, threads: Threads) -> None:
    files = files_in(tmp_path, threads, packs=True)
    text = b"id,name\n" + b"".join(b"%d,somebody\n" % n for n in range(100_000))
    file = (await files.receive(UPLOAD, body(text), len(text))).file
    assert (tmp_path / str(UPLOAD)).stat().st_size < len(text) / 3
    assert b"".join([piece async for piece in files.read(file, len(text))]) == text


async def test_a_packed_files_lying_index_is_found(tmp_path: Path, threads: Threads) -> None:
    files = files_in(tmp_path, threads, packs=True)
    file = (await files.receive(UPLOAD, body(NOISE), SIZE)).file
    path = tmp_path / str(UPLOAD)
    whole = path.read_bytes()
    for length in (0, 1, len(whole), 2**63):
        path.write_bytes(whole[: -INDEX_LENGTH.size] + INDEX_LENGTH.pack(length))
        await refused(files, file)


def part_of(folder: Path, *, packed: bool) -> Part:
    return Part(folder, Frames(UPLOAD, bytes(32), packed=packed))


def recovered(folder: Path, at: int, *, packed: bool) -> int:
    part = part_of(folder, packed=packed)
    part.open(make=False)
    try:
        return part.recover(at)
    finally:
        part.close()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_a_part_that_was_cut_anywhere_by_a_crash_goes_on_from_a_frame(tmp_path: Path, packed: bool) -> None:
    part = part_of(tmp_path, packed=packed)
    part.open(make=True)
    part.add(NOISE)
    part.close()  # as a process that dies: no tail
    whole = part.path.read_bytes()
    for length in (0, 1, SLOT_BYTES - 1, SLOT_BYTES, 2 * SLOT_BYTES + 50, len(whole)):
        part.path.write_bytes(whole[:length])
        at = recovered(tmp_path, 0, packed=packed)
        frames = length // (SLOT_BYTES if not packed else len(whole) // 5)
        assert at == frames * FRAME_BYTES
        again = part_of(tmp_path, packed=packed)
        again.open(make=False)
        again.cut(at, held=False)
        assert again.content(0, at) == NOISE[:at]
        again.close()


def test_frames_that_a_power_cut_has_garbled_do_not_count(tmp_path: Path) -> None:
    part = part_of(tmp_path, packed=False)
    part.open(make=True)
    part.add(NOISE)
    part.settle(None)
    part.close()
    with part.path.open("r+b") as file:
        file.seek(3 * SLOT_BYTES + 77)
        file.write(bytes(100))
    assert recovered(tmp_path, 0, packed=False) == 3 * FRAME_BYTES
    assert recovered(tmp_path, 2 * FRAME_BYTES + 5, packed=False) == 3 * FRAME_BYTES
    with pytest.raises(InputError) as refused:
        recovered(tmp_path, 3 * FRAME_BYTES + 5, packed=False)
    assert refused.value.code == "upload_damaged"


@pytest.mark.parametrize("lost", [".part", ".tail"])
def test_what_was_acknowledged_and_is_gone_is_missed(tmp_path: Path, lost: str) -> None:
    part = part_of(tmp_path, packed=False)
    part.open(make=True)
    part.add(NOISE)
    part.settle(None)
    part.close()
    (tmp_path / f"{UPLOAD}{lost}").write_bytes(b"")
    with pytest.raises(InputError) as refused:
        recovered(tmp_path, SIZE, packed=False)
    assert refused.value.code == "upload_damaged"


def test_the_same_content_never_looks_the_same(tmp_path: Path) -> None:
    """Written again behind a cut, it has other nonces: else its difference to what was there could be told."""
    part = part_of(tmp_path, packed=False)
    part.open(make=True)
    seen = set()
    for _ in range(20):
        part.cut(0, held=False)
        part.add(NOISE)
        data = part.path.read_bytes()
        seen |= {data[at : at + 12] for at in range(0, len(data), SLOT_BYTES)}
    part.close()
    assert len(seen) == 20 * 5


def test_a_master_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "master-keys"
    keys = kept_keys(path)
    assert kept_keys(path) == keys
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert len(keys[0]) == 32


@pytest.mark.parametrize("text", ["", "abc", "g" * 64, "0" * 63, "0" * 64 + ",1"])
def test_what_is_no_master_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parsed(text)
