"""Decks to use: what an import shows, exports that come back as they went, and decks that are imported again."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

from tests.decks import note, package
from tests.running import Json, Service, eventually, imported, rows_of, settled

SAMPLES = Path(__file__).parents[1] / "samples"
MIXED = (SAMPLES / "anki" / "mixed.apkg").read_bytes()
NEWER = {"processor": "anki", "name": "d.apkg", "mode": "upsert", "keys": "guid", "on_conflict": "newer"}
LEARNT = ("guid", "front", "back", "deck", "tags", "note_type", "fields", "texts", "media", "clozes", "occlusions")


async def learnt(service: Service, dataset: str) -> list[tuple[object, ...]]:
    """What a learner has of a dataset of notes; ids and moments are the collection's own."""
    return sorted((tuple(row[name] for name in LEARNT) for row in await rows_of(service.client, dataset)), key=str)


async def exported(service: Service, dataset: str, **query: str) -> bytes:
    answer = await service.client.get(f"/v1/datasets/{dataset}/export", params=query)
    assert answer.status_code == 200, answer.text
    return answer.content


async def notes_of(service: Service, job: Json) -> list[Json]:
    return list((await service.client.get(job["links"]["notes"])).json()["notes"])


async def test_an_anki_deck_goes_out_and_comes_back_the_same(service: Service) -> None:
    await imported(service.client, MIXED, "mixed", processor="anki", name="x.apkg")
    await imported(service.client, MIXED, "mixed_note_types", processor="anki", name="x.apkg", part="note_types")
    data = await exported(service, "mixed", format="apkg")
    job = await imported(service.client, data, "mixed_again", processor="anki", name="x.apkg")
    assert job["counts"]["inserted"] == 8
    assert await learnt(service, "mixed_again") == await learnt(service, "mixed")
    cards = [row["cards"] for row in await rows_of(service.client, "mixed")]
    assert [row["cards"] for row in await rows_of(service.client, "mixed_again")] == cards
    await imported(service.client, data, "types_again", processor="anki", name="x.apkg", part="note_types")
    types = [
        sorted(
            str({k: v for k, v in row.items() if not k.startswith("_")}) for row in await rows_of(service.client, name)
        )
        for name in ("mixed_note_types", "types_again")
    ]
    assert types[0] == types[1]


async def test_media_go_out_with_the_deck(service: Service) -> None:
    await imported(service.client, MIXED, "pictured", processor="anki", name="x.apkg")
    data = await exported(service, "pictured", format="apkg")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        content = archive.read("0")
    rows = await rows_of(service.client, "pictured")
    assert [m["sha256"] for row in rows for m in row["media"]] == [hashlib.sha256(content).hexdigest()]
    assert {row["note_type"] for row in rows} >= {"Cloze", "Image Occlusion"}
    only = await exported(service, "pictured", format="apkg", where="note_type=Basic")
    with zipfile.ZipFile(io.BytesIO(only)) as archive:
        assert archive.namelist() == ["collection.anki2", "media"]


async def test_a_quizlet_set_goes_out_as_csv_and_as_a_deck_and_comes_back(service: Service) -> None:
    text = '=risky, "quoted"\tone\nDNA\tcarries genes\nä<b>\tline & more'
    await imported(service.client, text.encode(), "terms", processor="quizlet")
    sides = [(row["front"], row["back"]) for row in await rows_of(service.client, "terms")]
    assert sides == [tuple(line.split("\t")) for line in text.split("\n")]
    table = await exported(service, "terms", format="csv", formulas="keep")
    await imported(service.client, table, "terms_csv", header="true")
    diff = (await service.client.get("/v1/datasets/terms/diff", params={"with": "terms_csv", "keys": "front"})).json()
    assert diff["counts"] == {"added": 0, "removed": 0, "changed": 0, "same": 3}
    deck = await exported(service, "terms", format="apkg")
    await imported(service.client, deck, "terms_deck", processor="anki", name="x.apkg")
    assert [(row["front"], row["back"]) for row in await rows_of(service.client, "terms_deck")] == sides


