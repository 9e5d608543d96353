"""A worker is killed in the middle of a deck, a set of flashcards, a workbook: nothing is lost, nothing comes twice."""

from __future__ import annotations

import random

import pytest

from tests.books import xlsx
from tests.conftest import StartService
from tests.decks import deck
from tests.running import Json, eventually, post_import, rows_of, settled

ROWS = 900
MEDIA = {f"{number}.png": random.Random(number).randbytes(3_000) for number in range(120)}


def cards() -> bytes:
    shown = [f'{number} <img src="{list(MEDIA)[number % len(MEDIA)]}">' for number in range(ROWS // 3)]
    return deck(MEDIA, shown)


CASES = {
    "anki": ("d.apkg", cards, ROWS // 3),
    "quizlet": ("", lambda: "\n".join(f"term {n}\tmeaning {n}" for n in range(ROWS)).encode(), ROWS),
    "spreadsheet": ("b.xlsx", lambda: xlsx({"s": [["n"], *([float(n)] for n in range(ROWS))]}), ROWS),
}


@pytest.mark.parametrize("processor", CASES)
async def test_a_killed_worker_costs_no_row_and_no_file(start_service: StartService, processor: str) -> None:
    name, content, rows = CASES[processor]
    service = await start_service("api", lease_s=2, chunk_bytes=512, sweep_s=0.2)
    first = await service.worker()
    given = {"processor": processor} | ({"name": name} if name else {})
    job = await post_import(service.client, content(), "deck", **given)

    async def halfway() -> Json:
        shown: Json = (await service.client.get(job["links"]["self"])).json()
        return shown if shown["counts"]["read"] > 0 else {}

    await eventually(halfway)
    first.kill()
    await first.ended()
    assert (await service.client.get(job["links"]["self"])).json()["state"] == "running"
    await service.worker()
    done = await settled(service.client, job, timeout_s=90)
    assert (done["state"], done["counts"]["inserted"]) == ("completed", rows), done["problem"]
    found = await rows_of(service.client, "deck")
    assert [row["_row"] for row in found] == list(range(1, rows + 1))
    attempts = (await service.client.get(f"/v1/jobs/{job['id']}/attempts")).json()["attempts"]
    assert len(attempts) > 1
    if processor == "anki":
        files = (await service.client.get("/v1/datasets/deck/files", params={"limit": 1000})).json()["files"]
        assert {file["name"] for file in files} == set(MEDIA)
        assert len({file["upload_id"] for file in files}) == len(MEDIA)
        for file in files[:3]:
            answer = await service.client.get(file["links"]["content"])
            assert answer.content == MEDIA[file["name"]]
