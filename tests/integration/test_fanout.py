"""Many clients of one stream: told at once and alike, over one subscription; one that does not read holds up nobody."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle, islice
from uuid import UUID, uuid4

import httpx
import psutil
from annotated_types import Le
from redis.asyncio import Redis

from service.api.sse import PATIENCE
from service.bus import CHANGES, Bus
from service.config import Settings
from service.dispatch import open_redis
from tests import sse
from tests.conftest import StartService
from tests.running import Json, Servers, Service, eventually

HEAVY = {"text": "x" * 9_000}
LATER = "2099-01-01T00:00:00Z"
CROWD = 200
ROUND = 100


async def flood(client: httpx.AsyncClient, jobs: int) -> list[str]:
    """Submit jobs whose events are long; their ids."""
    ids: list[str] = []
    while len(ids) < jobs:
        bodies = [{"processor": "echo", "metadata": HEAVY, "run_at": LATER} for _ in range(min(100, jobs - len(ids)))]
        answer = await client.post("/v1/jobs", json=bodies)
        assert answer.status_code == 202, answer.text
        ids += [job["id"] for job in answer.json()["jobs"]]
    return ids


@asynccontextmanager
async def narrow(service: Service, key: str, path: str) -> AsyncIterator[socket.socket]:
    """A client that has room for little, and reads only when the test does."""
    host, port = service.url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(client, (host, int(port)))
        await loop.sock_sendall(
            client, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        )
        assert (await loop.sock_recv(client, 12)).endswith(b"200")
        yield client
    finally:
        client.close()


async def read_until(client: socket.socket, mark: bytes) -> bytes:
    """All that comes up to the mark."""
    seen = bytearray()
    while mark not in seen:
        data = await asyncio.get_running_loop().sock_recv(client, 65536)
        assert data, "the stream ended"
        seen += data
    return bytes(seen)


async def clients_of(service: Service) -> float:
    """How many streams are open."""
    text = (await service.client.get("/metrics")).text
    return float(next(line.split()[-1] for line in text.splitlines() if line.startswith("millrace_stream_clients ")))


async def test_clients_of_one_job_are_told_the_same_and_each_in_its_form(service: Service) -> None:
    job: Json = (await service.client.post("/v1/jobs", json={"processor": "echo", "run_at": LATER})).json()
    events = f"/v1/jobs/{job['id']}/events"
    async with AsyncExitStack() as stack:
        followers = [(await stack.enter_async_context(sse.connected(service, events)))[1] for _ in range(40)]
        followers += [(await stack.enter_async_context(sse.connected(service, events, 2)))[1] for _ in range(0)]
        all_of = (await stack.enter_async_context(sse.connected(service, "/v1/events")))[1]
        some = (await stack.enter_async_context(sse.connected(service, "/v1/events?type=job.cancelled")))[1]
        await eventually(lambda: _are_open(service, 42))
        for priority in (6, 7, 8):
            assert (await service.client.patch(f"/v1/jobs/{job['id']}", json={"priority": priority})).is_success
        assert (await service.client.post(f"/v1/jobs/{job['id']}/cancel")).is_success
        told = await asyncio.gather(*(_texts(reader) for reader in followers))
        assert len({text for text, _ in told}) == 1
        assert [number for number, _ in json.loads(told[0][0])] == [1, 2, 3, 4, 5]
        types = [m.event async for m in _until(all_of, "job.cancelled")]
        assert types == ["snapshot", "job.prioritized", "job.prioritized", "job.prioritized", "job.cancelled"]
        assert [m.event async for m in _until(some, "job.cancelled")] == ["snapshot", "job.cancelled"]
    await eventually(lambda: _are_open(service, 0))


async def _are_open(service: Service, number: int) -> bool:
    return await clients_of(service) == number


async def _texts(reader: asyncio.StreamReader) -> tuple[str, int]:
    """A job's stream to its end, as comparable text."""
    found = [(m.number, m.text) async for m in sse.messages(reader) if m.event != "snapshot"]
    return json.dumps(found), len(found)


async def _until(reader: asyncio.StreamReader, event: str) -> AsyncIterator[sse.Message]:
    async for message in sse.messages(reader):
        yield message
        if message.event == event:
            return


async def test_there_is_one_subscription_however_many_clients(service: Service) -> None:
    jobs = [
        (await service.client.post("/v1/jobs", json={"processor": "echo", "run_at": LATER})).json() for _ in range(5)
    ]
    async with AsyncExitStack() as stack, Redis.from_url(service.settings["MILLRACE_REDIS_URL"]) as redis:
        before = await redis.pubsub_numsub(CHANGES)
        for job in jobs * 6:
            await stack.enter_async_context(sse.connected(service, f"/v1/jobs/{job['id']}/events"))
        await eventually(lambda: _are_open(service, 30))
        assert await redis.pubsub_numsub(CHANGES) == before
    await eventually(lambda: _are_open(service, 0))


