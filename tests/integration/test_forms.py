"""Uploads by HTML forms: several files, fields on either side of them, and forms that are none."""

from __future__ import annotations

import pytest

from tests.running import Json, Service, eventually, rows_of, settled
from tests.uploading import usage_of, wire

FILE = b"a,b\n1,x\n2,y\n"


def form(*parts: tuple[str, str | None, bytes]) -> tuple[bytes, dict[str, str]]:
    """A form in this very order: name, file name or None for a field, content."""
    body = b""
    for name, file_name, content in parts:
        more = "" if file_name is None else f'; filename="{file_name}"'
        body += f'--xx\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"
    return body + b"--xx--\r\n", {"Content-Type": "multipart/form-data; boundary=xx"}


async def posted(service: Service, path: str, *parts: tuple[str, str | None, bytes]) -> tuple[int, Json]:
    body, headers = form(*parts)
    answer = await service.client.post(path, content=body, headers=headers)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("order", ["before", "after"])
async def test_fields_may_come_before_or_after_the_file(service: Service, order: str) -> None:
    fields = [("processor", None, b"csv"), ("dataset", None, order.encode()), ("priority", None, b"7")]
    file = [("file", "people.csv", FILE)]
    status, upload = await posted(service, "/v1/uploads", *(fields + file if order == "before" else file + fields))
    assert status == 201, upload
    assert (upload["name"], upload["protocol"]) == ("people.csv", "multipart")
    job = await settled(service.client, upload["jobs"][0])
    assert (job["state"], job["priority"], job["counts"]["inserted"]) == ("completed", 7, 2)


async def test_an_import_takes_a_form_too(service: Service) -> None:
    status, job = await posted(
        service, "/v1/imports?processor=csv", ("f", "p.csv", FILE), ("dataset", None, b"imported_form")
    )
    assert status == 202, job
    assert (await settled(service.client, job))["state"] == "completed"
    assert len(await rows_of(service.client, "imported_form")) == 2


async def test_several_files_come_in_one_form(service: Service) -> None:
    contents = {f"{n}.bin": bytes([n]) * (300_000 + n) for n in range(3)}
    status, answer = await posted(service, "/v1/uploads", *(("f", name, c) for name, c in contents.items()))
    assert status == 201
    assert {upload["name"]: upload["size_bytes"] for upload in answer["uploads"]} == {
        name: len(content) for name, content in contents.items()
    }
    for upload in answer["uploads"]:
        assert (await service.client.get(upload["links"]["content"])).content == contents[upload["name"]]


async def test_content_that_looks_like_a_boundary_is_content(service: Service) -> None:
    content = b"--xx\r\n--x\r\n\r\n--xy--\r\n" * 1000
    status, upload = await posted(service, "/v1/uploads", ("f", "odd.txt", content.replace(b"--xx", b"-- xx")))
    assert status == 201
    assert (await service.client.get(upload["links"]["content"])).content == content.replace(b"--xx", b"-- xx")


BROKEN = {
    "no file": ([("a", None, b"x")], 422, "file_empty"),
    "an empty file": ([("f", "x.csv", b"")], 422, "file_empty"),
    "a field of a megabyte": ([("a", None, b"x" * 1_000_000), ("f", "x.csv", FILE)], 413, "too_large"),
    "a field that is not UTF-8": ([("dataset", None, b"\xff\xfe"), ("f", "x.csv", FILE)], 400, "invalid_multipart"),
    "an unknown processor": ([("f", "x.csv", FILE), ("processor", None, b"none")], 422, "unknown_processor"),
    "a file of another type": (
        [("f", "x.csv", b"\x89PNG\r\n\x1a\n" + FILE), ("processor", None, b"csv"), ("dataset", None, b"x")],
        415,
        "unsupported_type",
    ),
    "one file that is right and one that is not": (
        [("f", "x.csv", FILE), ("f", "y.csv", b"%PDF-1.7 \xe2"), ("processor", None, b"csv"), ("dataset", None, b"x")],
        415,
        "unsupported_type",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_form_that_does_not_fit_leaves_nothing(service: Service, what: str) -> None:
    parts, status, code = BROKEN[what]
    before = (await service.rows_in("upload", "job"), service.files, await usage_of(service))
    got, problem = await posted(service, "/v1/uploads", *parts)  # type: ignore[arg-type]
    assert (got, problem["code"]) == (status, code)
    assert (await service.rows_in("upload", "job"), service.files, await usage_of(service)) == before


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data; boundary=xx"),
        (b"no form at all", "multipart/form-data; boundary=xx"),
        (form(("f", "x.csv", FILE))[0][:-20], "multipart/form-data; boundary=xx"),
        (form(("f", "x.csv", FILE))[0], "multipart/form-data"),
        (form(("f", "x.csv", FILE))[0], "multipart/form-data; boundary=" + "x" * 400),
        (b'--xx\r\nContent-Disposition: form-data; name="' + b"n" * 100_000, "multipart/form-data; boundary=xx"),
        (b"--xx\r\nX: y\r\n\r\nz\r\n--xx--\r\n", "multipart/form-data; boundary=xx"),
    ],
)
async def test_a_body_that_is_no_form_is_refused_and_leaves_nothing(
    service: Service, body: bytes, content_type: str
) -> None:
    before = (await service.rows_in("upload", "job"), service.files, await usage_of(service))
    answer = await service.client.post("/v1/uploads", content=body, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) in ((400, "invalid_multipart"), (422, "file_empty"))
    assert (await service.rows_in("upload", "job"), service.files, await usage_of(service)) == before


async def test_a_name_in_a_form_is_a_label_and_never_a_path(service: Service) -> None:
    _, upload = await posted(service, "/v1/uploads", ("f", "../../etc/" + "n" * 4096, FILE))
    assert upload["name"] == "n" * 255


async def test_a_form_that_is_cut_leaves_nothing(service: Service) -> None:
    before = (await service.rows_in("upload"), service.files, await usage_of(service))
    body, headers = form(("f", "x.csv", FILE * 1000))
    line = await wire(service, "POST", "/v1/uploads", headers | {"Content-Length": str(len(body))})
    await line.send(body[: len(body) // 2])
    line.cut()

    async def is_as_before() -> bool:
        return (await service.rows_in("upload"), service.files, await usage_of(service)) == before

    await eventually(is_as_before)
