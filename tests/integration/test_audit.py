"""What users do is written down by the transaction that does it, and its chain shows whether that was changed since."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from service.api.routes import ROUTES
from service.store import audit
from service.store.database import WORKER_ROLE, open_database
from tests import running
from tests.conftest import StartService
from tests.integration.test_access import run, unsafe
from tests.running import ALIVE, Json, Servers, Service, account_id_of, client_for, fork, imported, superuser
from workers.maintenance import chain_audit


async def entries(client: httpx.AsyncClient, **query: object) -> list[Json]:
    """The account's entries, oldest first, page by page."""
    found: list[Json] = []
    cursor: str | None = None
    while True:
        asked = {"limit": "3"} | {name: str(value) for name, value in query.items()}
        page = (await client.get("/v1/audit", params=asked | ({"cursor": cursor} if cursor else {}))).json()
        found += page["entries"]
        if (cursor := page["next_cursor"]) is None:
            return found[::-1]


async def chain(service: Service) -> None:
    """What the duty does."""
    async with open_database(service.database_url, role=WORKER_ROLE, connections=1, name="test") as database:
        await chain_audit.run_once(database)


@pytest.fixture(scope="module")
async def api(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service without a worker, so that nothing is chained unless a test does it."""
    async with running.service(servers, tmp_path_factory.mktemp("service"), "api") as started:
        yield started


async def test_each_act_is_told_with_who_when_and_on_what(service: Service) -> None:
    async with await service.account("told") as client:
        job = await imported(client, b"a\n1\n", "people", header="true")
        sent = {"X-Request-Id": "my-own-id"}
        echo = (await client.post("/v1/jobs", json={"processor": "echo"}, headers=sent)).json()
        later = {"processor": "echo", "run_at": "2099-01-01T00:00:00Z"}
        waiting = (await client.post("/v1/jobs", json=later)).json()
        await client.post(f"/v1/jobs/{waiting['id']}/cancel")
        await client.get("/v1/jobs")
        await client.post(f"/v1/jobs/{waiting['id']}/pause")  # 409: it did nothing
        told = await entries(client)
        key = (await client.get("/v1/keys")).json()["keys"][0]
        acts = [entry["action"] for entry in told]
        assert set(acts[:-3]) == {"POST /v1/imports"}
        assert acts[-3:] == ["POST /v1/jobs", "POST /v1/jobs", f"POST /v1/jobs/{waiting['id']}/cancel"]
        assert job["id"] in [target for entry in told for target in entry["targets"]]
        assert told[-3]["targets"] == [echo["id"]]
        assert told[-3]["request_id"] == "my-own-id"
        assert {entry["key"]["id"] for entry in told} == {key["id"]}
        assert {entry["outcome"] for entry in told} == {"done"}
        assert [entry["id"] for entry in await entries(client, about=echo["id"])] == [told[-3]["id"]]
        assert [entry["id"] for entry in await entries(client, about="/cancel")] == [told[-1]["id"]]
        assert await entries(client, to=told[0]["at"]) == []
        assert (await entries(service.client, about=echo["id"])) == []  # another account's


async def test_jobs_that_are_written_together_are_told_each(service: Service) -> None:
    async with await service.account("together") as client:
        body = {"processor": "echo", "input": {}}
        answers = await asyncio.gather(*(client.post("/v1/jobs", json=body) for _ in range(30)))
        listed = (await client.post("/v1/jobs", json=[body, body])).json()["jobs"]
        told = await entries(client)
        assert sorted(entry["targets"] for entry in told[:-1]) == sorted([answer.json()["id"]] for answer in answers)
        ids = {answer.headers["x-request-id"] for answer in answers}
        assert {entry["request_id"] for entry in told[:-1]} == ids
        assert sorted(told[-1]["targets"]) == sorted(job["id"] for job in listed)


async def test_sessions_keys_and_refusals_are_told(service: Service) -> None:
    async with await service.account("guarded") as client:
        made = (await client.post("/v1/keys", json={"name": "looks on", "role": "viewer"})).json()
        async with client_for(service.url, made["key"]) as viewer:
            session = await viewer.post("/v1/session", json={"key": made["key"]})
            assert session.status_code == 201
            assert (await viewer.delete("/v1/datasets/people")).status_code == 403
        await client.delete(f"/v1/keys/{made['id']}")
        told = [(entry["action"], entry["outcome"], entry["key"]["name"]) for entry in await entries(client)]
        assert told == [
            ("POST /v1/keys", "done", "first"),
            ("POST /v1/session", "done", "looks on"),
            ("DELETE /v1/datasets/people", "forbidden", "looks on"),
            (f"DELETE /v1/keys/{made['id']}", "done", "first"),
        ]
        assert made["key"] not in str(await entries(client))


async def test_what_did_nothing_is_no_act(api: Service) -> None:
    async with await api.account("idle") as client:
        answers = {pair: (await client.request(*pair)).status_code for pair in unsafe(ROUTES)}
        refused = {f"{method} {path}" for (method, path), status in answers.items() if status >= 400}
        assert len(refused) > 20
        told = {entry["action"] for entry in await entries(client)}
        begun = ("/v1/uploads", "/v1/previews")  # and given up, which are two acts
        assert [act for act in refused & told if not act.split()[1].startswith(begun)] == []


async def test_the_chain_holds_and_shows_each_change(api: Service) -> None:
    async with await api.account("chained") as client:
        for _ in range(5):
            await client.post("/v1/jobs", json={"processor": "echo", "metadata": {"ä": "€"}})
        assert [entry["no"] for entry in await entries(client)] == [None] * 5
        await chain(api)
        told = await entries(client)
        assert [entry["no"] for entry in told] == [1, 2, 3, 4, 5]
        assert (await client.get("/v1/audit")).json()["head"] == {"no": 5, "hash": told[-1]["hash"]}
    output = await run(api, "audit", "verify", "chained")
    assert f"chained: the chain of 5 holds; 0 not in it yet; head {told[-1]['hash']}" in output

    account_id = await account_id_of(api.database_url, "chained")
    tampering = {
        "update audit set action = 'POST /v1/nothing' where no = 3": 3,
        "update audit set at = at + interval '1 microsecond' where no = 2": 2,
        "update audit set outcome = 'forbidden' where no = 5": 5,
        "update audit set targets = '{}' where no = 4": 4,
        "delete from audit where no = 3": 3,
        "delete from audit where no = 5": 5,
        "delete from audit": 1,
        "update audit set no = no + 10": 1,
    }
    async with superuser(api.database_url) as db:
        for statement, broken_at in tampering.items():
            narrowed = statement + (" and" if "where" in statement else " where") + f" account_id = '{account_id}'"
            transaction = db.transaction()
            await transaction.start()
            await db.execute("set local session_replication_role = replica")  # past the trigger
            await db.execute(narrowed)
            assert [v.broken_at for v in await audit.verify(db, "chained")] == [broken_at], statement
            await transaction.rollback()
        await db.execute("set session_replication_role = replica")
        await db.execute("delete from audit where no = 2 and account_id = $1", account_id)
    log = api.folder / "broken.log"
    command = await fork("service audit", "service", ["audit", "verify"], api.settings, log)
    assert await command.ended() == 1
    ALIVE.remove(command)
    assert "chained: the chain of 5 is broken at entry 2" in command.output


async def test_nobody_changes_an_entry_by_accident(api: Service) -> None:
    async with await api.account("careful") as client:
        await client.post("/v1/jobs", json={"processor": "echo"})
        await chain(api)
    for role in ("millrace_worker", "millrace_api"):
        db = await asyncpg.connect(api.database_url, server_settings={"role": role, "search_path": "millrace"})
        try:
            for statement in ("update audit set outcome = 'x'", "delete from audit", "update audit set no = 7"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await db.execute(statement)
        finally:
            await db.close()


async def test_workers_chain_what_has_come_each_once(start_service: StartService) -> None:
    service = await start_service("api")
    await service.worker()
    await service.worker()
    body = {"processor": "echo", "input": {}}
    await asyncio.gather(*(service.client.post("/v1/jobs", json=body) for _ in range(60)))
    await asyncio.gather(*(chain(service) for _ in range(3)))
    await chain(service)
    async with superuser(service.database_url) as db:
        assert [(v.entries, v.broken_at, v.loose) for v in await audit.verify(db, "dev")] == [(60, None, 0)]
