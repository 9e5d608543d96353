"""`<millrace-monitor>` and `<millrace-job>`: what people see and do there."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from tests import running
from tests.browser.conftest import Axe, Shoot
from tests.browser.following import rows
from tests.browser.monitoring import card, monitored
from tests.conftest import StartService
from tests.origins import pages
from tests.running import Json, Servers, Service, eventually, imported, post_import, settled

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import BrowserContext, Locator, Page, Route

BAD = b"id,amount\n" + b"".join(b"%d,%s\n" % (n, b"x" if n % 60 == 7 else b"%d.5" % n) for n in range(3_000))
HOSTILE = "<img src=x onerror=alert(1)>.csv"
LONG = "a rather long name of a file with measurements of the whole year 2024-12.csv"


@pytest.fixture(scope="module")
async def service(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """Small chunks: a job of a few megabytes takes long enough to be stopped."""
    async with running.service(servers, tmp_path_factory.mktemp("service"), chunk_bytes=20_000) as started:
        yield started


@pytest.fixture(scope="module")
async def idle(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """No worker: what is queued stays so."""
    async with running.service(servers, tmp_path_factory.mktemp("idle"), "api") as started:
        yield started


async def pressed(shown: Locator, name: str) -> None:
    await shown.get_by_role("button", name=name, exact=True).click()


async def chosen(shown: Locator, name: str) -> None:
    """In the dialog."""
    await shown.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()


async def state(service: Service, job: Json, wanted: str) -> Json:
    async def look() -> Json:
        now: Json = (await service.client.get(job["links"]["self"])).json()
        return now if now["state"] == wanted else {}

    return await eventually(look)


async def test_a_job_is_watched_paused_resumed_and_undone(service: Service, page: Page) -> None:
    shown = await monitored(page, service.url)
    await shown.get_by_text("No jobs yet").wait_for()  # the first test of this service
    job = await post_import(service.client, rows(150_000), "watched", name=HOSTILE)
    its = card(shown, job)
    await its.get_by_text(HOSTILE).wait_for()
    await its.locator('.pill[data-state="running"]').wait_for()
    await pressed(its, "Pause watched")
    await its.locator('.pill[data-state="paused"]').wait_for()
    assert await shown.locator('[data-group="waiting"] .job').count() == 1
    await state(service, job, "paused")
    await pressed(its, "Resume watched")
    await its.locator('.pill[data-state="completed"]').wait_for()
    assert await its.locator('[data-figure="Rows"] dd').inner_text() == "150,000"

    await its.get_by_label("More actions on watched").click()
    await pressed(its, "Undo watched")
    await chosen(shown, "Undo")
    await its.locator('.pill[data-state="undone"]').wait_for()
    await its.get_by_label("More actions on watched").click()
    await pressed(its, "Delete watched")
    await chosen(shown, "Delete")
    await its.wait_for(state="detached")
    assert (await service.client.get(job["links"]["self"])).status_code == 404


async def test_a_cancel_asks_what_becomes_of_the_rows(service: Service, page: Page) -> None:
    shown = await monitored(page, service.url)
    job = await post_import(service.client, rows(1_000_000), "stopped")
    its = card(shown, job)
    await page.wait_for_function(
        "id => monitor.shadowRoot.querySelector(`[data-id='${id}'] [data-figure=Rows] dd`)?.textContent.length > 3",
        arg=job["id"],
    )
    await pressed(its, "Cancel stopped")
    await chosen(shown, "Do not cancel")
    await pressed(its, "Cancel stopped")
    await chosen(shown, "Cancel, remove rows")
    await its.locator('.pill[data-state="cancelled"]').wait_for()
    assert (await settled(service.client, job))["counts"]["inserted"] == 0
    await pressed(its, "Retry stopped")
    await its.locator('.pill[data-state="running"]').wait_for()
    await pressed(its, "Cancel stopped")
    await shown.get_by_role("dialog").get_by_role("button", name="Cancel").last.click()
    await its.locator('.pill[data-state="cancelled"]').wait_for()


async def test_a_selection_is_steered_at_once(idle: Service, page: Page) -> None:
    service = idle
    jobs = [await post_import(service.client, rows(3 + n), f"many_{n}") for n in range(4)]
    shown = await monitored(page, service.url)
    for job in jobs[:3]:
        await card(shown, job).get_by_role("checkbox").check()
    many = shown.get_by_label("Actions on the selection")
    await many.get_by_text("3 selected").wait_for()
    await pressed(many, "Pause")
    for job in jobs[:3]:
        await card(shown, job).locator('.pill[data-state="paused"]').wait_for()
    await state(service, jobs[3], "queued")
    await many.get_by_label("Priority of the selection").select_option("9")

    async def urgent() -> list[int]:
        found = [(await service.client.get(job["links"]["self"])).json()["priority"] for job in jobs]
        return found if found[:3] == [9, 9, 9] else []

    assert await eventually(urgent) == [9, 9, 9, 5]
    await pressed(many, "Cancel")
    await chosen(shown, "Cancel")
    for job in jobs[:3]:
        await card(shown, job).locator('.pill[data-state="cancelled"]').wait_for()
    await pressed(many, "Delete")
    await chosen(shown, "Delete")
    for job in jobs[:3]:
        await card(shown, job).wait_for(state="detached")
    assert await card(shown, jobs[3]).is_visible()
    assert await many.is_hidden()


async def test_a_selection_is_tried_again_and_undone(service: Service, page: Page) -> None:
    failed = [await imported(service.client, BAD, f"again_{n}", max_rejects=n) for n in range(2)]
    stored = [await imported(service.client, rows(5 + n), f"back_{n}") for n in range(2)]
    assert {job["state"] for job in failed} == {"failed"}
    shown = await monitored(page, service.url)
    many = shown.get_by_label("Actions on the selection")
    for job in failed:
        await card(shown, job).get_by_role("checkbox").check()
    await pressed(many, "Retry")
    await chosen(shown, "Begin anew")

    async def tried() -> bool:
        found = [(await service.client.get(job["links"]["self"])).json() for job in failed]
        return all(
            now["last_event_id"] > job["last_event_id"] and now["state"] == "failed"
            for job, now in zip(failed, found, strict=True)
        )

    assert await eventually(tried)
    await pressed(many, "Clear")
    for job in stored:
        await card(shown, job).get_by_role("checkbox").check()
    await pressed(many, "Undo")
    await chosen(shown, "Undo")
    for job in stored:
        await card(shown, job).locator('.pill[data-state="undone"]').wait_for()
        assert (await service.client.get(f"/v1/datasets/{job['dataset']}/rows")).json()["rows"] == []


NOTE = """() => {
  window.noted = []
  window.Notification = class {
    static permission = 'default'
    static requestPermission = async () => (Notification.permission = answer)
    constructor(title, more) { noted.push({ title, ...more }) }
  }
}"""


async def test_who_opts_in_is_notified_when_jobs_end(service: Service, page: Page) -> None:
    """The browser's part is played: it asks its user, and shows nothing where nobody sees a screen."""
    await page.add_init_script(f"window.answer = 'denied'; ({NOTE})()")
    shown = await monitored(page, service.url)
    bell = shown.get_by_role("button", name="Notify me")
    await bell.click()
    await shown.get_by_text("Notifications are off.").wait_for()
    await notified_of(service, shown, "unasked")
    assert await page.evaluate("() => noted") == []
    await page.evaluate("() => { answer = 'granted' }")
    await bell.click()
    await shown.get_by_text("You will be notified").wait_for()
    assert await bell.get_attribute("aria-pressed") == "true"
    job = await notified_of(service, shown, "told")
    [note] = await page.evaluate("() => noted")
    assert note == {"title": "told: completed", "tag": job["id"], "body": "300 rows stored"}
    await bell.click()
    await shown.get_by_text("Notifications are off.").wait_for()
    await notified_of(service, shown, "no_more")
    assert len(await page.evaluate("() => noted")) == 1


