"""The clients that people have: curl, tuspy, tus-js-client on Node, and Uppy in a browser on another origin."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests import npm
from tests.conftest import StartService
from tests.origins import pages
from tests.running import ROOT, Json, Service, settled

MIB = 1024 * 1024
CLIENTS = ROOT / "tests" / "clients"
FILE = b"a,b\n1,x\n2,y\n"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.bin"
    path.write_bytes(random.Random(1).randbytes(9 * MIB + 17))
    return path


@pytest.fixture(scope="module")
def modules() -> Path:
    """Where the npm packages are."""
    return npm.installed()


async def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a client; its output. Fails with what it said."""
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    async with asyncio.timeout(100):
        out, err = await process.communicate()
    assert process.returncode == 0, (out + err).decode()
    return out.decode()


async def is_stored(service: Service, url: str, content: bytes, name: str) -> Json:
    """The upload, once it is certain that it is this file."""
    shown: Json = (await service.client.get(url)).json()
    assert (shown["name"], shown["size_bytes"]) == (name, len(content))
    assert shown["sha256"] == hashlib.sha256(content).hexdigest()
    return shown


async def curl(service: Service, *arguments: str | Path) -> Json:
    if shutil.which("curl") is None:
        pytest.skip("needs curl (Debian: apt-get install curl)")
    key = f"Authorization: Bearer {service.key}"
    out = await run("curl", "--silent", "--show-error", "--fail-with-body", "--header", key, *arguments)
    return dict(json.loads(out))


async def test_curl_puts_a_file_under_its_name(service: Service, large: Path) -> None:
    upload = await curl(service, "--upload-file", large, f"{service.url}/v1/uploads/")
    await is_stored(service, upload["links"]["self"], large.read_bytes(), "large.bin")


async def test_curl_posts_a_body(service: Service, large: Path) -> None:
    upload = await curl(service, "--data-binary", f"@{large}", f"{service.url}/v1/uploads?name=posted.bin")
    await is_stored(service, upload["links"]["self"], large.read_bytes(), "posted.bin")


async def test_curl_sends_a_form(service: Service, large: Path, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_bytes(FILE)
    fields = ("--form", "processor=csv", "--form", f"file=@{people}", "--form", "dataset=by_curl")
    upload = await curl(service, *fields, f"{service.url}/v1/uploads")
    assert (await settled(service.client, upload["jobs"][0]))["counts"]["inserted"] == 2
    several = await curl(service, "--form", f"a=@{people}", "--form", f"b=@{large}", f"{service.url}/v1/uploads")
    assert [each["name"] for each in several["uploads"]] == ["people.csv", "large.bin"]


async def test_curl_goes_on_with_a_resumable_upload(service: Service, large: Path, tmp_path: Path) -> None:
    content = large.read_bytes()
    rest = tmp_path / "rest"
    rest.write_bytes(content[MIB:])
    begun = await service.client.post("/v1/uploads", headers={"Upload-Complete": "?0"}, content=content[:MIB])
    fields = ("Upload-Complete: ?1", f"Upload-Offset: {MIB}", "Content-Type: application/partial-upload")
    options = [option for field in fields for option in ("--header", field)]
    place = service.url + begun.headers["Location"]
    await curl(service, "--request", "PATCH", *options, "--data-binary", f"@{rest}", place)
    await is_stored(service, place, content, "unnamed")


@pytest.mark.parametrize("checksum", [False, True])
async def test_tuspy_uploads_and_goes_on(service: Service, large: Path, checksum: bool) -> None:
    client = pytest.importorskip("tusclient.client")
    made = client.TusClient(f"{service.url}/v1/uploads", headers={"Authorization": f"Bearer {service.key}"})

    def upload() -> str:
        begun = made.uploader(str(large), chunk_size=MIB, metadata={"filename": "tuspy.bin"}, upload_checksum=checksum)
        begun.upload(stop_at=3 * MIB)
        resumed = made.uploader(str(large), url=begun.url, chunk_size=2 * MIB, upload_checksum=checksum)
        assert resumed.offset == 3 * MIB
        resumed.upload()
        return str(resumed.url)

    url = await asyncio.to_thread(upload)
    await is_stored(service, url, large.read_bytes(), "tuspy.bin")


@pytest.mark.parametrize(
    ("chunk_bytes", "parallel", "stop_at"), [(0, 1, 0), (MIB, 1, 0), (MIB, 1, 3 * MIB), (MIB, 3, 0)]
)
async def test_tus_js_client_uploads(
    service: Service, modules: Path, large: Path, chunk_bytes: int, parallel: int, stop_at: int
) -> None:
    arguments = (f"{service.url}/v1/uploads", service.key, large, str(chunk_bytes), str(parallel), str(stop_at))
    url = await run("node", CLIENTS / "tus.mjs", *arguments, cwd=modules)
    shown = await is_stored(service, url.strip(), large.read_bytes(), "large.bin")
    assert shown["media_type"] == "text/csv"


async def test_uppy_uploads_from_a_page_of_another_origin(
    start_service: StartService, modules: Path, large: Path, tmp_path: Path
) -> None:
    playwright = pytest.importorskip("playwright.async_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs chromium (Debian: apt-get install chromium)")
    shutil.copy(CLIENTS / "uppy.html", tmp_path)
    shutil.copy(modules / "node_modules" / "uppy" / "dist" / "uppy.min.mjs", tmp_path)
    people = tmp_path / "people.csv"
    people.write_bytes(FILE)
    async with pages(tmp_path) as origin, playwright.async_playwright() as driver:
        service = await start_service(cors_origins=origin)
        browser = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page()
        query = urlencode({"endpoint": f"{service.url}/v1/uploads?processor=csv&dataset=by_uppy", "key": service.key})
        await page.goto(f"{origin}/uppy.html?{query}")
        await page.set_input_files("#files", [people])
        ended = await page.evaluate("() => window.done")
        assert ended["failed"] == []
        shown = await is_stored(service, ended["urls"][0], FILE, "people.csv")
        assert (await settled(service.client, shown["jobs"][0]))["counts"]["inserted"] == 2

        await page.goto(
            f"{origin}/uppy.html?{urlencode({'endpoint': f'{service.url}/v1/uploads', 'key': service.key})}"
        )
        await page.set_input_files("#files", [large, people])
        ended = await page.evaluate("() => window.done")
        assert ended["failed"] == []
        await is_stored(service, ended["urls"][0], large.read_bytes(), "large.bin")
        await browser.close()
