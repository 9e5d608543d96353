"""Files as things: their history and state, download, deletion, reading them again, duplicates, rules by type."""

from __future__ import annotations

import hashlib

import pytest

from tests.conftest import StartService
from tests.running import Json, Service, eventually, post_import, rows_of, settled
from tests.uploading import usage_of

FILE = b"a,b\n1,x\n2,y\n"


async def uploaded(service: Service, content: bytes = FILE, path: str = "/v1/uploads?name=people.csv") -> Json:
    answer = await service.client.post(path, content=content)
    assert answer.status_code == 201, answer.text
    upload: Json = answer.json()
    return upload


async def in_state(service: Service, upload: Json, state: str) -> Json:
    async def look() -> Json:
        shown: Json = (await service.client.get(upload["links"]["self"])).json()
        return shown if shown["state"] == state else {}

    return await eventually(look)


async def test_an_uploads_state_is_what_its_jobs_made_of_it(service: Service) -> None:
    upload = await uploaded(service)
    assert upload["state"] == "uploaded"
    job = {"processor": "csv", "upload_id": upload["id"], "dataset": "stated"}
    done = (await service.client.post("/v1/jobs", json=job)).json()
    shown = await in_state(service, upload, "completed")
    assert [used["id"] for used in shown["jobs"]] == [done["id"]]
    await settled(service.client, await post_import(service.client, b"c,d\n1,x\n", "shaped_otherwise"))
    failing = job | {"dataset": "shaped_otherwise"}
    await settled(service.client, (await service.client.post("/v1/jobs", json=failing)).json())
    assert (await in_state(service, upload, "failed"))["jobs"][0]["dataset"] == "shaped_otherwise"


async def test_an_upload_is_processing_while_a_job_of_it_lives(start_service: StartService) -> None:
    service = await start_service("api")
    job = await post_import(service.client, FILE, "waiting")
    found = (await service.client.get("/v1/uploads?state=processing")).json()["uploads"]
    assert [upload["id"] for upload in found] == [job["upload_id"]]
    assert (await service.client.get("/v1/uploads?state=completed")).json()["uploads"] == []
    assert (await service.client.delete(f"/v1/uploads/{job['upload_id']}")).status_code == 409


@pytest.mark.parametrize(
    ("field", "status", "expected"),
    [
        (None, 200, FILE),
        ("bytes=0-", 200, FILE),
        ("bytes=2-5", 206, FILE[2:6]),
        ("bytes=-3", 206, FILE[-3:]),
        ("bytes=5-1000", 206, FILE[5:]),
        ("bytes=0-0,2-3", 200, FILE),
        ("bytes=5-2", 200, FILE),
        ("lines=1-2", 200, FILE),
        ("bytes=12-", 416, None),
        ("bytes=-0", 416, None),
    ],
)
async def test_a_download_heeds_its_range(service: Service, field: str | None, status: int, expected: bytes) -> None:
    upload = await uploaded(service)
    answer = await service.client.get(upload["links"]["content"], headers={"Range": field} if field else {})
    assert answer.status_code == status
    if expected is None:
        assert answer.headers["Content-Range"] == "bytes */12"
    else:
        assert answer.content == expected
        assert answer.headers["Content-Length"] == str(len(expected))


async def test_a_large_download_is_the_file(service: Service) -> None:
    content = bytes(range(256)) * 20_000
    upload = await uploaded(service, content)
    assert (await service.client.get(upload["links"]["content"])).content == content
    some = await service.client.get(upload["links"]["content"], headers={"Range": "bytes=1048570-3145800"})
    assert some.content == content[1048570:3145801]
    head = await service.client.head(upload["links"]["content"])
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(content)))