async def test_a_deck_is_written_by_a_job_too(service: Service) -> None:
    await imported(service.client, b"term,definition\na,b\nc,d\n", "words")
    body = {"processor": "export", "input": {"dataset": "words", "format": "apkg"}}
    job = await settled(service.client, (await service.client.post("/v1/jobs", json=body)).json())
    assert job["state"] == "completed", job["problem"]
    body = {"processor": "anki", "upload_id": job["output"]["upload_id"], "dataset": "words_deck"}
    again = await settled(service.client, (await service.client.post("/v1/jobs", json=body)).json())
    assert again["counts"]["inserted"] == 2


async def test_rows_that_are_no_cards_are_told_before_anything_is_sent(service: Service) -> None:
    await imported(service.client, b"only\n1\n2\n", "lonely")
    answer = await service.client.get("/v1/datasets/lonely/export", params={"format": "apkg"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_column")


async def test_of_two_versions_of_a_note_the_newer_one_stays(service: Service) -> None:
    older = package([note("hello", guid="cU1%zNUzk1", modified_s=1_375_933_503)])
    newer = package([note("goodbye", guid="cU1%zNUzk1", modified_s=1_375_933_856)])
    for name, files in {"older_first": (older, newer), "newer_first": (newer, older)}.items():
        for data in files:
            job = await imported(service.client, data, name, **NEWER)
        assert [row["front"] for row in await rows_of(service.client, name)] == ["goodbye"]
    assert (job["counts"]["updated"], job["counts"]["skipped"]) == (0, 1)


async def test_a_note_of_another_type_with_a_known_guid_is_kept_out_and_told(service: Service) -> None:
    first = package([note("hello", guid="g", modified_s=1)])
    other = package([note("of another type", guid="g", modified_s=2, note_type_id=8), note("new", guid="h")])
    await imported(service.client, first, "types", **NEWER)
    job = await imported(service.client, other, "types", **NEWER)
    assert (job["counts"]["inserted"], job["counts"]["skipped"]) == (1, 1)
    assert sorted(row["front"] for row in await rows_of(service.client, "types")) == ["hello", "new"]
    [conflict] = await notes_of(service, job)
    assert (conflict["code"], conflict["row"], conflict["keys"]) == ("conflict", 1, {"guid": "g"})


async def test_a_text_export_updates_the_notes_of_a_package(service: Service) -> None:
    await imported(service.client, package([note("from the package", guid="g1", modified_s=5)]), "mended", **NEWER)
    text = b"#separator:tab\n#html:true\n#guid column:1\ng1\tfrom the text\tback\ng2\tnew\tback\n"
    job = await imported(service.client, text, "mended", processor="anki", name="notes.txt", mode="upsert", keys="guid")
    assert (job["counts"]["inserted"], job["counts"]["updated"]) == (1, 1), job["problem"]
    rows = {row["guid"]: row for row in await rows_of(service.client, "mended")}
    assert rows["g1"]["front"] == "from the text"
    assert rows["g1"]["note_type_id"] == 7


async def test_a_flow_brings_all_parts_of_a_package(service: Service) -> None:
    upload = (await service.client.post("/v1/uploads", params={"name": "all.apkg"}, content=MIXED)).json()
    parts = ("notes", "cards", "reviews", "note_types", "decks", "media")
    steps = [
        {
            "key": part,
            "processor": "anki",
            "upload_id": upload["id"],
            "dataset": f"all_{part}",
            "options": {"part": part},
        }
        for part in parts
    ]
    flow = (await service.client.post("/v1/flows", json={"name": "all parts", "steps": steps})).json()

    async def ended() -> Json:
        shown: Json = (await service.client.get(f"/v1/flows/{flow['id']}")).json()
        return shown if shown["state"] in ("completed", "failed") else {}

    assert (await eventually(ended))["state"] == "completed"
    counted = {part: len(await rows_of(service.client, f"all_{part}")) for part in parts}
    assert counted == {"notes": 8, "cards": 13, "reviews": 26, "note_types": 6, "decks": 2, "media": 1}
