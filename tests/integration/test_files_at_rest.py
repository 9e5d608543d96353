"""Files are sealed without anybody asking; damage is found, told and set apart; the master key can be changed."""

from __future__ import annotations

import secrets
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from service.config import Settings
from service.files.opening import NotConfigured, open_files
from service.store.database import WORKER_ROLE, open_database
from tests import running
from tests.conftest import StartService
from tests.running import Json, Service, eventually, imported, rows_of, settled, superuser
from workers.maintenance import expire_uploads, lock_again

ROWS = b"id,name\n" + b"".join(b"%d,somebody-of-that-name\n" % n for n in range(20_000))


async def uploaded(service: Service, content: bytes = ROWS) -> Json:
    answer = await service.client.post("/v1/uploads", content=content)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def queued(service: Service, upload: Json, dataset: str) -> httpx.Response:
    body = {"processor": "csv", "upload_id": upload["id"], "dataset": dataset}
    return await service.client.post("/v1/jobs", json=body)


def file_of(service: Service, upload: Json) -> Path:
    return service.folder / "files" / str(upload["id"])


def damage(path: Path, at: int = 70_000) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


async def test_what_is_uploaded_is_not_on_the_disk_in_the_clear(service: Service) -> None:
    job = await imported(service.client, ROWS, "sealed")
    assert job["counts"]["inserted"] == 20_000
    stored = (service.folder / "files" / job["upload_id"]).read_bytes()
    assert b"somebody" not in stored
    assert len(stored) > len(ROWS)
    assert (service.folder / "master-keys").stat().st_mode & 0o777 == 0o600


async def test_a_download_of_a_damaged_file_stops_before_it(service: Service) -> None:
    upload = await uploaded(service)
    damage(file_of(service, upload))
    part = await service.client.get(upload["links"]["content"], headers={"Range": "bytes=0-99"})
    assert part.content == ROWS[:100]
    answer = await service.client.get(upload["links"]["content"])
    assert (answer.status_code, answer.json()["code"]) == (422, "upload_damaged")
    assert (await service.client.get(upload["links"]["self"])).json()["damaged_at"]
    again = await service.client.get(upload["links"]["content"], headers={"Range": "bytes=0-99"})
    assert again.json()["code"] == "upload_damaged"


async def test_a_job_that_finds_damage_fails_and_sets_the_upload_apart(service: Service) -> None:
    upload = await uploaded(service)
    damage(file_of(service, upload))
    stored = file_of(service, upload).read_bytes()
    job = await settled(service.client, (await queued(service, upload, "apart")).json())
    assert (job["state"], job["problem"]["code"], job["attempt"]) == ("failed", "upload_damaged", 1)
    assert job["problem"]["suggestion"]
    assert (await service.client.get(upload["links"]["self"])).json()["damaged_at"]
    refused = await queued(service, upload, "apart")
    assert (refused.status_code, refused.json()["code"]) == (409, "upload_damaged")
    retried = await service.client.post(f"{job['links']['self']}/retry")
    assert (retried.status_code, retried.json()["code"]) == (409, "upload_damaged")
    assert file_of(service, upload).read_bytes() == stored


@pytest.mark.parametrize("size", [0, 1000, 65536])
async def test_a_file_that_was_cut_is_damaged_too(service: Service, size: int) -> None:
    upload = await uploaded(service)
    path = file_of(service, upload)
    path.write_bytes(path.read_bytes()[:size])
    job = await settled(service.client, (await queued(service, upload, f"cut_{size}")).json())
    assert (job["state"], job["problem"]["code"]) == ("failed", "upload_damaged")


async def test_rows_before_the_damage_stay_and_no_others_come(start_service: StartService) -> None:
    service = await start_service(chunk_bytes=100_000)
    upload = await uploaded(service, b"id,name\n" + b"".join(b"%d,somebody\n" % n for n in range(200_000)))
    damage(file_of(service, upload), at=2_200_000)
    job = await settled(service.client, (await queued(service, upload, "before")).json())
    assert job["problem"]["code"] == "upload_damaged"
    rows = await rows_of(service.client, "before")
    assert [row["id"] for row in rows] == list(range(len(rows)))
    assert len(rows) == job["counts"]["inserted"] < 200_000  # none, if a look ahead for encoding and types meets it


