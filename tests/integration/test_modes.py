"""How the rows of a file meet those a dataset has: added, matched by key, or in place of all of them."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.conftest import StartService
from tests.running import Json, Service, eventually, imported, post_import, rows_of, settled, superuser

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


async def test_a_replace_puts_its_rows_in_place_of_all_others(service: Service) -> None:
    await imported(service.client, FIRST, "anew")
    job = await imported(service.client, b"id,name,score\n7,New,70\n", "anew", mode="replace")
    assert (job["state"], job["counts"]) == ("completed", counts(inserted=1)), job["problem"]
    assert await plain(service.client, "anew") == [(7, "New", 70)]
    appended = await imported(service.client, b"id,name,score\n8,More,80\n", "anew")
    assert appended["counts"] == counts(inserted=1)
    assert len(await plain(service.client, "anew")) == 2
    assert (await service.client.get("/v1/datasets/anew/export")).content == b"id,name,score\n7,New,70\n8,More,80\n"


async def test_a_replace_may_give_the_dataset_a_key(service: Service) -> None:
    await imported(service.client, b"id,name\n1,a\n1,b\n", "rekeyed")
    job = await imported(service.client, b"id,name\n1,a\n1,b\n2,c\n", "rekeyed", mode="replace", keys="id")
    assert job["counts"] == counts(inserted=2, updated=1)
    assert await plain(service.client, "rekeyed") == [(1, "b"), (2, "c")]
    assert (await service.client.get("/v1/datasets/rekeyed")).json()["keys"] == ["id"]
    assert (await imported(service.client, b"id,name\n2,d\n", "rekeyed", **UPSERT))["counts"] == counts(updated=1)


def lines(first: int, last: int) -> bytes:
    return b"id,name\n" + b"".join(b"%d,row %d\n" % (n, n) for n in range(first, last + 1))


async def test_readers_see_the_old_rows_until_a_replace_is_complete(start_service: StartService) -> None:
    service = await start_service(chunk_bytes=4096)
    await imported(service.client, lines(1, 10), "whole")
    job = await post_import(service.client, lines(1, 60_000), "whole", mode="replace")
    seen = set()
    while True:
        ended = (await service.client.get(job["links"]["self"])).json()["state"] == "completed"
        page = (await service.client.get("/v1/datasets/whole/rows?limit=1000")).json()
        seen.add(len(page["rows"]))
        if ended:
            break
    assert seen == {10, 1000}


@pytest.mark.parametrize("how", ["cancelled", "failed"])
async def test_a_replace_that_does_not_complete_leaves_the_old_rows(start_service: StartService, how: str) -> None:
    service = await start_service(chunk_bytes=2048, keep_failed_s=0)
    await imported(service.client, FIRST, "stays")
    if how == "failed":
        job = await imported(service.client, b"id,colour\n1,red\n", "stays", mode="replace")
    else:
        content = b"id,name,score\n" + b"".join(b"%d,a,1\n" % n for n in range(200_000))
        job = await post_import(service.client, content, "stays", mode="replace")
        await eventually_read(service, job)
        await service.client.post(f"{job['links']['self']}/cancel")
        job = await settled(service.client, job)
    assert job["state"] == how
    assert len(await rows_of(service.client, "stays")) == 3
    async with superuser(service.database_url) as db:

        async def tables() -> bool:
            return await db.fetchval("select count(*) from pg_tables where schemaname = 'datasets'") == 1

        await eventually(tables)


async def eventually_read(service: Service, job: Json, rows: int = 1) -> Json:
    async def look() -> Json:
        shown: Json = (await service.client.get(job["links"]["self"])).json()
        return shown if shown["counts"]["read"] >= rows else {}

    return await eventually(look)


async def test_nobody_writes_into_a_dataset_while_it_is_replaced(start_service: StartService) -> None:
    service = await start_service(chunk_bytes=2048)
    await imported(service.client, FIRST, "taken")
    content = b"id,name,score\n" + b"".join(b"%d,a,1\n" % n for n in range(1000, 31_000))
    job = await post_import(service.client, content, "taken", mode="replace")
    await eventually_read(service, job)
    await service.client.post(f"{job['links']['self']}/pause")
    append = await post_import(service.client, b"id,name,score\n4,x,1\n", "taken")

    async def waits() -> Json:
        shown: Json = (await service.client.get(append["links"]["self"])).json()
        return shown if shown["state"] == "retrying" else {}

    waiting = await eventually(waits)
    assert (waiting["problem"]["code"], waiting["attempt"]) == ("dataset_busy", 1)
    assert job["id"] in waiting["problem"]["message"]
    await service.client.post(f"{job['links']['self']}/resume")
    assert (await settled(service.client, job))["state"] == "completed"
    assert (await settled(service.client, append))["counts"] == counts(inserted=1)
    assert len(await rows_of(service.client, "taken")) == 30_001


async def test_a_replace_waits_for_those_who_write(start_service: StartService) -> None:
    service = await start_service(chunk_bytes=2048)
    append = await post_import(service.client, lines(1, 30_000), "queue")
    await eventually_read(service, append)
    await service.client.post(f"{append['links']['self']}/pause")
    job = await post_import(service.client, lines(1, 5), "queue", mode="replace")

    async def waits() -> bool:
        return bool((await service.client.get(job["links"]["self"])).json()["state"] == "retrying")

    await eventually(waits)
    await service.client.post(f"{append['links']['self']}/resume")
    assert (await settled(service.client, append))["counts"] == counts(inserted=30_000)
    assert (await settled(service.client, job))["state"] == "completed"
    assert len(await rows_of(service.client, "queue")) == 5


async def test_two_upserts_of_the_same_rows_at_once_both_end_well(start_service: StartService) -> None:
    service = await start_service(chunk_bytes=2048)
    await imported(service.client, b"id,name\n0,x\n", "both", **UPSERT)
    up = b"id,name\n" + b"".join(b"%d,up %d\n" % (n, n) for n in range(5000))
    down = b"id,name\n" + b"".join(b"%d,down %d\n" % (n, n) for n in reversed(range(5000)))
    jobs = await asyncio.gather(*(post_import(service.client, one, "both", **UPSERT) for one in (up, down, up)))
    ended = [await settled(service.client, job) for job in jobs]
    assert [(job["state"], job["attempt"], job["counts"]["read"]) for job in ended] == [("completed", 1, 5000)] * 3
    assert sum(job["counts"]["inserted"] for job in ended) == 4999
    assert len(await rows_of(service.client, "both")) == 5000


async def test_a_cancelled_upsert_that_removes_its_rows_leaves_all_as_it_was(start_service: StartService) -> None:
    service = await start_service(chunk_bytes=2048)
    await imported(service.client, lines(1, 3_000), "back", **UPSERT)
    before = await rows_of(service.client, "back")
    content = b"id,name\n" + b"".join(b"%d,changed\n" % n for n in range(2_000, 90_000))
    job = await post_import(service.client, content, "back", **UPSERT)
    await eventually_read(service, job)
    await service.client.post(f"{job['links']['self']}/cancel?rows=remove")
    job = await settled(service.client, job)
    assert (job["state"], job["counts"]) == ("cancelled", counts())
    assert await rows_of(service.client, "back") == before


async def test_any_column_name_can_be_a_key(service: Service) -> None:
    names = "at,row,effect,staged,keys,previous,table"
    for data in (f"{names}\n1,2,3,4,5,6,7\n", f"{names}\n1,2,3,4,5,6,8\n1,2,3,4,5,9,9\n"):
        job = await imported(
            service.client, data.encode(), "odd_names", mode="upsert", keys="at,row,effect,staged,keys"
        )
    assert (job["counts"]["inserted"], job["counts"]["updated"]) == (0, 2)
    [row] = await rows_of(service.client, "odd_names")
    assert (row["previous"], row["table"]) == (9, 9)


async def test_newer_rows_win_whatever_the_order_of_the_imports(service: Service) -> None:
    given = UPSERT | {"on_conflict": "newer", "newer_by": "changed"}
    older, newer = b"id,name,changed\n1,old,2024-01-01\n", b"id,name,changed\n1,new,2024-06-01\n2,x,\n"
    for dataset, files in {"older_first": (older, newer), "newer_first": (newer, older)}.items():
        jobs = [await imported(service.client, file, dataset, **given) for file in files]
        assert [row[1] for row in await plain(service.client, dataset)] == ["new", "x"], jobs
    assert jobs[1]["counts"] == counts(skipped=1)


async def test_a_row_that_only_has_the_same_key_is_left_out_and_noted(service: Service) -> None:
    given = UPSERT | {"conflict_on": "kind"}
    first = await imported(service.client, b"id,kind,v\n1,a,1\n", "apart", **given)
    job = await imported(service.client, b"id,kind,v\n1,b,2\n1,a,3\n2,b,4\n2,a,5\n", "apart", **given)
    assert job["counts"] == counts(inserted=1, updated=1, skipped=2), job["problem"]
    assert await plain(service.client, "apart") == [(1, "a", 3), (2, "b", 4)]
    notes = [note for note in await notes_of(service.client, job) if note["code"] == "conflict"]
    assert [(note["row"], note["other_job"], note["other_row"], note["keys"]) for note in notes] == [
        (1, first["id"], 1, {"id": 1}),
        (4, None, 3, {"id": 2}),
    ]
    assert "something else" in notes[0]["message"]


@pytest.mark.parametrize(
    ("options", "code"),
    [({"on_conflict": "newer", "newer_by": "age"}, "unknown_column"), ({"conflict_on": "x"}, "unknown_column")],
)
async def test_columns_to_judge_by_have_to_be_there(service: Service, options: Json, code: str) -> None:
    job = await imported(service.client, FIRST, f"judged_{len(options)}", **UPSERT, **options)
    assert job["problem"]["code"] == code
    query = {"processor": "csv", "dataset": "judged", "mode": "upsert", "keys": "id", "on_conflict": "newer"}
    answer = await service.client.post("/v1/imports", params=query, content=FIRST)
    assert "newer_by" in answer.json()["detail"]
