"""Who may come in and what they may do: keys and their roles, sessions of browsers, limits of requests, headers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import datetime

import httpx
import pytest
from starlette.routing import BaseRoute, Mount, Route

from service.api.auth import COOKIE, FOR_VIEWERS, OPEN
from service.api.routes import ROUTES
from tests.running import ALIVE, DEADLINE_S, Json, Service, client_for, eventually, fork, imported, superuser

SOME_ID = "01a20000-0000-7000-8000-000000000000"


def unsafe(entries: list[BaseRoute], above: str = "") -> list[tuple[str, str]]:
    """Method and path of every route that could change something, each parameter filled in."""
    found: list[tuple[str, str]] = []
    for entry in entries:
        if isinstance(entry, Mount):
            found += unsafe(list(entry.routes or []), above + entry.path)
        elif isinstance(entry, Route):
            path = re.sub(r"{(\w+)}", lambda part: SOME_ID if part[1] == "id" else "word", above + entry.path)
            found += [(method, path) for method in entry.methods or () if method not in ("GET", "HEAD", "OPTIONS")]
    return sorted(found)


async def run(service: Service, *words: str) -> str:
    """What a command of `python -m service` prints."""
    log = service.folder / f"command-{'-'.join(words)}.log"
    command = await fork("service command", "service", [*words], service.settings, log)
    code = await command.ended()
    ALIVE.remove(command)
    assert code == 0, command.output
    return command.output


async def fresh_key(service: Service, *words: str) -> str:
    """A new key of an account."""
    return (await run(service, "account", *words)).split()[-1]


@pytest.fixture(scope="module")
async def viewer(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(service.url, await fresh_key(service, "dev", "viewer", "looks on")) as client:
        yield client


@pytest.fixture
async def browser(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key; it does not keep cookies that are Secure, for it speaks plain HTTP."""
    async with httpx.AsyncClient(base_url=service.url, timeout=DEADLINE_S) as client:
        yield client


async def logged_in(browser: httpx.AsyncClient, key: str) -> Json:
    """Log in; the answer, and the cookie is sent from then on."""
    answer = await browser.post("/v1/session", json={"key": key})
    assert answer.status_code == 201, answer.text
    secret = re.match(rf"{COOKIE}=([\w-]+);", answer.headers["set-cookie"])
    assert secret
    browser.headers["Cookie"] = f"{COOKIE}={secret[1]}"
    return dict(answer.json())


def test_the_url_table_has_what_a_viewer_is_refused() -> None:
    assert ("POST", f"/v1/jobs/{SOME_ID}/cancel") in unsafe(ROUTES)
    assert len(unsafe(ROUTES)) > 30


async def test_a_viewer_is_refused_whatever_acts(viewer: httpx.AsyncClient) -> None:
    for method, path in [pair for pair in unsafe(ROUTES) if pair not in OPEN | FOR_VIEWERS]:
        answer = await viewer.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path)
    assert (await viewer.head(f"/v1/uploads/{SOME_ID}")).status_code == 403  # it would end who is sending


async def test_a_viewer_sees_everything(service: Service, viewer: httpx.AsyncClient) -> None:
    job = await imported(service.client, b"a\n1\n", "seen", header="true")
    for path in (*job["links"].values(), f"/v1/uploads/{job['upload_id']}", "/v1/jobs", "/v1/stats", "/v1/session"):
        if not path.endswith("events"):
            assert (await viewer.get(path)).status_code == 200, path


