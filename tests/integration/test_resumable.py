"""Resumable uploads as the IETF drafts them, and the digests of RFC 9530."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from uuid import uuid4

import httpx
import pytest

from tests.running import Service, settled
from tests.uploading import PARTIAL, tus_created, tus_patched, wire

FILE = b"a,b\n1,x\n2,y\n"
PROBLEMS = "https://iana.org/assignments/http-problem-types#"


def digest(content: bytes, algorithm: str = "sha256") -> str:
    name = {"sha256": "sha-256", "sha512": "sha-512"}[algorithm]
    return f"{name}=:{b64encode(hashlib.new(algorithm, content).digest()).decode()}:"


async def begun(service: Service, content: bytes = b"", path: str = "/v1/uploads", **headers: str) -> str:
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await service.client.post(path, headers={"Upload-Complete": "?0"} | more, content=content)
    assert answer.status_code == 201, answer.text
    assert "max-size=" in answer.headers["Upload-Limit"]
    assert answer.headers["Upload-Complete"] == "?0"
    return str(answer.headers["Location"])


async def added(service: Service, place: str, at: int, content: bytes, complete: str, **headers: str) -> httpx.Response:
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    fields = PARTIAL | {"Upload-Offset": str(at), "Upload-Complete": complete}
    return await service.client.patch(place, headers=fields | more, content=content)


async def test_options_tells_the_limits(service: Service) -> None:
    answer = await service.client.options("/v1/uploads")
    assert "application/partial-upload" in answer.headers["Accept-Patch"]
    assert "max-size=" in answer.headers["Upload-Limit"]


async def test_a_whole_file_in_one_request_is_answered_as_any_upload(service: Service) -> None:
    headers = {"Upload-Complete": "?1", "Content-Disposition": 'inline; filename="people.csv"'}
    answer = await service.client.post("/v1/uploads", headers=headers, content=FILE)
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?1")
    assert (answer.json()["name"], answer.json()["sha256"]) == ("people.csv", hashlib.sha256(FILE).hexdigest())
    assert (await service.client.get(answer.headers["Location"])).json() == answer.json()


async def test_a_file_comes_in_pieces_of_unknown_length(service: Service) -> None:
    place = await begun(service, FILE[:4])
    head = await service.client.head(place)
    assert (head.status_code, head.headers["Upload-Offset"], head.headers["Upload-Complete"]) == (204, "4", "?0")
    assert (head.headers["Cache-Control"], "Upload-Length" in head.headers) == ("no-store", False)
    middle = await added(service, place, 4, FILE[4:8], "?0")
    assert (middle.status_code, middle.headers["Upload-Complete"], middle.headers["Upload-Offset"]) == (204, "?0", "8")
    last = await added(service, place, 8, FILE[8:], "?1")
    assert (last.status_code, last.headers["Upload-Complete"]) == (201, "?1")
    assert last.json()["sha256"] == hashlib.sha256(FILE).hexdigest()
    head = await service.client.head(place)
    assert (head.headers["Upload-Complete"], head.headers["Upload-Offset"]) == ("?1", "12")
    assert head.headers["Upload-Length"] == "12"


async def test_an_upload_is_complete_only_when_that_is_said(service: Service) -> None:
    place = await begun(service, FILE, Upload_Length="12")
    assert (await service.client.head(place)).headers["Upload-Complete"] == "?0"
    assert (await service.client.get(place)).json()["state"] == "receiving"
    last = await added(service, place, 12, b"", "?1")
    assert (last.status_code, last.headers["Upload-Complete"]) == (201, "?1")


async def test_a_wrong_offset_is_told_as_the_draft_has_it(service: Service) -> None:
    place = await begun(service, FILE[:4])
    answer = await added(service, place, 7, FILE[4:], "?1")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, "4")
    problem = answer.json()
    assert problem["type"] == PROBLEMS + "mismatching-upload-offset"
    assert (problem["expected-offset"], problem["provided-offset"]) == (4, 7)


async def test_lengths_that_do_not_agree_are_refused(service: Service) -> None:
    headers = {"Upload-Complete": "?1", "Upload-Length": "13"}
    answer = await service.client.post("/v1/uploads", headers=headers, content=FILE)
    assert (answer.status_code, answer.json()["type"]) == (400, PROBLEMS + "inconsistent-upload-length")
    place = await begun(service, FILE[:4], Upload_Length="12")
    answer = await added(service, place, 4, FILE[4:6], "?1")
    assert (answer.status_code, answer.json()["type"]) == (400, PROBLEMS + "inconsistent-upload-length")
    answer = await added(service, place, 4, FILE[4:] + b"more", "?0")
    assert (answer.status_code, answer.json()["type"]) == (400, PROBLEMS + "inconsistent-upload-length")
    assert (await service.client.head(place)).status_code == 410  # nobody can say what it was to be


async def test_a_complete_upload_takes_nothing_more(service: Service) -> None:
    place = (await service.client.post("/v1/uploads", headers={"Upload-Complete": "?1"}, content=FILE)).headers[
        "Location"
    ]
    more = await added(service, place, 12, b"more", "?1")
    assert (more.status_code, more.json()["type"]) == (400, PROBLEMS + "inconsistent-upload-length")
    again = await added(service, place, 12, b"", "?1")
    assert (again.status_code, again.json()["type"]) == (400, PROBLEMS + "completed-upload")
    assert (await service.client.get(f"{place}/content")).content == FILE


async def test_an_append_needs_its_type_and_fields(service: Service) -> None:
    place = await begun(service)
    wrong = {"Content-Type": "text/csv", "Upload-Offset": "0", "Upload-Complete": "?1"}
    answer = await service.client.patch(place, headers=wrong, content=FILE)
    assert (answer.status_code, answer.headers["Accept-Patch"]) == (415, "application/partial-upload")
    for without in ("Upload-Offset", "Upload-Complete"):
        fields = PARTIAL | {"Upload-Offset": "0", "Upload-Complete": "?1"}
        del fields[without]
        assert (await service.client.patch(place, headers=fields, content=FILE)).status_code == 400


async def test_a_cancelled_upload_is_gone(service: Service) -> None:
    place = await begun(service, FILE)
    assert (await service.client.delete(place)).status_code == 204
    assert (await service.client.head(place)).status_code == 410
    assert (await added(service, place, 12, b"", "?1")).status_code == 410
    assert (await service.client.head(f"/v1/uploads/{uuid4()}")).status_code == 404


async def test_one_that_is_too_large_is_told_the_limit(service: Service) -> None:
    headers = {"Upload-Complete": "?0", "Upload-Length": str(21 * 1024**3)}
    answer = await service.client.post("/v1/uploads", headers=headers)
    assert answer.status_code == 413
    assert f"max-size={20 * 1024**3}" in answer.headers["Upload-Limit"]


async def test_it_starts_its_job_when_it_is_complete(service: Service) -> None:
    place = await begun(service, FILE[:4], "/v1/uploads?processor=csv&dataset=resumed")
    answer = await added(service, place, 4, FILE[4:], "?1")
    job = await settled(service.client, (await service.client.get(answer.headers["Job-Location"])).json())
    assert (job["state"], job["counts"]["inserted"]) == ("completed", 2)


@pytest.mark.parametrize(("version", "is_told"), [("6", True), ("8", True), ("3", False)])
async def test_an_interim_answer_goes_to_clients_that_know_it(service: Service, version: str, is_told: bool) -> None:
    line = await wire(
        service,
        "POST",
        "/v1/uploads",
        {"Upload-Complete": "?1", "Upload-Draft-Interop-Version": version, "Content-Length": str(len(FILE))},
    )
    if is_told:
        assert (await line.head()).startswith("HTTP/1.1 104 ")
    await line.send(FILE)
    final = await line.head()
    assert final.startswith("HTTP/1.1 201 ")
    assert "upload-complete: ?1" in final.lower()
    line.cut()


async def test_the_files_digest_is_told(service: Service) -> None:
    answer = await service.client.post("/v1/uploads", content=FILE)
    assert answer.headers["Repr-Digest"] == digest(FILE)
    for path in (answer.headers["Location"], answer.headers["Location"] + "/content"):
        assert (await service.client.get(path)).headers["Repr-Digest"] == digest(FILE)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("field", ["Content-Digest", "Repr-Digest"])
@pytest.mark.parametrize("protocol", ["raw", "resumable"])
async def test_digests_are_held_against_what_comes(service: Service, algorithm: str, field: str, protocol: str) -> None:
    said = {"Upload-Complete": "?1"} if protocol == "resumable" else {}
    right = await service.client.post("/v1/uploads", headers=said | {field: digest(FILE, algorithm)}, content=FILE)
    assert right.status_code == 201, right.text
    files = service.files
    wrong = await service.client.post("/v1/uploads", headers=said | {field: digest(b"other", algorithm)}, content=FILE)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "digest_mismatch")
    assert service.files == files


async def test_a_digest_that_does_not_fit_takes_back_its_request_alone(service: Service) -> None:
    place = await begun(service, FILE[:4], Content_Digest=digest(FILE[:4]))
    wrong = await added(service, place, 4, FILE[4:], "?1", Content_Digest=digest(b"other"))
    assert (wrong.status_code, wrong.json()["code"]) == (400, "digest_mismatch")
    assert (await service.client.head(place)).headers["Upload-Offset"] == "4"
    assert (await added(service, place, 4, FILE[4:], "?1", Content_Digest=digest(FILE[4:]))).status_code == 201


@pytest.mark.parametrize("given", ["sha-256", "sha-256=abc", "sha-256=:???:", "sha-256=:AAAA:", "md5=:AAAA:"])
async def test_a_digest_of_another_form_is_refused(service: Service, given: str) -> None:
    answer = await service.client.post("/v1/uploads", headers={"Content-Digest": given}, content=FILE)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_digest")


async def test_an_upload_of_one_protocol_may_be_looked_at_by_the_other(service: Service) -> None:
    place = await tus_created(service.client, 12)
    await tus_patched(service.client, place, 0, FILE[:4])
    head = await service.client.head(place)
    assert (head.headers["Upload-Offset"], head.headers["Upload-Complete"]) == ("4", "?0")
