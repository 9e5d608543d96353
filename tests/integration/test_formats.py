"""Decks, sheets and histories over HTTP: real files in, rows out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.running import Service, imported

SAMPLES = Path(__file__).parents[1] / "samples"

CASES = [
    ("anki", "anki/mixed.apkg", {}, 8, 0),
    ("anki", "anki/mixed.apkg", {"part": "cards"}, 13, 0),
    ("anki", "anki/mixed.apkg", {"part": "media"}, 1, 0),
    ("watch_history", "watch_history/verlauf.html", {}, 5, 1),
    ("watch_history", "watch_history/verlauf.json", {}, 5, 1),
    ("spreadsheet", "spreadsheet/third_sheet.xlsx", {"sheet": "Sheet3"}, 9, 0),
    ("quizlet", "quizlet/tabs.txt", {}, 3, 0),
    ("json", "json/orders.json", {"path": "/data/orders", "nested": "flatten"}, 4, 1),
    ("json", "json/values.json", {}, 4, 0),
]


@pytest.mark.parametrize(("processor", "name", "options", "inserted", "rejected"), CASES)
async def test_a_file_becomes_rows(
    service: Service, processor: str, name: str, options: dict[str, str], inserted: int, rejected: int
) -> None:
    path, dataset = SAMPLES / name, path_name("_".join([name, *options.values()])).lower()
    job = await imported(service.client, path.read_bytes(), dataset, processor=processor, name=path.name, **options)
    assert job["state"] == "completed"
    assert job["counts"] == {
        "read": inserted + rejected,
        "inserted": inserted,
        "updated": 0,
        "skipped": 0,
        "rejected": rejected,
    }
    page = (await service.client.get(f"/v1/datasets/{dataset}/rows")).json()
    assert len(page["rows"]) == inserted


def path_name(name: str) -> str:
    return re.sub(r"\W+", "_", name)


async def test_a_deck_shows_what_a_learner_sees(service: Service) -> None:
    path = SAMPLES / "anki" / "mixed.apkg"
    await imported(service.client, path.read_bytes(), "deck", processor="anki", name=path.name)
    rows = (await service.client.get("/v1/datasets/deck/rows")).json()["rows"]
    assert rows[0]["front"] == "In a cloze, some fields are hidden."
    assert {row["deck"] for row in rows} == {"Test - Mixed Types"}
    assert all(isinstance(row["fields"], dict) and "back" in row and "tags" in row for row in rows)


async def test_a_later_history_adds_only_what_is_new_and_each_says_how_its_times_were_read(service: Service) -> None:
    said = []
    for name in ("verlauf.html", "verlauf.json"):
        path = SAMPLES / "watch_history" / name
        given = {"mode": "upsert", "keys": "at,url", "on_conflict": "skip", "processor": "watch_history"}
        job = await imported(service.client, path.read_bytes(), "history", name=name, **given)
        said.append(job["output"].pop("remarks", None))
    assert job["counts"]["inserted"] == 1
    assert job["counts"]["skipped"] == 4
    assert said == [["MEZ is UTC+01:00 on every row, as at the export"], None]  # JSON is in UTC
    assert job["output"] == {"dataset": "history", "upload_id": job["upload_id"], "rows": 1}


@pytest.mark.parametrize("mode", ["append", "replace"])
async def test_a_document_without_rows_is_complete(service: Service, mode: str) -> None:
    dataset = f"rowless_{mode}"
    job = await imported(service.client, b"[]", dataset, processor="json", name="x.json", mode=mode)
    assert (job["state"], job["counts"]["read"]) == ("completed", 0)
    job = await imported(service.client, b'[{"n": 1}]', dataset, processor="json", name="x.json", mode=mode)
    assert (job["state"], job["counts"]["inserted"]) == ("completed", 1)


async def test_a_document_that_breaks_off_fails_at_its_byte(service: Service) -> None:
    job = await imported(service.client, b'[{"n": 1}, {"n": 2', "broken", processor="json", name="x.json")
    assert job["problem"]["code"] == "not_json"
    assert "byte 18" in job["problem"]["message"]


async def test_a_workbook_with_a_password_says_so(service: Service) -> None:
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le") + bytes(600)
    job = await imported(service.client, data, "sheet", processor="spreadsheet", name="x.xlsx")
    assert job["problem"]["code"] == "password_protected"


async def test_columns_that_are_always_the_same_cannot_be_asked_for(service: Service) -> None:
    query = {"processor": "anki", "dataset": "deck", "types": '{"front": "text"}'}
    answer = await service.client.post("/v1/imports", params=query, content=b"PK\x03\x04")
    assert answer.status_code == 422
    assert "always gives the same columns" in answer.json()["detail"]


async def test_a_preview_says_how_cards_were_told_apart(service: Service) -> None:
    text = "mitosis - division\nDNA - carries genes\ngene - a piece".encode("utf-16")
    answer = await service.client.post("/v1/previews", params={"processor": "quizlet"}, content=text)
    found = {entry["subject"]: entry for entry in answer.json()["evidence"]}
    assert found["term_separator"]["value"] == " - "
    assert found["row_separator"]["value"] == "\n"
    assert found["term_separator"]["confidence"] == 1
    assert "100%" in found["term_separator"]["why"]
    assert answer.json()["rows"][0]["front"] == "mitosis"


async def test_a_preview_says_which_sheet_and_which_header(service: Service) -> None:
    data = (SAMPLES / "spreadsheet" / "third_sheet.xlsx").read_bytes()
    query = {"processor": "spreadsheet", "name": "x.xlsx"}
    answer = (await service.client.post("/v1/previews", params=query, content=data)).json()
    found = {entry["subject"]: entry for entry in answer["evidence"]}
    assert found["sheet"]["value"]
    assert found["sheet"]["alternatives"]
    assert found["header"]["value"] in (True, False)
    assert all(column["confidence"] is not None for column in answer["columns"])
