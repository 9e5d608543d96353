"""A service that keeps its files in an S3 bucket: the same to its users, even if the store refuses or falls silent."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from service.domain.errors import Transient
from service.files.masters import Masters
from service.files.objects import ObjectStore, remote
from service.files.opening import StoredFiles
from service.files.threads import Threads
from tests.conftest import StartService
from tests.object_server import Gate, Mode, ObjectServer, object_server
from tests.running import eventually, imported, rows_of, settled

MIB = 1024 * 1024
NOISE = random.Random(5).randbytes(20 * MIB)
ROWS = b"id,name\n" + b"".join(b"%d,somebody\n" % n for n in range(50_000))
FAULTS: list[Mode] = ["refuse", "cut", "hang"]


@pytest.fixture(scope="module")
async def objects(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ObjectServer]:
    """A running S3 server."""
    async with object_server(tmp_path_factory.mktemp("objects")) as started:
        yield started


@pytest.fixture
async def gate(objects: ObjectServer) -> AsyncIterator[Gate]:
    """What stands before it."""
    async with Gate(objects.url).serve() as gate:
        yield gate


@pytest.fixture
def bucket(objects: ObjectServer) -> str:
    """A bucket of the test's own."""
    return objects.bucket()


@pytest.fixture
async def files(objects: ObjectServer, gate: Gate, bucket: str, tmp_path: Path) -> AsyncIterator[StoredFiles]:
    """Files in the bucket, reached by the gate, with a short time-out."""
    made = files_in(bucket, objects.options(gate.url), tmp_path, timeout_s=1)
    yield made
    made.close()


@pytest.fixture
async def patient(objects: ObjectServer, bucket: str, tmp_path: Path) -> AsyncIterator[StoredFiles]:
    """The same files by another way, with time for a slow machine."""
    made = files_in(bucket, objects.options(), tmp_path, timeout_s=30)
    yield made
    made.close()


def files_in(bucket: str, options: dict[str, str], folder: Path, timeout_s: float) -> StoredFiles:
    threads = Threads(4)
    store = ObjectStore(remote(f"s3://{bucket}/files", options, timeout_s), folder / "copies", threads)
    return StoredFiles(folder, store, Masters([bytes(32)]), threads)


async def body(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 100_000):
        yield data[at : at + 100_000]


@pytest.mark.parametrize("mode", FAULTS)
async def test_a_store_that_fails_in_the_middle_has_nothing_and_is_tried_again(
    objects: ObjectServer, gate: Gate, bucket: str, files: StoredFiles, patient: StoredFiles, mode: Mode
) -> None:
    file = files.new(uuid4())
    await files.append(file, 0, body(NOISE), max_bytes=len(NOISE))
    gate.set(mode, after=10 * MIB)
    with pytest.raises(Transient) as refused:
        await files.finish(file, len(NOISE))
    assert refused.value.code == "storage_unavailable"
    assert gate.struck.is_set()
    assert objects.objects(bucket) == []
    received = await patient.finish(file, len(NOISE))
    assert received.sha256 == hashlib.sha256(NOISE).digest()
    found = [piece async for piece in patient.read(file, len(NOISE))]
    assert b"".join(found) == NOISE


@pytest.mark.parametrize("mode", FAULTS)
async def test_a_file_in_one_pass_that_the_store_refuses_leaves_nothing(
    objects: ObjectServer, gate: Gate, bucket: str, files: StoredFiles, tmp_path: Path, mode: Mode
) -> None:
    gate.set(mode, after=10 * MIB)
    with pytest.raises(Transient):
        await files.receive(uuid4(), body(NOISE), len(NOISE))
    assert objects.objects(bucket) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("mode", FAULTS)
