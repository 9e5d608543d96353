"""Files inside a package: kept as uploads of the account, shown by the dataset under their names, gone with it."""

from __future__ import annotations

import hashlib

import pytest

from tests.decks import deck
from tests.running import Json, Service, imported, settled


async def brought(service: Service, data: bytes, dataset: str, **options: str) -> Json:
    return await imported(service.client, data, dataset, processor="anki", name="deck.apkg", **options)


async def files(service: Service, dataset: str) -> dict[str, Json]:
    found = (await service.client.get(f"/v1/datasets/{dataset}/files")).json()["files"]
    return {file["name"]: file for file in found}


async def test_media_of_notes_are_kept_and_served_by_their_names(service: Service) -> None:
    media = {"müll.png": b"\x89PNG" + bytes(range(256)) * 900, "b.mp3": b"ID3" * 5}
    job = await brought(service, deck(media), "shown")
    assert job["state"] == "completed"
    found = await files(service, "shown")
    assert list(found) == ["b.mp3", "müll.png"]
    for name, content in media.items():
        assert found[name]["sha256"] == hashlib.sha256(content).hexdigest()
        for link in (f"/v1/datasets/shown/files/{name}", found[name]["links"]["content"]):
            answer = await service.client.get(link)
            assert answer.content == content
        part = await service.client.get(f"/v1/datasets/shown/files/{name}", headers={"Range": "bytes=1-3"})
        assert (part.status_code, part.content) == (206, content[1:4])
    rows = (await service.client.get("/v1/datasets/shown/rows")).json()["rows"]
    assert [medium["sha256"] for row in rows for medium in row["media"]] == [
        hashlib.sha256(content).hexdigest() for content in media.values()
    ]
    assert (await service.client.get("/v1/datasets/shown/files/nothing.png")).status_code == 404


async def test_the_same_content_is_stored_once(service: Service) -> None:
    content = b"the same bytes in each" * 100
    await brought(service, deck({"a.png": content, "b.png": content}), "first_time")
    await brought(service, deck({"c.png": content}), "second_time")
    uploads = [
        file["upload_id"] for name in ("first_time", "second_time") for file in (await files(service, name)).values()
    ]
    assert len(uploads) == 3
    assert len(set(uploads)) == 1
    digest = hashlib.sha256(content).hexdigest()
    listed = (await service.client.get("/v1/uploads", params={"sha256": digest})).json()["uploads"]
    assert [upload["id"] for upload in listed] == uploads[:1]


async def test_a_shown_file_cannot_be_deleted_and_goes_with_its_dataset(service: Service) -> None:
    await brought(service, deck({"kept.png": b"kept as long as it is shown"}), "shows")
    upload = (await files(service, "shows"))["kept.png"]["upload_id"]
    assert (await service.client.delete(f"/v1/uploads/{upload}")).status_code == 409
    assert (await service.client.delete("/v1/datasets/shows")).status_code == 204
    assert (await service.client.delete(f"/v1/uploads/{upload}")).status_code == 204


async def test_an_undo_shows_what_an_earlier_import_had_brought(service: Service) -> None:
    older, newer = deck({"x.png": b"older"}), deck({"x.png": b"newer"})
    await brought(service, older, "taken_back")
    job = await brought(service, newer, "taken_back", mode="upsert", keys="guid")
    assert (await service.client.get("/v1/datasets/taken_back/files/x.png")).content == b"newer"
    undo = (await service.client.post(f"/v1/jobs/{job['id']}/undo")).json()
    assert (await settled(service.client, undo))["state"] == "completed"
    assert (await service.client.get("/v1/datasets/taken_back/files/x.png")).content == b"older"


async def test_what_is_named_and_not_there_is_told_and_the_rest_comes_in(service: Service) -> None:
    data = deck({"a.png": b"aaa"}, ['<img src="a.png"><img src="gone.png">'], lost="gone.png")
    job = await brought(service, data, "lacks")
    assert job["counts"]["inserted"] == 1
    rows = (await service.client.get("/v1/datasets/lacks/rows")).json()["rows"]
    assert [(medium["name"], medium["is_there"]) for medium in rows[0]["media"]] == [
        ("a.png", True),
        ("gone.png", False),
    ]
    listed = await brought(service, data, "lacks_media", part="media")
    assert (listed["counts"]["inserted"], listed["counts"]["rejected"]) == (1, 1)
    assert list(await files(service, "lacks_media")) == ["a.png"]


async def test_files_can_be_left_where_they_are(service: Service) -> None:
    job = await brought(service, deck({"a.png": b"not wanted"}), "without", media="false")
    assert job["counts"]["inserted"] == 1
    assert await files(service, "without") == {}


async def test_a_preview_keeps_no_file(service: Service) -> None:
    content = b"only looked at"
    answer = await service.client.post(
        "/v1/previews", params={"processor": "anki", "name": "x.apkg"}, content=deck({"a.png": content})
    )
    assert answer.json()["counts"]["inserted"] == 1
    digest = hashlib.sha256(content).hexdigest()
    assert (await service.client.get("/v1/uploads", params={"sha256": digest})).json()["uploads"] == []


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a\\b", "..", "a\nb"])
async def test_a_name_that_is_no_file_name_is_left_out(service: Service, name: str) -> None:
    job = await brought(service, deck({name: b"evil", "good.png": b"good"}), "names_" + name.encode().hex())
    assert job["state"] == "completed"
    assert list(await files(service, "names_" + name.encode().hex())) == ["good.png"]
