"""Files whose processor nobody names: content says it, with evidence, or the caller is asked."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.decks import note, package
from tests.running import Json, Service, eventually, settled

SAMPLES = Path(__file__).parents[1] / "samples"
TAKEOUT = "Takeout/YouTube und YouTube Music/Verlauf/Wiedergabeverlauf"


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def packed(**members: bytes) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return into.getvalue()


CSV = b"id,name,amount\n" + b"".join(b"%d,n%d,%d.5\n" % (n, n, n) for n in range(20))
NDJSON = b'{"a": 1}\n{"a": 2}\n'
CASES = [
    ("csv", CSV, "csv"),
    ("tsv", CSV.replace(b",", b"\t"), "csv"),
    ("ndjson", NDJSON, "ndjson"),
    ("array", b'[{"a": 1}, {"a": 2}]', "json"),
    ("geo", b'{"type": "FeatureCollection", "features": [{"id": 1, "x": [{"y": 1}]}, {"id": 2}]}', "json"),
    ("sheet", sample("spreadsheet/third_sheet.xlsx"), "spreadsheet"),
    ("deck", sample("anki/mixed.apkg"), "anki"),
    ("anki_text", b"#separator:tab\n#html:false\nHund\tdog\nKatze\tcat\n", "anki"),
    ("cards", b"Hund ----- dog\nKatze ----- cat\nMaus ----- mouse\n", "quizlet"),
    ("page", sample("watch_history/verlauf.html"), "watch_history"),
    ("export", sample("watch_history/verlauf.json"), "watch_history"),
    ("takeout", packed(**{f"{TAKEOUT}.html": sample("watch_history/verlauf.html"), "Takeout/a.html": b"<p>"}),
     "watch_history"),
    ("csv_gz", gzip.compress(CSV), "csv"),
    ("json_zip", packed(**{"a.json": b'[{"a": 1}]', "readme.bin": b"\0\1"}), "json"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "processor"), CASES, ids=[case[0] for case in CASES])
async def test_content_says_which_processor_a_file_is_for(
    service: Service, name: str, content: bytes, processor: str
) -> None:
    answer = await service.client.post("/v1/imports", params={"dataset": f"found_{name}"}, content=content)
    assert answer.status_code == 202, answer.text
    job = await settled(service.client, answer.json())
    assert (job["processor"], job["state"]) == (processor, "completed"), job["problem"]
    assert job["counts"]["inserted"] > 0


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"Hund\tdog\nKatze\tcat\nMaus\tmouse\n", {"csv", "quizlet"}),
        (b"This is a letter, and\nno table at all.\nYours, Ann\n", {"csv"}),
        (b"\x00\x01\x02\x03" * 50, set()),
        (packed(**{"a.bin": b"\0\1"}), set()),
        (b"PK\x05\x06" + bytes(18), set()),
        (b"PK\x03\x04 and then nothing of an archive", set()),
    ],
)
async def test_what_is_not_clear_is_asked(service: Service, content: bytes, wanted: set[str]) -> None:
    before = service.files
    answer = await service.client.post("/v1/imports", params={"dataset": "unclear"}, content=content)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (422, "unrecognised_format")
    assert {candidate["processor"] for candidate in told["candidates"]} == wanted
    assert all(candidate["why"] for candidate in told["candidates"])
    await eventually(lambda: service.files == before)


async def test_an_upload_is_recognised_by_a_later_job_and_by_a_preview(service: Service) -> None:
    upload = (await service.client.post("/v1/uploads", params={"name": "rows.txt"}, content=NDJSON)).json()
    seen = (await service.client.post("/v1/previews", json={"upload_id": upload["id"]}, timeout=60)).json()
    assert seen["processor"] == "ndjson"
    best = seen["recognised"][0]
    assert (best["processor"], best["confidence"] > 0.9) == ("ndjson", True)
    assert "2 lines" in best["why"]
    answer = await service.client.post("/v1/jobs", json={"upload_id": upload["id"], "dataset": "later"})
    assert answer.json()["processor"] == "ndjson"
    assert (await settled(service.client, answer.json()))["counts"]["inserted"] == 2


async def test_a_preview_of_what_is_unclear_shows_what_it_could_be(service: Service) -> None:
    content = b"Hund\tdog\nKatze\tcat\nMaus\tmouse\n"
    seen = (await service.client.post("/v1/previews", content=content, timeout=60)).json()
    assert {found["processor"] for found in seen["recognised"]} == {"csv", "quizlet"}
    assert seen["counts"]["read"] > 0


async def test_a_job_over_an_upload_that_is_unclear_is_asked_back(service: Service) -> None:
    upload = (await service.client.post("/v1/uploads", content=b"one word\nand two\n")).json()
    answer = await service.client.post("/v1/jobs", json={"upload_id": upload["id"], "dataset": "unclear"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unrecognised_format")
    answer = await service.client.post("/v1/jobs", json={"dataset": "unclear"})
    assert (answer.status_code, answer.json()["code"]) == (422, "missing_parameter")


async def test_the_files_of_an_archive_are_jobs_of_a_flow(service: Service) -> None:
    archive = packed(**{"data/people.csv": CSV, "data/rows.ndjson": NDJSON, "notes.txt": b"nothing to read here\n"})
    answer = await service.client.post("/v1/imports", params={"dataset": "box", "name": "box.zip"}, content=archive)
    assert answer.status_code == 202, answer.text
    where = answer.headers["location"]
    assert where.startswith("/v1/flows/")

    async def done() -> Json | None:
        told: Json = (await service.client.get(where)).json()
        return told if told["state"] != "running" else None

    flow: Any = await eventually(done)
    assert flow["state"] == "completed"
    assert [step["processor"] for step in flow["steps"]] == ["csv", "ndjson"]
    assert len((await service.client.get("/v1/datasets/box_people/rows")).json()["rows"]) == 20
    rows = (await service.client.get("/v1/datasets/box_rows/rows")).json()["rows"]
    assert [row["a"] for row in rows] == [1, 2]


async def test_workbooks_packages_and_cards_in_an_archive_are_jobs_of_a_flow(service: Service) -> None:
    deck = package([note("Hund", "dog"), note("Katze", "cat", guid="2")], {"a.png": b"\x89PNG\r\n\x1a\n"})
    cards = b"Hund ----- dog\nKatze ----- cat\nMaus ----- mouse\n"
    sheet = sample("spreadsheet/third_sheet.xlsx")
    archive = packed(**{"in/sheet.xlsx": sheet, "deck.apkg": deck, "cards.txt": cards, "people.csv": CSV})
    answer = await service.client.post("/v1/imports", params={"dataset": "mix", "name": "mix.zip"}, content=archive)
    assert answer.status_code == 202, answer.text

    async def done() -> Json | None:
        told: Json = (await service.client.get(answer.headers["location"])).json()
        return told if told["state"] != "running" else None

    flow: Any = await eventually(done)
    assert flow["state"] == "completed"
    assert [step["processor"] for step in flow["steps"]] == ["spreadsheet", "anki", "quizlet", "csv"]
    counts = {}
    for dataset in ("mix_sheet", "mix_deck", "mix_cards", "mix_people"):
        counts[dataset] = len((await service.client.get(f"/v1/datasets/{dataset}/rows")).json()["rows"])
    assert counts == {"mix_sheet": 4, "mix_deck": 2, "mix_cards": 3, "mix_people": 20}


async def test_a_packed_workbook_is_read_by_the_processor_that_is_named(service: Service) -> None:
    params = {"dataset": "packed", "name": "sheet.zip", "processor": "spreadsheet"}
    archive = packed(**{"sheet.xlsx": sample("spreadsheet/third_sheet.xlsx"), "letter.txt": b"Dear Ann\n"})
    answer = await service.client.post("/v1/imports", params=params, content=archive)
    assert answer.status_code == 202, answer.text
    job = await settled(service.client, answer.json())
    assert (job["state"], job["counts"]["inserted"]) == ("completed", 4), job["problem"]


async def test_an_option_that_does_not_fit_what_was_found_is_refused(service: Service) -> None:
    answer = await service.client.post("/v1/imports", params={"dataset": "odd", "delimiter": ";"}, content=NDJSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_options")
