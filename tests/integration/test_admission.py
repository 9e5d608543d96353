"""What may come in: sizes, types, quotas, space, scanners, pace; and pages of other origins."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import StartService
from tests.running import Service, eventually, start
from tests.uploading import TUS, tus_created, tus_patched, usage_of, wire

FILE = b"a,b\n1,x\n2,y\n"
IMPORT = "/v1/imports?processor=csv&dataset=admitted"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


async def limited(service: Service, **quotas: int) -> None:
    """`python -m service quota dev KIND NUMBER` for each."""
    for kind, most in quotas.items():
        words = ["-m", "service", "quota", "dev", kind, str(most)]
        command = await start("service quota", words, service.settings, service.folder / f"quota-{kind}.log")
        try:
            assert await command.ended() == 0, command.output
        finally:
            await command.discard()


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("people.csv", FILE, 202),
        ("people", FILE, 202),
        ("people.dat", FILE, 202),
        ("people.csv", PNG, 415),
        ("people.csv", b"%PDF-1.7\n" + bytes(50), 415),
        ("people.png", FILE, 415),
        ("people.ndjson", FILE, 415),
        ("mz.csv", b"MZ,ID3\n1,2\n", 202),
        ("wide.csv", "a,b\n1,2\n".encode("utf-16"), 202),
    ],
)
async def test_a_file_fits_its_processor_by_name_and_first_bytes(
    service: Service, name: str, content: bytes, status: int
) -> None:
    files = service.files
    answer = await service.client.post(f"{IMPORT}&name={name}", content=content)
    assert answer.status_code == status, answer.text
    if status == 415:
        assert answer.json()["code"] == "unsupported_type"
        assert service.files == files


async def test_first_bytes_are_looked_at_however_they_come(service: Service) -> None:
    before = await usage_of(service)
    place = await tus_created(service.client, len(PNG), "/v1/uploads?processor=csv&dataset=x")
    for at in range(0, len(PNG) - 1):
        assert (await tus_patched(service.client, place, at, PNG[at : at + 1])).status_code == 204
        if at == 8:
            break
    answer = await tus_patched(service.client, place, 9, PNG[9:])
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_type")
    shown = (await service.client.get(place)).json()
    assert (shown["state"], shown["problem"]["code"]) == ("failed", "unsupported_type")
    assert await usage_of(service) == before


async def test_only_allowed_types_come_in(start_service: StartService) -> None:
    service = await start_service("api", allowed_types=".csv, zip")
    assert (await service.client.post("/v1/uploads?name=a.csv", content=FILE)).status_code == 201
    assert (await service.client.post("/v1/uploads?name=a.zip", content=zipped(10))).status_code == 201
    assert (await service.client.post("/v1/uploads?name=a.png", content=PNG)).status_code == 415
    assert (await service.client.post("/v1/uploads?name=a.zip", content=PNG)).status_code == 415
    assert (await service.client.post("/v1/uploads", content=PNG)).status_code == 415
    assert len(service.files) == 2


def zipped(*sizes: int) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for number, size in enumerate(sizes):
            file.writestr(f"{number}.csv", bytes(size))
    return archive.getvalue()


async def test_an_archive_that_would_burst_is_refused(start_service: StartService) -> None:
    service = await start_service("api", max_unpacked_bytes=1_000_000)
    bomb = zipped(600_000, 600_000)
    assert len(bomb) < 10_000
    answer = await service.client.post("/v1/uploads", content=bomb)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert (await service.client.post("/v1/uploads", content=zipped(600_000, 300_000))).status_code == 201
    assert len(service.files) == 1


async def test_a_processor_has_a_limit_of_its_own(start_service: StartService) -> None:
    service = await start_service("api", processor_max_bytes=json.dumps({"csv": 10}), max_upload_bytes=100)
    assert (await service.client.post(IMPORT, content=FILE)).status_code == 413
    assert (await service.client.post("/v1/uploads", content=FILE)).status_code == 201
    assert (await service.client.options("/v1/uploads?processor=csv")).headers["Tus-Max-Size"] == "10"
    headers = TUS | {"Upload-Length": "11"}
    answer = await service.client.post("/v1/uploads?processor=csv&dataset=x", headers=headers)
    assert answer.status_code == 413


async def test_a_quota_of_bytes_is_reserved_before_they_come(start_service: StartService) -> None:
    service = await start_service("api")
    await limited(service, bytes=1000)
    place = await tus_created(service.client, 900)
    refused = await service.client.post("/v1/uploads", headers=TUS | {"Upload-Length": "101"})
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    assert (await service.client.post("/v1/uploads", content=b"x" * 101)).status_code == 429
    deferred = await tus_created(service.client, None)
    assert (await tus_patched(service.client, deferred, 0, b"x" * 101)).status_code == 429
    await service.client.delete(deferred, headers=TUS)
    await service.client.delete(place, headers=TUS)
    assert (await service.client.post("/v1/uploads", content=b"x" * 1000)).status_code == 201
    assert await usage_of(service) == (1000, 0)


async def test_a_body_of_unknown_length_counts_too(start_service: StartService) -> None:
    service = await start_service("api")
    await limited(service, bytes=100)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 50

    answer = await service.client.post("/v1/uploads", content=pieces())
    assert answer.status_code == 429
    assert (await usage_of(service), service.files) == ((0, 0), [])


async def test_an_account_has_so_many_uploads_open_and_a_day(start_service: StartService) -> None:
    service = await start_service("api")
    await limited(service, open=2, daily=3)
    places = [await tus_created(service.client, 10) for _ in range(2)]
    assert (await service.client.post("/v1/uploads", headers=TUS | {"Upload-Length": "1"})).status_code == 429
    await service.client.delete(places[0], headers=TUS)
    await tus_created(service.client, 10)
    await service.client.delete(places[1], headers=TUS)
    answer = await service.client.post("/v1/uploads", headers=TUS | {"Upload-Length": "1"})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_quota_holds_against_many_at_once(start_service: StartService) -> None:
    service = await start_service("api")
    await limited(service, bytes=500)
    headers = TUS | {"Upload-Length": "100"}
    answers = await asyncio.gather(*(service.client.post("/v1/uploads", headers=headers) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] * 5 + [429] * 15
    assert await usage_of(service) == (500, 5)


async def test_a_disk_that_is_nearly_full_takes_nothing(start_service: StartService) -> None:
    service = await start_service("api", free_bytes_floor=2**62)
    for headers in ({}, TUS | {"Upload-Length": "1"}, {"Upload-Complete": "?0"}):
        answer = await service.client.post("/v1/uploads", headers=headers, content=b"x" if not headers else b"")
        assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
    assert await usage_of(service) == (0, 0)


SCANNER = "import sys; data = sys.stdin.buffer.read(); sys.exit(3 if b'broken' in data else b'EICAR' in data)"


async def test_a_scanner_sees_every_file(start_service: StartService, tmp_path: Path) -> None:
    script = tmp_path / "scan.py"
    script.write_text(SCANNER)
    service = await start_service("api", scan=f"{sys.executable} {script}")
    assert (await service.client.post("/v1/uploads", content=FILE)).status_code == 201
    raw = await service.client.post("/v1/uploads", content=b"EICAR")
    assert (raw.status_code, raw.json()["code"]) == (422, "malware_found")
    place = await tus_created(service.client, 5)
    tus = await tus_patched(service.client, place, 0, b"EICAR")
    assert (tus.status_code, tus.json()["code"]) == (422, "malware_found")
    assert (await service.client.get(place)).json()["state"] == "failed"
    assert (await service.client.get(f"{place}/content")).status_code == 410
    unsure = await service.client.post("/v1/uploads", content=b"broken")
    assert (unsure.status_code, unsure.json()["code"]) == (503, "scan_failed")
    assert (len(service.files), await usage_of(service)) == (1, (12, 0))


async def test_a_scanner_may_be_asked_by_http(start_service: StartService) -> None:
    async def scan(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = await reader.readuntil(b"\r\n\r\n")
        while b"0\r\n\r\n" not in seen:
            seen += await reader.read(1000)
        status = "422 Infected" if b"EICAR" in seen else "204 Clean"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(scan, "127.0.0.1", 0) as scanner:
        port = scanner.sockets[0].getsockname()[1]
        service = await start_service("api", scan=f"http://127.0.0.1:{port}/")
        assert (await service.client.post("/v1/uploads", content=FILE)).status_code == 201
        answer = await service.client.post("/v1/uploads", content=b"EICAR")
        assert answer.json()["code"] == "malware_found"


async def test_a_coded_body_is_not_undone_and_not_taken(service: Service) -> None:
    answer = await service.client.post("/v1/uploads", content=b"x", headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.headers["Accept-Encoding"]) == (415, "identity")


async def test_a_body_shorter_than_it_said_leaves_nothing(service: Service) -> None:
    before, files = await usage_of(service), service.files
    line = await wire(service, "POST", "/v1/uploads", {"Content-Length": "1000000"})
    await line.send(b"x" * 10)
    await eventually(lambda: service.files != files)
    line.writer.close()

    async def is_as_before() -> bool:
        return (await usage_of(service), service.files) == (before, files)

    await eventually(is_as_before)


async def test_pages_of_allowed_origins_may_upload(start_service: StartService) -> None:
    service = await start_service("api", cors_origins="https://app.example, https://two.example")
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization,tus-resumable,upload-offset,content-type",
    }
    answer = await service.client.options("/v1/uploads/x", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    assert "upload-offset" in answer.headers["Access-Control-Allow-Headers"].lower()
    made = await service.client.post(
        "/v1/uploads", headers=TUS | {"Upload-Length": "1", "Origin": "https://two.example"}
    )
    assert "Upload-Offset" in made.headers["Access-Control-Expose-Headers"]
    assert made.headers["Access-Control-Allow-Origin"] == "https://two.example"
    other = await service.client.options("/v1/uploads", headers=asked | {"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers
