"""The real thing that the model is held against: the ASGI application and a worker's moves, on PostgreSQL and Redis.

Methods are named and answer as those of `Model`. Time passes by changing `expires_at` and `run_at`, never by waiting.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from starlette.applications import Starlette

from service.actions.submits import Submits
from service.actions.transfers import Transfers
from service.api.streams import Streams
from service.app import create_app
from service.bus import Bus
from service.config import Settings
from service.deps import Deps
from service.dispatch import Dispatch, open_redis
from service.domain.job import State
from service.files.opening import open_files
from service.server import Server, bind, url_of
from service.store import accounts, datasets
from service.store.database import API_ROLE, WORKER_ROLE, Connection, open_database
from tests.campaign.model import BATCH_ARGUMENTS, Asked, Hand, Model
from tests.campaign.worker import COLUMNS, Worker
from workers.registry import discover
from workers.sandbox import Sandboxes
from workers.settler import Settler
from workers.tools import Tools

ACCOUNTS = ("ann", "bob")
DATASET = "people"

STATE_OF = """
    select state, outcome, control, priority, attempt, deaths, epoch, event_seq, read, inserted, rejected,
      remove_rows, removed_at is not null
    from millrace.job
    where id = $1
"""


@dataclass
class World:
    """The service of one test, its users and its worker."""

    tools: Tools
    worker: Worker
    admin: asyncpg.Connection
    clients: dict[str, httpx.AsyncClient]
    uploads: dict[str, str]

    async def begin(self) -> None:
        """No job, and no account had a turn yet."""
        self.worker = Worker(self.tools)
        await self.admin.execute("delete from millrace.job")
        await self.admin.execute("update millrace.account set turn = 0")
        await self.admin.execute("delete from millrace.turn_clock")
        for table in await self.admin.fetch("select table_name from millrace.dataset"):
            await self.admin.execute(f'delete from datasets."{table[0]}"')

    async def submit(self, asked: Asked, key: str | None) -> tuple[str, UUID | None]:
        """POST /v1/jobs; the answer, and the id of the job that it shows."""
        body: dict[str, Any] = {
            "processor": "csv",
            "upload_id": self.uploads[asked.account],
            "dataset": DATASET,
            "priority": asked.priority,
        }
        body |= {"run_at": asked.run_at} if asked.run_at else {}
        body |= {"dedupe_key": asked.dedupe_key} if asked.dedupe_key else {}
        headers = {"Idempotency-Key": key} if key else {}
        answer = await self.clients[asked.account].post("/v1/jobs", json=body, headers=headers)
        return _word(answer), UUID(answer.json()["id"]) if answer.is_success else None

    async def ask(self, account: str, action: str, job_id: UUID, *arguments: Any) -> str:
        """One of the things that a user can do to a job."""
        client, path = self.clients[account], f"/v1/jobs/{job_id}"
        match action, arguments:
            case "delete", ():
                return _word(await client.delete(path))
            case "prioritize", (priority,):
                return _word(await client.patch(path, json={"priority": priority}))
            case "cancel", (remove_rows,):
                return _word(await client.post(f"{path}/cancel?rows={'remove' if remove_rows else 'keep'}"))
            case "retry", (from_start,):
                return _word(await client.post(f"{path}/retry?from={'start' if from_start else 'checkpoint'}"))
            case _:
                return _word(await client.post(f"{path}/{action}"))

    async def batch(self, account: str, action: str, **which: Any) -> list[tuple[UUID, str]]:
        """POST /v1/jobs/batch; a state or a code for each job."""
        body = {"action": {"prioritize": "priority"}.get(action, action)} | which
        if action == "prioritize":
            body["priority"] = BATCH_ARGUMENTS[action][0]
        answer = await self.clients[account].post("/v1/jobs/batch", json=body)
        assert answer.status_code == 200, answer.text
        return [(UUID(r["id"]), r["state"] if r["ok"] else r["code"]) for r in answer.json()["results"]]

    async def expire(self, hand: Hand) -> str:
        """The worker is silent until its lease is over."""
        await self.admin.execute(
            "update millrace.lease set expires_at = now() - interval '1 s' where job_id = $1 and epoch = $2",
            hand.job,
            hand.epoch,
        )
        return "silent"

    async def come(self, job_id: UUID) -> str:
        """The moment that a job waits for is here."""
        await self.admin.execute("update millrace.job set run_at = now() - interval '1 s' where id = $1", job_id)
        return "come"

    async def shown(self, account: str, job_id: UUID) -> httpx.Response:
        """GET the job."""
        return await self.clients[account].get(f"/v1/jobs/{job_id}")

    async def rejects(self, account: str, job_id: UUID) -> list[int]:
        """GET the row numbers of its rejects."""
        answer = await self.clients[account].get(f"/v1/jobs/{job_id}/rejects", params={"limit": 1000})
        return [reject["row"] for reject in answer.json()["rejects"]]

    async def stream(self, account: str, job_id: UUID, after: int) -> list[tuple[int, str]]:
        """GET the events of an ended job behind number `after`, as a reconnecting client does."""
        answer = await self.clients[account].get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": str(after)})
        if answer.status_code == 204:
            return []
        data = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
        return [(event["seq"], event["type"]) for event in data[1:]]  # behind the snapshot

    async def told(self, job_id: UUID) -> list[str]:
        """The types of its events, in order."""
        events = await self.admin.fetch("select type from millrace.event where job_id = $1 order by seq", job_id)
        return [event["type"] for event in events]

    async def agrees(self, model: Model) -> None:
        """Every job stands where the model has it, and has told so."""
        for job in model.jobs.values():
            stored = await self.admin.fetchrow(STATE_OF, job.id)
            expected = (
                *(job.state, job.outcome, job.control, job.priority, job.attempt, job.deaths, job.epoch),
                *(len(job.events), job.read, job.inserted, job.rejected, job.remove_rows, job.removed),
            )
            assert tuple(stored) == expected, f"{job.id} is {tuple(stored)}, not {expected}"

    async def holds(self, model: Model) -> None:
        """The invariants of DESIGN §12, over everything that is stored."""
        assert await self.admin.fetchval("select count(*) from millrace.job") == len(model.jobs)
        for job in model.jobs.values():
            events = await self.admin.fetch(
                "select seq, type, at from millrace.event where job_id = $1 order by seq", job.id
            )
            assert [e["seq"] for e in events] == list(range(1, len(events) + 1))  # I3
            assert [e["type"] for e in events] == job.events  # I2: the model has one end a run
            assert [e["at"] for e in events] == sorted(e["at"] for e in events)
            attempts = await self.admin.fetch(
                "select epoch, result from millrace.attempt where job_id = $1 "
                "union all select epoch, null from millrace.lease where job_id = $1 order by epoch",
                job.id,
            )
            results = [(a["epoch"], a["result"] and a["result"].removeprefix("job.")) for a in attempts]
            assert results == list(enumerate(job.results, 1))
            leases = await self.admin.fetch("select epoch from millrace.lease where job_id = $1", job.id)
            assert [lease["epoch"] for lease in leases] == [job.epoch] * (job.state is State.RUNNING)
            rows = await self._rows(job.id)
            refused = await self.admin.fetch("select row from millrace.reject where job_id = $1", job.id)
            assert (len(rows), len(refused)) == (job.inserted, job.rejected)  # I1
            assert sorted(rows + [r["row"] for r in refused]) == list(range(1, job.read + 1))  # I5

    async def _rows(self, job_id: UUID) -> list[int]:
        table = await self.admin.fetchval(
            "select table_name from millrace.dataset join millrace.job on dataset_id = dataset.id where job.id = $1",
            job_id,
        )
        rows = await self.admin.fetch(f'select _row from datasets."{table}" where _job = $1', job_id)
        return [row["_row"] for row in rows]


@asynccontextmanager
async def world(database_url: str, redis_url: str, folder: Path) -> AsyncIterator[World]:
    """A service in this process, with two accounts that have an upload and a dataset each, and a worker's tools."""
    settings = Settings(database_url=database_url, redis_url=redis_url, data_dir=folder)
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(open_database(database_url, role=API_ROLE, connections=4, name="api"))
        own = await stack.enter_async_context(open_database(database_url, role=WORKER_ROLE, connections=4, name="work"))
        redis = await stack.enter_async_context(open_redis(redis_url))
        files = open_files(settings)
        stack.callback(files.close)
        bus = Bus(redis)
        deps = Deps(settings, api, files, bus, Dispatch(redis, bus), Submits(api), Transfers(api), discover())
        url = await stack.enter_async_context(
            _served(create_app(deps, Streams(api, bus, settings.stream_poll_s, settings.stream_ping_s)))
        )
        admin = await asyncpg.connect(database_url)
        stack.push_async_callback(admin.close)
        clients, uploads = {}, {}
        for name in ACCOUNTS:
            async with own.transaction() as db:
                account_id = await accounts.ensure(db, name, f"mr_{name}")
                await _shaped(db, account_id)
            clients[name] = await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer mr_{name}"})
            )
            uploads[name] = (await clients[name].post("/v1/uploads", content=b"id\n1\n")).json()["id"]
        tools = Tools(
            settings=settings,
            database=own,
            files=files,
            bus=bus,
            dispatch=deps.dispatch,
            sandboxes=Sandboxes(settings),
            settler=Settler(own, bus, lambda: None),
            processors=deps.catalog,
        )
        yield World(tools, Worker(tools), admin, clients, uploads)


@asynccontextmanager
async def _served(app: Starlette) -> AsyncIterator[str]:
    ready = asyncio.Event()
    with bind("127.0.0.1", 0) as bound:
        server = Server(app, ready.set)
        serving = asyncio.create_task(server.serve([bound]))
        await ready.wait()
        yield url_of(bound)
        server.should_exit = True
        await serving


async def _shaped(db: Connection, account_id: UUID) -> None:
    dataset = await datasets.lock(db, await datasets.ensure(db, account_id, DATASET))
    await datasets.create_table(db, dataset, COLUMNS)


def _word(answer: httpx.Response) -> str:
    if answer.status_code == 204:
        return "204"
    return f"{answer.status_code} {answer.json()['state' if answer.is_success else 'code']}"
