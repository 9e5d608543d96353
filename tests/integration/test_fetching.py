"""POST /v1/uploads with an address: the file is fetched, from public servers and from buckets that are named."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import obstore
import pytest

from service.domain.errors import InputError
from service.files.objects import remote
from service.sources import guarded
from service.sources.addresses import networks_of
from tests import running
from tests.object_server import ObjectServer, object_server
from tests.running import Servers, Service
from tests.sealed import content_of

MIB = 1024 * 1024
NOISE = random.Random(9).randbytes(9 * MIB)
ROWS = b"id,name\n1,Ann\n2,Bob\n"
HEAD = "HTTP/1.1 {} X\r\nConnection: close\r\n{}\r\n"


class Elsewhere:
    """An HTTP server that gives what its paths say. `asked` is every path that it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            self.asked.append(target)
            path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
            match path:
                case "/redirect":
                    writer.write(HEAD.format(302, f"Location: {query['to'][0]}\r\n").encode())
                case "/loop":
                    writer.write(HEAD.format(307, "Location: /loop\r\n").encode())
                case "/chunked":
                    writer.write(HEAD.format(200, "Transfer-Encoding: chunked\r\n").encode())
                    writer.write(b"5\r\nid\n1\n\r\n2\r\n2\n\r\n0\r\n\r\n")
                case "/short":
                    writer.write(HEAD.format(200, "Content-Length: 1000\r\n").encode() + b"only this")
                case "/huge":
                    writer.write(HEAD.format(200, f"Content-Length: {10**15}\r\n").encode() + b"x")
                case "/endless":
                    writer.write(HEAD.format(200, "").encode())
                    while True:
                        writer.write(bytes(65536))
                        await writer.drain()
                case "/silent":
                    writer.write(HEAD.format(200, "Content-Length: 1000\r\n").encode() + b"a little, then")
                    await writer.drain()
                    await reader.read()
                case "/packed":
                    writer.write(HEAD.format(200, "Content-Encoding: gzip\r\nContent-Length: 2\r\n").encode() + b"xx")
                case "/named":
                    named = 'Content-Disposition: attachment; filename="the rows.csv"\r\nContent-Type: text/csv\r\n'
                    writer.write(HEAD.format(200, f"{named}Content-Length: {len(ROWS)}\r\n").encode() + ROWS)
                case "/rows.csv":
                    writer.write(HEAD.format(200, f"Content-Length: {len(ROWS)}\r\n").encode() + ROWS)
                case "/noise.bin":
                    writer.write(HEAD.format(200, f"Content-Length: {len(NOISE)}\r\n").encode() + NOISE)
                case _:
                    writer.write(HEAD.format(path[1:], "Content-Length: 0\r\n").encode())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(host: str) -> AsyncIterator[Elsewhere]:
    elsewhere = Elsewhere()
    server = await asyncio.start_server(elsewhere.answer, host, 0)
    port = server.sockets[0].getsockname()[1]
    elsewhere.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        yield elsewhere
    finally:
        server.close()


@pytest.fixture(scope="module")
async def elsewhere() -> AsyncIterator[Elsewhere]:
    """A server whose address is allowed."""
    async with serving("127.0.0.2") as started:
        yield started


@pytest.fixture(scope="module")
async def objects(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ObjectServer]:
    """A running S3 server."""
    async with object_server(tmp_path_factory.mktemp("objects")) as started:
        yield started


@pytest.fixture(scope="module")
def bucket(objects: ObjectServer) -> str:
    """A bucket with a file in a folder that may be fetched from, and one beside it."""
    name = objects.bucket()
    store = remote(f"s3://{name}", objects.options(), 30)
    for key, content in (("open/rows.csv", ROWS), ("open/noise.bin", NOISE), ("openly.csv", ROWS), ("own.csv", ROWS)):
        obstore.put(store, key, content)
    return name


@pytest.fixture(scope="module")
async def service(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory, objects: ObjectServer, bucket: str
) -> AsyncIterator[Service]:
    """A service that may fetch from 127.0.0.2 and from one folder of a bucket."""
    sources = {f"s3://{bucket}/open": objects.options()}
    async with running.service(
        servers,
        tmp_path_factory.mktemp("service"),
        fetch_allow="127.0.0.2",
        sources=json.dumps(sources),
        upload_idle_s=1,
        max_upload_bytes=10 * MIB,
    ) as started:
        yield started


async def fetch(service: Service, url: str, **more: Any) -> httpx.Response:
    return await service.client.post("/v1/uploads", json={"url": url, **more})