async def test_who_is_notified_hears_of_jobs_that_end_before_they_are_looked_at(service: Service, page: Page) -> None:
    await page.add_init_script(f"window.answer = 'granted'; ({NOTE})()")
    shown = await monitored(page, service.url)
    await shown.get_by_role("button", name="Notify me").click()
    await shown.get_by_text("You will be notified").wait_for()
    ended = asyncio.Event()

    async def late(route: Route) -> None:
        await ended.wait()
        await route.continue_()

    await page.route(re.compile(r"/v1/jobs/[0-9a-f-]{36}$"), late)
    job = await post_import(service.client, rows(300), "short")
    await settled(service.client, job)
    ended.set()
    await card(shown, job).locator('.pill[data-state="completed"]').wait_for()
    await page.wait_for_function("() => noted.length === 1")
    assert (await page.evaluate("() => noted"))[0]["tag"] == job["id"]


async def notified_of(service: Service, shown: Locator, name: str) -> Json:
    """A job that the monitor sees from its beginning to its end."""
    job = await post_import(service.client, rows(300), name)
    await card(shown, job).locator('.pill[data-state="completed"]').wait_for()
    return job


async def test_jobs_are_found_by_text_and_by_filters(idle: Service, page: Page) -> None:
    service = idle
    first = await post_import(service.client, rows(3), "people", name="Müller.csv")
    second = await post_import(service.client, rows(4), "orders")
    await service.client.post(f"{second['links']['self']}/cancel")
    shown = await monitored(page, service.url, mode="compact")
    await card(shown, first).get_by_text("Müller.csv").wait_for()
    await shown.get_by_label("Search jobs").fill("müll")
    await card(shown, second).wait_for(state="detached")
    assert await card(shown, first).is_visible()
    await shown.get_by_label("Search jobs").fill("nothing like that")
    await shown.get_by_text("No job is like this.").wait_for()
    await shown.get_by_label("Search jobs").fill("")
    await shown.get_by_label("Which jobs", exact=True).select_option("failed")
    await card(shown, first).wait_for(state="detached")
    await card(shown, second).wait_for()


