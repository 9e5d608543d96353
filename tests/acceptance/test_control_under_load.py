"""Jobs are paused, resumed and cancelled while others keep every slot busy: each does what was asked, to the row."""

from __future__ import annotations

import random

from tests.acceptance.test_worker_faults import people
from tests.conftest import StartService
from tests.running import FINAL, Json, Service, eventually, numbers_of, post_import, settled

JOBS = 5
SLOTS = 2
CONTROLS = 20
ROWS = 60_000


async def look(service: Service, job: Json) -> Json:
    return dict((await service.client.get(job["links"]["self"])).json())


async def asked(service: Service, job: Json, action: str) -> bool:
    """Whether it was accepted."""
    return (await service.client.post(f"{job['links']['self']}/{action}")).status_code == 200


async def stands(service: Service, job: Json, *states: str) -> Json | None:
    shown = await look(service, job)
    return shown if shown["state"] in states else None


async def test_controls_under_load_do_what_was_asked_and_lose_no_row(start_service: StartService) -> None:
    service = await start_service("all", chunk_bytes=4096, worker_slots=SLOTS)
    jobs = [await post_import(service.client, people(ROWS), f"people_{n}") for n in range(JOBS)]
    dice = random.Random(20261123)
    for _ in range(CONTROLS):
        job = dice.choice(jobs)
        if await asked(service, job, "pause"):
            stopped = await eventually(lambda job=job: stands(service, job, "paused", *FINAL))
            assert stopped["control"] is None
            assert stopped["state"] == "completed" or await asked(service, job, "resume")
    removed = await asked(service, jobs[0], "cancel?rows=remove")
    for n, job in enumerate(jobs):
        ended = await settled(service.client, job, timeout_s=60)
        assert ended["state"] == ("cancelled" if n == 0 and removed else "completed")
        assert ended["counts"]["read"] == (0 if n == 0 and removed else ROWS)
        numbers = await numbers_of(service, f"people_{n}")
        assert len(numbers) == len(set(numbers)) == ended["counts"]["inserted"]
