"""Other job queues, each driven through its two scripts in tests/bench/peers; see protocol.py there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from redis.asyncio import Redis

from tests.bench.talking import Child

SCRIPTS = Path(__file__).parent / "peers"
FOLDER = Path("build/bench-peers")
BULLMQ = ("bullmq@6.7.0", "ioredis@5.11.1")


class Missing(Exception):
    """Why a peer is not measured here."""


class Peer:
    """One peer: a client process and, from `drain` on, one worker process."""

    warm_up = 200
    paced = 200

    def __init__(self, name: str, script: str, jobs: int, redis_url: str, build: Path) -> None:
        self.name = name
        self.jobs = jobs
        self._command = command_of(script)
        self._redis_url = redis_url
        self._log = build / f"peer-{name}.log"
        self._client: Child | None = None
        self._worker: Child | None = None

    async def start(self) -> None:
        """Empty its Redis database and start its client."""
        async with Redis.from_url(self._redis_url) as redis:
            await redis.flushdb()
        self._client = await self._child("client", {})

    async def stop(self) -> None:
        """End both processes."""
        for child in (self._worker, self._client):
            if child is not None:
                await child.stop()
        self._worker = self._client = None

    async def submit_single(self, jobs: int) -> float | None:
        """Submit one after another; the seconds."""
        return await self._ask("single", jobs)

    async def submit_concurrent(self, jobs: int) -> float | None:
        """Submit 50 at a time; the seconds."""
        return await self._ask("concurrent", jobs)

    async def submit_batch(self, jobs: int) -> float | None:
        """Submit many in one call; the seconds, None if it cannot."""
        return await self._ask("batch", jobs)

    async def drain(self, warm_up: int, jobs: int) -> float:
        """Start the worker on what was submitted; the seconds from the start of job `warm_up` to `jobs` later."""
        self._worker = await self._child("worker", {"BENCH_WARM_UP": str(warm_up), "BENCH_JOBS": str(jobs)})
        return float((await self._worker.told())["seconds"])

    async def pickup(self, jobs: int) -> list[float]:
        """Submit now and then to the idle worker; how long each job waited for its start, in ms."""
        assert self._worker is not None
        await self._ask("paced", jobs)
        return [float((await self._worker.told())["waited_ms"]) for _ in range(jobs)]

    async def _ask(self, way: str, jobs: int) -> float | None:
        assert self._client is not None
        seconds: float | None = (await self._client.ask(f"{way} {jobs}"))["seconds"]
        return seconds

    async def _child(self, role: str, settings: Mapping[str, str]) -> Child:
        known = {"BENCH_REDIS": self._redis_url, "BENCH_MODULES": str(FOLDER.resolve())}
        return await Child.start(sys.executable, [*self._command, role], self._log, known | settings, SCRIPTS)


def command_of(script: str) -> list[str]:
    """How to run a script. Installs what it needs. Raises Missing."""
    path = str(SCRIPTS / script)
    if script.endswith(".mjs"):
        return [installed_node(), path]
    return [sys.executable if script == "arq_.py" else installed_python(), path]


def installed_python() -> str:
    """The interpreter of the peers' own environment, made if it is not there or its list has changed."""
    python, wanted = FOLDER / "venv/bin/python", Path(__file__).with_name("peers.txt")
    kept = FOLDER / "installed.txt"
    if not kept.exists() or kept.read_text() != wanted.read_text():
        run([sys.executable, "-m", "venv", str(FOLDER / "venv")])
        run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)])
        shutil.copy(wanted, kept)
    return str(python.absolute())


def installed_node() -> str:
    """node, with BullMQ beside it. Raises Missing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Missing("node not found" if node is None else "npm not found")
    kept = FOLDER / "installed-node.txt"
    if not kept.exists() or kept.read_text() != "\n".join(BULLMQ):
        FOLDER.mkdir(parents=True, exist_ok=True)
        run([npm, "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(FOLDER), *BULLMQ])
        kept.write_text("\n".join(BULLMQ))
    return node


def run(command: list[str]) -> None:
    """Run an installer. Raises Missing with what it said last."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Missing(f"not installed: {said[-1] if said else done.returncode}")
