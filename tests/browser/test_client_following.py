"""Following jobs from a browser: through cuts, blocked streams, dead workers, and many tabs at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from tests import running
from tests.browser.following import FOLLOW, FOLLOW_ALL, connected, numbers, rows
from tests.browser.relay import Relay
from tests.conftest import StartService
from tests.running import Json, Servers, Service, eventually, imported, post_import, settled

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

MANY = rows(30_000)
QUICK = {"pollMs": 100, "firstMs": 1500}


@pytest.fixture(scope="module")
async def service(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """Small chunks: a job of a megabyte tells some fifty events."""
    async with running.service(servers, tmp_path_factory.mktemp("service"), chunk_bytes=20_000) as started:
        yield started


async def ended(page: Page) -> Json:
    """What `follow` saw, once it has ended."""
    await page.wait_for_function("() => seen.ended || seen.problem", timeout=60_000)
    seen: Json = await page.evaluate("() => seen")
    assert seen["problem"] is None
    return seen


def is_gapless(seen: Json) -> bool:
    """Every event once and in order, up to the job's last."""
    return numbers(seen["events"], "") == list(range(1, seen["ended"]["last_event_id"] + 1))


async def test_a_job_is_followed_to_its_end(service: Service, page: Page) -> None:
    await connected(page, service.url)
    job = await post_import(service.client, MANY, "followed")
    await page.evaluate(FOLLOW, job["id"])
    seen = await ended(page)
    assert seen["ended"]["state"] == "completed"
    assert seen["ended"]["counts"]["inserted"] == 30_000
    assert is_gapless(seen)


async def test_a_stream_that_is_cut_again_and_again_shows_every_event_once(service: Service, page: Page) -> None:
    async with Relay(service.url).serve() as relay:
        await connected(page, relay.url)
        job = await post_import(service.client, MANY, "cut", priority=10)
        await page.evaluate(FOLLOW, job["id"])
        for at in (3, 10, 18):
            await page.wait_for_function("at => seen.events.length >= at || seen.ended", arg=at)
            relay.cut(streams_only=True)
        seen = await ended(page)
        assert relay.streamed > 1
    assert is_gapless(seen)


@pytest.mark.parametrize("manner", ["hold", "refuse"])
async def test_where_streams_are_blocked_the_client_looks_instead(service: Service, page: Page, manner: str) -> None:
    async with Relay(service.url, streams=manner).serve() as relay:  # type: ignore[arg-type]
        await connected(page, relay.url, **QUICK)
        job = await post_import(service.client, MANY, f"blocked_{manner}")
        await page.evaluate(FOLLOW, job["id"])
        seen = await ended(page)
        assert relay.streamed >= 1
    assert is_gapless(seen)
    assert seen["ended"]["counts"]["inserted"] == 30_000


async def test_a_job_that_is_not_there_is_a_problem(service: Service, page: Page) -> None:
    await connected(page, service.url)
    code = await page.evaluate(
        "id => millrace.follow(id).catch(problem => problem instanceof Problem && problem.code)",
        "00000000-0000-7000-8000-000000000000",
    )
    assert code == "not_found"


async def test_a_follower_sees_its_worker_die_and_another_one_finish(start_service: StartService, page: Page) -> None:
    service = await start_service("api", chunk_bytes=20_000, lease_s=2)
    first = await service.worker(lease_s=2, chunk_bytes=20_000)
    await connected(page, service.url)
    job = await post_import(service.client, rows(120_000), "orphaned")
    await page.evaluate(FOLLOW, job["id"])
    await page.wait_for_function("() => seen.events.filter(event => event.type === 'job.progressed').length > 3")
    first.kill()
    await service.worker(lease_s=2)
    seen = await ended(page)
    assert seen["ended"]["counts"]["inserted"] == 120_000
    assert seen["ended"]["attempt"] > 1 or any(event["type"] == "job.requeued" for event in seen["events"])
    assert is_gapless(seen)


async def leaders(pages: list[Page]) -> list[Page]:
    return [page for page in pages if await page.evaluate("() => millrace.isLeading")]


