"""What an import has done can be undone, by a job of its own; what others have changed since is kept and named."""

from __future__ import annotations

import httpx
import pytest

from tests.conftest import StartService
from tests.integration.test_modes import FIRST, UPSERT, counts, lines, notes_of, plain
from tests.running import Json, Service, eventually, imported, post_import, rows_of, settled, superuser


async def undone(client: httpx.AsyncClient, job: Json) -> Json:
    """Undo a job; the undo once it has ended."""
    answer = await client.post(job["links"]["undo"])
    assert answer.status_code == 202, answer.text
    return await settled(client, answer.json())


async def refused(client: httpx.AsyncClient, job: Json) -> str:
    """The code with which an undo is refused."""
    answer = await client.post(job["links"]["undo"])
    assert answer.status_code == 409, answer.text
    shown = (await client.get(job["links"]["undo"])).json()
    assert (shown["possible"], shown["code"]) == (False, answer.json()["code"])
    return str(answer.json()["code"])


async def test_the_undo_of_an_append_removes_its_rows_and_no_others(service: Service) -> None:
    await imported(service.client, FIRST, "appended")
    before = await rows_of(service.client, "appended")
    job = await imported(service.client, FIRST, "appended")
    assert (await service.client.get(job["links"]["undo"])).json() == {"possible": True}
    undo = await undone(service.client, job)
    assert (undo["state"], undo["processor"], undo["input"]) == ("completed", "undo", {"job_id": job["id"]})
    assert undo["output"] == {"job_id": job["id"], "removed": 3, "restored": 0, "kept": 0}
    assert (undo["progress"]["done"], undo["progress"]["total"]) == (3, 3)
    assert await rows_of(service.client, "appended") == before
    shown = (await service.client.get(job["links"]["self"])).json()
    assert (shown["undone_by"], shown["undone_at"] is not None) == (undo["id"], True)


async def test_the_undo_of_an_upsert_brings_back_what_it_changed_to_the_letter(service: Service) -> None:
    content = b"id,n,at,note\n1,10.50,2026-01-01 10:00:00,\n2,0.25,,x\n"
    await imported(service.client, content, "restored", **UPSERT)
    before = await rows_of(service.client, "restored")
    job = await imported(service.client, b"id,n\n3,1.00\n2,7.25\n1,9.00\n2,8.25\n", "restored", **UPSERT)
    assert job["counts"] == counts(inserted=1, updated=3)
    undo = await undone(service.client, job)
    assert undo["output"] == {"job_id": job["id"], "removed": 1, "restored": 2, "kept": 0}
    assert await rows_of(service.client, "restored") == before


async def test_rows_that_another_job_has_changed_since_are_kept_and_named(service: Service) -> None:
    first = await imported(service.client, FIRST, "edited", **UPSERT)
    second = await imported(service.client, b"id,score\n2,21\n9,90\n", "edited", **UPSERT)
    undo = await undone(service.client, first)
    assert undo["output"] == {"job_id": first["id"], "removed": 2, "restored": 0, "kept": 1}
    assert undo["notes"] == 1
    (note,) = await notes_of(service.client, undo)
    assert {key: note[key] for key in ("row", "code", "other_job", "other_row", "keys")} == {
        "row": 2,
        "code": "edited_since",
        "other_job": second["id"],
        "other_row": 1,
        "keys": {"id": 2},
    }
    assert await plain(service.client, "edited") == [(2, "Grace", 21), (9, None, 90)]
    assert (await undone(service.client, second))["output"]["removed"] == 2  # nothing was there before either of them
    assert await plain(service.client, "edited") == []


async def test_undone_in_any_order_all_is_as_before_the_first(service: Service) -> None:
    await imported(service.client, FIRST, "shuffled", **UPSERT)
    before = await rows_of(service.client, "shuffled")
    jobs = [
        await imported(service.client, b"id,score\n2,%d\n%d,1\n" % (n, n), "shuffled", **UPSERT) for n in (50, 51, 52)
    ]
    for job in (jobs[1], jobs[0], jobs[2]):
        assert (await undone(service.client, job))["state"] == "completed"
    assert await rows_of(service.client, "shuffled") == before


async def test_the_undo_of_a_replace_shows_the_former_rows(service: Service) -> None:
    await imported(service.client, FIRST, "former", **UPSERT)
    before = await rows_of(service.client, "former")
    job = await imported(service.client, b"id,name,score\n9,x,1\n", "former", mode="replace")
    undo = await undone(service.client, job)
    assert (undo["state"], undo["output"]["removed"]) == ("completed", 1), undo["problem"]
    assert await rows_of(service.client, "former") == before
    assert (await imported(service.client, b"id,score\n1,5\n", "former", **UPSERT))["counts"] == counts(updated=1)


async def test_a_replace_is_not_undone_while_it_holds_rows_of_later_jobs(service: Service) -> None:
    await imported(service.client, FIRST, "behind")
    job = await imported(service.client, FIRST, "behind", mode="replace")
    later = await imported(service.client, FIRST, "behind")
    assert await refused(service.client, job) == "cannot_undo"
    await undone(service.client, later)
    assert (await undone(service.client, job))["state"] == "completed"
    assert len(await rows_of(service.client, "behind")) == 3


async def test_what_was_replaced_since_cannot_be_undone_until_the_replace_is(service: Service) -> None:
    first = await imported(service.client, FIRST, "under")
    job = await imported(service.client, b"id,name,score\n9,x,1\n", "under", mode="replace")
    assert await refused(service.client, first) == "cannot_undo"
    await undone(service.client, job)
    assert (await undone(service.client, first))["output"]["removed"] == 3


