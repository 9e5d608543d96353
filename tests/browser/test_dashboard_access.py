"""Who may come in, who may act, and that nothing of a file or a name is ever markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.dashboard import VIEWS, card, drop, go, sign_in
from tests.running import Service

if TYPE_CHECKING:
    from playwright.async_api import Page

HOSTILE = '<img src=x onerror="window.hacked = 1"><script>window.hacked = 2</script>'
FIRST_PAINT_MS = 1_000
"""The best of the views, for the machine may be busy with other tests."""
MOST_SCRIPT_BYTES = 150_000

FOCUSED = """
(({ activeElement: at }) => `${at.tagName} ${at.textContent || at.id}`)(document)
"""

_SCRIPT_BYTES = """
() => performance.getEntriesByType('resource').filter(each => new URL(each.name).pathname.endsWith('.js'))
  .reduce((sum, each) => sum + each.decodedBodySize, 0)
"""


async def test_the_key_of_a_link_becomes_a_session_and_leaves_the_address(page: Page, service: Service) -> None:
    await sign_in(page, service)
    assert service.key not in page.url
    assert service.key not in await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert await page.evaluate("document.cookie") == ""
    cookie = next(each for each in await page.context.cookies() if each["name"].startswith("__Host-"))
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
    await page.reload()
    await page.locator("#shell:not([hidden])").wait_for()


async def test_a_wrong_key_is_refused_and_signing_out_ends_the_session(page: Page, service: Service) -> None:
    await page.goto(service.url)
    await page.get_by_label("Key").fill("mr_wrong")
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_text("The service does not know this key.").wait_for()
    await page.get_by_label("Key").fill(service.key)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_role("button", name="Sign in").wait_for()
    await page.reload()
    await page.get_by_role("button", name="Sign in").wait_for()


async def test_a_viewer_sees_everything_and_changes_nothing(page: Page, service: Service) -> None:
    content = b"n,m\n1,2\nx\n"
    query = {"processor": "csv", "dataset": "seen", "name": "seen.csv"}
    job = (
        await service.client.post("/v1/imports", params=query, content=content, headers={"Prefer": "wait=30"})
    ).json()
    await sign_in(page, service, key=await viewer_key(service))
    await page.get_by_text("viewer", exact=True).wait_for()
    assert await page.locator("#files").count() == 0
    await go(page, "data/seen")
    await page.get_by_role("cell", name="2").wait_for()
    await page.get_by_role("button", name="Delete").click(force=True)
    await page.get_by_text("Viewers can look, and change nothing.").wait_for()
    assert await page.get_by_role("dialog").count() == 0
    for view in [*VIEWS, f"jobs/{job['id']}", f"jobs/{job['id']}/rejects"]:
        await go(page, view)
        for button in await page.locator("#view button[aria-disabled=true]:visible").all():
            await button.click(force=True)
    await page.get_by_text("refused").first.wait_for()
    before = {**job, "last_event_id": 0}
    after = (await service.client.get(f"/v1/jobs/{job['id']}")).json()
    assert {**after, "last_event_id": 0, "progress": before["progress"]} == before


async def viewer_key(service: Service) -> str:
    """A key of the same account that may only look."""
    answer = await service.client.post("/v1/keys", json={"name": "looks", "role": "viewer"})
    assert answer.is_success, answer.text
    return str(answer.json()["key"])


async def test_hostile_names_and_cells_are_text(page: Page, service: Service) -> None:
    header = f'n,"{HOSTILE.replace(chr(34), chr(34) * 2)}"'
    cell = f'"{HOSTILE.replace(chr(34), chr(34) * 2)}"'
    content = f"{header}\n1,{cell}\n2,{cell},too many\n".encode()
    await sign_in(page, service)
    name = f"{HOSTILE.replace('/', ' ')}.csv"
    await page.locator("#files").set_input_files({"name": name, "mimeType": "text/csv", "buffer": content})
    plan = page.get_by_role("listitem").filter(has=page.get_by_role("heading"))
    await plan.get_by_text("ready").wait_for()
    await plan.get_by_label("Into the dataset").fill("hostile")
    await plan.get_by_label("Into the dataset").press("Tab")
    await plan.get_by_text("ready").wait_for()
    await plan.get_by_role("button", name="Import", exact=True).click()
    link = plan.get_by_role("link", name="job ")
    job = (await link.get_attribute("href") or "").removeprefix("#/jobs/")
    ended = (await service.client.get(f"/v1/jobs/{job}", headers={"Prefer": "wait=30"})).json()
    flow = {"name": HOSTILE, "steps": [{"key": "a", "processor": "echo", "input": {"x": HOSTILE}}]}
    made = (await service.client.post("/v1/flows", json=flow)).json()
    schedule = {"name": HOSTILE, "cron": "0 0 1 1 *", "job": {"processor": "echo", "input": {"x": HOSTILE}}}
    assert (await service.client.post("/v1/schedules", json=schedule)).is_success
    routes = ["monitor", "data/hostile", f"jobs/{job}", f"jobs/{job}/rejects", "files", f"files/{ended['upload_id']}"]
    for route in [*routes, "flows", f"flows/{made['id']}", "schedules", "system", "new?processor=csv"]:
        await go(page, route)
        assert await page.locator("#view img, #view script").count() == 0, route
    await go(page, "data/hostile")
    await page.get_by_role("cell", name=HOSTILE).first.wait_for()
    assert await page.evaluate("window.hacked") is None


async def test_every_view_paints_at_once_and_loads_little_script(page: Page, service: Service) -> None:
    await sign_in(page, service)
    sizes, paints = {}, []
    for view in VIEWS:
        fresh = await page.context.new_page()
        await fresh.goto(f"{service.url}/#/{view}")
        await fresh.locator(f'#view[data-at="#/{view}"] h1').wait_for()
        sizes[view] = await fresh.evaluate(_SCRIPT_BYTES)
        paints.append(await fresh.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        await fresh.close()
    print(f"first contentful paint after {min(paints):.0f} to {max(paints):.0f} ms; bytes of script: {sizes}")
    assert min(paints) < FIRST_PAINT_MS
    assert max(sizes.values()) < MOST_SCRIPT_BYTES, sizes


async def test_a_file_and_its_job_load_little_script_also_beside_the_monitor(page: Page, service: Service) -> None:
    await sign_in(page, service)
    sizes = {"first": await page.evaluate(_SCRIPT_BYTES)}
    await go(page, "monitor")
    await page.locator("millrace-monitor").locator(".empty:visible, .job:visible").first.wait_for()
    sizes["monitor"] = await page.evaluate(_SCRIPT_BYTES)
    await go(page, "import")
    await drop(page, small_csv=b"n\n1\n")
    await card(page, "small.csv").get_by_text("ready").wait_for()
    sizes["monitor and a file"] = await page.evaluate(_SCRIPT_BYTES)
    fresh = await page.context.new_page()
    await fresh.goto(f"{service.url}/#/import")
    await fresh.locator("#files").wait_for(state="attached")
    await drop(fresh, sent_csv=b"n\n1\n")
    plan = card(fresh, "sent.csv")
    await plan.get_by_text("ready").wait_for()
    sizes["a file"] = await fresh.evaluate(_SCRIPT_BYTES)
    await plan.get_by_role("button", name="Import", exact=True).click()
    await plan.locator("millrace-job").get_by_text("completed").first.wait_for()
    sizes["a file and its job"] = await fresh.evaluate(_SCRIPT_BYTES)
    job = (await service.client.get("/v1/jobs?limit=1")).json()["jobs"][0]
    await fresh.goto("about:blank")
    await fresh.goto(f"{service.url}/#/jobs/{job['id']}")
    await fresh.locator("millrace-job .timeline li").first.wait_for()
    sizes["a job"] = await fresh.evaluate(_SCRIPT_BYTES)
    print(f"bytes of script: {sizes}")
    assert sizes["first"] < sizes["a file"] < sizes["a file and its job"]
    assert max(sizes.values()) < MOST_SCRIPT_BYTES, sizes


async def test_the_keyboard_reaches_everything(page: Page, service: Service) -> None:
    await sign_in(page, service)
    await page.reload()  # who goes from view to view is put into the view; who comes is not
    await page.locator('#view[data-at="#/import"] h1').wait_for()
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.id") == "skip"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "view"
    await drop(page, keyed_csv=b"keyed\n1\n")
    await card(page, "keyed.csv").get_by_text("ready").wait_for()
    reached = []
    while "BUTTON Import" not in reached:
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate(FOCUSED))
        assert len(reached) < 40, reached
    assert "INPUT files" in reached
    shown = await card(page, "keyed.csv").get_by_role("button", name="Import", exact=True).element_handle()
    await card(page, "keyed.csv").locator("select").first.evaluate("each => each.dispatchEvent(new Event('change'))")
    assert shown is not None
    await shown.wait_for_element_state("hidden")  # the preview is shown anew
    assert await page.evaluate(FOCUSED) == "BUTTON Import"
    await page.keyboard.press("Enter")
    await card(page, "keyed.csv").get_by_text("Queued as").wait_for()
    assert await card(page, "keyed.csv").evaluate("each => each === document.activeElement")  # its button is gone
