"""A file loaded again beside its dataset: what would differ, then the two change places; and how a dataset goes."""

from __future__ import annotations

import pytest

from tests.conftest import StartService
from tests.integration.test_modes import FIRST, UPSERT, counts, plain
from tests.running import Service, eventually, imported, post_import, rows_of, settled, superuser

SECOND = b"id,name,score\n1,Ada,10\n2,Grace,22.5\n4,Edsger,40\n"


async def test_a_diff_says_what_is_added_removed_changed_and_the_same(service: Service) -> None:
    await imported(service.client, FIRST, "before")
    await imported(service.client, SECOND, "after")
    answer = await service.client.get("/v1/datasets/before/diff?with=after&keys=id")
    assert answer.json() == {
        "keys": ["id"],
        "counts": {"added": 1, "removed": 1, "changed": 1, "same": 1},
        "next_cursor": None,
        "rows": [
            {
                "change": "changed",
                "keys": {"id": 2},
                "columns": ["score"],
                "before": {"id": 2, "name": "Grace", "score": 20},
                "after": {"id": 2, "name": "Grace", "score": 22.5},
            },
            {
                "change": "removed",
                "keys": {"id": 3},
                "columns": [],
                "before": {"id": 3, "name": "Alan", "score": 30},
                "after": None,
            },
            {
                "change": "added",
                "keys": {"id": 4},
                "columns": [],
                "before": None,
                "after": {"id": 4, "name": "Edsger", "score": 40.0},
            },
        ],
    }


async def test_a_diff_is_paged_by_key(service: Service) -> None:
    rows = [b"%d,%s,x\n" % (n, name) for n in range(12) for name in (b"a", b"B", b"\xc3\xa4")]
    await imported(service.client, b"n,name,v\n" + b"".join(rows), "paged_one", mode="upsert", keys="n,name")
    changed = b"".join(row.replace(b"x", b"y") for row in rows[6:])
    await imported(service.client, b"n,name,v\n" + changed, "paged_two")
    seen, cursor, sizes = [], None, []
    while True:
        query = {"with": "paged_two", "limit": "7"} | ({"cursor": cursor} if cursor else {})
        page = (await service.client.get("/v1/datasets/paged_one/diff", params=query)).json()
        seen += [(row["keys"]["n"], row["keys"]["name"]) for row in page["rows"]]
        sizes.append(len(page["rows"]))
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sizes == [7, 7, 7, 7, 7, 1]
    assert sorted(seen) == sorted((n, name) for n in range(12) for name in ("a", "B", "ä"))


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 422, "missing_parameter"),
        ("?with=diff_b", 422, "missing_parameter"),
        ("?with=diff_b&keys=colour", 422, "invalid_keys"),
        ("?with=diff_b&keys=name", 422, "invalid_keys"),
        ("?with=diff_b&keys=score", 422, "keys_not_unique"),
        ("?with=nowhere&keys=id", 404, "not_found"),
        ("?with=diff_b&keys=id&cursor=x", 422, "invalid_cursor"),
    ],
)
async def test_a_diff_that_cannot_be_made_says_why(service: Service, query: str, status: int, code: str) -> None:
    async with superuser(service.database_url) as db:
        if not await db.fetchval("select count(*) from dataset where name = 'diff_b'"):
            await imported(service.client, b"id,name,score\n1,a,5\n2,b,5\n", "diff_a")
            await imported(service.client, b"id,name,score\n1,7,5\n2,8,5\n", "diff_b")
    answer = await service.client.get(f"/v1/datasets/diff_a/diff{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_stored_upload_is_loaded_again_beside_its_dataset_and_takes_its_place(service: Service) -> None:
    first = await imported(service.client, FIRST, "live", **UPSERT)
    body = {"processor": "csv", "upload_id": first["upload_id"], "dataset": "live_again", "options": {"header": True}}
    again = await settled(service.client, (await service.client.post("/v1/jobs", json=body)).json())
    assert again["counts"] == counts(inserted=3)
    await imported(service.client, b"id,name,score\n4,New,4\n", "live_again")
    diff = (await service.client.get("/v1/datasets/live/diff?with=live_again")).json()
    assert diff["counts"] == {"added": 1, "removed": 0, "changed": 0, "same": 3}

    answer = await service.client.post("/v1/datasets/live/swap", json={"with": "live_again"})
    assert [one["name"] for one in answer.json()["datasets"]] == ["live", "live_again"]
    assert (len(await plain(service.client, "live")), len(await plain(service.client, "live_again"))) == (4, 3)
    assert (await service.client.get(again["links"]["self"])).json()["dataset"] == "live"
    undo = await service.client.post(first["links"]["undo"])  # its rows went with the name
    assert (await settled(service.client, undo.json()))["output"]["removed"] == 3
    assert (len(await plain(service.client, "live")), len(await plain(service.client, "live_again"))) == (4, 0)


async def test_datasets_in_use_are_neither_swapped_nor_deleted(start_service: StartService) -> None:
    service = await start_service("api")
    await post_import(service.client, FIRST, "used")
    await post_import(service.client, FIRST, "idle")
    for answer in (
        await service.client.post("/v1/datasets/used/swap", json={"with": "idle"}),
        await service.client.delete("/v1/datasets/used"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_a_swap_with_itself_or_with_nothing_is_refused(service: Service) -> None:
    await imported(service.client, FIRST, "alone")
    for other, status in (("alone", 422), ("nobody", 404)):
        answer = await service.client.post("/v1/datasets/alone/swap", json={"with": other})
        assert answer.status_code == status


async def test_a_deleted_dataset_is_gone_and_its_name_is_free(start_service: StartService) -> None:
    service = await start_service()
    job = await imported(service.client, FIRST, "gone")
    assert (await service.client.delete("/v1/datasets/gone")).status_code == 204
    assert (await service.client.get("/v1/datasets/gone")).status_code == 404
    assert (await service.client.delete("/v1/datasets/gone")).status_code == 404
    assert (await service.client.get("/v1/datasets")).json()["datasets"] == []
    assert (await service.client.get(job["links"]["self"])).json()["counts"] == counts(inserted=3)
    assert (await service.client.post(job["links"]["undo"])).json()["code"] == "cannot_undo"
    async with superuser(service.database_url) as db:

        async def tables() -> bool:
            return await db.fetchval("select count(*) from pg_tables where schemaname = 'datasets'") == 0

        await eventually(tables)
    await imported(service.client, b"other\nx\n", "gone", header="true")
    assert [row["other"] for row in await rows_of(service.client, "gone")] == ["x"]


async def test_another_accounts_datasets_are_neither_compared_swapped_nor_deleted(service: Service) -> None:
    await imported(service.client, FIRST, "private")
    async with await service.account("stranger") as stranger:
        await imported(stranger, FIRST, "own")
        assert (await stranger.get("/v1/datasets/own/diff?with=private&keys=id")).status_code == 404
        assert (await stranger.post("/v1/datasets/own/swap", json={"with": "private"})).status_code == 404
        assert (await stranger.delete("/v1/datasets/private")).status_code == 404
    assert len(await rows_of(service.client, "private")) == 3