async def test_a_session_is_a_cookie_that_no_script_reads(service: Service, browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/v1/session", json={"key": service.key})
    parts = {part.strip().partition("=")[0].lower() for part in answer.headers["set-cookie"].split(";")}
    assert parts == {COOKIE.lower(), "httponly", "secure", "path", "samesite", "max-age"}
    assert "Path=/" in answer.headers["set-cookie"]
    assert "samesite=strict" in answer.headers["set-cookie"].lower()
    assert answer.headers["cache-control"] == "no-store"
    assert (answer.json()["account"], answer.json()["role"]) == ("dev", "operator")


async def test_a_session_reads_and_with_its_token_acts(service: Service, browser: httpx.AsyncClient) -> None:
    told = await logged_in(browser, service.key)
    shown = (await browser.get("/v1/session")).json()
    assert shown == told
    assert datetime.fromisoformat(shown["expires_at"]).tzinfo
    body = {"processor": "echo", "input": {"said": 1}}
    answer = await browser.post("/v1/jobs", json=body, headers={"X-CSRF-Token": told["csrf_token"]})
    assert answer.status_code == 202
    async with browser.stream("GET", f"/v1/jobs/{answer.json()['id']}/events") as stream:
        assert "event: snapshot" in [line async for line in stream.aiter_lines()]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "csrf_token_needed"),
        ({"X-CSRF-Token": "guessed"}, "csrf_token_needed"),
        ({"X-CSRF-Token": "right", "Sec-Fetch-Site": "cross-site"}, "cross_origin"),
        ({"X-CSRF-Token": "right", "Sec-Fetch-Site": "same-site"}, "cross_origin"),
        ({"X-CSRF-Token": "right", "Origin": "https://elsewhere.example"}, "cross_origin"),
        ({"X-CSRF-Token": "right", "Origin": "null"}, "cross_origin"),
    ],
)
async def test_another_page_cannot_act_with_a_session(
    service: Service, browser: httpx.AsyncClient, headers: dict[str, str], code: str
) -> None:
    token = (await logged_in(browser, service.key))["csrf_token"]
    sent = {name: token if value == "right" else value for name, value in headers.items()}
    for method, path in unsafe(ROUTES):
        if (method, path) not in OPEN:
            answer = await browser.request(method, path, headers=sent)
            assert (answer.status_code, answer.json()["code"]) == (403, code), (method, path)


async def test_a_token_of_another_session_is_none(service: Service, browser: httpx.AsyncClient) -> None:
    token = (await logged_in(browser, service.key))["csrf_token"]
    await logged_in(browser, service.key)
    answer = await browser.post("/v1/jobs", json={"processor": "echo"}, headers={"X-CSRF-Token": token})
    assert answer.json()["code"] == "csrf_token_needed"


async def test_another_page_cannot_log_in(service: Service, browser: httpx.AsyncClient) -> None:
    body = {"key": service.key}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}):
        assert (await browser.post("/v1/session", json=body, headers=headers)).json()["code"] == "cross_origin"


async def test_a_page_over_plain_http_from_elsewhere_is_told_why_not(
    service: Service, browser: httpx.AsyncClient
) -> None:
    sent = {"Origin": "http://box.lan:8000", "Host": "box.lan:8000"}
    answer = await browser.post("/v1/session", json={"key": service.key}, headers=sent)
    assert (answer.status_code, answer.json()["code"]) == (403, "https_needed")
    behind = {"Origin": "https://box.lan", "Host": "upstream", "Sec-Fetch-Site": "same-origin"}  # a proxy's defaults
    assert (await browser.post("/v1/session", json={"key": service.key}, headers=behind)).status_code == 201


async def test_a_bearer_needs_no_token(service: Service) -> None:
    headers = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
    assert (await service.client.post("/v1/jobs", json={"processor": "echo"}, headers=headers)).status_code == 202


async def test_logging_out_ends_the_session_at_once(service: Service, browser: httpx.AsyncClient) -> None:
    token = (await logged_in(browser, await fresh_key(service, "dev", "viewer")))["csrf_token"]
    answer = await browser.delete("/v1/session", headers={"X-CSRF-Token": token})
    assert answer.status_code == 204
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert (await browser.get("/v1/session")).status_code == 401


async def test_a_session_ends_when_it_is_old_or_was_idle(service: Service, browser: httpx.AsyncClient) -> None:
    for aged in ("expires_at = now()", "seen_at = now() - interval '8 hours 1 second'"):
        await logged_in(browser, await fresh_key(service, "ageing"))
        async with superuser(service.database_url) as db:
            await db.execute(f"update session set {aged}")
        assert (await browser.get("/v1/session")).status_code == 401, aged


async def test_a_session_ends_with_its_key(service: Service, browser: httpx.AsyncClient) -> None:
    await logged_in(browser, await fresh_key(service, "dev", "operator", "short"))
    key_id = (await browser.get("/v1/session")).json()["key"]["id"]
    assert (await service.client.delete(f"/v1/keys/{key_id}")).status_code == 204

    async def is_refused() -> bool:
        return (await browser.get("/v1/session")).status_code == 401

    await eventually(is_refused, pause_s=0.2)  # it is remembered for 5 s
    async with superuser(service.database_url) as db:
        assert await db.fetchval("select count(*) from session where key_id = $1", key_id) == 0


