"""What is wrong is said in a form that programs can read, and leaves nothing half done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from service.domain.chunk import RAW_LIMIT
from tests.conftest import StartService
from tests.running import Json, Service, eventually, imported, rows_of, settled

NOBODY = str(uuid4())
IMPORT = "/v1/imports?processor=csv&dataset=refused"
FILE = b"a,b\n1,x\n"
MIB = 1024 * 1024


async def stored(service: Service) -> tuple[dict[str, int], list[str]]:
    """Everything a refused request could leave behind."""
    return await service.rows_in("upload", "dataset", "job", "event"), service.files


@asynccontextmanager
async def leaving_nothing(service: Service) -> AsyncIterator[None]:
    before = await stored(service)
    yield

    async def is_as_before() -> bool:
        return await stored(service) == before

    await eventually(is_as_before, 5)


def checked(answer: httpx.Response, status: int, code: str) -> Json:
    """The problem, if it has the form of one and is the expected one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: Json = answer.json()
    assert (problem["code"], problem["type"], problem["status"]) == (code, f"/problems/{code}", status)
    assert problem["title"]
    assert problem["detail"]
    return problem


REFUSALS: dict[str, tuple[str, str, dict[str, Any], int, str]] = {
    "an empty file": ("POST", IMPORT, {"content": b""}, 422, "file_empty"),
    "an empty upload": ("POST", "/v1/uploads", {"content": b""}, 422, "file_empty"),
    "no processor": ("POST", "/v1/imports?dataset=x", {"content": b"a few words\n"}, 422, "unrecognised_format"),
    "no dataset": ("POST", "/v1/imports?processor=csv", {"content": FILE}, 422, "missing_parameter"),
    "an unknown processor": ("POST", "/v1/imports?processor=no&dataset=x", {"content": FILE}, 422, "unknown_processor"),
    "an unknown option": ("POST", IMPORT + "&colour=red", {"content": FILE}, 422, "invalid_options"),
    "an option of the wrong kind": ("POST", IMPORT + "&header=maybe", {"content": FILE}, 422, "invalid_options"),
    "priority 0": ("POST", IMPORT + "&priority=0", {"content": FILE}, 422, "invalid_priority"),
    "priority 11": ("POST", IMPORT + "&priority=11", {"content": FILE}, 422, "invalid_priority"),
    "a priority in words": ("POST", IMPORT + "&priority=high", {"content": FILE}, 422, "invalid_priority"),
    "a priority of 5,000 digits": (
        "POST",
        IMPORT + "&priority=" + "1" * 5000,
        {"content": FILE},
        422,
        "invalid_priority",
    ),
    "metadata that is no object": ("POST", IMPORT + "&metadata=[1]", {"content": FILE}, 422, "invalid_metadata"),
    "metadata that is no JSON": ("POST", IMPORT + "&metadata={", {"content": FILE}, 422, "invalid_metadata"),
    "metadata nested 5,000 deep": (
        "POST",
        IMPORT + '&metadata={"a":' + "[" * 5000,
        {"content": FILE},
        422,
        "invalid_metadata",
    ),
    "metadata with NUL": ("POST", IMPORT + '&metadata={"a":"\\u0000"}', {"content": FILE}, 422, "invalid_value"),
    "metadata with half a character": (
        "POST",
        IMPORT + '&metadata={"a":"\\ud800"}',
        {"content": FILE},
        422,
        "invalid_metadata",
    ),
    "metadata that is not a number": (
        "POST",
        IMPORT + '&metadata={"a":NaN}',
        {"content": FILE},
        422,
        "invalid_metadata",
    ),
    "a job without a body": ("POST", "/v1/jobs", {}, 422, "invalid_request"),
    "a job that is no JSON": ("POST", "/v1/jobs", {"content": b"{'a': 1}"}, 422, "invalid_request"),
    "a job that is a list": ("POST", "/v1/jobs", {"json": []}, 422, "invalid_request"),
    "a job with a field too many": (
        "POST",
        "/v1/jobs",
        {"json": {"processor": "csv", "upload_id": NOBODY, "dataset": "x", "colour": 1}},
        422,
        "invalid_request",
    ),
    "a job body over its limit": ("POST", "/v1/jobs", {"content": b" " * (MIB + 1)}, 413, "too_large"),
    "a job over no upload": (
        "POST",
        "/v1/jobs",
        {"json": {"processor": "csv", "upload_id": NOBODY, "dataset": "x"}},
        404,
        "not_found",
    ),
    "an unknown upload": ("GET", f"/v1/uploads/{NOBODY}", {}, 404, "not_found"),
    "an unknown job": ("GET", f"/v1/jobs/{NOBODY}", {}, 404, "not_found"),
    "events of an unknown job": ("GET", f"/v1/jobs/{NOBODY}/events", {}, 404, "not_found"),
    "rejects of an unknown job": ("GET", f"/v1/jobs/{NOBODY}/rejects", {}, 404, "not_found"),
    "an id that is none": ("GET", "/v1/jobs/17", {}, 404, "not_found"),
    "an unknown dataset": ("GET", "/v1/datasets/nowhere", {}, 404, "not_found"),
    "rows of an unknown dataset": ("GET", "/v1/datasets/nowhere/rows", {}, 404, "not_found"),
    "export of an unknown dataset": ("GET", "/v1/datasets/nowhere/export", {}, 404, "not_found"),
    "a dataset with NUL in its name": ("GET", "/v1/datasets/a%00b", {}, 422, "invalid_value"),
    "a filter with NUL": ("GET", "/v1/jobs?processor=%00", {}, 422, "invalid_value"),
    "an unknown state": ("GET", "/v1/jobs?state=asleep", {}, 422, "invalid_state"),
    "limit 0": ("GET", "/v1/jobs?limit=0", {}, 422, "invalid_limit"),
    "a limit of 5,000 digits": ("GET", "/v1/jobs?limit=" + "1" * 5000, {}, 422, "invalid_limit"),
    "a cursor that is none": ("GET", "/v1/jobs?cursor=next", {}, 422, "invalid_cursor"),
    "an unknown path": ("GET", "/nowhere", {}, 404, "not_found"),
    "an unknown path below v1": ("GET", "/v1/nowhere", {}, 404, "not_found"),
    "a path out of the web folder": ("GET", "/web/..%2F..%2Fpyproject.toml", {}, 404, "not_found"),
    "a wrong method": ("DELETE", "/v1/jobs", {}, 405, "method_not_allowed"),
    "a wrong method outside v1": ("POST", "/livez", {}, 405, "method_not_allowed"),
}
SUGGESTED = {"file_empty", "invalid_options", "unknown_processor", "not_found", "invalid_priority", "missing_parameter"}


