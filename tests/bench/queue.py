"""What the queue costs: claims behind 100,000 waiting jobs, controls under load, a worker with nothing to do."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from service.embedded import postgres
from service.store import claims
from service.store.database import WORKER_ROLE, Database, open_database

WAITING, ACCOUNTS, CLAIMS = 100_000, 20, 500
CONTROLS = 100
IDLE_S = 20
UNREAD = "bench"
"""A queue that no worker reads."""

FILL = f"""
    insert into millrace.account (id, name)
    select gen_random_uuid(), 'bench-' || n from generate_series(1, {ACCOUNTS}) n;
    insert into millrace.job (id, account_id, processor, queue, state, unit, phase, event_seq)
    select gen_random_uuid(), account.id, 'csv', '{UNREAD}', 'queued', 'bytes', 'waiting', 1
    from millrace.account, generate_series(1, {WAITING // ACCOUNTS})
    where account.name like 'bench-%';
    analyze millrace.job, millrace.account
"""


def claim(bench: Any) -> None:
    """500 claims, one after the other, from 100,000 queued jobs of 20 accounts."""
    bench.sql(FILL)
    spent_s = sorted(asyncio.run(_claims(postgres.url(bench.data / "postgres" / ".s.PGSQL.5432"))))
    bench.sql(f"delete from millrace.job where queue = '{UNREAD}'")
    print(f"claim, {WAITING:,} queued jobs of {ACCOUNTS} accounts, {CLAIMS} claims: {_spread(spent_s)}\n")


async def _claims(url: str) -> list[float]:
    async with open_database(url, role=WORKER_ROLE, connections=1, name="millrace bench") as database:
        return [await _claim(database) for _ in range(CLAIMS)]


async def _claim(database: Database) -> float:
    started = time.perf_counter()
    async with database.connection() as db:
        assert await claims.claim(db, UNREAD, "bench:1", lease_s=60, most=2)
    return time.perf_counter() - started


def control(bench: Any, path: Path) -> None:
    """From the request to the event `job.paused` or `job.cancelled`, with large imports in all slots."""
    with httpx.Client(base_url=bench.url, headers={"Authorization": f"Bearer {bench.key}"}, timeout=60) as client:
        with path.open("rb") as body:
            upload = client.post("/v1/uploads", content=body).json()["id"]
        spent_s = sorted(_controls(client, upload))
        client.post("/v1/jobs/batch", json={"action": "cancel"})
    print(f"control under load, {len(spent_s)} times pause or cancel to its effect: {_spread(spent_s)}\n")


def _controls(client: httpx.Client, upload: str) -> list[float]:
    spent_s: list[float] = []
    while len(spent_s) < CONTROLS:
        live = client.get("/v1/jobs", params={"limit": 20}).json()["jobs"]
        waiting = [job for job in live if job["state"] in ("queued", "running")]
        for number in range(len(waiting), 4):  # more than there are slots
            body = {"processor": "csv", "upload_id": upload, "dataset": f"load_{number}"}
            client.post("/v1/jobs", json=body).raise_for_status()
        running = [job for job in waiting if job["state"] == "running" and job["counts"]["read"]]
        if running:
            action = "cancel" if len(spent_s) % 5 == 0 else "pause"
            took_s = _effect(client, running[-1], action)
            spent_s += [took_s] if took_s is not None else []
            if action == "pause":
                client.post(f"{running[-1]['links']['self']}/resume")
        else:
            time.sleep(0.02)
    return spent_s


def _effect(client: httpx.Client, job: dict[str, Any], action: str) -> float | None:
    """Seconds from the request to its event; None if the job ended first."""
    path, asked_at = job["links"]["self"], time.time()
    if client.post(f"{path}/{action}").is_error:
        return None
    wanted = {"pause": "paused", "cancel": "cancelled"}[action]
    after = job["last_event_id"]
    with client.stream("GET", f"{path}/events", params={"after": after}) as events:
        for line in events.iter_lines():
            if line == f"event: job.{wanted}":
                return time.time() - asked_at
            if line in ("event: job.completed", "event: job.failed"):
                return None
    return None


def idle(bench: Any) -> None:
    """Processor time of `python -m service` and of `python -m workers` beside it, with nothing to do."""
    settings = {
        "MILLRACE_DATABASE_URL": postgres.url(bench.data / "postgres" / ".s.PGSQL.5432"),
        "MILLRACE_REDIS_URL": f"unix://{bench.data / 'redis' / 'redis.sock'}",
        "MILLRACE_DATA_DIR": str(bench.data),
        "MILLRACE_LOG_LEVEL": "warning",
    }
    with subprocess.Popen([sys.executable, "-m", "workers"], env=os.environ | settings) as worker:
        time.sleep(5)  # until both have started and settled
        kinds = {"service (all)": bench.pid, "worker": worker.pid}
        before = {kind: _cpu_s(pid) for kind, pid in kinds.items()}
        backends = _backends_cpu_s(bench.pid)
        time.sleep(IDLE_S)
        for kind, pid in kinds.items():
            print(f"idle {kind:14} {100 * (_cpu_s(pid) - before[kind]) / IDLE_S:5.2f} % of a core")
        print(
            f"idle PostgreSQL     {100 * (_backends_cpu_s(bench.pid) - backends) / IDLE_S:5.2f} % of a core for both\n"
        )
        worker.terminate()


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def _backends_cpu_s(service_pid: int) -> float:
    spent_s = 0.0
    for process in psutil.Process(service_pid).children(recursive=True):
        with suppress(psutil.Error):
            if "postgres" in process.name():
                spent_s += _cpu_s(process.pid)
    return spent_s


def _spread(ordered_s: list[float]) -> str:
    at = {name: ordered_s[int(len(ordered_s) * share)] * 1000 for name, share in (("p50", 0.5), ("p99", 0.99))}
    return f"p50 {at['p50']:.1f} ms, p99 {at['p99']:.1f} ms, longest {ordered_s[-1] * 1000:.1f} ms"