async def test_an_open_job_tells_its_story_and_its_rejects(service: Service, page: Page) -> None:
    job = await imported(service.client, BAD, "rejected", name="orders.csv")
    shown = await monitored(page, service.url)
    its = card(shown, job)
    await its.get_by_role("button", name="rejected orders.csv").click()
    await its.get_by_text("50 refused").wait_for()
    await its.locator('.timeline [data-type="job.completed"]').wait_for()
    await its.locator("tbody td", has_text="completed").wait_for()
    await page.evaluate("""() => document.addEventListener('millrace:rejects', event => {
      window.asked = event.detail.job.id
      if (window.takesOver) event.preventDefault()
    })""")
    await page.evaluate("() => { window.takesOver = true }")
    await pressed(its, "Look at 50 rejected rows")
    assert await page.evaluate("() => asked") == job["id"]
    assert await its.locator("pre").count() == 0
    await page.evaluate("() => { window.takesOver = false }")
    await pressed(its, "Look at 50 rejected rows")
    await its.locator("pre").first.wait_for()
    assert await its.locator("pre").first.inner_text() == "7,x"


async def test_everything_can_be_done_with_the_keyboard(idle: Service, page: Page) -> None:
    service = idle
    job = await post_import(service.client, rows(3), "by_keys")
    shown = await monitored(page, service.url)
    its = card(shown, job)
    await its.get_by_role("button", name="Pause by_keys").focus()
    await page.keyboard.press("Enter")
    await its.locator('.pill[data-state="paused"]').wait_for()
    # The pressed button is gone; its successor has the focus, not the top of the page.
    focus = "() => monitor.shadowRoot.activeElement?.textContent"
    await page.wait_for_function(f"({focus})() === 'Resume'")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await shown.get_by_role("dialog").wait_for()
    assert await page.evaluate(focus) == "Do not cancel"
    await page.keyboard.press("Escape")
    await page.wait_for_function(f"({focus})() === 'Cancel'")
    await its.get_by_label("More actions on by_keys").focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    assert await page.evaluate("() => monitor.shadowRoot.activeElement?.tagName") == "SELECT"
    await page.keyboard.press("Escape")
    assert await page.evaluate(focus) == "More"


async def test_a_wrong_key_is_told(service: Service, page: Page) -> None:
    shown = await monitored(page, service.url, key="mr_wrong")
    await shown.get_by_text("This needs a valid key.").wait_for()


async def test_one_job_is_shown_wherever_a_page_wants_it(service: Service, page: Page, axe: Axe, shoot: Shoot) -> None:
    job = await post_import(service.client, rows(20_000), "alone", name="alone.csv")
    shown = await monitored(page, service.url, job_id=job["id"])
    await shown.get_by_text("alone.csv").wait_for()
    await shown.locator('.pill[data-state="completed"]').wait_for()
    assert await shown.locator('[data-figure="Rows"] dd').inner_text() == "20,000"
    assert await axe(page) == []
    await shoot(page, "job-element")
    gone = await monitored(page, service.url, job_id="00000000-0000-7000-8000-000000000000")
    await gone.locator(".empty", has_text="00000000-0000-7000-8000-000000000000").wait_for()