async def test_tabs_share_one_stream_and_another_takes_over_without_a_gap(
    service: Service, context: BrowserContext
) -> None:
    async with Relay(service.url).serve() as relay:
        tabs = [await connected(await context.new_page(), relay.url) for _ in range(3)]
        for tab in tabs:
            await tab.evaluate(FOLLOW_ALL)
            await tab.wait_for_function("() => seen.snapshots === 1")

        async def one() -> list[Page]:
            found = await leaders(tabs)
            return found if len(found) == 1 else []

        [leader] = await eventually(one)
        first = await imported(service.client, MANY, "tabs_1")
        for tab in tabs:
            await tab.wait_for_function("() => seen.events.some(event => event.type === 'job.completed')")
        assert relay.open_streams == 1

        job = await post_import(service.client, MANY, "tabs_2")
        await leader.wait_for_function("id => seen.events.some(event => event.job_id === id)", arg=job["id"])
        await leader.close()
        tabs.remove(leader)
        second = await settled(service.client, job)
        for tab in tabs:
            await tab.wait_for_function(
                "id => seen.events.some(event => event.job_id === id && event.type === 'job.completed')", arg=job["id"]
            )
            events = await tab.evaluate("() => seen.events")
            for each in (first, second):
                assert numbers([e for e in events if e["job_id"] == each["id"]], each["id"]) == list(
                    range(1, each["last_event_id"] + 1)
                )
        await eventually(one)
        assert relay.open_streams == 1


async def test_a_tab_that_missed_something_reads_it(service: Service, context: BrowserContext) -> None:
    tabs = [await connected(await context.new_page(), service.url) for _ in range(2)]
    for tab in tabs:
        await tab.evaluate(FOLLOW_ALL)
        await tab.wait_for_function("() => seen.snapshots === 1")

    async def found() -> list[Page]:
        return await leaders(tabs)

    [leader] = await eventually(found)
    [other] = [tab for tab in tabs if tab is not leader]
    # Nine of ten messages between the tabs are lost on their way.
    await leader.evaluate("""() => {
      const post = BroadcastChannel.prototype.postMessage
      let sent = 0
      BroadcastChannel.prototype.postMessage = function (message) {
        if ((sent += 1) % 10 === 0) post.call(this, message)
      }
    }""")
    jobs = [await imported(service.client, MANY, f"missed_{n}") for n in range(2)]
    await post_import(service.client, rows(3), "missed_end")

    async def told() -> bool:
        events = await other.evaluate("() => seen.events")
        return all(
            numbers([e for e in events if e["job_id"] == job["id"]], job["id"])
            == list(range(1, job["last_event_id"] + 1))
            for job in jobs
        )

    async def nudged() -> bool:
        await imported(service.client, rows(3), "nudge")
        return await told()

    assert await eventually(nudged)


async def test_all_jobs_are_followed_where_streams_are_blocked(service: Service, page: Page) -> None:
    async with Relay(service.url, streams="hold").serve() as relay:
        await connected(page, relay.url, **QUICK)
        await page.evaluate(FOLLOW_ALL)
        await page.wait_for_function("() => seen.snapshots === 1")
        jobs = await asyncio.gather(*(imported(service.client, MANY, f"all_{n}") for n in range(2)))
        await page.wait_for_function("() => seen.events.filter(event => event.type === 'job.completed').length === 2")
        events = await page.evaluate("() => seen.events")
    for job in jobs:
        assert numbers([e for e in events if e["job_id"] == job["id"]], job["id"]) == list(
            range(1, job["last_event_id"] + 1)
        )


async def test_who_leaves_at_once_does_not_keep_others_from_following(service: Service, page: Page) -> None:
    await connected(page, service.url)
    await page.evaluate(f"""() => {{
      const leaving = new AbortController()
      millrace.followAll({{ signal: leaving.signal }})
      ;({FOLLOW_ALL})()
      leaving.abort()
    }}""")
    await page.wait_for_function("() => seen.snapshots === 1")
    job = await imported(service.client, rows(3), "after_leaving")
    await page.wait_for_function("id => seen.events.some(event => event.job_id === id)", arg=job["id"])


async def test_a_wrong_key_is_refused_once_and_for_all(service: Service, page: Page) -> None:
    await connected(page, service.url, key="mr_wrong")
    told = await page.evaluate("""async () => {
      let refused = 0
      millrace.addEventListener('refused', () => { refused += 1 })
      const problem = await millrace.followAll({}).catch(problem => problem)
      return [problem.status, problem.code, refused]
    }""")
    assert told == [401, "unauthenticated", 1]
