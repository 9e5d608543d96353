"""The whole story in a browser, on a million rows: log-in, drop, mapping, import, mending, reading, download, undo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import Axe, Shoot
from tests.browser.dashboard import DEADLINE_MS, card, drop, go, sign_in
from tests.running import Json, Service, eventually

if TYPE_CHECKING:
    from playwright.async_api import Page

ROWS = 1_000_000
BAD = {250_000: "many", 500_000: "n0ne", 750_000: "?"}
"""Rows whose amount is no number."""


def million(path: Path) -> Path:
    """A CSV of a million rows, three of them bad."""
    with path.open("w") as out:
        out.write("Order No,Customer,Amount,Internal\n")
        for first in range(1, ROWS + 1, 10_000):
            out.writelines(
                f"{n},customer {n % 997},{BAD.get(n, n * 7 % 5000)},x\n" for n in range(first, first + 10_000)
            )
    return path


async def is_said(page: Page, text: str) -> None:
    """Wait until the page says so, in whatever element."""
    await page.get_by_text(text).first.wait_for(timeout=DEADLINE_MS)


@pytest.mark.timeout(900)
async def test_a_million_rows_from_the_drop_to_the_undo(
    page: Page, service: Service, shoot: Shoot, axe: Axe, tmp_path: Path
) -> None:
    await sign_in(page, service)
    assert "key" not in page.url
    name = "orders of a year.csv"
    await page.locator("#files").set_input_files(million(tmp_path / name))

    plan = card(page, name)
    await is_said(page, "Its first MiB:")
    assert await plan.get_by_label("Into the dataset").input_value() == "orders_of_a_year"
    assert await plan.get_by_label("Type of Amount").input_value() == "integer"
    await plan.get_by_label("Name of Order No in the dataset").fill("id")
    await plan.get_by_label("Type of Amount").select_option("bigint")
    await plan.get_by_label("Keep Internal").uncheck()
    await plan.get_by_text("ready").wait_for()
    await shoot(page, "story-plan")
    assert await axe(page) == []
    await plan.get_by_role("button", name="Import", exact=True).click()
    link = plan.get_by_role("link", name="job ")
    await link.wait_for(timeout=DEADLINE_MS)
    job = (await link.get_attribute("href") or "").removeprefix("#/jobs/")

    await go(page, "data/orders_of_a_year")  # while it fills, or a moment later
    await page.get_by_role("row").nth(3).wait_for()
    done = await settled_job(service, job)
    assert done["counts"] | {"read": ROWS, "inserted": ROWS - 3, "rejected": 3} == done["counts"]

    await go(page, f"jobs/{job}")
    await is_said(page, "3 refused rows")
    await shoot(page, "story-job")
    await page.get_by_role("link", name="3 refused rows").click()
    await page.get_by_label("Amount of row 250000").fill("12")
    await page.get_by_label("Amount of row 500000").fill("also none")
    await is_said(page, "2 rows changed")
    await shoot(page, "story-rejects")
    await page.get_by_role("button", name="Send back").click()
    await is_said(page, "1 row brought in")
    await page.get_by_label("Amount of row 250000").wait_for(state="detached")
    assert await page.get_by_label("Amount of row 500000").input_value() == "also none"
    assert await page.get_by_label("Amount of row 750000").input_value() == "?"
    await page.get_by_label("Amount of row 500000").fill("13")
    await page.get_by_label("Amount of row 750000").fill("14")
    await page.get_by_role("button", name="Send back").click()
    await is_said(page, "No row is refused")

    await go(page, "data")
    listed = page.get_by_role("row").filter(has=page.get_by_role("link", name="orders_of_a_year", exact=True))
    assert await listed.get_by_role("cell").first.inner_text() == "about 1,000,000"
    await shoot(page, "story-data")
    await go(page, "data/orders_of_a_year")
    await page.get_by_label("Column", exact=True).select_option("amount")
    await page.get_by_label("Condition", exact=True).select_option("=")
    await page.get_by_label("Value").fill("13")
    await page.get_by_role("button", name="Add").click()
    await is_said(page, "of those that match")
    await page.get_by_role("button", name="id", exact=True).click()
    await page.locator('th[aria-sort="ascending"]').wait_for()
    await page.get_by_role("button", name="id", exact=True).click()
    await page.locator('th[aria-sort="descending"]').wait_for()
    await shoot(page, "story-rows")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download these rows as CSV").click()
    saved = Path(await (await download.value).path()).read_text()
    rows = saved.splitlines()
    assert rows[0] == "id,customer,amount"
    assert "500000,customer 503,13" in rows
    assert len(rows) - 1 == sum(1 for n in range(1, ROWS + 1) if n not in BAD and n * 7 % 5000 == 13) + 1

    await go(page, f"jobs/{job}")
    await page.locator("millrace-job summary", has_text="More").click()
    await page.locator("millrace-job").get_by_role("button", name="Undo").click()
    await page.get_by_role("dialog").get_by_role("button", name="Undo", exact=True).click()
    await undone(service, "orders_of_a_year")
    await go(page, "data/orders_of_a_year")
    await is_said(page, "No rows yet")
    await go(page, "data")
    assert await listed.get_by_role("cell").first.inner_text() == "0"


async def settled_job(service: Service, job: str) -> dict[str, Any]:
    """A job once it has ended."""
    answer = await service.client.get(f"/v1/jobs/{job}", headers={"Prefer": "wait=60"}, timeout=90)
    assert answer.json()["state"] == "completed", answer.text
    return dict(answer.json())


async def undone(service: Service, dataset: str) -> None:
    """Wait for the undo that is the newest job, and for the dataset to be empty."""

    async def undos() -> list[Json]:
        found: list[Json] = (await service.client.get("/v1/jobs", params={"processor": "undo"})).json()["jobs"]
        return found

    newest = (await eventually(undos))[0]  # the page has only just asked for it
    await settled_job(service, newest["id"])
    assert (await service.client.get(f"/v1/datasets/{dataset}/rows")).json()["rows"] == []


async def test_several_files_at_once_each_with_its_own_state(page: Page, service: Service) -> None:
    await sign_in(page, service)
    await drop(page, one_csv=b"a,b\n1,2\n", two_csv=b"a;b\n3;4\n", three_csv=b"")
    for name in ("one.csv", "two.csv"):
        await card(page, name).get_by_text("ready").wait_for()
    empty = card(page, "three.csv")
    await empty.get_by_text("needs you").wait_for()
    assert await empty.get_by_role("alert").count() == 1
    await page.get_by_role("button", name="Import all 2").click()
    for name in ("one.csv", "two.csv"):
        await card(page, name).get_by_text("Queued as").wait_for()
    await page.get_by_role("button", name="Clear those that are done").click()
    assert await page.get_by_role("listitem").filter(has=page.get_by_role("heading")).count() == 1


async def test_what_is_found_out_can_be_overruled(page: Page, service: Service) -> None:
    await sign_in(page, service)
    await drop(page, odd_csv=b"a;b,c;d\n1;2,3;4\n5;6,7;8\n")
    plan = card(page, "odd.csv")
    await plan.get_by_text("ready").wait_for()
    await plan.get_by_text("How it is read").click()
    await plan.get_by_label("delimiter").fill(";")
    await plan.get_by_label("delimiter").press("Tab")
    await plan.get_by_role("rowheader", name="b,c").wait_for()


async def test_a_file_that_is_like_a_dataset_is_offered_that_one(page: Page, service: Service) -> None:
    first = {"processor": "csv", "dataset": "known"}
    await service.client.post("/v1/imports", params=first, content=b"id,town\n1,Ulm\n", headers={"Prefer": "wait=30"})
    await sign_in(page, service)
    await drop(page, more_csv=b"id,town\n2,Bonn\n")
    plan = card(page, "more.csv")
    await plan.get_by_text("ready").wait_for()
    assert await plan.get_by_label("Into the dataset").input_value() == "known"


async def test_the_same_file_twice_says_so_and_goes_in_again_on_demand(page: Page, service: Service) -> None:
    await sign_in(page, service)
    for expected in ("Queued as", "imported like this before"):
        await drop(page, twice_csv=b"n\n1\n2\n")
        plan = card(page, "twice.csv").first
        await plan.get_by_text("ready").wait_for()
        await plan.get_by_role("button", name="Import", exact=True).click()
        await plan.get_by_text(expected).wait_for()
        job = (await service.client.get("/v1/jobs?limit=1")).json()["jobs"][0]
        await settled_job(service, job["id"])
    await card(page, "twice.csv").first.get_by_role("button", name="Import it once more").click()
    await card(page, "twice.csv").first.get_by_text("Queued as").wait_for()
