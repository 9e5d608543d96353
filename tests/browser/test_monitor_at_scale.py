"""The monitor with a thousand jobs, and over tens of thousands of events: what it builds and keeps is bounded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.browser.following import rows
from tests.browser.monitoring import monitored
from tests.conftest import StartService
from tests.running import Json, Service, imported

if TYPE_CHECKING:
    from playwright.async_api import Page, Request, Route

NODES = """() => {
  const count = root => [...root.querySelectorAll('*')].length
  return { nodes: count(monitor.shadowRoot), jobs: monitor.shadowRoot.querySelectorAll('.job').length,
    filled: monitor.shadowRoot.querySelectorAll('.job .head').length, held: monitor.held }
}"""
WATCH_CHANGES = """() => {
  window.changed = new Set()
  window.tasks = 0
  new MutationObserver(records => {
    for (const { target } of records) changed.add(target.parentElement?.closest('.job')?.dataset.id)
  }).observe(monitor.shadowRoot, { subtree: true, childList: true, characterData: true, attributes: true })
  new PerformanceObserver(list => { tasks += list.getEntries().length }).observe({ type: 'longtask' })
}"""
STEPS = 8
JOBS_A_BATCH = 500
BATCHES = 6


async def test_a_thousand_jobs_are_a_thousand_lines_of_which_few_are_filled(
    start_service: StartService, page: Page
) -> None:
    service = await start_service("api")
    bodies = [{"processor": "echo", "input": {"n": n}} for n in range(1_000)]
    made = (await service.client.post("/v1/jobs", json=bodies)).json()["jobs"]
    shown = await monitored(page, service.url, mode="full")
    older = shown.get_by_role("button", name="Show older jobs")
    while await page.evaluate("() => monitor.shadowRoot.querySelectorAll('.job').length") < 1_000:
        before = await page.evaluate("() => monitor.shadowRoot.querySelectorAll('.job').length")
        await older.click()
        await page.wait_for_function(
            "before => monitor.shadowRoot.querySelectorAll('.job').length > before", arg=before
        )
    told = await page.evaluate(NODES)
    assert told["jobs"] == 1_000
    assert told["filled"] < 100
    assert told["nodes"] < 10_000

    await page.evaluate(WATCH_CHANGES)
    one = (await page.evaluate("() => monitor.shadowRoot.querySelector('.job').dataset.id")) or ""
    assert one in {job["id"] for job in made}
    await service.client.post(f"/v1/jobs/{one}/pause")
    await page.wait_for_function("id => changed.has(id)", arg=one)
    changed = set(await page.evaluate("() => [...changed].filter(Boolean)"))
    # The paused one goes to the end; those near the top may be filled anew. The other thousand are left alone.
    assert len(changed) < 100

    await page.evaluate("() => { tasks = 0 }")
    for _ in range(10):
        await page.mouse.wheel(0, 3_000)
        await page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    told = await page.evaluate(NODES)
    print(f"while scrolling over 1,000 jobs: {await page.evaluate('() => tasks')} long tasks, {told}")
    assert told["filled"] < 200
    assert told["nodes"] < 15_000


class Replay:
    """Answers in the service's place with a long history, batch by batch, each as one stream that then breaks off."""

    def __init__(self, like: Json) -> None:
        self._like = like
        self._jobs: list[Json] = []
        self.told = 0
        self.allowed = 1

    async def answer(self, route: Route, request: Request) -> None:
        """Any request below /v1."""
        path = urlsplit(request.url).path
        if path == "/v1/events":
            await self._stream(route, request)
        elif path == "/v1/jobs":
            limit = int(parse_qs(urlsplit(request.url).query)["limit"][0])
            await route.fulfill(json={"jobs": self._jobs[-limit:][::-1], "next_cursor": None})
        elif path.startswith("/v1/jobs/"):
            found = [job for job in self._jobs if job["id"] == path.rpartition("/")[2]]
            await (route.fulfill(json=found[0]) if found else route.fulfill(status=404, json={"code": "not_found"}))
        else:
            await route.fulfill(json={"uploads": []})

    async def _stream(self, route: Route, request: Request) -> None:
        if "event-stream" not in request.headers.get("accept", ""):
            await route.fulfill(json={"jobs": [], "events": [], "last_event_id": "0-0"})
        elif self.told < self.allowed:
            body = "retry: 1\n\n" + "".join(self._batch(self.told))
            self.told += 1
            await route.fulfill(body=body, content_type="text/event-stream")
        else:
            await route.fulfill(body="retry: 100\n\n: nothing new\n\n", content_type="text/event-stream")

    def _batch(self, number: int) -> list[str]:
        messages = []
        place = 0
        for n in range(JOBS_A_BATCH):
            job = {**self._like, "id": f"01a00000-0000-7000-8000-{number * JOBS_A_BATCH + n:012d}", "upload_id": None}
            self._jobs.append({**job, "last_event_id": STEPS + 3})
            for event in _story(job["id"]):
                place += 1
                messages.append(f"event: {event['type']}\ndata: {json.dumps(event)}\nid: {number + 1}-{place}\n\n")
        return messages


def _story(job_id: str) -> list[Json]:
    counts = {"read": 10, "inserted": 10, "updated": 0, "skipped": 0, "rejected": 0}
    told: list[dict[str, Any]] = [{"type": "job.created", "priority": 5}, {"type": "job.started", "attempt": 1}]
    told += [
        {"type": "job.progressed", "counts": counts, "progress": {"done": n, "total": STEPS, "percent": n / STEPS}}
        for n in range(STEPS)
    ]
    told += [{"type": "job.completed", "state": "completed", "outcome": "complete", "counts": counts}]
    at = "2026-01-01T00:00:00+00:00"
    return [{"seq": seq, "at": at, "job_id": job_id, **event} for seq, event in enumerate(told, 1)]


async def test_tens_of_thousands_of_events_leave_memory_as_it_was(service: Service, page: Page) -> None:
    """As many as a busy hour brings: 3,000 jobs with 11 events each."""
    replay = Replay(await imported(service.client, rows(3), "like"))
    await page.route("**/v1/**", replay.answer)
    await monitored(page, service.url, mode="full")
    devtools = await page.context.new_cdp_session(page)

    async def after(batches: int) -> dict[str, Any]:
        replay.allowed = batches
        last = f"01a00000-0000-7000-8000-{batches * JOBS_A_BATCH - 1:012d}"
        await page.wait_for_function(
            "id => monitor.shadowRoot.querySelector(`[data-id='${id}']`)?.classList.contains('ended')",
            arg=last,
            timeout=60_000,
        )
        await page.evaluate("() => new Promise(done => requestIdleCallback(done, { timeout: 2000 }))")
        await devtools.send("HeapProfiler.collectGarbage")
        heap = await devtools.send("Runtime.getHeapUsage")
        return {**await page.evaluate(NODES), "heap": heap["usedSize"]}

    early = await after(3)
    late = await after(BATCHES)
    print(f"after {3 * JOBS_A_BATCH} jobs {early}, after {BATCHES * JOBS_A_BATCH} jobs {late}")
    assert late["held"] <= 1_000
    assert late["jobs"] <= 1_000
    assert late["nodes"] < 10_000
    assert late["heap"] < early["heap"] * 1.25 + 1_000_000
