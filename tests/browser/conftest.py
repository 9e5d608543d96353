"""A headless Chromium, and pages in it that say what went wrong in them.

`page` is a fresh browser context (its own storage, no cookies) that fails the test if the page throws or breaks the
Content-Security-Policy. `shoot` saves a screenshot to build/screenshots and prints its path (`pytest -s` or `-rP`).
`axe` lists what axe-core finds. `tests/origins.py` serves pages of another origin, `tests/browser/relay.py` is a proxy
that cuts, holds or refuses.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests import npm
from tests.running import ROOT

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page

SCREENSHOTS = ROOT / "build" / "screenshots"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
EXPECTED = ("Failed to load resource",)
"""What a console says of answers that a test wants, such as 409."""


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, once per test process."""
    playwright = pytest.importorskip("playwright.async_api", reason="needs playwright (`make test` installs it)")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs a browser: Debian's package chromium (apt-get install chromium)")
    async with playwright.async_playwright() as driver:
        started = await driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        await started.close()


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A profile of its own; its pages share storage, cookies, locks and channels, as the tabs of one browser do."""
    made = await browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    faults: list[str] = []
    made.on("weberror", lambda error: faults.append(str(error.error)))
    made.on("console", lambda said: faults.append(said.text) if _is_fault(said) else None)
    yield made
    await made.close()
    assert faults == [], "the page said so"


@pytest.fixture
async def page(context: BrowserContext) -> Page:
    """A tab."""
    return await context.new_page()


class Shoot(Protocol):
    """Saves what a page shows: `await shoot(page, "monitor-dark")`."""

    async def __call__(self, page: Page, name: str, *, full: bool = True) -> None: ...


@pytest.fixture(scope="session")
def shoot() -> Shoot:
    """Screenshots, for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    async def save(page: Page, name: str, *, full: bool = True) -> None:
        path = SCREENSHOTS / f"{name}.png"
        await page.screenshot(path=path, full_page=full)
        print(f"screenshot: {path}")

    return save


class Axe(Protocol):
    """What axe-core has against a page, one line a fault: `assert await axe(page) == []`."""

    async def __call__(self, page: Page) -> list[str]: ...


@pytest.fixture(scope="session")
def axe() -> Axe:
    """Accessibility by axe-core: WCAG 2.2 A and AA and its best practices, through shadow roots too."""
    source = (npm.installed() / "node_modules" / "axe-core" / "axe.min.js").read_text()

    async def look(page: Page) -> list[str]:
        await page.evaluate(source)  # not a script element: the page's policy allows none of ours
        found: dict[str, Any] = await page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
        return [
            f"{fault['id']} ({fault['impact']}): {node['target']} {node['failureSummary']}"
            for fault in found["violations"]
            for node in fault["nodes"]
        ]

    return look


def _is_fault(said: Any) -> bool:
    return said.type == "error" and not said.text.startswith(EXPECTED)