async def test_a_download_names_the_file_and_its_version(service: Service) -> None:
    upload = await uploaded(service, path='/v1/uploads?name=t%C3%B6ne "x".csv')
    answer = await service.client.get(upload["links"]["content"])
    assert answer.headers["Content-Disposition"] == (
        "attachment; filename=\"t_ne _x_.csv\"; filename*=UTF-8''t%C3%B6ne%20%22x%22.csv"
    )
    etag = answer.headers["ETag"]
    assert etag == f'"{hashlib.sha256(FILE).hexdigest()}"'
    again = await service.client.get(upload["links"]["content"], headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    stale = {"Range": "bytes=0-1", "If-Range": '"other"'}
    assert (await service.client.get(upload["links"]["content"], headers=stale)).content == FILE
    other = await service.client.get(upload["links"]["content"], headers={"If-Match": '"other"'})
    assert other.status_code == 412


async def test_a_deleted_file_is_gone_and_its_quota_free(service: Service) -> None:
    before = await usage_of(service)
    upload = await uploaded(service)
    assert (await usage_of(service))[0] == before[0] + len(FILE)
    assert (await service.client.delete(upload["links"]["self"])).status_code == 204
    assert await usage_of(service) == before
    assert upload["id"] not in service.files
    for path in upload["links"].values():
        assert (await service.client.get(path)).status_code == 410
    listed = (await service.client.get("/v1/uploads?limit=1000")).json()["uploads"]
    assert upload["id"] not in {each["id"] for each in listed}
    job = {"processor": "csv", "upload_id": upload["id"], "dataset": "gone"}
    assert (await service.client.post("/v1/jobs", json=job)).json()["code"] == "upload_expired"


async def test_a_file_is_read_again_as_it_was_read_last(service: Service) -> None:
    first = await post_import(service.client, b"a;b\n1;x\n", "again", delimiter=";", priority=8)
    await settled(service.client, first)
    answer = await service.client.post(f"/v1/uploads/{first['upload_id']}/process")
    assert (answer.status_code, answer.headers["Location"]) == (202, answer.json()["links"]["self"])
    second = await settled(service.client, answer.json())
    assert (second["options"], second["priority"]) == ({"delimiter": ";"}, 8)
    assert len(await rows_of(service.client, "again")) == 2


async def test_a_file_is_read_again_in_another_way(service: Service) -> None:
    upload = await uploaded(service)
    unknown = await service.client.post(f"{upload['links']['self']}/process")
    assert (unknown.status_code, unknown.json()["code"]) == (422, "missing_parameter")
    body = {"processor": "csv", "dataset": "otherwise"}
    answer = await service.client.post(f"{upload['links']['self']}/process", json=body)
    assert (await settled(service.client, answer.json()))["state"] == "completed"


async def test_all_files_of_a_kind_are_read_again(start_service: StartService) -> None:
    service = await start_service()
    jobs = [await settled(service.client, await post_import(service.client, FILE, f"kind_{n}")) for n in range(3)]
    await uploaded(service, b"\x89PNG\r\n\x1a\n", "/v1/uploads?name=x.png")
    body = {"action": "process", "filter": {"processor": "csv", "state": "completed", "kind": "text"}}
    results = (await service.client.post("/v1/uploads/batch", json=body)).json()["results"]
    assert [result["id"] for result in results] == [job["upload_id"] for job in jobs]
    for result in results:
        await settled(service.client, {"links": {"self": f"/v1/jobs/{result['job_id']}"}})
    assert len(await rows_of(service.client, "kind_1")) == 4
    body = {"action": "delete", "filter": {"suffix": ".png"}}
    assert [r["ok"] for r in (await service.client.post("/v1/uploads/batch", json=body)).json()["results"]] == [True]


async def test_one_refusal_in_a_batch_does_not_stop_the_others(service: Service) -> None:
    upload = await uploaded(service)
    unknown = "00000000-0000-7000-8000-000000000000"
    body = {
        "action": "process",
        "ids": [unknown, upload["id"]],
        "job": {"processor": "csv", "dataset": "batched"},
    }
    results = (await service.client.post("/v1/uploads/batch", json=body)).json()["results"]
    assert [result["ok"] for result in results] == [False, True]
    assert results[0]["code"] == "not_found"


async def test_the_same_content_is_recognised(service: Service) -> None:
    content = b"only,once\n1,2\n"
    first, second = await uploaded(service, content), await uploaded(service, content)
    assert (first["duplicate_of"], second["duplicate_of"]) == (None, first["id"])
    found = (await service.client.get(f"/v1/uploads?sha256={first['sha256']}")).json()["uploads"]
    assert [upload["id"] for upload in found] == [second["id"], first["id"]]
    async with await service.account("copier") as other:
        assert (await other.get(f"/v1/uploads?sha256={first['sha256']}")).json()["uploads"] == []
        assert (await other.post("/v1/uploads", content=content)).json()["duplicate_of"] is None


async def test_a_rule_starts_a_job_for_its_type(service: Service) -> None:
    rule = {"type": ".TAB", "processor": "csv", "dataset": "ruled", "options": {"delimiter": "\t"}, "priority": 6}
    made = await service.client.post("/v1/rules", json=rule)
    assert made.status_code == 201, made.text
    assert (await service.client.get("/v1/rules")).json()["rules"] == [made.json()]
    upload = await uploaded(service, b"a\tb\n1\tx\n", "/v1/uploads?name=Data.tab")
    job = await settled(service.client, upload["jobs"][0])
    assert (job["state"], job["dataset"], job["priority"]) == ("completed", "ruled", 6)
    assert (await service.client.post("/v1/rules", json=rule)).status_code == 409
    async with await service.account("unruled") as other:
        assert (await other.post("/v1/uploads?name=d.tab", content=FILE)).json()["jobs"] == []
        assert (await other.delete(made.headers["Location"])).status_code == 404
    assert (await service.client.delete(made.headers["Location"])).status_code == 204
    assert (await uploaded(service, FILE, "/v1/uploads?name=Data.tab"))["jobs"] == []


async def test_a_rule_goes_by_media_type_where_no_suffix_has_one(service: Service) -> None:
    rule = {"type": "application/x-lines", "processor": "ndjson", "dataset": "by_media_type"}
    made = await service.client.post("/v1/rules", json=rule)
    headers = {"Content-Type": "application/x-lines; charset=utf-8"}
    upload = (await service.client.post("/v1/uploads", content=b'{"a": 1}\n', headers=headers)).json()
    assert (await settled(service.client, upload["jobs"][0]))["dataset"] == "by_media_type"
    await service.client.delete(made.headers["Location"])


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "csv", "processor": "csv", "dataset": "x"},
        {"type": ".csv", "processor": "none", "dataset": "x"},
        {"type": ".csv", "processor": "csv"},
        {"type": ".csv", "processor": "csv", "dataset": "x", "options": {"colour": 1}},
        {"type": ".csv", "processor": "echo"},
    ],
)
async def test_a_rule_that_could_never_work_is_refused(service: Service, rule: Json) -> None:
    assert (await service.client.post("/v1/rules", json=rule)).status_code == 422


async def test_a_file_may_be_put_under_its_name(service: Service) -> None:
    answer = await service.client.put("/v1/uploads/people.csv", content=FILE)
    assert (answer.status_code, answer.json()["name"]) == (201, "people.csv")