async def test_what_a_process_tells_it_hears_itself_at_once_and_only_once(servers: Servers) -> None:
    first, second = (uuid4(), uuid4()), (uuid4(), uuid4())
    told = [" ".join(map(str, changed)) for changed in (first, second)]
    heard: list[list[str]] = [[], []]
    async with servers.redis() as url, open_redis(url) as redis:
        buses = [Bus(redis), Bus(redis)]
        before = (await redis.pubsub_numsub(CHANGES))[0][1]
        listening = [
            asyncio.create_task(bus.listen(CHANGES, into.append)) for bus, into in zip(buses, heard, strict=True)
        ]

        async def subscribed() -> bool:
            return bool((await redis.pubsub_numsub(CHANGES))[0][1] == before + 2)

        await eventually(subscribed)
        for bus, changed, message in zip(buses, (first, second), told, strict=True):
            bus.notify(changed)
            await bus.close()
            await eventually(lambda said=message: all(said in each for each in heard))
        for task in listening:
            task.cancel()
    assert [[message for message in each if message in told] for each in heard] == [told, told]


async def test_what_a_process_tells_it_hears_without_redis() -> None:
    heard: list[str] = []
    async with open_redis("redis://127.0.0.1:1") as redis:
        bus = Bus(redis)
        listening = asyncio.create_task(bus.listen(CHANGES, heard.append))
        await asyncio.sleep(0)
        bus.notify((UUID(int=1), UUID(int=2)))
        await bus.close()
        listening.cancel()
    assert heard == [f"{UUID(int=1)} {UUID(int=2)}"]


async def test_a_client_that_reads_late_gets_every_event_once(service: Service) -> None:
    async with await service.account("late") as client:
        key = client.headers["Authorization"].split()[1]
        async with narrow(service, key, "/v1/events") as reader:
            await read_until(reader, b"snapshot")
            ids = await flood(client, 200)  # 1.8 MB: far more than its socket and ours hold
            async with sse.connected(service, "/v1/events", "0-0", key) as (_, brisk):
                seen = [m.data["job_id"] async for m in _first(brisk, len(ids))]
            assert sorted(seen) == sorted(ids)
            last = (await client.post("/v1/jobs", json={"processor": "echo", "run_at": LATER})).json()["id"]
            text = (await read_until(reader, last.encode())).decode(errors="replace")
            told = [part.split('"', 1)[0] for part in _unchunked(text).split('"job_id": "')[1:]]
            assert told == [*seen, last]


async def _first(reader: asyncio.StreamReader, number: int) -> AsyncIterator[sse.Message]:
    async for message in sse.messages(reader):
        if message.event != "job.created":
            continue
        yield message
        number -= 1
        if number == 0:
            return


def _unchunked(text: str) -> str:
    """Without the sizes of chunks, which may stand in the middle of nothing but between messages."""
    return text.replace("\r\n", "")


async def test_a_client_that_does_not_read_is_cut_off_and_others_are_not(start_service: StartService) -> None:
    service = await start_service("api", stream_ping_s=2)
    async with (
        narrow(service, service.key, "/v1/events") as reader,
        sse.connected(service, "/v1/events") as (_, brisk),
    ):
        await read_until(reader, b"snapshot")
        ids, seen = await asyncio.gather(flood(service.client, 100), _count(brisk, 100))
        assert len(ids) == seen
        await service.process.has_logged("stream.stalled")
        await eventually(lambda: _are_open(service, 1))
        assert b": ping" in await asyncio.wait_for(brisk.readuntil(b": ping"), 60)


def test_a_client_that_stands_still_is_found_and_cut_off_within_30_s() -> None:
    """At worst it stands still right behind a ping, which the next one finds."""
    pings = Settings.model_fields["stream_ping_s"]
    most_s = max(limit.le for limit in pings.metadata if isinstance(limit, Le))
    assert pings.default * (1 + PATIENCE) == 25
    assert most_s * (1 + PATIENCE) <= 30


async def _count(reader: asyncio.StreamReader, number: int) -> int:
    return len([message async for message in _first(reader, number)])


async def test_many_events_leave_the_memory_of_many_clients_as_it_was(start_service: StartService) -> None:
    service = await start_service("api")
    job: Json = (await service.client.post("/v1/jobs", json={"processor": "echo", "run_at": LATER})).json()
    process = psutil.Process(service.process.pid)

    async def told(times: int) -> int:
        """Memory once everybody was told so often."""
        for priority in islice(cycle((6, 7)), times):
            assert (await service.client.patch(f"/v1/jobs/{job['id']}", json={"priority": priority})).is_success
        await asyncio.gather(*(_read_events(reader, times) for reader in readers))
        return int(process.memory_info().rss)

    async with AsyncExitStack() as stack:
        readers = [
            (await stack.enter_async_context(sse.connected(service, f"/v1/jobs/{job['id']}/events")))[1]
            for _ in range(CROWD)
        ]
        await eventually(lambda: _are_open(service, CROWD))
        early = await told(ROUND)
        late = await told(ROUND)
    print(f"{CROWD} clients: {early / 1e6:.1f} MB after {ROUND} events, {late / 1e6:.1f} MB after as many more")
    assert late - early < CROWD * ROUND * 100  # an event has more than 200 bytes


async def _read_events(reader: asyncio.StreamReader, number: int) -> None:
    seen = bytearray()
    while seen.count(b"event: job.prioritized") < number:
        data = await reader.read(65536)
        assert data, "the stream ended"
        seen += data
