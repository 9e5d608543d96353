"""Each view of the page: that it is accessible, light and dark and narrow, and does what it offers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import Axe, Shoot
from tests.browser.dashboard import VIEWS, drop, go, sign_in
from tests.running import Json, Service, eventually

if TYPE_CHECKING:
    from playwright.async_api import Page

PEOPLE = b"id,name,born\n" + b"".join(b"%d,Name %d,19%02d-03-0%d\n" % (n, n, n % 100, n % 9 + 1) for n in range(1, 150))
MIXED = PEOPLE + b"many,Otto,1950-01-01\n151,Ida,yesterday\n"
OTHERS = PEOPLE.replace(b"Name 7,", b"Naomi 7,").replace(b"9,Name 9,1909-03-01\n", b"") + b"150,Ida,1950-03-07\n"
MOST_WIDE = 360
NOWHERE = "00000000-0000-7000-8000-000000000000"


async def imported(service: Service, content: bytes, dataset: str, **options: str) -> Json:
    """A job that has ended."""
    query = {"processor": "csv", "dataset": dataset, "again": "true", "name": f"{dataset}.csv"} | options
    answer = await service.client.post("/v1/imports", params=query, content=content, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def made(service: Service, path: str, body: Json) -> Json:
    """What a POST answers."""
    answer = await service.client.post(path, json=body)
    assert answer.is_success, answer.text
    return dict(answer.json())


async def flow_of(service: Service, upload_id: str) -> Json:
    """A flow of four steps, one of them beside the others."""
    export = {"dataset": {"$from": "load.dataset"}, "format": "ndjson"}
    steps = [
        {"key": "load", "processor": "csv", "upload_id": upload_id, "dataset": "flowing"},
        {"key": "export", "processor": "export", "after": ["load"], "input": export},
        {"key": "ping", "processor": "echo", "after": ["load"], "input": {"n": 1}, "required": False},
        {"key": "end", "processor": "echo", "after": ["export", "ping"], "input": {"n": 2}},
    ]
    return await made(service, "/v1/flows", {"name": "there and back", "steps": steps})


async def places(service: Service) -> dict[str, str]:
    """Something in every view; the views by the names of their pictures."""
    job = await imported(service, MIXED, "people", mode="replace")  # each id once, however often we come here
    await imported(service, OTHERS, "people_2", mode="replace")
    await service.client.post("/v1/imports", params={"processor": "csv", "dataset": "people"}, content=b"\0\0")
    flow = await flow_of(service, job["upload_id"])
    night = {"processor": "export", "input": {"dataset": "people"}}
    known = [each["name"] for each in (await service.client.get("/v1/schedules")).json()["schedules"]]
    if "nightly" not in known:
        await made(service, "/v1/schedules", {"name": "nightly", "cron": "30 2 * * *", "job": night})
    return {view: view for view in VIEWS} | {
        "job": f"jobs/{job['id']}",
        "rejects": f"jobs/{job['id']}/rejects",
        "rows": "data/people?where=id%3E%3D30",
        "compare": "data/people/compare?with=people_2&keys=id",
        "file": f"files/{job['upload_id']}",
        "flow": f"flows/{flow['id']}",
        "new-csv": "new?processor=csv",
    }


@pytest.mark.timeout(900)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_is_accessible(page: Page, service: Service, shoot: Shoot, axe: Axe, scheme: Any) -> None:
    await page.emulate_media(color_scheme=scheme)
    await page.goto(service.url)
    await page.get_by_label("Key").wait_for()
    await shoot(page, f"sign-in-{scheme}")
    assert await axe(page) == []
    found = {}
    views = await places(service)
    await sign_in(page, service)
    for name, route in views.items():
        await go(page, route)
        await settled(page)
        await page.evaluate("document.querySelectorAll('#view details').forEach(each => { each.open = true })")
        if faults := await axe(page):
            found[name] = faults
        await shoot(page, f"{name}-{scheme}")
    assert found == {}


@pytest.mark.timeout(900)
async def test_every_view_fits_a_narrow_screen(page: Page, service: Service, shoot: Shoot) -> None:
    await page.set_viewport_size({"width": MOST_WIDE, "height": 740})
    wide = {}
    views = await places(service)
    await sign_in(page, service)
    await drop(page, people_csv=MIXED)
    await page.get_by_text("ready").first.wait_for()
    for name, route in views.items():
        await go(page, route)
        await settled(page)
        await shoot(page, f"{name}-narrow")
        if (width := await page.evaluate("document.documentElement.scrollWidth")) > MOST_WIDE:
            wide[name] = width
    assert wide == {}


async def test_a_new_account_and_a_wrong_address_are_told_what_to_do(
    page: Page, service: Service, shoot: Shoot, axe: Axe
) -> None:
    async with await service.account("newcomer") as client:
        await sign_in(page, service, key=client.headers["Authorization"].split()[1])
    found = {}
    for view in ("monitor", "data", "files", "schedules", "flows", "health", "new"):
        await go(page, view)
        await settled(page)
        if faults := await axe(page):
            found[view] = faults
        await shoot(page, f"empty-{view}")
    for name, route in {"job": f"jobs/{NOWHERE}", "data": "data/nothing", "file": f"files/{NOWHERE}"}.items():
        await go(page, route)
        await page.get_by_role("button", name="Try again").wait_for()
        if faults := await axe(page):
            found[name] = faults
        await shoot(page, f"wrong-{name}")
    assert found == {}


async def settled(page: Page) -> None:
    """Until nothing is on its way any more that a view wants to show."""
    await page.wait_for_load_state()
    await page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    await page.locator("#view").locator(".plot svg, .scroller, .card, .empty, millrace-monitor, .zone").first.wait_for()
    await page.get_by_text("Looking …").first.wait_for(state="hidden")


async def test_the_plots_have_their_numbers_as_tables(page: Page, service: Service) -> None:
    await imported(service, PEOPLE, "counted")
    await eventually(lambda: has_counted(service))
    await sign_in(page, service, "health")
    plot = page.locator("figure").filter(has=page.get_by_role("heading", name="Rows stored, by hour"))
    assert await plot.get_by_role("img", name=re.compile("rows in 24 hours")).count() == 1
    await plot.get_by_text("Numbers").click()
    rows = await plot.get_by_role("row").all_inner_texts()
    assert len(rows) == 25
    total = sum(int(re.sub(r"\D", "", row.split("\t")[-1]) or 0) for row in rows[1:])
    assert total >= 149
    await page.get_by_role("button", name="Weeks").click()
    await page.get_by_role("heading", name="Rows stored, by week").wait_for()
    assert await page.get_by_role("region", name="Workers").get_by_role("row").count() >= 2


async def has_counted(service: Service) -> bool:
    """Whether the statistics know of a job."""
    series = (await service.client.get("/v1/stats")).json()["series"]
    return any(point["jobs"]["completed"] for point in series)


async def test_a_job_without_a_file_is_made_and_what_it_made_is_downloaded(page: Page, service: Service) -> None:
    await imported(service, PEOPLE, "exported")
    await sign_in(page, service, "new")
    await page.get_by_label("Processor").select_option("export")
    await page.get_by_label("Dataset").select_option("exported")
    await page.get_by_role("button", name="Run in the background").click()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download what it made").click()
    assert (await download.value).suggested_filename == "exported.csv"


async def test_a_schedule_is_made_run_paused_and_deleted(page: Page, service: Service) -> None:
    await imported(service, PEOPLE, "scheduled")
    await sign_in(page, service, "schedules")
    await page.get_by_role("button", name="New schedule").click()
    form = page.get_by_role("form", name="New schedule")
    await form.get_by_label("Name").fill("each morning")
    await form.get_by_label("When").fill("0 6 * * *")
    await form.get_by_label("Dataset").select_option("scheduled")
    await form.get_by_role("button", name="Schedule it").click()
    card = page.get_by_role("article").filter(has=page.get_by_role("heading", name="each morning"))
    await card.get_by_text("Next runs").click()
    await card.get_by_role("listitem").nth(4).wait_for()
    await card.get_by_role("button", name="Pause").click()
    await card.get_by_role("button", name="Resume").wait_for()
    await card.get_by_role("button", name="Run now").click()
    await page.get_by_text("queue cpu").wait_for()
    await go(page, "schedules")
    await card.get_by_role("button", name="Delete each morning").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    await card.wait_for(state="detached")


async def test_a_flow_is_a_picture_whose_steps_lead_to_their_jobs(page: Page, service: Service) -> None:
    job = await imported(service, PEOPLE, "flown")
    flow = await flow_of(service, job["upload_id"])
    await sign_in(page, service, f"flows/{flow['id']}")
    await page.get_by_role("link", name="end echo · completed").wait_for()
    assert await page.locator(".graph path.edge").count() == 4
    await page.get_by_role("link", name="load csv · completed").click()
    await page.get_by_role("link", name="See flowing").wait_for()


async def test_files_are_chosen_processed_again_and_deleted(page: Page, service: Service) -> None:
    job = await imported(service, PEOPLE + b"999,Zoe,2000-01-01\n", "chosen")
    await sign_in(page, service, "files")
    await page.get_by_label("Choose chosen.csv").check()
    await page.get_by_text("1 file chosen").wait_for()
    await page.get_by_role("button", name="Re-process", exact=True).click()
    await page.get_by_text("1 job queued.").wait_for()
    await eventually(lambda: used(service, job["upload_id"], 2))
    await go(page, f"files/{job['upload_id']}")
    assert await page.get_by_role("region", name="Jobs that read it").get_by_role("row").count() == 3
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download").click()
    assert (await download.value).suggested_filename == "chosen.csv"
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    await page.get_by_text("The file is deleted.").wait_for()


async def used(service: Service, upload_id: str, times: int) -> bool:
    """Whether so many jobs over a file have ended."""
    jobs = (await service.client.get(f"/v1/uploads/{upload_id}")).json()["jobs"]
    return [job["state"] for job in jobs] == ["completed"] * times


async def test_two_datasets_are_compared_and_swapped(page: Page, service: Service) -> None:
    await imported(service, b"id,town\n1,Ulm\n2,Bonn\n3,Trier\n", "towns")
    await imported(service, b"id,town\n1,Ulm\n2,Berlin\n4,Kiel\n", "towns_2")
    await sign_in(page, service, "data/towns/compare?with=towns_2&keys=id")
    table = page.get_by_role("region", name="Rows that differ between towns and towns_2")
    await table.wait_for()
    told = await table.get_by_role("row").all_inner_texts()
    assert [row.split("\t")[0] for row in told[1:]] == ["changed", "removed", "added"]
    await page.get_by_role("button", name="Swap the two").click()
    await page.get_by_role("dialog").get_by_role("button", name="Swap them").click()
    await page.get_by_role("cell", name="Berlin").wait_for()


async def test_a_table_that_was_corrected_elsewhere_is_sent_back(page: Page, service: Service) -> None:
    job = await imported(service, MIXED, "tabled")
    table = (await service.client.get(f"/v1/jobs/{job['id']}/rejects?format=csv")).content
    mended = table.replace(b"many", b"150").replace(b"yesterday", b"1951-02-02")
    await sign_in(page, service, f"jobs/{job['id']}/rejects")
    assert await page.locator('textarea[aria-invalid="true"]').count() == 2
    await page.get_by_label("A corrected table").set_input_files(
        {"name": "mended.csv", "mimeType": "text/csv", "buffer": mended}
    )
    await page.get_by_text("2 rows brought in by this").wait_for()
    await page.get_by_text("No row is refused").wait_for()


async def test_rows_appear_while_a_job_fills_the_dataset(page: Page, service: Service) -> None:
    await imported(service, b"n\n1\n", "growing")
    await sign_in(page, service, "data/growing")
    await page.get_by_role("row").nth(1).wait_for()
    await imported(service, b"n\n2\n3\n", "growing")
    await page.get_by_role("row").nth(3).wait_for()
