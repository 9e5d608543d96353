"""How the rows of a file meet those a dataset has: added, matched by key, or in place of all of them."""

from __future__ import annotations

import httpx
import pytest

from tests.conftest import StartService
from tests.running import Json, Service, imported, rows_of

FIRST = b"id,name,score\n1,Ada,10\n2,Grace,20\n3,Alan,30\n"
UPSERT = {"mode": "upsert", "keys": "id"}


async def plain(client: httpx.AsyncClient, dataset: str) -> list[tuple[object, ...]]:
    """The rows without their lineage, in the order of their first column."""
    rows = await rows_of(client, dataset)
    return sorted(tuple(v for name, v in row.items() if not name.startswith("_")) for row in rows)


async def lineage(client: httpx.AsyncClient, dataset: str) -> dict[object, tuple[str, int]]:
    """By key, the job and row that a row is from."""
    return {row["id"]: (row["_job"], row["_row"]) for row in await rows_of(client, dataset)}


async def notes_of(client: httpx.AsyncClient, job: Json) -> list[Json]:
    answer = await client.get(job["links"]["notes"])
    assert answer.status_code == 200, answer.text
    return list(answer.json()["notes"])


async def rejects_of(client: httpx.AsyncClient, job: Json) -> list[Json]:
    return list((await client.get(job["links"]["rejects"])).json()["rejects"])


def counts(**given: int) -> Json:
    return {"read": sum(given.values()), "inserted": 0, "updated": 0, "skipped": 0, "rejected": 0} | given


async def test_an_upsert_inserts_updates_and_skips_and_says_how_many_of_each(service: Service) -> None:
    first = await imported(service.client, FIRST, "up", **UPSERT)
    assert (first["state"], first["counts"]) == ("completed", counts(inserted=3)), first["problem"]
    content = b"id,name,score\n2,Grace,21\n3,Alan,30\n4,Edsger,40\n"
    second = await imported(service.client, content, "up", **UPSERT)
    assert second["counts"] == counts(inserted=1, updated=1, skipped=1)
    assert second["outcome"] == "complete"
    assert await plain(service.client, "up") == [
        (1, "Ada", 10),
        (2, "Grace", 21),
        (3, "Alan", 30),
        (4, "Edsger", 40),
    ]
    assert await lineage(service.client, "up") == {
        1: (first["id"], 1),
        2: (second["id"], 1),
        3: (first["id"], 3),
        4: (second["id"], 3),
    }


async def test_update_changes_only_the_columns_that_the_file_has(service: Service) -> None:
    await imported(service.client, FIRST, "narrow", **UPSERT)
    job = await imported(service.client, b"id,score\n1,11\n9,90\n", "narrow", **UPSERT)
    assert job["counts"] == counts(inserted=1, updated=1), job["problem"]
    assert await plain(service.client, "narrow") == [
        (1, "Ada", 11),
        (2, "Grace", 20),
        (3, "Alan", 30),
        (9, None, 90),
    ]


async def test_replace_on_conflict_leaves_nothing_of_the_row_that_was_there(service: Service) -> None:
    await imported(service.client, FIRST, "whole", **UPSERT)
    job = await imported(service.client, b"id,score\n1,11\n", "whole", **UPSERT, on_conflict="replace")
    assert job["counts"] == counts(updated=1)
    assert (await plain(service.client, "whole"))[0] == (1, None, 11)


async def test_skip_on_conflict_leaves_the_row_that_was_there(service: Service) -> None:
    await imported(service.client, FIRST, "left", **UPSERT)
    content = b"id,name,score\n1,Other,11\n4,New,4\n4,Newer,5\n"
    job = await imported(service.client, content, "left", **UPSERT, on_conflict="skip")
    assert job["counts"] == counts(inserted=1, skipped=2)
    rows = await plain(service.client, "left")
    assert (rows[0], rows[-1]) == ((1, "Ada", 10), (4, "New", 4))


