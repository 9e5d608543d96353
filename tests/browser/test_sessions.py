"""What a browser makes of a session: the cookie stays over http on this machine, and serves nobody but our pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from service.api.auth import COOKIE
from tests import origins
from tests.running import Service

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

LOG_IN = """async key => {
  const answer = await fetch('/v1/session', {method: 'POST', body: JSON.stringify({key})})
  return {status: answer.status, told: await answer.json()}
}"""
FOLLOW = """() => new Promise((resolve, reject) => {
  const source = new EventSource('/v1/events')
  source.addEventListener('snapshot', message => { source.close(); resolve(message.lastEventId) })
  source.onerror = () => reject(new Error('no stream'))
})"""
ACT = """async ([url, token]) => {
  try {
    const headers = {'X-CSRF-Token': token}
    const body = JSON.stringify({processor: 'echo'})
    const answer = await fetch(`${url}/v1/jobs`, {method: 'POST', body, headers, credentials: 'include'})
    return answer.status
  } catch (error) { return String(error) }
}"""

SNEAK = """async url => {
  const body = JSON.stringify({processor: 'echo'})
  await fetch(`${url}/v1/jobs`, {method: 'POST', mode: 'no-cors', body, credentials: 'include'}).catch(() => {})
}"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_session_over_plain_http_on_this_machine(
    service: Service, page: Page, context: BrowserContext, host: str
) -> None:
    url = service.url.replace("127.0.0.1", host)
    await page.goto(f"{url}/livez")
    answer: dict[str, Any] = await page.evaluate(LOG_IN, service.key)
    assert answer["status"] == 201
    (cookie,) = await context.cookies()
    assert (cookie["name"], cookie["secure"], cookie["httpOnly"]) == (COOKIE, True, True)
    assert cookie["sameSite"] == "Strict"
    assert await page.evaluate("document.cookie") == ""
    assert await page.evaluate(FOLLOW)
    token = answer["told"]["csrf_token"]
    assert await page.evaluate(ACT, ["", token]) == 202
    assert await page.evaluate(ACT, ["", "guessed"]) == 403


async def test_a_page_of_another_origin_cannot_use_it(service: Service, page: Page, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>Elsewhere</title>")
    await page.goto(f"{service.url}/livez")
    assert (await page.evaluate(LOG_IN, service.key))["status"] == 201
    async with origins.pages(tmp_path) as elsewhere:
        await page.goto(elsewhere)
        await page.evaluate(SNEAK, service.url)  # another port is the same site: the cookie goes along
        refused = (await service.client.get("/v1/audit", params={"limit": "1"})).json()["entries"][0]
    assert (refused["action"], refused["outcome"]) == ("POST /v1/jobs", "cross_origin")
    assert refused["session_id"]
