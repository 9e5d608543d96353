"""Uploading from a browser: in parts, with pauses, cuts and reloads; through a proxy that lets little through."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.following import connected, rows
from tests.browser.relay import Relay
from tests.conftest import StartService
from tests.running import DEADLINE_S, Json, Service, eventually, fork, settled

if TYPE_CHECKING:
    from playwright.async_api import Page

MIB = 1024 * 1024
INPUT = """() => {
  const input = document.createElement('input')
  input.type = 'file'
  document.body.append(input)
}"""
UPLOAD = """options => {
  window.transfer = millrace.upload(document.querySelector('input').files[0], options)
  window.told = []
  transfer.addEventListener('progress', ({ detail }) => told.push(detail))
  window.outcome = null
  transfer.done.then(done => { outcome = done }, problem => { outcome = { name: problem.name, code: problem.code } })
}"""
STORED = "() => Object.entries(localStorage).filter(([name]) => name.startsWith('millrace.upload.'))"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.bin"
    path.write_bytes(random.Random(6).randbytes(24 * MIB + 17))
    return path


async def chosen(page: Page, url: str, path: Path, **options: object) -> None:
    """A page that has the client, with a file chosen and its upload begun."""
    await connected(page, url)
    await page.evaluate(INPUT)
    await page.set_input_files("input", path)
    await page.evaluate(UPLOAD, options)


async def stopped(relay: Relay) -> None:
    """The relay has passed what it may: the upload is in the middle, however fast the machine is."""
    async with asyncio.timeout(DEADLINE_S):
        await relay.stopped.wait()


async def done(page: Page) -> Json:
    await page.wait_for_function("() => outcome", timeout=2 * DEADLINE_S * 1000)
    found: Json = await page.evaluate("() => outcome")
    return found


async def stored(page: Page) -> Json:
    """The upload, once it is all there. Fails with what the transfer said."""
    found = await done(page)
    assert "upload" in found, found
    return dict(found["upload"])


def is_file(upload: Json, path: Path) -> bool:
    return bool(upload["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and upload["name"] == path.name)


async def test_a_file_is_sent_and_its_job_runs(service: Service, page: Page, tmp_path: Path) -> None:
    path = tmp_path / "Käufe <b>2024 & co.csv"
    path.write_bytes(rows(1_000))
    asked = {"processor": "csv", "dataset": "sent", "options": {"rename": {"name": "title"}}, "metadata": {"n": 1}}
    await chosen(page, service.url, path, **asked, priority=7)
    found = await done(page)
    assert is_file(found["upload"], path)
    job = await settled(service.client, found["job"])
    assert (job["counts"]["inserted"], job["priority"], job["metadata"]) == (1_000, 7, {"n": 1})
    assert job["options"]["rename"] == {"name": "title"}
    told = await page.evaluate("() => told")
    assert told[-1]["sent"] == told[-1]["total"] == path.stat().st_size
    assert [each["sent"] for each in told] == sorted(each["sent"] for each in told)
    assert await page.evaluate(STORED) == []


async def test_an_empty_file_is_a_file(service: Service, page: Page, tmp_path: Path) -> None:
    path = tmp_path / "empty.bin"
    path.touch()
    await chosen(page, service.url, path)
    assert (await stored(page))["size_bytes"] == 0


async def test_a_large_file_goes_in_parts_through_cuts_and_a_pause(service: Service, page: Page, large: Path) -> None:
    async with Relay(service.url).serve() as relay:
        relay.go_on(4e6)
        await chosen(page, relay.url, large, parts=3)
        await stopped(relay)
        assert relay.cut() >= 1
        relay.go_on(9e6)
        await stopped(relay)
        await page.evaluate("() => transfer.pause()")
        relay.go_on()
        assert await page.evaluate("() => [transfer.state, outcome]") == ["paused", None]
        [[_, kept]] = await page.evaluate(STORED)
        parts = json.loads(kept)["parts"]
        assert len(parts) == 3
        assert any(part["url"] for part in parts)  # since the cut, one may still wait to be created again
        assert "mr_test" not in kept
        await page.evaluate("() => transfer.resume()")
        assert is_file((await stored(page)), large)


async def test_a_reload_goes_on_where_the_upload_was(service: Service, page: Page, large: Path) -> None:
    async with Relay(service.url).serve() as relay:
        await goes_on_after_a_reload(relay, page, large)


async def goes_on_after_a_reload(relay: Relay, page: Page, large: Path) -> None:
    relay.go_on(8e6)
    await chosen(page, relay.url, large, parts=2)
    await stopped(relay)
    await page.evaluate("() => transfer.pause()")
    relay.go_on()
    await page.reload()
    await connected(page, relay.url)
    [unfinished] = await page.evaluate("() => millrace.unfinishedUploads()")
    assert (unfinished["name"], unfinished["size"]) == (large.name, large.stat().st_size)
    await chosen(page, relay.url, large, parts=2)
    assert is_file((await stored(page)), large)
    assert await page.evaluate("() => transfer.isResumed")
    assert relay.passed_bytes < large.stat().st_size + 6e6  # of the 8 MB that had come most did not come again
    assert await page.evaluate("() => millrace.unfinishedUploads()") == []


async def test_a_service_that_restarts_is_gone_on_with(start_service: StartService, page: Page, large: Path) -> None:
    """Killed in the middle of a part, and started again on the same data."""
    service = await start_service("api")
    async with Relay(service.url).serve() as relay:
        relay.go_on(6e6)
        await chosen(page, relay.url, large, parts=2)
        await stopped(relay)
        service.kill()
        await service.process.ended()
        relay.cut()
        again = await fork("service again", "service", ["api"], service.settings, service.folder / "again.log")
        service.others.append(again)
        await eventually(lambda: "listening on" in again.output)
        relay.behind = again.output.split("listening on ")[1].split()[0]
        relay.go_on()
        await page.evaluate("() => dispatchEvent(new Event('online'))")  # else it may rest for half a minute more
        assert is_file((await stored(page)), large)


async def test_a_proxy_that_allows_small_bodies_gets_small_ones(service: Service, page: Page, tmp_path: Path) -> None:
    """As nginx does by default, which takes 1 MiB."""
    path = tmp_path / "file.bin"
    path.write_bytes(random.Random(7).randbytes(5 * MIB))
    refused = 0

    async def narrow(route, request) -> None:  # type: ignore[no-untyped-def]
        nonlocal refused
        if len(request.post_data_buffer or b"") <= MIB:
            await route.continue_()
            return
        refused += 1
        await route.fulfill(status=413, content_type="text/html", body="<h1>413 Request Entity Too Large</h1>")

    await page.route("**/v1/uploads/*", narrow)
    await chosen(page, service.url, path)
    assert is_file((await stored(page)), path)
    assert refused >= 1


async def test_the_lost_answer_of_joining_does_not_send_a_file_twice(service: Service, page: Page, large: Path) -> None:
    sent = 0

    async def lose(route, request) -> None:  # type: ignore[no-untyped-def]
        nonlocal sent
        if request.headers.get("upload-concat", "").startswith("final"):
            sent += 1
            answer = await route.fetch()
            await (route.abort() if sent == 1 else route.fulfill(response=answer))
        else:
            await route.continue_()

    await page.route("**/v1/uploads", lose)
    await chosen(page, service.url, large, parts=2, name="joined.bin")
    found = await done(page)
    assert found["upload"]["size_bytes"] == large.stat().st_size
    assert sent == 2
    listed = (await service.client.get("/v1/uploads", params={"state": "uploaded"})).json()["uploads"]
    assert [each["id"] for each in listed if each["name"] == "joined.bin"] == [found["upload"]["id"]]


async def test_what_is_aborted_is_deleted(service: Service, page: Page, large: Path) -> None:
    async with Relay(service.url, most_bytes=2e6).serve() as relay:
        await chosen(page, relay.url, large, parts=2)
        await stopped(relay)
        await page.evaluate("() => transfer.abort()")
        assert (await done(page))["name"] == "AbortError"
    assert await page.evaluate(STORED) == []


async def test_a_refusal_is_told_at_once(service: Service, page: Page, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(rows(3))
    await chosen(page, service.url, path, processor="nothing", dataset="x")
    assert (await done(page))["code"] == "unknown_processor"
    assert await page.evaluate("() => [transfer.state, transfer.problem.code]") == ["failed", "unknown_processor"]


async def test_a_preview_of_a_file_tells_its_columns(service: Service, page: Page, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(rows(100_000))
    await connected(page, service.url)
    await page.evaluate(INPUT)
    await page.set_input_files("input", path)
    shown = await page.evaluate("() => millrace.preview(document.querySelector('input').files[0])")
    assert [column["name"] for column in shown["columns"]] == ["id", "name"]
    assert shown["counts"]["inserted"] > 0