@pytest.mark.parametrize("chunk_bytes", [1, 1_000_000])
async def test_of_two_rows_with_one_key_the_later_one_counts_and_is_noted(
    start_service: StartService, chunk_bytes: int
) -> None:
    service = await start_service(chunk_bytes=chunk_bytes)
    await imported(service.client, b"id,name\n1,stored\n", "twice", **UPSERT)
    content = b"id,name\n1,a\n2,b\n1,c\n2,b\n1,c\n2,d\n"
    job = await imported(service.client, content, "twice", **UPSERT)
    assert job["counts"] == counts(inserted=1, updated=3, skipped=2)
    assert await plain(service.client, "twice") == [(1, "c"), (2, "d")]
    assert await lineage(service.client, "twice") == {1: (job["id"], 3), 2: (job["id"], 6)}
    assert job["notes"] == 4
    notes = [
        (note["row"], note["code"], note["other_row"], note["keys"]) for note in await notes_of(service.client, job)
    ]
    assert notes == [
        (3, "duplicate_in_file", 1, {"id": 1}),
        (4, "duplicate_in_file", 2, {"id": 2}),
        (5, "duplicate_in_file", 3, {"id": 1}),
        (6, "duplicate_in_file", 2, {"id": 2}),
    ]


async def test_a_row_without_a_key_is_refused(service: Service) -> None:
    await imported(service.client, FIRST, "nameless", **UPSERT)
    job = await imported(service.client, b"id,name,score\n1,x,1\n,y,2\n7,z,3\n", "nameless", **UPSERT)
    assert job["counts"] == counts(inserted=1, updated=1, rejected=1)
    (reject,) = await rejects_of(service.client, job)
    assert (reject["row"], reject["code"]) == (2, "key_missing")
    assert '"y"' in reject["raw"]


async def test_a_key_of_several_columns_of_any_type(service: Service) -> None:
    first = b"day,who,n\n2026-01-01,a,1\n2026-01-01,b,2\n2026-01-02,a,3\n"
    await imported(service.client, first, "compound", mode="upsert", keys='["who","day"]')
    job = await imported(service.client, b"day,who,n\n2026-01-01,b,5\n", "compound", mode="upsert", keys="day,who")
    assert job["counts"] == counts(updated=1), job["problem"]
    assert (await plain(service.client, "compound"))[1] == ("2026-01-01", "b", 5)


async def test_what_is_appended_to_a_dataset_with_a_key_must_be_new(service: Service) -> None:
    await imported(service.client, FIRST, "keyed", **UPSERT)
    job = await imported(service.client, b"id,name,score\n3,x,1\n5,y,2\n5,z,3\n", "keyed")
    assert job["counts"] == counts(inserted=1, rejected=2)
    assert [(r["row"], r["code"]) for r in await rejects_of(service.client, job)] == [
        (1, "not_unique"),
        (3, "not_unique"),
    ]
    assert (await plain(service.client, "keyed"))[-1] == (5, "y", 2)


async def test_a_dataset_that_holds_a_key_twice_takes_no_upsert_and_says_which(service: Service) -> None:
    await imported(service.client, b"id,name\n1,a\n1,b\n2,c\n", "doubled")
    job = await imported(service.client, b"id,name\n1,a\n", "doubled", **UPSERT)
    assert (job["state"], job["problem"]["code"]) == ("failed", "keys_not_unique")
    assert "id=1" in job["problem"]["message"]
    assert len(await rows_of(service.client, "doubled")) == 3


@pytest.mark.parametrize(
    ("keys", "named"), [("name", "The key of this dataset is id"), ("colour", "The file has no column colour")]
)
async def test_keys_that_do_not_fit_fail_the_job(service: Service, keys: str, named: str) -> None:
    await imported(service.client, FIRST, "fits", **UPSERT)
    job = await imported(service.client, FIRST, "fits", mode="upsert", keys=keys)
    assert (job["state"], job["problem"]["code"]) == ("failed", "invalid_keys")
    assert named in job["problem"]["message"]


@pytest.mark.parametrize(
    "options",
    [{"mode": "upsert"}, {"mode": "append", "keys": "id"}, {"mode": "merge"}, UPSERT | {"on_conflict": "die"}],
)
async def test_options_that_make_no_sense_are_refused_at_the_submit(service: Service, options: Json) -> None:
    query = {"processor": "csv", "dataset": "refused"} | options
    answer = await service.client.post("/v1/imports", params=query, content=FIRST)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_options")