@pytest.fixture
async def varied(start_service: StartService) -> AsyncIterator[tuple[Service, Json]]:
    """A service with jobs of every kind, of which one is running for as long as it takes: its worker is stopped."""
    service = await start_service("api", lease_s=600)
    worker = await service.worker(chunk_bytes=20_000, worker_slots=1, lease_s=600)
    client = service.client
    await imported(client, rows(12_000), "contacts", name="people.csv")
    await imported(client, BAD, "orders", name="orders 2024.csv")
    await imported(client, BAD, "broken", name=HOSTILE, max_rejects=10)
    long = await post_import(client, rows(100_000), "measurements_of_the_whole_year", name=LONG)

    async def has_begun() -> bool:
        return ((await client.get(long["links"]["self"])).json()["progress"]["percent"] or 0) > 20

    await eventually(has_begun)
    os.kill(worker.pid, signal.SIGSTOP)
    for n in range(2):
        await post_import(client, rows(1_000 + n), f"queued_{n}", priority=n + 3)
    for verb, name in (("pause", "held"), ("cancel", "stopped")):
        job = await post_import(client, rows(900 + len(name)), name, name=f"{name}.csv")
        await client.post(f"{job['links']['self']}/{verb}")
    yield service, long
    worker.kill()


async def test_the_monitor_is_accessible_and_fits_everywhere(
    varied: tuple[Service, Json], page: Page, axe: Axe, shoot: Shoot
) -> None:
    for scheme in ("light", "dark"):
        await looked_at(varied, page, axe, shoot, scheme)


async def looked_at(varied: tuple[Service, Json], page: Page, axe: Axe, shoot: Shoot, scheme: str) -> None:
    service, running = varied
    shown = await monitored(page, service.url, scheme=scheme)
    await card(shown, running).locator('.pill[data-state="running"]').wait_for()
    await shown.get_by_text(HOSTILE).wait_for()
    for mode in ("full", "compact"):
        await shown.evaluate("(element, mode) => element.setAttribute('mode', mode)", mode)
        for width in (1280, 360):
            await page.set_viewport_size({"width": width, "height": 900})
            assert await page.evaluate("() => document.documentElement.scrollWidth") <= width
            await shoot(page, f"monitor-{mode}-{width}-{scheme}")
            assert await axe(page) == []
    await shown.evaluate("element => element.setAttribute('mode', 'full')")
    await page.set_viewport_size({"width": 1280, "height": 900})
    orders = shown.locator(".job", has_text="orders 2024.csv")
    await orders.locator(".disclosure").click()
    await pressed(orders, "Look at 50 rejected rows")
    await orders.locator("pre").first.wait_for()
    await shown.get_by_label("Select all that are shown").check()
    await shoot(page, f"monitor-open-{scheme}")
    assert await axe(page) == []
    await pressed(shown.get_by_label("Actions on the selection"), "Cancel")
    await shown.get_by_role("dialog").wait_for()
    await shoot(page, f"monitor-question-{scheme}", full=False)
    assert await axe(page) == []


PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Somebody else</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src {url}; connect-src {url}">
<script type="module" src="{url}/client/elements.js"></script></head>
<body><main><h1>Somebody else's page</h1>
<millrace-monitor mode="compact" key="mr_test"></millrace-monitor></main></body></html>"""


async def test_the_monitor_works_on_a_page_of_another_origin(
    start_service: StartService, context: BrowserContext, tmp_path: Path, shoot: Shoot
) -> None:
    async with pages(tmp_path) as origin:
        service = await start_service(cors_origins=origin)
        (tmp_path / "index.html").write_text(PAGE.format(url=service.url))
        page = await context.new_page()
        await page.goto(f"{origin}/index.html")
        job = await post_import(service.client, rows(50_000), "elsewhere")
        its = card(page.locator("millrace-monitor"), job)
        await its.locator('.pill[data-state="completed"]').wait_for()
        await its.get_by_label("More actions on elsewhere").click()
        await pressed(its, "Delete elsewhere")
        await chosen(page.locator("millrace-monitor"), "Delete")
        await its.wait_for(state="detached")
        await shoot(page, "monitor-elsewhere")


async def test_the_client_is_served_for_every_origin_and_asked_after(service: Service) -> None:
    got = await service.client.get("/client/millrace.js", headers={"Origin": "https://elsewhere.example"})
    assert got.headers["content-type"] == "text/javascript; charset=utf-8"
    assert got.headers["access-control-allow-origin"] == "*"
    assert "must-revalidate" in got.headers["cache-control"]
    again = await service.client.get("/client/millrace.js", headers={"If-None-Match": got.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["access-control-allow-origin"] == "*"
    assert (await service.client.get("/client/../index.html")).status_code in (200, 404)
    assert (await service.client.get("/client/nothing.js")).status_code == 404
