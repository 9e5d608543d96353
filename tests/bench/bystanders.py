"""What others notice of uploads: how late events are beside a hundred at once, how long answers take beside slow ones.

`many` and `slow` are parts of `python -m tests.bench uploads`. The clients that are in the way run in a process of
their own, with what is left of the processors: real ones have others.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import resource
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain

import httpx

AT_ONCE, SMALL = 100, 10 * 1024**2
CROWD, RATE = 500, 1500
ASKED = 400
TURNS = 3


def many(port: int, key: str) -> None:
    """A hundred uploads of 10 MiB at once, while an account watches the events of jobs that it keeps submitting."""
    idle = asyncio.run(events_during(port, key, 0))
    busy = asyncio.run(events_during(port, key, AT_ONCE))
    print(f"events of echo jobs, from their commit to a client: {shown(idle[0])} on a quiet service")
    print(
        f"  with {AT_ONCE} uploads of {SMALL / 2**20:.0f} MiB at once: {shown(busy[0])}; "
        f"all of them took {busy[1]:.1f} s, {AT_ONCE * SMALL / 2**20 / busy[1]:.0f} MiB/s\n"
    )


def slow(port: int, key: str) -> None:
    """Small uploads, one after the other, alone and beside many that trickle, in turns."""
    ratios, alone, beside = [], [], []
    for _ in range(TURNS):
        alone.append(asyncio.run(answers(port, key)))
        beside.append(asyncio.run(answers_beside(port, key, CROWD)))
        ratios.append(p99(beside[-1]) / p99(alone[-1]))
    print(f"answers to small uploads, one after the other: {shown([*chain(*alone)])}")
    print(
        f"  beside {CROWD} uploads of {RATE} bytes a second each: {shown([*chain(*beside)])}; "
        f"{statistics.median(ratios):.2f} times the p99, median of {TURNS} turns\n"
    )


async def answers(port: int, key: str) -> list[float]:
    """How long each of many small uploads takes, in ms."""
    took = []
    async with client_of(port, key) as client:
        for number in range(ASKED):
            started = time.perf_counter()
            answer = await client.post("/v1/uploads", content=b"number\n%d\n" % number)
            took.append((time.perf_counter() - started) * 1000)
            assert answer.status_code == 201, answer.text
    return took


async def answers_beside(port: int, key: str, crowd: int) -> list[float]:
    """The same, once as many uploads are on their way and as long as they are."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command("trickle", port, key, crowd), stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    took = await answers(port, key)
    process.stdin.close()
    assert await process.wait() == 0
    return took


def p99(values: Sequence[float]) -> float:
    """The value that one in a hundred is above."""
    return sorted(values)[len(values) * 99 // 100]


def client_of(port: int, key: str) -> httpx.AsyncClient:
    """A client of the service."""
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=60
    )


def command(part: str, port: int, key: str, count: int) -> list[str]:
    """The other process."""
    return [sys.executable, "-m", "tests.bench.bystanders", part, str(port), key, str(count)]


def shown(latencies_ms: list[float]) -> str:
    """p50, p99 and how many."""
    ordered = sorted(latencies_ms)
    return f"p50 {ordered[len(ordered) // 2]:.0f} ms, p99 {p99(ordered):.0f} ms of {len(ordered)}"


async def events_during(port: int, key: str, uploads: int) -> tuple[list[float], float]:
    """How late events came, in ms, while so many files are sent by another process; the seconds that this took."""
    latencies: list[float] = []
    async with client_of(port, key) as client:

        async def listen() -> None:
            async with client.stream("GET", "/v1/events") as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("data:") and (at := json.loads(line[5:]).get("at")):
                        late = datetime.now(UTC) - datetime.fromisoformat(at)
                        latencies.append(late.total_seconds() * 1000)

        async def submit() -> None:
            while True:
                await client.post("/v1/jobs", json={"processor": "echo", "input": {}})
                await asyncio.sleep(0.05)

        tasks = [asyncio.create_task(listen()), asyncio.create_task(submit())]
        started = time.perf_counter()
        if uploads:
            process = await asyncio.create_subprocess_exec(*command("flood", port, key, uploads))
            assert await process.wait() == 0
        else:
            await asyncio.sleep(10)
        wall_s = time.perf_counter() - started
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return latencies, wall_s


def flood(port: int, key: str, uploads: int) -> None:
    """Send so many small files at once, with what is left of the processors: clients have others."""
    os.nice(19)
    content = os.urandom(SMALL)

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        connection.request("POST", "/v1/uploads", content, {"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        assert answer.status == 201, answer.read()

    threads = [threading.Thread(target=send) for _ in range(uploads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def trickle(port: int, key: str, crowd: int) -> None:
    """Send as many files slowly, until stdin ends; says `ready` once the service waits for all of them."""
    os.nice(19)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_trickle(port, key, crowd))


async def until_receiving(client: httpx.AsyncClient, wanted: int) -> None:
    """Wait until so many uploads are on their way."""
    while True:
        answer = await client.get("/v1/uploads?state=receiving&limit=1000")
        if len(answer.json()["uploads"]) == wanted:
            return
        await asyncio.sleep(0.1)


async def _trickle(port: int, key: str, crowd: int) -> None:
    head = f"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 10000000\r\n\r\n"
    lines = []
    for _ in range(crowd):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode())
        lines.append(writer)
    async with client_of(port, key) as client:
        for line in lines:
            line.write(b"x" * RATE)
        await until_receiving(client, crowd)
        print("ready", flush=True)
        ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        while not ended.done():
            for line in lines:
                line.write(b"x" * (RATE // 10))
                await asyncio.sleep(0.1 / crowd)
        for line in lines:
            line.close()
        await until_receiving(client, 0)


if __name__ == "__main__":
    {"flood": flood, "trickle": trickle}[sys.argv[1]](int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
