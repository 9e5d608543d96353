"""A job stops once it has refused more rows than it may: exactly then, however its file is cut, wherever it resumes."""

from __future__ import annotations

import pytest

from tests.conftest import StartService
from tests.running import Json, Service, imported, post_import, rows_of, settled

GOOD = b"n,t\n1,a\n"


def lines(rows: int, *bad: int) -> bytes:
    return b"n,t\n" + b"".join(b"%s,row\n" % (b"x" if n in bad else b"%d" % n) for n in range(1, rows + 1))


async def run(service: Service, dataset: str, content: bytes, limit: str) -> Json:
    await imported(service.client, GOOD, dataset)
    return await imported(service.client, content, dataset, max_rejects=limit)


@pytest.mark.parametrize("limit", ["2", "3"])
async def test_as_many_rejects_as_allowed_are_allowed(service: Service, limit: str) -> None:
    job = await run(service, f"allowed_{limit}", lines(50, 3, 40), limit)
    assert (job["state"], job["counts"]["rejected"]) == ("completed", 2)


async def test_one_more_stops_the_job_and_says_how_many(service: Service) -> None:
    job = await run(service, "stopped", lines(50, 3, 40), "1")
    assert (job["state"], job["outcome"]) == ("failed", "partial")
    assert job["problem"]["code"] == "too_many_rejects"
    assert "2 of the first 50 rows" in job["problem"]["message"]
    assert job["problem"]["suggestion"]
    assert len([row for row in await rows_of(service.client, "stopped") if row["_job"] == job["id"]]) == 48
    assert len((await service.client.get(job["links"]["rejects"])).json()["rejects"]) == 2


async def test_nothing_behind_the_chunk_that_went_too_far_is_stored(start_service: StartService) -> None:
    service = await start_service(chunk_bytes=200)
    job = await run(service, "cut", lines(2_000, 5, 100, 101, 1_900), "1")
    assert job["state"] == "failed"
    assert job["counts"]["rejected"] in (2, 3)  # 100 and 101 may be of one chunk
    assert 100 <= job["counts"]["read"] < 200
    stored = [row["_row"] for row in await rows_of(service.client, "cut") if row["_job"] == job["id"]]
    assert stored == [n for n in range(1, job["counts"]["read"] + 1) if n not in (5, 100, 101)]


async def test_a_retry_from_the_checkpoint_stops_at_once(start_service: StartService) -> None:
    service = await start_service(chunk_bytes=200)
    job = await run(service, "retried", lines(2_000, 5, 100, 101), "1")
    answer = await service.client.post(f"/v1/jobs/{job['id']}/retry")
    again = await settled(service.client, answer.json())
    assert (again["state"], again["counts"]) == ("failed", job["counts"])
    assert again["problem"] == job["problem"]


@pytest.mark.parametrize(
    ("limit", "bad", "state"), [("2%", (1, 2), "completed"), ("2%", (1, 2, 3), "failed"), ("0%", (50,), "failed")]
)
async def test_a_share_is_judged_over_the_whole_of_a_small_file(
    service: Service, limit: str, bad: tuple[int, ...], state: str
) -> None:
    job = await run(service, f"share_{len(bad)}_{limit[0]}", lines(100, *bad), limit)
    assert job["state"] == state


async def test_a_share_stops_a_large_file_in_the_middle(start_service: StartService) -> None:
    service = await start_service(chunk_bytes=2_000)
    job = await run(service, "share", lines(20_000, *range(2_000, 4_000)), "5%")
    assert job["problem"]["code"] == "too_many_rejects"
    assert 2_000 < job["counts"]["read"] < 4_000


@pytest.mark.parametrize("limit", ["-1", "many", "101%", "5 %%", "1.5"])
async def test_what_is_no_limit_is_refused(service: Service, limit: str) -> None:
    params = {"processor": "csv", "dataset": "unlimited", "max_rejects": limit}
    answer = await service.client.post("/v1/imports", params=params, content=GOOD)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_options")


async def test_a_correction_is_not_held_to_the_limit(service: Service) -> None:
    job = await run(service, "mended", lines(50, 3, 40), "1")
    answer = await service.client.post(
        f"/v1/jobs/{job['id']}/rejects",
        json={"rows": [{"row": 3, "values": {"n": 3}}, {"row": 40, "values": {"n": "y"}}]},
    )
    correction = await settled(service.client, answer.json())
    assert (correction["state"], correction["counts"]["inserted"]) == ("completed", 1)


async def test_the_limit_is_an_option_of_the_job(service: Service) -> None:
    job = await post_import(service.client, GOOD, "told", max_rejects="5%")
    assert job["options"]["max_rejects"] == "5%"
