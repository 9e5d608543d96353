"""Values that must be unique, or be in another dataset: over HTTP, whatever the chunks, and after a restart."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests import running
from tests.conftest import StartService
from tests.running import Json, Servers, Service, eventually, imported, post_import, rows_of, settled

UNIQUE = json.dumps([{"name": "email", "unique": True}])


@pytest.fixture(scope="module")
async def service(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service whose chunks are a few rows."""
    async with running.service(servers, tmp_path_factory.mktemp("service"), chunk_bytes=64) as started:
        yield started


async def rejects_of(service: Service, job: Json) -> list[tuple[int, list[tuple[Any, str]]]]:
    answer = (await service.client.get(job["links"]["rejects"], params={"limit": 1000})).json()
    return [
        (r["row"], [(f["column"], f["code"]) for f in r.get("faults") or []] or [(r["column"], r["code"])])
        for r in answer["rejects"]
    ]


async def test_a_value_is_taken_once_from_a_file_and_beside_those_there(service: Service) -> None:
    emails = ["a", "b", "a", "c", "", "b", "", *(f"x{n}" for n in range(40)), "x3", "a"]
    content = ("email,n\n" + "".join(f"{email},{n}\n" for n, email in enumerate(emails))).encode()
    job = await imported(service.client, content, "people", columns=UNIQUE)
    assert await rejects_of(service, job) == [(n, [("email", "duplicate_value")]) for n in (3, 6, 48, 49)]
    assert job["counts"] == {"read": 49, "inserted": 45, "updated": 0, "skipped": 0, "rejected": 4}
    again = await imported(service.client, b"email,n\nc,1\nnew,2\nnew,3\n", "people", columns=UNIQUE)
    assert await rejects_of(service, again) == [
        (1, [("email", "duplicate_value")]),
        (3, [("email", "duplicate_value")]),
    ]
    plain = await imported(service.client, b"email,n\nc,1\n", "people")
    assert plain["counts"]["inserted"] == 1


async def test_a_refused_row_takes_no_value_from_the_others(service: Service) -> None:
    specs = json.dumps([{"name": "a", "unique": True}, {"name": "b", "unique": True}])
    job = await imported(service.client, b"a,b\n1,1\n1,2\n3,2\n3,2\n", "pairs", columns=specs)
    assert await rejects_of(service, job) == [
        (2, [("a", "duplicate_value")]),
        (4, [("a", "duplicate_value"), ("b", "duplicate_value")]),
    ]


async def test_an_upsert_may_bring_a_row_its_own_unique_value_again(service: Service) -> None:
    asked = {"mode": "upsert", "keys": "id", "columns": UNIQUE}
    await imported(service.client, b"id,email\n1,a\n2,b\n", "users", **asked)
    job = await imported(service.client, b"id,email\n1,a\n2,a\n3,c\n3,c\n", "users", **asked)
    assert await rejects_of(service, job) == [(2, [("email", "duplicate_value")])]
    assert {(row["id"], row["email"]) for row in await rows_of(service.client, "users")} == {
        (1, "a"),
        (2, "b"),
        (3, "c"),
    }


async def test_a_replace_is_unique_in_itself(service: Service) -> None:
    await imported(service.client, b"email\na\n", "replaced", header="true")
    job = await imported(service.client, b"email\na\nb\na\n", "replaced", header="true", mode="replace", columns=UNIQUE)
    assert await rejects_of(service, job) == [(3, [("email", "duplicate_value")])]


async def test_a_reference_must_be_there(service: Service) -> None:
    await imported(service.client, b"code,name\n10,ten\n20,twenty\n", "countries")
    specs = json.dumps([{"name": "country", "references": {"dataset": "countries", "column": "code"}}])
    job = await imported(service.client, b"id,country\n1,10\n2,30\n3,\n4,20\n", "cities", columns=specs)
    assert await rejects_of(service, job) == [(2, [("country", "unknown_reference")])]
    text = await imported(service.client, b"id,country\n1,10\n2,x\n", "towns", columns=specs, types='{"id": "text"}')
    assert await rejects_of(service, text) == [(2, [("country", "unknown_reference")])]


@pytest.mark.parametrize(
    ("dataset", "column", "code"), [("nowhere", "a", "not_found"), ("here", "a", "unknown_column")]
)
async def test_a_reference_to_nothing_fails_the_job(service: Service, dataset: str, column: str, code: str) -> None:
    await imported(service.client, b"x,y\n1,2\n", "here")
    specs = json.dumps([{"name": "n", "references": {"dataset": dataset, "column": column}}])
    job = await imported(service.client, b"n,k\n1,2\n", "failing", columns=specs)
    assert (job["state"], job["problem"]["code"]) == ("failed", code)


async def test_options_that_make_no_sense_are_refused_with_422(service: Service) -> None:
    answer = await service.client.post(
        "/v1/imports", params={"processor": "csv", "dataset": "none", "columns": '[{"name": "A b"}]'}, content=b"a\n"
    )
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_options"
    assert "'a_b' can" in answer.json()["detail"]


async def test_a_killed_worker_leaves_no_value_twice(start_service: StartService) -> None:
    service = await start_service("api", lease_s=2.0, chunk_bytes=2048)
    worker = await service.worker()
    rows = 6_000
    content = ("email,n\n" + "".join(f"e{n % 4000},{n}\n" for n in range(rows))).encode()
    job = await post_import(service.client, content, "people", columns=UNIQUE)

    async def has_begun() -> bool:
        return bool((await service.client.get(job["links"]["self"])).json()["counts"]["read"])

    await eventually(has_begun)
    worker.kill()
    await service.worker()
    job = await settled(service.client, job, timeout_s=60)
    assert job["counts"] == {"read": rows, "inserted": 4_000, "updated": 0, "skipped": 0, "rejected": 2_000}
