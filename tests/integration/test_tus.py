"""tus 1.0 to the letter: https://tus.io/protocols/resumable-upload"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from uuid import uuid4

import httpx
import pytest

from tests.conftest import StartService
from tests.running import Service, eventually, settled
from tests.uploading import TUS, TUS_BYTES, checksum, metadata, tus_created, tus_offset, tus_patched, usage_of

FILE = b"a,b\n1,x\n2,y\n"


async def test_options_tells_what_is_spoken_without_a_key(service: Service) -> None:
    async with httpx.AsyncClient(base_url=service.url) as stranger:
        answer = await stranger.options("/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert int(answer.headers["Tus-Max-Size"]) > 0
    assert set(answer.headers["Tus-Checksum-Algorithm"].split(",")) == {"sha1", "sha256", "crc32c"}
    assert set(answer.headers["Tus-Extension"].split(",")) == {
        "creation", "creation-with-upload", "creation-defer-length", "checksum", "expiration", "termination",
        "concatenation",
    }  # fmt: skip


async def test_a_file_comes_in_pieces(service: Service) -> None:
    place = await tus_created(
        service.client, len(FILE), Upload_Metadata=metadata(filename="töne.csv", filetype="text/csv") + ",empty"
    )
    first = await tus_patched(service.client, place, 0, FILE[:5])
    assert (first.status_code, first.headers["Upload-Offset"], first.headers["Tus-Resumable"]) == (204, "5", "1.0.0")
    assert parsedate_to_datetime(first.headers["Upload-Expires"])
    head = await service.client.head(place, headers=TUS)
    assert (head.status_code, head.headers["Upload-Offset"], head.headers["Upload-Length"]) == (200, "5", "12")
    assert head.headers["Cache-Control"] == "no-store"
    assert head.headers["Upload-Metadata"] == metadata(filename="töne.csv", filetype="text/csv") + ",empty"
    assert (await service.client.get(place)).json()["state"] == "receiving"
    last = await tus_patched(service.client, place, 5, FILE[5:])
    assert (last.status_code, last.headers["Upload-Offset"]) == (204, "12")
    shown = (await service.client.get(place)).json()
    assert (shown["name"], shown["media_type"], shown["state"]) == ("töne.csv", "text/csv", "uploaded")
    assert shown["sha256"] == hashlib.sha256(FILE).hexdigest()
    assert await tus_offset(service.client, place) == 12


async def test_the_first_bytes_may_come_with_the_creation(service: Service) -> None:
    answer = await service.client.post("/v1/uploads", headers=TUS_BYTES | {"Upload-Length": "12"}, content=FILE)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "12")
    assert (await service.client.get(answer.headers["Location"])).json()["state"] == "uploaded"


async def test_the_length_may_come_late(service: Service) -> None:
    place = await tus_created(service.client, None)
    assert (await tus_patched(service.client, place, 0, FILE[:4])).status_code == 204
    head = await service.client.head(place, headers=TUS)
    assert (head.headers["Upload-Defer-Length"], "Upload-Length" in head.headers) == ("1", False)
    assert (await tus_patched(service.client, place, 4, FILE[4:], Upload_Length="12")).status_code == 204
    assert (await service.client.get(place)).json()["size_bytes"] == 12


async def test_a_told_length_does_not_change(service: Service) -> None:
    place = await tus_created(service.client, 12)
    assert (await tus_patched(service.client, place, 0, FILE, Upload_Length="13")).status_code == 400
    assert await tus_offset(service.client, place) == 0


async def test_an_empty_file_is_complete_at_once(service: Service) -> None:
    place = await tus_created(service.client, 0)
    shown = (await service.client.get(place)).json()
    assert (shown["state"], shown["size_bytes"]) == ("uploaded", 0)
    assert (await service.client.get(f"{place}/content")).content == b""
    job = {"processor": "csv", "upload_id": shown["id"], "dataset": "none"}
    assert (await service.client.post("/v1/jobs", json=job)).json()["code"] == "file_empty"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "crc32c"])
async def test_a_checksum_is_held_against_its_bytes(service: Service, algorithm: str) -> None:
    place = await tus_created(service.client, 12)
    wrong = await tus_patched(service.client, place, 0, FILE, Upload_Checksum=checksum(algorithm, b"other"))
    assert wrong.status_code == 460
    assert await tus_offset(service.client, place) == 0
    right = await tus_patched(service.client, place, 0, FILE[:4], Upload_Checksum=checksum(algorithm, FILE[:4]))
    assert right.status_code == 204
    right = await tus_patched(service.client, place, 4, FILE[4:], Upload_Checksum=checksum(algorithm, FILE[4:]))
    assert (right.status_code, right.headers["Upload-Offset"]) == (204, "12")
    assert (await service.client.get(f"{place}/content")).content == FILE


@pytest.mark.parametrize("given", ["md5 AAAA", "sha1", "sha1 not-base64!", "sha1 AAAA"])
async def test_a_checksum_of_another_form_is_refused(service: Service, given: str) -> None:
    place = await tus_created(service.client, 12)
    assert (await tus_patched(service.client, place, 0, FILE, Upload_Checksum=given)).status_code == 400
    assert await tus_offset(service.client, place) == 0


REFUSED = {
    "another version": (TUS | {"Tus-Resumable": "0.2.2", "Upload-Length": "1"}, 412),
    "no length": (TUS, 400),
    "two lengths": (TUS | {"Upload-Length": "1", "Upload-Defer-Length": "1"}, 400),
    "a length below nothing": (TUS | {"Upload-Length": "-1"}, 400),
    "a length in words": (TUS | {"Upload-Length": "many"}, 400),
    "a length of 300 digits": (TUS | {"Upload-Length": "1" * 300}, 400),
    "a deferral of another kind": (TUS | {"Upload-Defer-Length": "2"}, 400),
    "a length over the limit": (TUS | {"Upload-Length": str(21 * 1024**3)}, 413),
    "metadata that is not base64": (TUS | {"Upload-Length": "1", "Upload-Metadata": "filename ???"}, 400),
    "metadata with a key twice": (TUS | {"Upload-Length": "1", "Upload-Metadata": "a YQ==,a YQ=="}, 400),
    "a concatenation of another kind": (TUS | {"Upload-Length": "1", "Upload-Concat": "whole"}, 400),
    "a final without parts": (TUS | {"Upload-Concat": "final;"}, 400),
    "a final of unknown parts": (TUS | {"Upload-Concat": f"final;/v1/uploads/{uuid4()}"}, 404),
    "a coding": (TUS_BYTES | {"Upload-Length": "1", "Content-Encoding": "gzip"}, 415),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_creation_that_does_not_fit_is_refused_and_leaves_nothing(service: Service, what: str) -> None:
    headers, status = REFUSED[what]
    before = (await service.rows_in("upload"), service.files)
    answer = await service.client.post("/v1/uploads", headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert status != 412 or answer.headers["Tus-Version"] == "1.0.0"
    if what != "a coding":
        assert (await service.rows_in("upload"), service.files) == before


async def test_a_wrong_offset_is_told_with_the_right_one(service: Service) -> None:
    place = await tus_created(service.client, 12)
    for at in (1, 12, 2**62):
        answer = await tus_patched(service.client, place, at, b"x")
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, "0")


async def test_more_bytes_than_announced_are_refused(service: Service) -> None:
    place = await tus_created(service.client, 4)
    assert (await tus_patched(service.client, place, 0, FILE)).status_code == 413

    async def in_pieces() -> AsyncIterator[bytes]:
        yield FILE

    answer = await service.client.patch(place, headers=TUS_BYTES | {"Upload-Offset": "0"}, content=in_pieces())
    assert answer.status_code == 413
    assert await tus_offset(service.client, place) <= 4


async def test_bytes_of_another_type_are_refused(service: Service) -> None:
    place = await tus_created(service.client, 4)
    headers = TUS | {"Upload-Offset": "0", "Content-Type": "text/plain"}
    assert (await service.client.patch(place, headers=headers, content=b"abcd")).status_code == 415


async def test_without_its_version_a_request_is_refused(service: Service) -> None:
    place = await tus_created(service.client, 4)
    headers = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert (await service.client.patch(place, headers=headers, content=b"abcd")).status_code == 412
    assert await tus_offset(service.client, place) == 0


async def test_a_terminated_upload_is_gone_with_its_reservation(service: Service) -> None:
    before = await usage_of(service)
    place = await tus_created(service.client, 1_000_000)
    await tus_patched(service.client, place, 0, b"x" * 100_000)
    assert await usage_of(service) == (before[0] + 1_000_000, before[1] + 1)
    answer = await service.client.delete(place, headers=TUS)
    assert (answer.status_code, answer.headers["Tus-Resumable"]) == (204, "1.0.0")
    assert await usage_of(service) == before
    assert not [name for name in service.files if name.startswith(place.rpartition("/")[2])]
    for again in (
        await service.client.head(place, headers=TUS),
        await tus_patched(service.client, place, 100_000, b"x"),
        await service.client.delete(place, headers=TUS),
        await service.client.get(place),
    ):
        assert again.status_code == 410


async def test_an_unknown_upload_is_not_found(service: Service) -> None:
    for name in (str(uuid4()), "17", "..%2f..%2fetc%2fpasswd"):
        answer = await service.client.head(f"/v1/uploads/{name}", headers=TUS)
        assert answer.status_code == 404
        assert "Upload-Offset" not in answer.headers


async def test_another_accounts_upload_does_not_exist(service: Service) -> None:
    place = await tus_created(service.client, 12)
    async with await service.account("stranger") as stranger:
        assert (await stranger.head(place, headers=TUS)).status_code == 404
        assert (await tus_patched(stranger, place, 0, FILE)).status_code == 404
        assert (await stranger.delete(place, headers=TUS)).status_code == 404
        assert (await stranger.get(f"{place}/content")).status_code == 404
        final = TUS | {"Upload-Concat": f"final;{place}"}
        assert (await stranger.post("/v1/uploads", headers=final)).status_code == 404
    assert await tus_offset(service.client, place) == 0


async def test_parts_that_came_in_parallel_are_joined_in_their_order(service: Service) -> None:
    before = await usage_of(service)
    parts = [await tus_created(service.client, len(p), Upload_Concat="partial") for p in (FILE[:4], FILE[4:])]
    for part, content in reversed(list(zip(parts, (FILE[:4], FILE[4:]), strict=True))):
        assert (await tus_patched(service.client, part, 0, content)).status_code == 204
    assert (await service.client.head(parts[0], headers=TUS)).headers["Upload-Concat"] == "partial"
    concat = f"final;{service.url}{parts[0]} {parts[1]}"
    headers = TUS | {"Upload-Concat": concat, "Upload-Metadata": metadata(filename="joined.csv")}
    answer = await service.client.post("/v1/uploads", headers=headers)
    assert answer.status_code == 201, answer.text
    place = answer.headers["Location"]
    head = await service.client.head(place, headers=TUS)
    assert (head.headers["Upload-Concat"], head.headers["Upload-Length"]) == (concat, "12")
    shown = (await service.client.get(place)).json()
    assert (shown["name"], shown["sha256"]) == ("joined.csv", hashlib.sha256(FILE).hexdigest())
    assert (await tus_patched(service.client, place, 12, b"x")).status_code == 403
    assert await usage_of(service) == (before[0] + 12, before[1])
    listed = {upload["id"] for upload in (await service.client.get("/v1/uploads")).json()["uploads"]}
    assert not listed & {part.rpartition("/")[2] for part in parts}


async def test_parts_that_have_not_come_in_full_are_not_joined(service: Service) -> None:
    part = await tus_created(service.client, 12, Upload_Concat="partial")
    answer = await service.client.post("/v1/uploads", headers=TUS | {"Upload-Concat": f"final;{part}"})
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_incomplete")
    assert (await tus_patched(service.client, part, 0, FILE)).status_code == 204


async def test_a_client_that_can_only_post_says_what_it_means(service: Service) -> None:
    place = await tus_created(service.client, 4)
    headers = TUS_BYTES | {"Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert (await service.client.post(place, headers=headers, content=b"a,b\n")).status_code == 204
    assert await tus_offset(service.client, place) == 4


async def test_an_upload_starts_its_job_when_it_is_complete(service: Service) -> None:
    path = "/v1/uploads?processor=csv&dataset=by_tus&priority=9"
    place = await tus_created(service.client, len(FILE), path)
    assert "Job-Location" not in (await tus_patched(service.client, place, 0, FILE[:4])).headers
    answer = await tus_patched(service.client, place, 4, FILE[4:])
    job = await settled(service.client, (await service.client.get(answer.headers["Job-Location"])).json())
    assert (job["state"], job["priority"], job["counts"]["inserted"]) == ("completed", 9, 2)
    assert (await service.client.head(place, headers=TUS)).headers["Job-Location"] == job["links"]["self"]


async def test_a_job_that_cannot_be_is_refused_before_any_byte(service: Service) -> None:
    headers = TUS | {"Upload-Length": "12"}
    answer = await service.client.post("/v1/uploads?processor=none&dataset=x", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_processor")


async def test_an_upload_whose_client_stays_away_expires(start_service: StartService) -> None:
    service = await start_service(keep_unfinished_s=1)
    place = await tus_created(service.client, 1_000)
    await tus_patched(service.client, place, 0, b"x")

    async def is_gone() -> bool:
        return (await service.client.head(place, headers=TUS)).status_code == 410

    await eventually(is_gone, 90, pause_s=0.5)
    assert await usage_of(service) == (0, 0)
