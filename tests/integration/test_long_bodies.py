"""Long bodies are read past the HTTP parser: what comes before, behind and instead of them is as ever."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from base64 import b64encode

import pytest

from service.api.digests import CHECKSUMS
from tests.running import Json, Service, eventually
from tests.uploading import Wire, checksum, tus_created, tus_offset, tus_patched, usage_of, wire

CONTENT = random.Random(12).randbytes(3_000_001)
NEXT = "GET /v1/uploads HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {key}\r\n\r\n"


async def posted(service: Service, path: str = "/v1/uploads", **headers: str) -> Wire:
    """The head of an upload, its body still to be sent."""
    return await wire(service, "POST", path, {"Content-Length": str(len(CONTENT))} | headers)


async def answer(line: Wire) -> tuple[int, Json]:
    """Status and body of the next answer."""
    head = await line.head(timeout_s=60)
    length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
    return int(head.split()[1]), json.loads(await line.reader.readexactly(length))


async def test_a_request_right_behind_a_long_body_is_answered_too(service: Service) -> None:
    line = await posted(service)
    await line.send(CONTENT + NEXT.format(key=service.key).encode())
    status, upload = await answer(line)
    assert (status, upload["sha256"]) == (201, hashlib.sha256(CONTENT).hexdigest())
    status, page = await answer(line)
    assert (status, page["uploads"][0]["id"]) == (200, upload["id"])
    line.cut()


async def test_a_body_that_trickles_in_is_the_same_file(service: Service) -> None:
    line = await posted(service)
    for at in range(0, len(CONTENT), 333_333):
        await line.send(CONTENT[at : at + 333_333])
        await asyncio.sleep(0)
    status, upload = await answer(line)
    assert (status, upload["sha256"]) == (201, hashlib.sha256(CONTENT).hexdigest())
    line.cut()


async def test_a_long_body_that_is_refused_early_does_not_spoil_the_connection(service: Service) -> None:
    line = await posted(service, "/v1/uploads?processor=nothing")
    await line.send(CONTENT + NEXT.format(key=service.key).encode())
    status, problem = await answer(line)
    assert status >= 400, problem
    assert (await answer(line))[0] == 200
    line.cut()


async def test_a_client_that_waits_for_100_continue_gets_it(service: Service) -> None:
    line = await posted(service, Expect="100-continue")
    assert (await line.head(timeout_s=60)).startswith("HTTP/1.1 100 ")
    await line.send(CONTENT)
    assert (await answer(line))[0] == 201
    line.cut()


async def test_a_long_body_that_is_cut_leaves_nothing_of_a_raw_upload(service: Service) -> None:
    before = await usage_of(service)
    line = await posted(service)
    await line.send(CONTENT[:1_500_000])

    async def is_open() -> bool:
        return (await usage_of(service))[1] == before[1] + 1

    await eventually(is_open)
    line.cut()

    async def is_as_before() -> bool:
        return await usage_of(service) == before

    await eventually(is_as_before)


@pytest.mark.parametrize("algorithm", CHECKSUMS)
async def test_a_checksum_is_held_against_a_long_body(service: Service, algorithm: str) -> None:
    place = await tus_created(service.client, len(CONTENT))
    wrong = await tus_patched(service.client, place, 0, CONTENT, Upload_Checksum=checksum(algorithm, CONTENT[:-1]))
    assert (wrong.status_code, await tus_offset(service.client, place)) == (460, 0)
    right = await tus_patched(service.client, place, 0, CONTENT, Upload_Checksum=checksum(algorithm, CONTENT))
    assert (right.status_code, right.headers["Upload-Offset"]) == (204, str(len(CONTENT)))


@pytest.mark.parametrize("field", ["Content-Digest", "Repr-Digest"])
async def test_a_digest_is_held_against_a_long_body(service: Service, field: str) -> None:
    before = len(service.files)
    for content, status in ((CONTENT[:-1], 400), (CONTENT, 201)):
        digest = b64encode(hashlib.sha512(content).digest()).decode()
        answer = await service.client.post("/v1/uploads", content=CONTENT, headers={field: f"sha-512=:{digest}:"})
        assert answer.status_code == status, answer.text
    assert len(service.files) == before + 1
