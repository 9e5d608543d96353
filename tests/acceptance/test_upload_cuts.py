"""An upload that is cut anywhere, by its line or by the server's death, goes on and is the same file in the end."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random

import pytest

from tests.conftest import StartService
from tests.running import Service, client_for, eventually, fork
from tests.uploading import PARTIAL, TUS, TUS_BYTES, Wire, tus_created, tus_offset, tus_patched, usage_of, wire

MIB = 1024 * 1024
STEP = int(os.environ.get("CUT_STEP", "257"))
"""Every so many bytes of the 4 KiB file is cut; `CUT_STEP=1` cuts at each."""

LARGE_CUTS = int(os.environ.get("CUT_LARGE", "6"))
"""So many cuts of the 64 MiB file; `CUT_LARGE=16384` cuts at each 4,096th byte."""


async def patch_cut(service: Service, place: str, at: int, content: bytes, length: int) -> None:
    """Send some of a body that is announced to be longer, then end the connection behind what was sent."""
    fields = TUS_BYTES | {"Upload-Offset": str(at), "Content-Length": str(length)}
    line = await wire(service, "PATCH", place, fields)
    await line.send(content)
    line.writer.close()
    await line.writer.wait_closed()


async def ended_as(service: Service, place: str, content: bytes) -> None:
    """The file is complete and has exactly these bytes."""
    shown = (await service.client.get(place)).json()
    assert (shown["state"], shown["size_bytes"]) == ("uploaded", len(content))
    assert shown["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_a_small_upload_cut_at_any_byte_goes_on_from_there(service: Service) -> None:
    content = random.Random(4).randbytes(4096)
    for cut in range(1, len(content), STEP):
        place = await tus_created(service.client, len(content))
        await patch_cut(service, place, 0, content[:cut], len(content))
        at = await tus_offset(service.client, place)
        assert at <= cut
        answer = await tus_patched(service.client, place, at, content[at:])
        assert answer.status_code == 204, answer.text
        await ended_as(service, place, content)
        assert (await service.client.get(f"{place}/content")).content == content


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_a_large_upload_cut_again_and_again_is_the_same_file(service: Service) -> None:
    content = random.Random(64).randbytes(64 * MIB)
    cuts = sorted(random.Random(LARGE_CUTS).sample(range(4096, len(content), 4096), min(LARGE_CUTS, 16383)))
    place = await tus_created(service.client, len(content))
    at = 0
    for cut in cuts:
        if cut > at:
            await patch_cut(service, place, at, content[at:cut], len(content) - at)
            at = await tus_offset(service.client, place)
            assert cut - at <= MIB
    assert (await tus_patched(service.client, place, at, content[at:])).status_code == 204
    await ended_as(service, place, content)


async def started_again(service: Service) -> None:
    """The same service after its death, on the same port, with the same database and folder."""
    service.kill()
    await service.process.ended()
    port = service.url.rpartition(":")[2]
    log = service.folder / f"again-{len(service.others)}.log"
    again = await fork("service again", "service", ["all"], service.settings | {"MILLRACE_PORT": port}, log)
    service.others.append(again)
    service.process = again
    await eventually(lambda: "listening on" in again.output)


@pytest.mark.slow
@pytest.mark.parametrize("cut", [1, 4095, 65_536, 3 * MIB + 5, 33 * MIB + 1])
async def test_an_upload_goes_on_after_the_server_was_killed_in_the_middle(
    start_service: StartService, cut: int
) -> None:
    service = await start_service()
    content = random.Random(cut).randbytes(40 * MIB)
    place = await tus_created(service.client, len(content))
    line = await wire(service, "PATCH", place, TUS_BYTES | {"Upload-Offset": "0", "Content-Length": str(len(content))})
    await line.send(content[:cut])
    if cut > 32 * MIB:
        part = service.folder / "files" / f"{place.rpartition('/')[2]}.part"
        await eventually(lambda: part.exists() and part.stat().st_size > 32 * MIB)
    await started_again(service)
    line.cut()
    async with client_for(service.url, service.key) as client:
        at = await tus_offset(client, place)
        assert at <= cut
        assert cut <= 32 * MIB or at > 31 * MIB
        assert (await tus_patched(client, place, at, content[at:])).status_code == 204
        assert (await client.get(place)).json()["sha256"] == hashlib.sha256(content).hexdigest()


async def test_the_newest_of_two_requests_wins(service: Service) -> None:
    content = b"a,b\n" * 1000
    place = await tus_created(service.client, len(content))
    fields = TUS_BYTES | {"Upload-Offset": "0", "Content-Length": str(len(content))}
    silent = await wire(service, "PATCH", place, fields)
    await silent.send(content[:10])
    async with asyncio.timeout(2):  # the promise itself
        at = await tus_offset(service.client, place)
        answer = await tus_patched(service.client, place, at, content[at:])
    assert answer.status_code == 204
    assert silent.writer is not None
    assert (await silent.head()).startswith("HTTP/1.1 409")
    await ended_as(service, place, content)


async def test_the_newest_of_two_that_begin_at_the_same_byte_wins(service: Service) -> None:
    content = b"a,b\n" * 1000
    place = await tus_created(service.client, len(content))
    fields = TUS_BYTES | {"Upload-Offset": "0", "Content-Length": str(len(content))}
    silent = await wire(service, "PATCH", place, fields)
    await silent.send(b"other bytes")
    part = service.folder / "files" / f"{place.rpartition('/')[2]}.part"
    await eventually(part.exists)
    async with asyncio.timeout(2):  # the promise itself
        assert (await tus_patched(service.client, place, 0, content)).status_code == 204
    assert (await silent.head()).startswith("HTTP/1.1 409")
    await ended_as(service, place, content)


@pytest.mark.parametrize("asks", [True, False])
async def test_a_request_in_another_process_wins_as_well(start_service: StartService, asks: bool) -> None:
    service = await start_service("api")
    log = service.folder / "other.log"
    other = await fork("service other", "service", ["api"], service.settings, log)
    service.others.append(other)
    url = (
        (await eventually(lambda: "listening on" in other.output and other.output)).split("listening on ")[1].split()[0]
    )
    content = b"a,b\n" * 1000
    place = await tus_created(service.client, len(content))
    silent = await wire(
        service, "PATCH", place, TUS_BYTES | {"Upload-Offset": "0", "Content-Length": str(len(content))}
    )
    await silent.send(content[:10])
    async with client_for(url, service.key) as client:

        async def is_written() -> bool:
            return (service.folder / "files" / f"{place.rpartition('/')[2]}.part").exists()

        await eventually(is_written)
        async with asyncio.timeout(5):
            at = await tus_offset(client, place) if asks else 0
            assert (await tus_patched(client, place, at, content[at:])).status_code == 204
        assert (await client.get(place)).json()["sha256"] == hashlib.sha256(content).hexdigest()
    assert (await silent.head()).startswith("HTTP/1.1 409")


async def test_many_requests_at_once_leave_one_right_file(service: Service) -> None:
    content = random.Random(7).randbytes(300_000)
    place = await tus_created(service.client, len(content))
    answers = await asyncio.gather(*(tus_patched(service.client, place, 0, content) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {204, 409, 413}
    at = await tus_offset(service.client, place)
    if at < len(content):
        assert (await tus_patched(service.client, place, at, content[at:])).status_code == 204
    await ended_as(service, place, content)


async def test_a_resumable_upload_whose_creation_was_cut_goes_on_where_the_interim_answer_said(
    service: Service,
) -> None:
    content = random.Random(8).randbytes(2 * MIB)
    line = await wire(service, "POST", "/v1/uploads", {"Upload-Complete": "?1", "Content-Length": str(len(content))})
    interim = await line.head()
    assert interim.startswith("HTTP/1.1 104 ")
    fields = dict(row.split(": ", 1) for row in interim.split("\r\n")[1:] if row)
    assert "max-size=" in fields["Upload-Limit"]
    await line.send(content[:MIB])
    line.cut()
    place = fields["Location"]
    found = await service.client.head(place)
    assert (found.status_code, found.headers["Upload-Complete"]) == (204, "?0")
    assert found.headers["Upload-Length"] == str(len(content))
    at = int(found.headers["Upload-Offset"])
    last = PARTIAL | {"Upload-Offset": str(at), "Upload-Complete": "?1"}
    answer = await service.client.patch(place, headers=last, content=content[at:])
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?1")
    await ended_as(service, place, content)


async def test_a_raw_upload_that_is_cut_leaves_nothing(service: Service) -> None:
    before, files = await usage_of(service), service.files
    line = await wire(service, "POST", "/v1/uploads", {"Content-Length": "100000"})
    await line.send(b"x" * 50_000)
    assert (await eventually(lambda: service.files != files)) is True
    line.cut()

    async def is_as_before() -> bool:
        return service.files == files and await usage_of(service) == before

    await eventually(is_as_before)


@pytest.mark.slow
async def test_five_hundred_silent_clients_do_not_keep_others_waiting(start_service: StartService) -> None:
    service = await start_service(upload_idle_s=60)
    lines: list[Wire] = []
    for _ in range(500):
        lines.append(await wire(service, "POST", "/v1/uploads", {"Content-Length": "1000000"}))
        await lines[-1].send(b"x")

    async def all_begun() -> bool:
        return (await usage_of(service))[1] == 500

    await eventually(all_begun)
    answers = await asyncio.gather(*(service.client.post("/v1/uploads", content=b"a,b\n1,2\n") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    for line in lines:
        line.cut()

    async def all_gone() -> bool:
        return (await usage_of(service))[1] == 0

    await eventually(all_gone)


async def test_a_silent_client_is_dropped_and_what_came_is_kept(start_service: StartService) -> None:
    service = await start_service(upload_idle_s=0.5)
    place = await tus_created(service.client, 100)
    line = await wire(service, "PATCH", place, TUS_BYTES | {"Upload-Offset": "0", "Content-Length": "100"})
    await line.send(b"0123456789")
    assert (await line.head()).startswith("HTTP/1.1 408")
    answer = await service.client.head(place, headers=TUS)
    assert answer.headers["Upload-Offset"] == "10"
