"""`python -m tests.bench streams`: one event to 1,000, 5,000 and 10,000 clients of a process; nginx's nchan beside.

Late is what passes between an event's `at`, which PostgreSQL sets before the commit, and its arrival at a client; for
nchan between the publisher's request and that. The clients, in two processes, take part of the same two cores.
CPU is that of the process, for each client and event. BENCH_CLIENTS names other numbers of clients.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

CLIENTS = [int(word) for word in os.environ.get("BENCH_CLIENTS", "1000,5000,10000").split(",")]
EVENTS = int(os.environ.get("BENCH_EVENTS", "20"))
PAUSE_S = 1.0
MODULES = ("/usr/lib/nginx/modules/ngx_nchan_module.so", "/usr/lib64/nginx/modules/ngx_nchan_module.so")

NCHAN = """
load_module {module};
user root; worker_processes 1; worker_rlimit_nofile {files}; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections {files}; }}
http {{
  access_log off; client_body_temp_path {folder}/body; keepalive_timeout 600;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /pub {{ nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 10; }}
    location = /sub {{
      nchan_subscriber eventsource; nchan_channel_id bench; nchan_subscriber_first_message newest;
      nchan_eventsource_ping_interval 10;
    }}
  }}
}}
"""


def streams(bench: Any) -> None:
    """Both, in turns, for each number of clients."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        nchan = stack.enter_context(_nchan(most))
        print(f"{'':10} {'clients':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'KB/client':>10} {'CPU µs':>8}")
        for number in CLIENTS:
            if number + 1000 > most:
                print(f"{number:,} clients need more than {most} open files (ulimit -n): left out")
                continue
            with _client(bench) as client:
                path = _waiting_job(client)
                _measure(
                    "Millrace",
                    psutil.Process(bench.pid),
                    bench.url,
                    path,
                    bench.key,
                    number,
                    _prioritized(client, path),
                )
            if nchan is not None:
                process, url = nchan
                _measure("nchan", process, url, "/sub", "", number, partial(_published, url))
    print()


def _measure(
    name: str, process: psutil.Process, url: str, path: str, key: str, number: int, tell: Callable[[int], None]
) -> None:
    before_bytes = process.memory_info().rss
    where = urlsplit(url)
    command = [sys.executable, "-m", "tests.bench.crowd", str(where.hostname), str(where.port), path, str(number // 2)]
    crowds = [
        subprocess.Popen([*command, key] if key else command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for crowd in crowds:
            assert crowd.stdout is not None
            if crowd.stdout.readline().strip() != "ready":
                raise RuntimeError(f"{name}: the clients could not connect")
        grown_bytes = process.memory_info().rss - before_bytes
        tell(-1)  # the first takes what only the first does
        time.sleep(2)
        before_s = sum(process.cpu_times()[:2])
        for event in range(EVENTS):
            tell(event)
            time.sleep(PAUSE_S)
        time.sleep(2)
        spent_s = sum(process.cpu_times()[:2]) - before_s
        late_ms = sorted(one for crowd in crowds for one in _told(crowd, number // 2, EVENTS + 1))
    finally:
        for crowd in crowds:
            crowd.kill()
            crowd.wait()
    print(
        f"{name:10} {number:8,} {late_ms[len(late_ms) // 2]:8.0f} {late_ms[len(late_ms) * 99 // 100]:8.0f} "
        f"{late_ms[-1]:8.0f} {grown_bytes / number / 1024:10.1f} {spent_s / EVENTS / number * 1e6:8.1f}",
        flush=True,
    )


def _told(crowd: subprocess.Popen[str], clients: int, events: int) -> list[float]:
    out, _ = crowd.communicate("stop\n", timeout=60)
    told = json.loads(out)
    if told["heard"] != [[events, clients]]:
        print(f"  not every client was told every event: events, clients: {told['heard']}")
    return list(told["late_ms"])


@contextmanager
def _client(bench: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=bench.url, headers={"Authorization": f"Bearer {bench.key}"}, timeout=60) as client:
        yield client


def _waiting_job(client: httpx.Client) -> str:
    """The events of a job that stays; there is one, and no more until we say so."""
    body = {"processor": "echo", "input": {}, "run_at": "2099-01-01T00:00:00Z"}
    answer = client.post("/v1/jobs", json=body)
    answer.raise_for_status()
    return f"{answer.json()['links']['events']}?after=1"


def _prioritized(client: httpx.Client, path: str) -> Callable[[int], None]:
    job = path.partition("/events")[0]

    def tell(event: int) -> None:
        client.patch(job, json={"priority": 6 + event % 2}).raise_for_status()

    return tell


def _published(url: str, event: int) -> None:
    at = datetime.now(UTC).isoformat()
    text = json.dumps({"seq": event, "type": "job.prioritized", "at": at, "priority": 6})
    httpx.post(f"{url}/pub", content=text).raise_for_status()


@contextmanager
def _nchan(files: int) -> Iterator[tuple[psutil.Process, str] | None]:
    """nginx with nchan: its worker, and where it is; None, with a word, if it is not installed."""
    nginx = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    module = next((path for path in MODULES if Path(path).exists()), None)
    if nginx is None or module is None:
        print(f"nchan: {'nginx' if nginx is None else 'its module'} is not installed (libnginx-mod-nchan)")
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="mr-nchan-") as folder:
        config = Path(folder) / "nginx.conf"
        config.write_text(NCHAN.format(module=module, files=files, folder=folder, port=port))
        with subprocess.Popen([nginx, "-c", str(config), "-e", f"{folder}/error.log"]) as process:
            try:
                while not (workers := psutil.Process(process.pid).children()):
                    if process.poll() is not None:
                        raise RuntimeError(Path(folder, "error.log").read_text())
                    time.sleep(0.05)
                yield workers[0], f"http://127.0.0.1:{port}"
            finally:
                process.terminate()