async def nothing_is_left(service: Service) -> bool:
    uploads = (await service.client.get("/v1/uploads")).json()["uploads"]
    return len(service.files) == len([each for each in uploads if each["expired_at"] is None])


async def test_a_file_is_fetched_and_kept(service: Service, elsewhere: Elsewhere) -> None:
    answer = await fetch(service, f"{elsewhere.url}/noise.bin")
    assert answer.status_code == 201, answer.text
    upload = answer.json()
    assert (upload["name"], upload["size_bytes"]) == ("noise.bin", len(NOISE))
    assert upload["sha256"] == hashlib.sha256(NOISE).hexdigest()
    assert await content_of(service, upload["id"]) == NOISE


async def test_a_fetched_file_may_start_its_job(service: Service, elsewhere: Elsewhere) -> None:
    body = {"url": f"{elsewhere.url}/rows.csv"}
    answer = await service.client.post("/v1/uploads?processor=csv&dataset=fetched", json=body)
    assert answer.status_code == 201, answer.text
    job = await service.client.get(answer.headers["job-location"], headers={"Prefer": "wait=20"})
    assert (job.json()["state"], job.json()["counts"]["inserted"]) == ("completed", 2)


@pytest.mark.parametrize(
    ("path", "given", "name"),
    [
        ("/named", {}, "the rows.csv"),
        ("/named", {"name": "mine.csv"}, "mine.csv"),
        ("/rows.csv?x=1", {}, "rows.csv"),
        ("/chunked", {}, "chunked"),
        ("/redirect?to=/rows.csv", {}, "rows.csv"),
    ],
)
async def test_a_fetched_file_has_the_name_that_it_has_there_or_is_given(
    service: Service, elsewhere: Elsewhere, path: str, given: dict[str, str], name: str
) -> None:
    answer = await fetch(service, elsewhere.url + path, **given)
    assert (answer.status_code, answer.json().get("name")) == (201, name), answer.text


async def test_json_that_is_no_request_to_fetch_is_a_file(service: Service, elsewhere: Elsewhere) -> None:
    before = len(elsewhere.asked)
    for body in ({"url": elsewhere.url, "title": "x"}, {"name": "x"}, [elsewhere.url], {"url": 5}):
        content = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        answer = await service.client.post("/v1/uploads", content=content, headers=headers)
        assert answer.status_code == 201, answer.text
        assert await content_of(service, answer.json()["id"]) == content
    named = await service.client.post("/v1/uploads?name=request.json", json={"url": elsewhere.url})
    assert (named.status_code, named.json()["name"]) == (201, "request.json")
    assert len(elsewhere.asked) == before


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/404", 422, "fetch_refused"),
        ("/401", 422, "fetch_refused"),
        ("/206", 422, "fetch_refused"),
        ("/304", 422, "fetch_refused"),
        ("/500", 503, "upstream_unavailable"),
        ("/429", 503, "upstream_unavailable"),
        ("/loop", 422, "fetch_refused"),
        ("/packed", 422, "fetch_refused"),
        ("/short", 503, "upstream_unavailable"),
        ("/silent", 503, "upstream_unavailable"),
        ("/huge", 413, "too_large"),
        ("/endless", 413, "too_large"),
    ],
)
async def test_what_cannot_be_fetched_leaves_nothing(
    service: Service, elsewhere: Elsewhere, path: str, status: int, code: str
) -> None:
    answer = await fetch(service, elsewhere.url + path)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert await nothing_is_left(service)


async def test_there_is_an_end_to_redirects(service: Service, elsewhere: Elsewhere) -> None:
    before = len(elsewhere.asked)
    await fetch(service, f"{elsewhere.url}/loop")
    assert elsewhere.asked[before:] == ["/loop"] * (guarded.MAX_REDIRECTS + 1)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/x",
        "file:///etc/passwd",
        "http://",
        "http:///x",
        "//example.com",
        "example.com/x",
        "",
        "http://ex ample.com/",
        "http://example.com/\r\nX: y",
        "http://exämple.com/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://user:secret@example.com/",
        "http://good.example\\@127.0.0.1/",
        "http://[::1/",
        "http://example.com/" + "x" * 9000,
    ],
)
async def test_what_is_no_address_is_refused(service: Service, url: str) -> None:
    answer = await fetch(service, url)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_url"), answer.text


