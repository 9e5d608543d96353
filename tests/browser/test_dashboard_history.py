"""What a watch history adds up to, as people look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Axe, Shoot
from tests.browser.dashboard import go, sign_in
from tests.conftest import StartService
from tests.integration.test_enriching import enriched, ids, settings
from tests.youtube_server import youtube_server
from workers.enriching import WEEKDAYS

if TYPE_CHECKING:
    from playwright.async_api import Page


@pytest.mark.timeout(600)
async def test_a_history_is_seen_as_plots_with_their_numbers(
    page: Page, start_service: StartService, shoot: Shoot, axe: Axe
) -> None:
    async with youtube_server() as server:
        service = await start_service(**settings(server))
        server.gone = set(ids(2))
        _, job = await enriched(service.client, [*ids(40), *ids(5)])
    told = job["output"]
    await sign_in(page, service)
    await go(page, f"jobs/{job['id']}")
    titles = ["By hour of the day", "By day of the week", "Channels watched most", "What it was"]
    plots = page.locator("figure.plot")
    await page.get_by_role("heading", name="What the history adds up to").wait_for()
    assert await plots.locator("figcaption h2").all_inner_texts() == titles
    assert await page.get_by_role("img", name="By hour of the day").count() == 1
    await plots.locator("summary").evaluate_all("all => all.forEach(each => each.click())")
    numbers = [await plot.locator("tbody td").all_inner_texts() for plot in await plots.all()]
    assert numbers == [
        [str(count) for count in told["by_hour"]],
        [str(told["by_weekday"][day]) for day in WEEKDAYS],
        [str(each["watched"]) for each in told["top_channels"]],
        [str(count) for count in sorted(told["kinds"].values(), reverse=True)],
    ]
    assert await plots.nth(2).locator("tbody th").all_inner_texts() == [e["channel"] for e in told["top_channels"]]
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        await shoot(page, f"history-{scheme}")
        assert await axe(page) == []
    await page.set_viewport_size({"width": 360, "height": 800})
    await shoot(page, "history-narrow")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
