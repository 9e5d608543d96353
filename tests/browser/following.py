"""What the tests of the browser client share: files, and scripts that follow jobs in a page and keep what they saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.running import KEY, Json

if TYPE_CHECKING:
    from playwright.async_api import Page

CONNECT = """async ({ url, key, more }) => {
  const { connect, Problem } = await import(`${url}/client/millrace.js`)
  window.Problem = Problem
  window.millrace = connect({ url, key, ...more })
}"""
FOLLOW = """id => {
  window.seen = { events: [], snapshots: [], lines: [], ended: null, problem: null }
  window.leave = new AbortController()
  millrace.follow(id, {
    signal: leave.signal,
    event: event => seen.events.push(event), snapshot: job => seen.snapshots.push(job.state),
    line: up => seen.lines.push(up),
  }).then(job => { seen.ended = job }, problem => { seen.problem = String(problem) })
}"""
FOLLOW_ALL = """() => {
  window.seen = { events: [], snapshots: 0, lines: [] }
  window.leave = new AbortController()
  window.following = millrace.followAll({
    signal: leave.signal, event: event => seen.events.push(event), snapshot: () => { seen.snapshots += 1 },
    line: up => seen.lines.push(up),
  })
  following.catch(problem => { seen.problem = String(problem) })
}"""


def rows(count: int) -> bytes:
    """A file of so many rows."""
    return b"id,name\n" + b"".join(b"%d,name of %d\n" % (n, n) for n in range(count))


async def connected(page: Page, url: str, key: str = KEY, **more: object) -> Page:
    """The page with `window.millrace` in it, on the service's own origin."""
    if not page.url.startswith(url):
        await page.goto(f"{url}/livez")
    await page.evaluate(CONNECT, {"url": url, "key": key, "more": more})
    return page


def numbers(events: list[Json], job_id: str) -> list[int]:
    """The numbers of a job's events, as they came."""
    return [event["seq"] for event in events if event.get("job_id", job_id) == job_id]
