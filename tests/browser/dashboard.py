"""What tests of the page do again and again: sign in, drop a file, wait for what a view says."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from tests.running import Service

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

DEADLINE_MS = 90_000
"""For what an import takes on a loaded machine; most of it comes at once."""

VIEWS = ("import", "monitor", "data", "files", "schedules", "flows", "health", "system", "new")

_GO = "at => (location.hash === at ? dispatchEvent(new HashChangeEvent('hashchange')) : (location.hash = at))"

_DROP = """
([files]) => {
  const carried = new DataTransfer()
  for (const { name, content } of files) {
    carried.items.add(new File([Uint8Array.from(atob(content), letter => letter.charCodeAt(0))], name))
  }
  const event = new DragEvent('drop', { dataTransfer: carried, bubbles: true, cancelable: true })
  document.querySelector('.zone').dispatchEvent(event)
}
"""


async def sign_in(page: Page, service: Service, view: str = "import", key: str | None = None) -> None:
    """Come by the link that the service prints, and go on to a view."""
    page.set_default_timeout(DEADLINE_MS)
    await page.goto(f"{service.url}/#key={key or service.key}")
    await page.locator("#shell:not([hidden])").wait_for()
    await go(page, view)


async def go(page: Page, route: str) -> None:
    """Go to a view, and wait until it has come."""
    await page.evaluate(_GO, f"#/{route}")
    await page.locator(f'#view[data-at="#/{route}"] h1').wait_for()


async def drop(page: Page, **files: bytes) -> None:
    """Drop files on the page, as from a folder; `people_csv` becomes `people.csv`."""
    named = [
        {"name": name.replace("_csv", ".csv"), "content": b64encode(content).decode()}
        for name, content in files.items()
    ]
    await page.evaluate(_DROP, [named])


def card(page: Page, name: str) -> Locator:
    """The card of a file that was dropped."""
    return page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=name))
