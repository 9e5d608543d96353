"""A preview says what an import would do, and its counts are those of the import; it writes nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartService
from tests.running import ROOT, Json, Service, eventually, imported, rows_of, settled

PEOPLE = b"Full Name;Born;Age\nAda;1815-12-10;36\nGrace;1906-12-09;85\nAnn;1990-01-31;x\n"
SAMPLES = [
    pytest.param(folder, path, id=f"{folder}/{path.name}")
    for folder in ("csv", "ndjson")
    for path in sorted((ROOT / "tests" / "samples" / folder).glob("*"))
    if not path.name.endswith(".expected.json")
]


async def uploaded(client: httpx.AsyncClient, content: bytes, name: str = "people.csv") -> str:
    answer = await client.post("/v1/uploads", params={"name": name}, content=content)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["id"]
    return found


async def previewed(client: httpx.AsyncClient, body: Json) -> Json:
    answer = await client.post("/v1/previews", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def test_a_preview_shows_dialect_columns_rows_counts_and_rejects(service: Service) -> None:
    content = PEOPLE + b"".join(b"n;2000-01-01;%d\n" % n for n in range(100))
    told = await previewed(service.client, {"upload_id": await uploaded(service.client, content)})
    assert told["processor"] == "csv"
    assert (told["dialect"]["delimiter"], told["encoding"], told["header"]) == (
        ";", "utf-8", ["Full Name", "Born", "Age"],
    )  # fmt: skip
    name, born, age = told["columns"]
    assert (name["name"], name["type"], name["source"]) == ("full_name", "text", "Full Name")
    assert (born["name"], born["type"], born["values"][0]) == ("born", "date", "1815-12-10")
    assert (age["type"], age["exceptions"]) == ("integer", ["x"])
    assert 0.9 < age["confidence"] < 1
    assert told["counts"] == {"read": 103, "inserted": 102, "updated": 0, "skipped": 0, "rejected": 1}
    assert told["rows"][0] == {"_row": 1, "full_name": "Ada", "born": "1815-12-10", "age": 36}
    assert [row["_row"] for row in told["rows"]][:3] == [1, 2, 4]
    (reject,) = told["rejects"]
    assert (reject["row"], reject["column"], reject["code"]) == (3, "age", "not_an_integer")
    assert told["is_whole"] is True


async def test_a_preview_writes_nothing_and_is_not_listed(service: Service) -> None:
    upload_id = await uploaded(service.client, PEOPLE)
    datasets = (await service.client.get("/v1/datasets")).json()
    told = await previewed(service.client, {"upload_id": upload_id, "dataset": "nowhere"})
    assert told["dataset"] == {"name": "nowhere", "exists": False}
    assert (await service.client.get("/v1/datasets")).json() == datasets
    listed = [job["id"] for job in (await service.client.get("/v1/jobs")).json()["jobs"]]
    assert told["job_id"] not in listed
    previews = [job["id"] for job in (await service.client.get("/v1/jobs?queue=preview")).json()["jobs"]]
    assert told["job_id"] in previews
    assert (await service.client.get(f"/v1/uploads/{upload_id}")).status_code == 200


async def test_the_beginning_of_a_file_as_the_body_is_not_kept(service: Service) -> None:
    before = service.files
    answer = await service.client.post(
        "/v1/previews", params={"dataset": "nowhere", "header": "true", "scope": "file"}, content=PEOPLE
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["counts"]["read"] == 3
    await eventually(lambda: service.files == before)
    uploads = (await service.client.get("/v1/uploads")).json()["uploads"]
    assert all(upload["size_bytes"] != len(PEOPLE) or upload["name"] == "people.csv" for upload in uploads)


@pytest.mark.parametrize(("folder", "path"), SAMPLES)
async def test_the_counts_equal_those_of_the_import(service: Service, folder: str, path: Path) -> None:
    expected = json.loads(path.with_name(path.name + ".expected.json").read_text())
    options = expected.get("options", {})
    upload_id = await uploaded(service.client, path.read_bytes(), path.name)
    asked = {"upload_id": upload_id, "processor": folder, "options": options}
    dataset = re.sub(r"[^a-z0-9]+", "_", f"as_{folder}_{path.name}".lower())[:48]
    answer = await service.client.post("/v1/previews", json=asked | {"scope": "file", "dataset": dataset}, timeout=60)
    queued = await service.client.post("/v1/jobs", json=asked | {"dataset": dataset})
    job = await settled(service.client, queued.json())
    if job["state"] == "failed":
        assert (answer.status_code, answer.json()["code"]) == (422, job["problem"]["code"])
        return
    told = answer.json()
    assert told["counts"] == job["counts"]
    shown = (await service.client.get(f"/v1/datasets/{dataset}")).json()["columns"]
    assert [{key: column[key] for key in known} for column, known in zip(told["columns"], shown, strict=True)] == shown
    rows = await rows_of(service.client, dataset)
    assert [row["_row"] for row in told["rows"]] == [row["_row"] for row in rows[:20]]


async def test_a_preview_into_a_dataset_that_is_there_uses_its_columns(service: Service) -> None:
    await imported(service.client, b"n\n1\n", "is_there")
    upload_id = await uploaded(service.client, b"n\n2\nx\n")
    told = await previewed(service.client, {"upload_id": upload_id, "dataset": "is_there"})
    assert told["dataset"] == {"name": "is_there", "exists": True}
    assert told["counts"] == {"read": 2, "inserted": 1, "updated": 0, "skipped": 0, "rejected": 1}


async def test_a_sample_is_the_beginning_and_the_whole_file_is_all_of_it(service: Service) -> None:
    content = b"n,text\n" + b"".join(b"%d,%s\n" % (n, b"x" * 90) for n in range(40_000))
    upload_id = await uploaded(service.client, content)
    sample = await previewed(service.client, {"upload_id": upload_id})
    assert 0 < sample["counts"]["read"] < 40_000
    assert sample["is_whole"] is False
    whole = await previewed(service.client, {"upload_id": upload_id, "scope": "file"})
    assert (whole["counts"]["read"], whole["is_whole"]) == (40_000, True)


async def test_a_preview_tells_what_would_stop_the_import(service: Service) -> None:
    upload_id = await uploaded(service.client, b"n\n1\nx\ny\n")
    await imported(service.client, b"n\n1\n", "stopping")
    told = await previewed(
        service.client, {"upload_id": upload_id, "dataset": "stopping", "options": {"max_rejects": 1}}
    )
    assert told["problem"]["code"] == "too_many_rejects"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"processor": "nothing"}, 422, "unknown_processor"),
        ({"processor": "echo"}, 422, "no_upload_wanted"),
        ({"options": {"colour": "red"}}, 422, "invalid_options"),
        ({"dataset": "No!"}, 422, "invalid_dataset_name"),
        ({"scope": "half"}, 422, "invalid_request"),
        ({"upload_id": "123e4567-e89b-12d3-a456-426614174000"}, 404, "not_found"),
    ],
)
async def test_a_preview_that_cannot_be_is_refused(service: Service, body: Json, status: int, code: str) -> None:
    upload_id = await uploaded(service.client, PEOPLE)
    answer = await service.client.post("/v1/previews", json={"upload_id": upload_id} | body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_body_over_one_mebibyte_is_refused(service: Service) -> None:
    answer = await service.client.post("/v1/previews", content=b"a,b\n" * 300_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_another_accounts_upload_is_not_previewed(service: Service) -> None:
    upload_id = await uploaded(service.client, PEOPLE)
    async with await service.account("peeping") as peeping:
        answer = await peeping.post("/v1/previews", json={"upload_id": upload_id})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_preview_without_a_worker_is_answered_with_its_place(start_service: StartService) -> None:
    service = await start_service("api")
    answer = await service.client.post("/v1/previews", content=PEOPLE, headers={"Prefer": "wait=0"})
    assert answer.status_code == 202
    job = (await service.client.get(answer.headers["Location"])).json()
    assert (job["state"], job["queue"]) == ("queued", "preview")


async def test_the_line_that_a_cut_body_ends_in_does_not_count(service: Service) -> None:
    params = {"cut": "yes", "header": "true", "scope": "file"}
    answer = await service.client.post("/v1/previews", params=params, content=b"n,t\n1,a\n2,b\n3")
    assert answer.json()["counts"] == {"read": 2, "inserted": 2, "updated": 0, "skipped": 0, "rejected": 0}


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "upsert", "keys": ["id"]},
        {"mode": "upsert", "keys": ["id"], "on_conflict": "skip"},
        {"mode": "upsert", "keys": ["id"], "on_conflict": "replace"},
        {"mode": "append"},
        {"mode": "replace"},
        {"mode": "replace", "keys": ["id"]},
    ],
)
@pytest.mark.parametrize("exists", [True, False])
async def test_counts_by_key_equal_those_of_the_import(service: Service, options: Json, exists: bool) -> None:
    dataset = f"keyed_{options['mode']}_{options.get('on_conflict', '')}_{len(options)}_{exists}".lower()
    if exists:
        first = {"mode": "upsert", "keys": "id"}
        await imported(service.client, b"id,n\n1,10\n2,20\n3,30\n", dataset, **first)
    before = await rows_of(service.client, dataset) if exists else []
    content = b"id,n\n1,10\n2,21\n4,40\n4,41\n5,50\n5,50\n,60\n7,x\n"
    types = {"types": {"id": "integer", "n": "integer"}}
    upload_id = await uploaded(service.client, content)
    asked = {"upload_id": upload_id, "dataset": dataset, "options": options | types}
    told = await previewed(service.client, asked | {"scope": "file"})
    if exists:
        assert await rows_of(service.client, dataset) == before
    job = await settled(
        service.client, (await service.client.post("/v1/jobs", json=asked | {"processor": "csv"})).json()
    )
    assert job["state"] == "completed", job["problem"]
    assert told["counts"] == job["counts"]
    rejects = (await service.client.get(job["links"]["rejects"])).json()["rejects"]
    assert [(r["row"], r["code"]) for r in told["rejects"]] == [(r["row"], r["code"]) for r in rejects]


async def test_keys_that_the_dataset_does_not_have_are_told(service: Service) -> None:
    await imported(service.client, b"id,n\n1,10\n", "other_key", mode="upsert", keys="id")
    upload_id = await uploaded(service.client, b"id,n\n1,10\n")
    for keys in (["n"], ["colour"]):
        body = {"upload_id": upload_id, "dataset": "other_key", "options": {"mode": "upsert", "keys": keys}}
        answer = await service.client.post("/v1/previews", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_keys")