async def test_reading_from_a_store_that_fails_says_so(
    gate: Gate, files: StoredFiles, patient: StoredFiles, tmp_path: Path, mode: Mode
) -> None:
    received = await patient.receive(uuid4(), body(NOISE), len(NOISE))
    gate.set(mode)
    with pytest.raises(Transient):
        async for _piece in files.read(received.file, len(NOISE)):
            pass
    with pytest.raises(Transient):
        async with files.source(received.file, len(NOISE)):
            pass
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_bucket_that_is_not_there_is_a_fault_of_the_store(objects: ObjectServer, tmp_path: Path) -> None:
    files = files_in("nowhere", objects.options(), tmp_path, timeout_s=5)
    with pytest.raises(Transient) as refused:
        await files.receive(uuid4(), body(b"abc"), 3)
    assert refused.value.code == "storage_unavailable"
    files.close()


async def test_an_import_is_kept_in_the_bucket_and_read_from_there(
    objects: ObjectServer, bucket: str, start_service: StartService
) -> None:
    service = await start_service("all", **objects.settings(bucket))
    job = await imported(service.client, ROWS, "people", priority=7)
    assert (job["state"], job["counts"]["inserted"]) == ("completed", 50_000), job
    assert len(await rows_of(service.client, "people")) == 50_000
    assert objects.objects(bucket) == [f"files/{job['upload_id']}"]
    await eventually(lambda: not [path for path in (service.folder / "files").rglob("*") if path.is_file()])


@pytest.mark.parametrize("mode", ["refuse", "hang"])
async def test_an_upload_is_answered_503_while_the_store_is_away(
    objects: ObjectServer, gate: Gate, bucket: str, start_service: StartService, mode: Mode
) -> None:
    service = await start_service("api", **objects.settings(bucket, gate.url), store_timeout_s=0.5)
    gate.set(mode)
    answer = await service.client.post("/v1/uploads", content=ROWS)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert answer.headers["retry-after"]
    gate.set("pass")
    assert (await service.client.post("/v1/uploads", content=ROWS)).status_code == 201


async def test_a_job_waits_for_a_store_that_is_away(
    objects: ObjectServer, gate: Gate, bucket: str, start_service: StartService
) -> None:
    service = await start_service("api", **objects.settings(bucket, gate.url), store_timeout_s=0.5)
    upload = (await service.client.post("/v1/uploads", content=ROWS)).json()
    gate.set("refuse")
    await service.worker()
    body = {"processor": "csv", "upload_id": upload["id"], "dataset": "people", "retry": {"first_wait_s": 0.1}}
    answer = await service.client.post("/v1/jobs", json=body)
    job = answer.json()
    async with asyncio.timeout(30):
        await gate.struck.wait()
    gate.set("pass")
    ended = await settled(service.client, job)
    assert (ended["state"], ended["counts"]["inserted"]) == ("completed", 50_000), ended


async def test_a_job_whose_stored_file_was_changed_fails_and_its_upload_is_quarantined(
    objects: ObjectServer, bucket: str, start_service: StartService
) -> None:
    service = await start_service("all", **objects.settings(bucket))
    upload = (await service.client.post("/v1/uploads", content=ROWS)).json()
    key = f"files/{upload['id']}"
    path = objects.folder / bucket / key
    stored = bytearray(path.read_bytes())
    stored[100] ^= 1
    path.write_bytes(stored)
    body = {"processor": "csv", "upload_id": upload["id"], "dataset": "people"}
    job = (await service.client.post("/v1/jobs", json=body, headers={"Prefer": "wait=30"})).json()
    assert (job["state"], job["problem"]["code"]) == ("failed", "upload_damaged")
    again = await service.client.post("/v1/jobs", json=body)
    assert (again.status_code, again.json()["code"]) == (409, "upload_damaged")
    assert key in objects.objects(bucket)


async def test_wrong_credentials_are_the_operators_to_mend(objects: ObjectServer, bucket: str, tmp_path: Path) -> None:
    files = files_in(bucket, objects.options(secret="a wrong one"), tmp_path, timeout_s=5)
    with capture_logs() as logged, pytest.raises(Transient) as refused:
        await files.receive(uuid4(), body(b"abc"), 3)
    assert refused.value.code == "storage_unavailable"
    (line,) = [line for line in logged if line["event"] == "storage.refused"]
    assert line["kind"] == "PermissionDeniedError"
    assert "a wrong one" not in str(line)
    files.close()