async def test_secrets_are_stored_as_hashes_and_logged_nowhere(service: Service, browser: httpx.AsyncClient) -> None:
    made = await service.client.post("/v1/keys", json={"name": "for the log"})
    told = await logged_in(browser, made.json()["key"])
    secret = browser.headers["Cookie"].partition("=")[2]
    async with superuser(service.database_url) as db:
        stored = str(await db.fetch("select * from session")) + str(await db.fetch("select * from api_key"))
    for word in (made.json()["key"], secret, told["csrf_token"]):
        assert word not in stored + service.process.output


async def test_keys_are_listed_made_and_revoked(service: Service) -> None:
    made = (await service.client.post("/v1/keys", json={"name": "panel", "role": "viewer"})).json()
    listed = (await service.client.get("/v1/keys")).json()["keys"]
    assert listed[0] == {name: value for name, value in made.items() if name != "key"}
    async with client_for(service.url, made["key"]) as panel:
        assert (await panel.get("/v1/session")).json()["role"] == "viewer"
    assert made["id"] in await run(service, "keys", "dev")
    await run(service, "revoke", made["id"])
    async with client_for(service.url, made["key"]) as panel:
        answer = await panel.post("/v1/session", json={"key": made["key"]})
        assert answer.status_code == 401
    assert (await service.client.get("/v1/keys")).json()["keys"][0]["revoked_at"]
    assert (await service.client.delete(f"/v1/keys/{made['id']}")).status_code == 404


async def test_the_keys_of_another_account_are_not_there(service: Service) -> None:
    made = (await service.client.post("/v1/keys", json={"name": "mine"})).json()
    async with await service.account("stranger") as stranger:
        assert [key["name"] for key in (await stranger.get("/v1/keys")).json()["keys"]] == ["first"]
        assert (await stranger.delete(f"/v1/keys/{made['id']}")).status_code == 404


async def test_failed_log_ins_from_one_address_are_limited(service: Service) -> None:
    elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.9")
    async with httpx.AsyncClient(base_url=service.url, transport=elsewhere, timeout=DEADLINE_S) as client:
        for _ in range(10):
            assert (await client.post("/v1/session", json={"key": service.key})).status_code == 201
        answers = [await client.post("/v1/session", json={"key": f"mr_{n}"}) for n in range(15)]
        codes = [answer.status_code for answer in answers]
        assert codes[:10] == [401] * 10
        assert codes[-1] == 429
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert (await client.post("/v1/session", json={"key": service.key})).status_code == 429


async def test_an_account_may_ask_only_so_often(service: Service) -> None:
    async with await service.account("busy") as busy, await service.account("calm") as calm:
        await run(service, "quota", "busy", "requests", "1")
        answers = [await busy.get("/v1/session") for _ in range(40)]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert sum(answer.status_code == 200 for answer in answers) >= 10
        assert refused.json()["code"] == "rate_limited"
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["ratelimit-policy"] == '"account";q=10;w=10'
        assert refused.headers["ratelimit"] == '"account";r=0;t=1'
        assert (await calm.get("/v1/session")).status_code == 200


async def test_a_request_goes_by_an_id(service: Service) -> None:
    assert len((await service.client.get("/v1/jobs")).headers["x-request-id"]) == 32
    answer = await service.client.get("/v1/jobs", headers={"X-Request-Id": "from-the-proxy.7"})
    assert answer.headers["x-request-id"] == "from-the-proxy.7"


async def test_every_answer_bears_the_headers(service: Service) -> None:
    for path in ("/", "/v1/jobs", "/v1/nowhere", "/nowhere", "/livez"):
        headers = (await service.client.get(path)).headers
        assert headers["content-security-policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ), path
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "camera=()" in headers["permissions-policy"]


async def test_modules_of_the_client_may_be_imported_from_anywhere(service: Service) -> None:
    headers = (await service.client.get("/client/millrace.js")).headers
    assert headers.get_list("access-control-allow-origin") == ["*"]
    assert headers.get_list("cross-origin-resource-policy") == ["cross-origin"]


async def test_what_a_user_sent_runs_nowhere(service: Service) -> None:
    page = b"<script>alert(1)</script>"
    sent = await service.client.post("/v1/uploads?name=a.html", content=page, headers={"Content-Type": "text/html"})
    job = await imported(service.client, b"a,b\n1\n1,2\n", "sandboxed", header="true")
    assert job["counts"]["rejected"] == 1
    for path in (
        f"/v1/uploads/{sent.json()['id']}/content",
        "/v1/datasets/sandboxed/export?format=csv",
        f"/v1/jobs/{job['id']}/rejects?format=csv",
    ):
        headers = (await service.client.get(path)).headers
        assert headers["content-disposition"].startswith("attachment"), path
        assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
