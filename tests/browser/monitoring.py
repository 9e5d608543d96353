"""A page with the monitor on it, and ways to look into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.following import connected
from tests.running import KEY, Json

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

MONITOR = """async ({ url, key, attributes, scheme }) => {
  await import(`${url}/client/elements.js`)
  document.documentElement.lang = 'en'
  document.title = 'Jobs'
  document.documentElement.style.colorScheme = scheme
  document.body.style.cssText = 'margin: 0; padding: 1rem; background: light-dark(#f6f7f6, #101615)'
  const main = document.createElement('main')
  const title = document.createElement('h1')
  title.textContent = 'Jobs'
  title.style.cssText = 'font: 650 1.35rem system-ui; color: light-dark(#17211f, #e6edeb); margin: 0 0 1rem'
  const monitor = document.createElement(attributes['job-id'] ? 'millrace-job' : 'millrace-monitor')
  for (const [name, value] of Object.entries({ url, key, ...attributes })) monitor.setAttribute(name, value)
  main.append(title, monitor)
  document.body.replaceChildren(main)
  window.monitor = monitor
}"""


async def monitored(page: Page, url: str, key: str = KEY, scheme: str = "light dark", **attributes: str) -> Locator:
    """The monitor, on a page of the service's origin; playwright sees through its shadow root."""
    await connected(page, url, key)
    attributes = {name.replace("_", "-"): value for name, value in attributes.items()}
    await page.evaluate(MONITOR, {"url": url, "key": key, "attributes": attributes, "scheme": scheme})
    return page.locator("millrace-job" if "job-id" in attributes else "millrace-monitor")


def card(shown: Locator, job: Json) -> Locator:
    """The card of a job."""
    return shown.locator(f'.job[data-id="{job["id"]}"]')
