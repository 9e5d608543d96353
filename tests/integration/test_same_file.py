"""Content that was imported before is not imported again by accident: the job that did it is the answer."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest

from tests.running import Json, Service, imported, rows_of, settled

ONE = b"a,b\n1,x\n"


async def post(
    client: httpx.AsyncClient, dataset: str, content: bytes = ONE, headers: Mapping[str, str] | None = None, **more: str
) -> httpx.Response:
    params = {"processor": "csv", "dataset": dataset} | more
    return await client.post("/v1/imports", params=params, content=content, headers=headers)


async def test_the_same_content_is_answered_with_the_job_that_imported_it(service: Service) -> None:
    first = await imported(service.client, ONE, "same")
    files = service.files
    answer = await post(service.client, "same")
    assert (answer.status_code, answer.json()["id"]) == (200, first["id"])
    assert answer.json()["duplicate_of"] == first["id"]
    assert answer.headers["Content-Location"] == f"/v1/jobs/{first['id']}"
    assert len(await rows_of(service.client, "same")) == 1
    assert service.files == files


async def test_again_imports_it_once_more(service: Service) -> None:
    await imported(service.client, ONE, "again")
    answer = await post(service.client, "again", again="true")
    assert (answer.status_code, answer.json()["duplicate_of"]) == (202, None)
    await settled(service.client, answer.json())
    assert len(await rows_of(service.client, "again")) == 2


@pytest.mark.parametrize(
    ("dataset", "content", "more"),
    [
        ("differs_elsewhere", ONE, {}),
        ("differs", b"a,b\n1,y\n", {}),
        ("differs", ONE, {"header": "true"}),
        ("differs", ONE, {"run_at": "2020-01-01T00:00:00Z"}),
    ],
)
async def test_another_content_dataset_or_option_is_another_import(
    service: Service, dataset: str, content: bytes, more: Json
) -> None:
    await imported(service.client, ONE, "differs")
    answer = await post(service.client, dataset, content, **more)
    assert answer.status_code == 202
    await settled(service.client, answer.json())


async def test_a_file_uploaded_twice_is_offered_and_the_same_upload_named_again_is_run(service: Service) -> None:
    first = await imported(service.client, ONE, "by_upload")
    upload = (await service.client.post("/v1/uploads", content=ONE)).json()
    body = {"processor": "csv", "upload_id": upload["id"], "dataset": "by_upload"}
    offered = await service.client.post("/v1/jobs", json=body)
    assert (offered.status_code, offered.json()["duplicate_of"]) == (200, first["id"])
    rerun = await service.client.post("/v1/jobs", json=body | {"upload_id": first["upload_id"]})
    assert rerun.status_code == 202
    await settled(service.client, rerun.json())
    assert (await service.client.post("/v1/jobs", json=body | {"again": True})).status_code == 202


async def test_an_idempotency_key_stands_for_the_job_that_was_offered(service: Service) -> None:
    first = await imported(service.client, ONE, "keyed")
    for _ in range(2):
        answer = await post(service.client, "keyed", headers={"Idempotency-Key": "twice"})
        assert (answer.status_code, answer.json()["id"]) == (200, first["id"])
    other = await post(service.client, "keyed", b"a,b\n2,y\n", headers={"Idempotency-Key": "twice"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


async def test_what_failed_or_was_undone_is_imported_again(service: Service) -> None:
    await imported(service.client, b"a\n1\n", "undone")
    failed = await imported(service.client, ONE, "undone")
    assert failed["state"] == "failed"
    assert (await post(service.client, "undone")).status_code == 202
    done = await imported(service.client, b"a\n2\n", "undone")
    undo = await service.client.post(f"/v1/jobs/{done['id']}/undo")
    await settled(service.client, undo.json())
    assert (await post(service.client, "undone", b"a\n2\n")).status_code == 202


async def test_another_accounts_import_is_no_answer(service: Service) -> None:
    await imported(service.client, ONE, "foreign")
    async with await service.account("copycat") as copycat:
        answer = await post(copycat, "foreign")
        assert answer.status_code == 202
        await settled(copycat, answer.json())