HIDDEN = [
    "http://127.0.0.1",
    "http://localhost",
    "http://127.1",
    "http://2130706433",
    "http://0x7f.0.0.1",
    "http://0177.0.0.1",
    "http://0",
    "http://[::1]",
    "http://[::]",
    "http://[::ffff:127.0.0.1]",
    "http://[::ffff:7f00:1]",
    "http://[64:ff9b::127.0.0.1]",
    "http://[64:ff9b:1::7f00:1]",
    "http://[2002:7f00:1::]",
    "http://10.0.0.1",
    "http://169.254.169.254",
    "http://[fd00:ec2::254]",
    "https://127.0.0.1",
]


@pytest.mark.parametrize("start", HIDDEN)
async def test_an_address_that_is_not_public_is_not_asked(service: Service, start: str) -> None:
    for url in (start, f"{start}:{urlsplit(service.url).port}/v1/uploads"):
        answer = await fetch(service, url)
        assert (answer.status_code, answer.json()["code"]) == (422, "address_refused"), answer.text


async def test_a_redirect_to_an_address_that_is_not_public_is_not_followed(
    service: Service, elsewhere: Elsewhere
) -> None:
    async with serving("127.0.0.1") as inner:
        for target in (f"{inner.url}/rows.csv", f"//{urlsplit(inner.url).netloc}/rows.csv"):
            answer = await fetch(service, f"{elsewhere.url}/redirect?to={target}")
            assert (answer.status_code, answer.json()["code"]) == (422, "address_refused"), answer.text
        assert inner.asked == []
    answer = await fetch(service, f"{elsewhere.url}/redirect?to=file:///etc/passwd")
    assert answer.json()["code"] == "invalid_url"


async def test_a_name_is_resolved_once_and_all_its_addresses_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding: what the name resolves to the second time is never looked up."""
    asked: list[str] = []
    answers = iter([["127.0.0.2"], ["127.0.0.1"], ["127.0.0.2", "127.0.0.1"]])

    async def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(answers)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    allowed = networks_of("127.0.0.2")
    async with serving("127.0.0.2") as outer:
        port = urlsplit(outer.url).port
        async with guarded.get(f"http://rebinds.example:{port}/rows.csv", idle_s=5, allowed=allowed) as answer:
            assert b"".join([piece async for piece in answer.content()]) == ROWS
        assert asked == ["rebinds.example"]
        for _ in range(2):
            with pytest.raises(InputError) as refused:
                async with guarded.get(f"http://rebinds.example:{port}/rows.csv", idle_s=5, allowed=allowed):
                    pass
            assert refused.value.code == "address_refused"
        assert outer.asked == ["/rows.csv"]


async def test_a_redirect_from_https_to_http_is_not_followed() -> None:
    where = guarded.checked("https://example.com/x")
    with pytest.raises(InputError) as refused:
        guarded._redirected("https://example.com/x", where, {"location": "http://example.com/y"})
    assert refused.value.code == "fetch_refused"


async def test_no_certificate_is_taken_on_trust(service: Service) -> None:
    """A server that speaks no TLS, or not ours, is not talked to."""
    async with serving("127.0.0.2") as plain:
        answer = await fetch(service, plain.url.replace("http:", "https:") + "/rows.csv")
        assert (answer.status_code, answer.json()["code"]) == (503, "upstream_unavailable")


@pytest.mark.parametrize(("key", "content"), [("rows.csv", ROWS), ("noise.bin", NOISE)])
async def test_a_file_in_a_bucket_that_is_named_is_fetched(
    service: Service, bucket: str, key: str, content: bytes
) -> None:
    answer = await fetch(service, f"s3://{bucket}/open/{key}")
    assert (answer.status_code, answer.json()["name"]) == (201, key), answer.text
    assert await content_of(service, answer.json()["id"]) == content


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("own.csv", "source_unknown"),
        ("openly.csv", "source_unknown"),
        ("open", "source_unknown"),
        ("open/../own.csv", "invalid_url"),
        ("open/", "invalid_url"),
        ("open//own.csv", "invalid_url"),
        ("open/rows.csv?x", "invalid_url"),
        ("open/rows\n.csv", "invalid_url"),
        ("open/nothing.csv", "fetch_refused"),
    ],
)
async def test_no_other_file_of_a_bucket_is_fetched(service: Service, bucket: str, path: str, code: str) -> None:
    answer = await fetch(service, f"s3://{bucket}/{path}")
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text


async def test_buckets_that_are_not_named_are_not_asked(service: Service) -> None:
    for url in ("s3://elsewhere/x", "gs://elsewhere/x", "az://elsewhere/x/y"):
        answer = await fetch(service, url)
        assert (answer.status_code, answer.json()["code"]) == (422, "source_unknown"), answer.text