async def test_a_damaged_file_outlives_its_retention(start_service: StartService) -> None:
    service = await start_service("api")
    sound, broken = await uploaded(service), await uploaded(service)
    damage(file_of(service, broken))
    await service.client.get(broken["links"]["content"])
    async with superuser(service.database_url) as db:
        await db.execute("update upload set created_at = created_at - interval '30 days'")
    async with open_database(service.database_url, role=WORKER_ROLE, connections=3, name="test") as database:
        files = open_files(Settings(data_dir=service.folder))
        assert await expire_uploads.run_once(database, files, keep_completed_s=1, keep_failed_s=1) == 1
        files.close()
    assert service.files == [broken["id"]]
    async with superuser(service.database_url) as db:
        kept = await db.fetch("select id from upload where seal is not null")
    assert [row["id"] for row in kept] == [UUID(broken["id"])]
    assert (await service.client.get(sound["links"]["self"])).json()["expired_reason"] == "retention"


async def test_packed_files_are_read_like_others(start_service: StartService) -> None:
    service = await start_service(pack_files=True)
    upload = await uploaded(service)
    assert file_of(service, upload).stat().st_size < len(ROWS) / 3
    answer = await service.client.get(upload["links"]["content"], headers={"Range": "bytes=100000-100099"})
    assert answer.content == ROWS[100_000:100_100]
    job = await settled(service.client, (await queued(service, upload, "packed")).json())
    assert job["counts"]["inserted"] == 20_000


async def test_the_master_key_is_changed_and_the_old_one_goes(start_service: StartService, tmp_path: Path) -> None:
    old, new = secrets.token_hex(32), secrets.token_hex(32)
    service = await start_service("api", master_keys=old)
    uploads = [await uploaded(service, b"%d of three" % number) for number in range(3)]
    await service.client.delete(uploads.pop()["links"]["self"])
    async with open_database(service.database_url, role=WORKER_ROLE, connections=3, name="test") as database:
        files = open_files(Settings(data_dir=service.folder, master_keys=f"{new},{old}"))
        assert await lock_again.run_once(database, files) == 2
        assert await lock_again.run_once(database, files) == 0
        files.close()
        stranger = open_files(Settings(data_dir=service.folder, master_keys=old))
        assert await lock_again.run_once(database, stranger) == 0
        stranger.close()
    answer = await service.client.get(uploads[0]["links"]["content"])
    assert (answer.status_code, answer.json()["code"]) == (503, "key_missing")  # it has the old one only
    newer = await running.fork(
        "service api", "service", ["api"], service.settings | {"MILLRACE_MASTER_KEYS": new}, tmp_path / "log"
    )
    service.others.append(newer)
    url = await eventually(lambda: running._listens_at(newer))
    async with running.client_for(url, service.key) as client:
        for number, upload in enumerate(uploads):
            assert (await client.get(upload["links"]["content"])).content == b"%d of three" % number


async def test_a_job_whose_master_key_is_missing_waits_for_it(start_service: StartService) -> None:
    service = await start_service("api")
    upload = await uploaded(service)
    async with superuser(service.database_url) as db:
        await db.execute("update upload set seal = overlay(seal placing '\\x0000' from 3)")
    answer = await service.client.get(upload["links"]["content"])
    assert (answer.status_code, answer.json()["code"]) == (503, "key_missing")
    assert (await service.client.get(upload["links"]["self"])).json()["damaged_at"] is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"master_keys": "secret"}, "MILLRACE_MASTER_KEYS"),
        ({"store_url": "http://nowhere"}, "MILLRACE_STORE_URL"),
        ({"store_url": "s3:///folder"}, "MILLRACE_STORE_URL"),
        ({"store_url": "s3://bucket", "store_options": '{"colour": "red"}'}, "colour"),
        ({"fetch_allow": "everybody"}, "MILLRACE_FETCH_ALLOW"),
    ],
)
async def test_settings_that_cannot_be_are_refused_at_the_start(
    tmp_path: Path, wrong: dict[str, object], said: str
) -> None:
    settings = {"MILLRACE_DATA_DIR": str(tmp_path)} | running.as_environment(wrong)
    command = await running.fork("service check", "service", ["check"], settings, tmp_path / "log")
    assert await command.ended() == 1
    running.ALIVE.remove(command)
    assert said in command.output
    assert "Traceback" not in command.output


async def test_a_damaged_file_of_master_keys_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "master-keys").write_text("not any more")
    with pytest.raises(NotConfigured, match="64 hexadecimal digits"):
        open_files(Settings(data_dir=tmp_path))
