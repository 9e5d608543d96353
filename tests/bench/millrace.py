"""Millrace as one of the queues that are compared: submits over HTTP, and one worker process beside the API's."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from tests.bench.peers.protocol import concurrent, paced, single
from tests.bench.talking import Child

KEY = "mr_bench"
BATCH = 500


class Http:
    """Kept-alive connections, one for each request on its way; lean, as it shares the cores with the service."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._host, self._port = where.hostname or "", where.port or 80
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: bytes, kind: str = "application/json") -> Any:
        """POST; the JSON answer. Raises RuntimeError."""
        reader, writer = connection = await self._connection()
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(int(line.split(":")[1]) for line in head.splitlines() if line.startswith("content-length:"))
        answer = await reader.readexactly(length)
        self._idle.append(connection)
        if not head.startswith("http/1.1 20"):
            raise RuntimeError(answer.decode())
        return json.loads(answer)

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():  # the server drops one that is idle for 5 s
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)

    def close(self) -> None:
        """Let go of them."""
        for _, writer in self._idle:
            writer.close()


class Millrace:
    """A fresh database and Redis each round, an API process, and from `drain` on one worker process."""

    name = "Millrace"
    warm_up = 200
    jobs = 20_000
    paced = 200
    slots = 200

    def __init__(self, database_url: str, redis_url: str, build: Path) -> None:
        self._server_url = database_url
        self._database_url = database_url.replace("/millrace?", "/bench_queues?", 1)
        self._folder = build / "queues"
        self._log = build / "millrace.log"
        self._settings = {
            "MILLRACE_DATABASE_URL": self._database_url,
            "MILLRACE_REDIS_URL": f"{redis_url}?db=0",
            "MILLRACE_DATA_DIR": str(self._folder.resolve()),
            "MILLRACE_PORT": "0",
            "MILLRACE_DEV_KEY": KEY,
            "MILLRACE_LOG_LEVEL": "warning",
            "MILLRACE_IO_SLOTS": str(self.slots),
        }
        self._api: Child | None = None
        self._worker: Child | None = None
        self._http: Http | None = None

    async def start(self) -> None:
        """Make the database afresh and start the API."""
        await self._remake_database()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._api = await self._child("service", "api")
        async with asyncio.timeout(60):
            while not (line := await self._api.line()).startswith("listening on"):
                pass
        self._http = Http(line.split()[-1])

    async def stop(self) -> None:
        """End both processes."""
        if self._http is not None:
            self._http.close()
        for child in (self._worker, self._api):
            if child is not None:
                await child.stop()
        self._worker = self._api = None

    async def submit_single(self, jobs: int) -> float | None:
        """POST one after another; the seconds."""
        started = time.perf_counter()
        await single(self._submit, jobs)
        return time.perf_counter() - started

    async def submit_concurrent(self, jobs: int) -> float | None:
        """POST 50 at a time; the seconds."""
        started = time.perf_counter()
        await concurrent(self._submit, jobs)
        return time.perf_counter() - started

    async def submit_batch(self, jobs: int) -> float | None:
        """POST 500 jobs a request; the seconds."""
        assert self._http is not None
        started = time.perf_counter()
        for first in range(0, jobs, BATCH):
            asked = [{"processor": "noop", "options": {"sent": 0}}] * min(BATCH, jobs - first)
            await self._http.post("/v1/jobs", json.dumps(asked).encode())
        return time.perf_counter() - started

    async def drain(self, warm_up: int, jobs: int) -> float:
        """Start the worker on what was submitted; the seconds from the start of job `warm_up` to `jobs` later."""
        self._worker = await self._child("workers", BENCH_WARM_UP=str(warm_up), BENCH_JOBS=str(jobs))
        return float((await self._worker.told())["seconds"])

    async def pickup(self, jobs: int) -> list[float]:
        """Submit now and then to the idle worker; how long each job waited for its start, in ms."""
        assert self._worker is not None
        await paced(self._submit, jobs)
        return [float((await self._worker.told())["waited_ms"]) for _ in range(jobs)]

    async def _submit(self, sent: float) -> None:
        assert self._http is not None
        await self._http.post("/v1/jobs", json.dumps({"processor": "noop", "options": {"sent": sent}}).encode())

    async def _child(self, *words: str, **settings: str) -> Child:
        command = [sys.executable, "-m", "tests.bench.noop", *words]
        return await Child.start(sys.executable, command, self._log, self._settings | settings)

    async def _remake_database(self) -> None:
        db = await asyncpg.connect(self._server_url)
        try:
            await db.execute("drop database if exists bench_queues with (force)")
            await db.execute("create database bench_queues")
        finally:
            await db.close()