@pytest.mark.parametrize("what", REFUSALS)
async def test_a_refusal_is_a_problem_document_and_leaves_nothing(service: Service, what: str) -> None:
    method, path, arguments, status, code = REFUSALS[what]
    async with leaving_nothing(service):
        problem = checked(await service.client.request(method, path, **arguments), status, code)
    assert "suggestion" in problem or code not in SUGGESTED


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/b",
        "A",
        "1a",
        "",
        " ",
        "a b",
        "_row",
        "x" * 49,
        "ü",
        "a\x00b",
        "x; drop table millrace.job",
        "'--",
        "x" * 4096,
    ],
)
async def test_a_name_no_dataset_may_have_is_refused(service: Service, name: str) -> None:
    async with leaving_nothing(service):
        answer = await service.client.post("/v1/imports", params={"processor": "csv", "dataset": name}, content=FILE)
        problem = checked(answer, 422, "invalid_dataset_name")
        assert "lower-case" in problem["suggestion"]


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer wrong", "Basic bXJfdGVzdA==", "mr_test"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/jobs"), ("POST", IMPORT), ("GET", "/v1/nowhere")])
async def test_without_a_valid_key_nothing_below_v1_is_told_or_taken(
    service: Service, authorization: str | None, method: str, path: str
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    content = FILE if method == "POST" else None
    async with leaving_nothing(service), httpx.AsyncClient(base_url=service.url, headers=headers) as client:
        answer = await client.request(method, path, content=content)
        problem = checked(answer, 401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert "Authorization: Bearer" in problem["suggestion"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/openapi.json", "/"])
async def test_what_is_outside_v1_needs_no_key(service: Service, path: str) -> None:
    async with httpx.AsyncClient(base_url=service.url) as client:
        assert (await client.get(path)).status_code == 200


async def raw(service: Service, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request whose head is sent and whose body is up to the test."""
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{head}\r\nHost: {host}\r\nAuthorization: Bearer {service.key}\r\n\r\n".encode())
    await writer.drain()
    return reader, writer


async def answered(reader: asyncio.StreamReader, timeout_s: float = 10) -> httpx.Response:
    async with asyncio.timeout(timeout_s):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        body = await reader.readexactly(int(headers["content-length"]))
    return httpx.Response(int(first.split()[1]), headers=headers, content=body)


def has_part(service: Service) -> bool:
    return any(name.endswith(".part") for name in service.files)


@pytest.mark.parametrize("path", ["/v1/uploads", IMPORT])
@pytest.mark.parametrize(
    ("length", "start"),
    [("Content-Length: 1000000", b"a,b\n1,"), ("Transfer-Encoding: chunked", b"6\r\na,b\n1,\r\n")],
)
async def test_a_body_cut_off_midway_leaves_nothing(service: Service, path: str, length: str, start: bytes) -> None:
    async with leaving_nothing(service):
        _, writer = await raw(service, f"POST {path} HTTP/1.1\r\n{length}")
        writer.write(start)
        await eventually(lambda: has_part(service))
        writer.transport.abort()


async def test_a_broken_chunk_in_the_body_leaves_nothing(service: Service) -> None:
    async with leaving_nothing(service):
        reader, writer = await raw(service, "POST /v1/uploads HTTP/1.1\r\nTransfer-Encoding: chunked")
        writer.write(b"6\r\na,b\n1,\r\n")
        await eventually(lambda: has_part(service))
        writer.write(b"this is no chunk\r\n")
        async with asyncio.timeout(10):
            assert b"201" not in await reader.read()
        writer.close()


@pytest.fixture(scope="module")
async def strict(servers: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service with little room and no patience."""
    from tests import running

    folder = tmp_path_factory.mktemp("strict")
    async with running.service(servers, folder, "api", max_upload_bytes=2 * MIB, upload_idle_s=0.2) as started:
        yield started


async def streamed(pieces: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(pieces):
        yield b"x" * size


@pytest.mark.parametrize("path", ["/v1/uploads", IMPORT])
async def test_a_body_declared_over_the_limit_is_refused(strict: Service, path: str) -> None:
    async with leaving_nothing(strict):
        problem = checked(await strict.client.post(path, content=b"x" * (2 * MIB + 1)), 413, "too_large")
        assert "MILLRACE_MAX_UPLOAD_BYTES" in problem["suggestion"]


@pytest.mark.parametrize("path", ["/v1/uploads", IMPORT])
async def test_a_body_that_grows_over_the_limit_is_refused(strict: Service, path: str) -> None:
    async with leaving_nothing(strict):
        checked(await strict.client.post(path, content=streamed(48, 64 * 1024)), 413, "too_large")


async def test_a_body_of_exactly_the_limit_is_taken(strict: Service) -> None:
    assert (await strict.client.post("/v1/uploads", content=streamed(32, 64 * 1024))).status_code == 201


async def test_a_client_that_asks_before_it_sends_is_refused_at_once(strict: Service) -> None:
    length = f"Content-Length: {3 * MIB}\r\nExpect: 100-continue"
    async with leaving_nothing(strict):
        reader, writer = await raw(strict, f"POST /v1/uploads HTTP/1.1\r\n{length}")
        checked(await answered(reader, 1), 413, "too_large")
        writer.close()


@pytest.mark.parametrize("length", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("start", [b"", b"3\r\na,b\r\n"])
async def test_a_client_that_falls_silent_is_told_and_dropped(strict: Service, length: str, start: bytes) -> None:
    async with leaving_nothing(strict):
        reader, writer = await raw(strict, f"POST {IMPORT} HTTP/1.1\r\n{length}")
        writer.write(start)
        checked(await answered(reader), 408, "upload_timeout")
        writer.close()


async def rejects_of(service: Service, job: Json) -> list[Json]:
    return list((await service.client.get(job["links"]["rejects"])).json()["rejects"])


async def test_a_header_alone_is_a_dataset_without_rows(service: Service) -> None:
    job = await imported(service.client, b"a,b\n", "header_only")
    assert (job["state"], job["outcome"], job["counts"]["read"]) == ("completed", "complete", 0)
    shown = (await service.client.get("/v1/datasets/header_only")).json()
    assert [column["name"] for column in shown["columns"]] == ["a", "b"]


async def test_blank_lines_alone_fail_as_an_empty_file(service: Service) -> None:
    job = await imported(service.client, b"\n\r\n \n", "blank")
    assert (job["state"], job["outcome"]) == ("failed", "none")
    assert job["problem"]["code"] == "file_empty"


async def test_rows_of_an_empty_dataset_are_none_and_an_export_says_why(service: Service) -> None:
    await imported(service.client, b"\n", "shapeless")
    assert await rows_of(service.client, "shapeless") == []
    checked(await service.client.get("/v1/datasets/shapeless/export"), 422, "dataset_empty")
    checked(await service.client.get("/v1/datasets/shapeless/export?format=xls"), 422, "unknown_format")


async def test_a_row_cursor_that_is_none_is_refused(service: Service) -> None:
    await imported(service.client, FILE, "cursors")
    for cursor in ("1", "x.y", "-1.0", "99999999999.1", "1." + "1" * 5000):
        checked(await service.client.get("/v1/datasets/cursors/rows", params={"cursor": cursor}), 422, "invalid_cursor")


CASES: dict[str, tuple[bytes, str, dict[str, int | str], int]] = {
    "NUL in a cell": (b"a,b\n1,x\n2,y\x00z\n3,z\n", "nul", {"row": 2, "line": 3}, 2),
    "a lone quote to the end": (b'a,b\n1,x\n2,"y\n3,z\n', "lone_quote", {"row": 2, "code": "unclosed_quote"}, 2),
    "a row too short": (b"a,b\n1,x\n2\n3,z\n", "too_short", {"row": 2, "code": "wrong_field_count", "raw": "2"}, 2),
    "a row too long": (b"a,b\n1,x\n2,y,z\n3,z\n", "too_long", {"row": 2, "code": "wrong_field_count"}, 2),
    "a row in Latin-1": (b"a,b\n1,x\n2,Zo\xeb\n3,z\n", "latin_1", {"row": 2, "code": "invalid_utf8"}, 2),
}


@pytest.mark.parametrize("what", CASES)
async def test_a_bad_row_is_rejected_with_its_reason_and_the_others_are_stored(service: Service, what: str) -> None:
    content, dataset, expected, inserted = CASES[what]
    job = await imported(service.client, content, dataset, encoding="utf-8")
    assert (job["state"], job["outcome"]) == ("completed", "partial"), job["problem"]
    assert (job["counts"]["inserted"], job["counts"]["rejected"]) == (inserted, 1)
    (reject,) = await rejects_of(service, job)
    assert {key: reject[key] for key in expected} == expected
    assert reject["message"]
    assert reject["suggestion"]
    assert len(await rows_of(service.client, dataset)) == inserted


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
async def test_a_file_in_another_encoding_is_read_as_it_is_meant(service: Service, encoding: str) -> None:
    dataset = f"encoded_{encoding.replace('-', '_')}"
    job = await imported(service.client, "größe,b\n1,Zürich\n".encode(encoding), dataset)
    assert (job["state"], job["counts"]["inserted"]) == ("completed", 1)
    [row] = await rows_of(service.client, dataset)
    assert (row["größe"], row["b"]) == (1, "Zürich")


async def test_a_file_that_is_not_in_the_encoding_that_was_said_is_rejected(service: Service) -> None:
    job = await imported(service.client, "größe,b\n1,Zürich\n2,Bern\n".encode("latin-1"), "misread", encoding="utf-8")
    assert job["state"] == "failed"
    assert job["problem"]["code"] == "unsupported_encoding"
    assert job["problem"]["suggestion"]


@pytest.mark.parametrize("field", ["plain", "quoted"])
async def test_a_field_of_100_mb_is_one_reject(service: Service, field: str) -> None:
    async def file() -> AsyncIterator[bytes]:
        yield b"a,b\n1,x\n2," + (b'"' if field == "quoted" else b"")
        for _ in range(100):
            yield b"x" * 1_000_000
        yield (b'"' if field == "quoted" else b"") + b"\n3,z\n"

    job = await imported(service.client, file(), f"huge_{field}")
    assert (job["state"], job["counts"]["inserted"], job["counts"]["rejected"]) == ("completed", 2, 1), job
    (reject,) = await rejects_of(service, job)
    assert (reject["row"], reject["code"]) == (2, "record_too_large")
    assert len(reject["raw"]) <= RAW_LIMIT
    assert reject["cut"]


async def test_a_file_that_is_gone_fails_the_job_and_says_so(start_service: StartService) -> None:
    service = await start_service("api")
    answer = await service.client.post(IMPORT, content=FILE)
    (service.folder / "files" / answer.json()["upload_id"]).unlink()
    await service.worker()
    job = await settled(service.client, answer.json())
    assert (job["state"], job["problem"]["code"]) == ("failed", "file_missing")
    assert job["problem"]["suggestion"]


async def test_metadata_of_a_json_job_is_checked_like_that_of_an_import(service: Service) -> None:
    upload = (await service.client.post("/v1/uploads", content=FILE)).json()
    body = {"processor": "csv", "upload_id": upload["id"], "dataset": "x", "metadata": {"a": "\x00"}}
    async with leaving_nothing(service):
        answer = await service.client.post("/v1/jobs", content=json.dumps(body))
        checked(answer, 422, "invalid_value")