async def test_nothing_is_undone_twice(service: Service) -> None:
    job = await imported(service.client, FIRST, "once")
    await undone(service.client, job)
    assert await refused(service.client, job) == "already_undone"


async def test_what_stored_nothing_or_has_not_ended_is_not_undone(start_service: StartService) -> None:
    service = await start_service("api")
    waiting = await post_import(service.client, FIRST, "early")
    assert await refused(service.client, waiting) == "conflict"
    await service.worker()
    job = await settled(service.client, waiting)
    undo = await undone(service.client, job)
    assert await refused(service.client, undo) == "cannot_undo"


async def test_the_undo_of_a_job_that_never_was_is_404(service: Service) -> None:
    path = "/v1/jobs/01890000-0000-7000-8000-000000000000/undo"
    assert (await service.client.post(path)).status_code == 404
    assert (await service.client.get(path)).status_code == 404


async def test_another_account_undoes_nothing(service: Service) -> None:
    job = await imported(service.client, FIRST, "mine", **UPSERT)
    async with await service.account("other") as other:
        assert (await other.post(job["links"]["undo"])).status_code == 404
        body = {"processor": "undo", "input": {"job_id": job["id"]}}
        forged = await settled(other, (await other.post("/v1/jobs", json=body)).json())
        assert (forged["state"], forged["problem"]["code"]) == ("failed", "not_found")
        assert (await other.get(job["links"]["notes"])).status_code == 404
    assert len(await rows_of(service.client, "mine")) == 3


async def test_what_was_kept_for_an_undo_goes_in_time(start_service: StartService) -> None:
    service = await start_service(keep_undo_s=0)
    await imported(service.client, FIRST, "old", **UPSERT)
    job = await imported(service.client, b"id,score\n1,11\n", "old", **UPSERT)
    replaced = await imported(service.client, FIRST, "older")
    replacing = await imported(service.client, FIRST, "older", mode="replace")
    async with superuser(service.database_url) as db:

        async def expired() -> bool:
            return await db.fetchval("select count(*) from job where undo_expired_at is not null") == 2

        await eventually(expired, timeout_s=100)
    assert await refused(service.client, job) == "undo_expired"
    assert await refused(service.client, replacing) == "undo_expired"
    assert await refused(service.client, replaced) == "cannot_undo"


async def test_a_cancelled_import_can_be_undone_and_then_retried(start_service: StartService) -> None:
    service = await start_service(chunk_bytes=2048)
    job = await post_import(service.client, lines(1, 40_000), "retried")

    async def has_rows() -> bool:
        return bool((await service.client.get(job["links"]["self"])).json()["counts"]["inserted"])

    await eventually(has_rows)
    await service.client.post(f"{job['links']['self']}/cancel")
    job = await settled(service.client, job)
    assert (await undone(service.client, job))["output"]["removed"] == job["counts"]["inserted"]
    assert await rows_of(service.client, "retried") == []
    await service.client.post(f"{job['links']['self']}/retry")
    job = await settled(service.client, job)
    assert (job["state"], job["counts"], job["undone_at"]) == ("completed", counts(inserted=40_000), None)
    assert len(await rows_of(service.client, "retried")) == 40_000


@pytest.mark.parametrize("mode", ["append", "upsert"])
async def test_an_undo_of_many_ranges_leaves_nothing(service: Service, mode: str) -> None:
    options = UPSERT if mode == "upsert" else {}
    job = await imported(service.client, lines(1, 120_000), f"ranges_{mode}", **options)
    undo = await undone(service.client, job)
    assert undo["output"]["removed"] == 120_000
    assert await rows_of(service.client, f"ranges_{mode}") == []


async def test_what_an_undo_may_have_begun_to_take_back_is_read_anew_by_a_retry(start_service: StartService) -> None:
    service = await start_service("api", chunk_bytes=2048)
    worker = await service.worker()
    job = await post_import(service.client, lines(1, 40_000), "partly")

    async def has_rows() -> bool:
        return bool((await service.client.get(job["links"]["self"])).json()["counts"]["inserted"])

    await eventually(has_rows)
    await service.client.post(f"{job['links']['self']}/cancel")
    job = await settled(service.client, job)
    await worker.stop()
    undo = (await service.client.post(job["links"]["undo"])).json()
    assert await refused(service.client, job) == "conflict"  # it is under way
    await service.client.post(f"{undo['links']['self']}/cancel")
    await service.client.post(f"{job['links']['self']}/retry")
    await service.worker()
    job = await settled(service.client, job)
    assert (job["state"], job["counts"], job["undone_by"]) == ("completed", counts(inserted=40_000), None)
    assert "job.reset" in await events_of(service, job)


async def events_of(service: Service, job: Json) -> list[str]:
    async with superuser(service.database_url) as db:
        return [row["type"] for row in await db.fetch("select type from event where job_id = $1", job["id"])]


async def test_corrected_rows_are_undone_with_the_job_that_they_are_of(service: Service) -> None:
    await imported(service.client, FIRST, "mended")
    content = b"id,name,score\n7,New,70\n8,Bad,many\n"
    job = await imported(service.client, content, "mended", mode="replace", header="true")
    assert job["counts"] == counts(inserted=1, rejected=1)
    rejects = (await service.client.get(f"{job['links']['rejects']}?format=csv")).content
    answer = await service.client.post(job["links"]["rejects"], content=rejects.replace(b"many", b"80"))
    assert answer.status_code == 202, answer.text
    assert (await settled(service.client, answer.json()))["state"] == "completed"
    assert len(await plain(service.client, "mended")) == 2
    assert (await undone(service.client, job))["state"] == "completed"
    assert await plain(service.client, "mended") == [(1, "Ada", 10), (2, "Grace", 20), (3, "Alan", 30)]
