"""`python -m tests.bench uploads`: a file of 1 GiB into the service and others, in turns; a hundred at once; slow ones.

Millrace hashes, seals and syncs what it takes. nginx writes a body to disk, @tus/server and plain Starlette likewise;
none of them hashes, seals or syncs: for them the time until the file is durable is measured beside. A row that cannot
be measured says why.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tests.bench import bystanders
from tests.bench.peer import FOLDER, SCRIPTS, Missing, run

SIZE = int(os.environ.get("BENCH_UPLOAD_BYTES", str(1024**3)))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
KEY = "mr_bench"
TUS = ("@tus/server@2.4.5", "@tus/file-store@2.1.1")

NGINX = """
user root; worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ }}
http {{
  access_log off; client_max_body_size 0; client_body_temp_path {folder}/body;
  server {{ listen 127.0.0.1:{port}; location / {{ root {folder}/files; dav_methods PUT; }} }}
}}
"""


@dataclass
class System:
    """Something that takes files: its process, its address, and how one is sent."""

    name: str
    pid: int
    port: int
    send: Callable[[System, Path], None]
    folder: Path


@dataclass
class Run:
    """One upload: seconds to the answer and until it is on the disk, processor seconds, peak of memory in MiB."""

    wall_s: float
    durable_s: float
    cpu_s: float
    rss_mib: float


def main(build: Path, parts: list[str]) -> None:
    """Measure what `parts` name: `large`, `many`, `slow`; all by default."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mr-bench-", dir=build.resolve())))
        if not parts or "large" in parts:
            large(stack, build, folder)
        for name, part in (("many", bystanders.many), ("slow", bystanders.slow)):
            if not parts or name in parts:
                running = stack.enter_context(millrace(folder / name))
                part(running.port, KEY)


def large(stack: ExitStack, build: Path, folder: Path) -> None:
    """One large file, round by round."""
    file = build / f"noise-{SIZE}"
    if not file.exists() or file.stat().st_size != SIZE:
        with file.open("wb") as out:
            for _ in range(SIZE // 2**20):
                out.write(os.urandom(2**20))
    systems: list[System] = []
    for name, start in (("millrace", millrace), ("nginx", nginx), ("@tus/server", tus), ("Starlette", starlette)):
        try:
            systems.append(stack.enter_context(start(folder / name.strip("@").replace("/", "-"))))
        except Missing as error:
            print(f"  {name:12} {error}")
    runs: dict[str, list[Run]] = {system.name: [] for system in systems}
    for number in range(ROUNDS + 1):
        for system in systems:
            found = sent(system, file)
            if number:  # the first one warms up
                runs[system.name].append(found)
    print(f"{SIZE / 2**20:,.0f} MiB over loopback, medians of {ROUNDS} rounds in turns, {os.cpu_count()} cores")
    print(f"  {'':12} {'answered':>10} {'on disk':>10} {'x Millrace':>16} {'CPU':>10} {'peak RSS':>12}")
    ours = runs["millrace"]
    for name, found in runs.items():
        pairs = list(zip(found, ours, strict=True))
        print(
            f"  {name:12} {statistics.median(run.wall_s for run in found):8.2f} s "
            f"{statistics.median(run.durable_s for run in found):8.2f} s "
            f"{statistics.median(run.wall_s / own.wall_s for run, own in pairs):7.2f} and "
            f"{statistics.median(run.durable_s / own.durable_s for run, own in pairs):4.2f} "
            f"{statistics.median(run.cpu_s for run in found):8.2f} s {max(run.rss_mib for run in found):8.0f} MiB"
        )
    print()


def sent(system: System, file: Path) -> Run:
    """Send the file once, on a quiet disk; what it wrote is deleted."""
    os.sync()
    with watched(system.pid) as peak:
        before, started = cpu_of(system.pid), time.perf_counter()
        system.send(system, file)
        wall_s = time.perf_counter() - started
        cpu_s = cpu_of(system.pid) - before
    newest = max((path for path in system.folder.iterdir() if path.is_file()), key=lambda path: path.stat().st_size)
    with newest.open("r+b") as written:
        os.fsync(written.fileno())
    durable_s = time.perf_counter() - started
    if system.name != "millrace":  # it would miss the file
        newest.unlink()
    return Run(wall_s, durable_s, cpu_s, peak[0])


@contextmanager
def millrace(folder: Path) -> Iterator[System]:
    """`python -m service`."""
    folder.mkdir()
    settings = {
        "MILLRACE_LOG_LEVEL": "warning",
        "MILLRACE_DATA_DIR": str(folder),
        "MILLRACE_PORT": "0",
        "MILLRACE_DEV_KEY": KEY,
    }
    command = [sys.executable, "-m", "service"]
    with subprocess.Popen(command, env=os.environ | settings, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = next(line.split()[-1] for line in process.stdout if line.startswith("listening on"))
        try:
            yield System("millrace", process.pid, urlsplit(url).port or 0, send_raw, folder / "files")
        finally:
            process.terminate()


@contextmanager
def nginx(folder: Path) -> Iterator[System]:
    """nginx, which takes a body into a file and renames it. Raises Missing."""
    if not (found := shutil.which("nginx") or shutil.which("/usr/sbin/nginx")):
        raise Missing("nginx not found")
    (folder / "files").mkdir(parents=True)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port))
    with started([found, "-c", str(config), "-e", str(folder / "error.log")], port) as pid:
        yield System("nginx", pid, port, send_put, folder / "files")


@contextmanager
def tus(folder: Path) -> Iterator[System]:
    """@tus/server on node. Raises Missing."""
    node, npm, modules = shutil.which("node"), shutil.which("npm"), FOLDER / "tus"
    if node is None or npm is None:
        raise Missing("node not found" if node is None else "npm not found")
    if not (modules / "node_modules/@tus/server").exists():
        modules.mkdir(parents=True, exist_ok=True)
        run([npm, "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(modules), *TUS])
    folder.mkdir()
    port = free_port()
    command = [node, str(SCRIPTS / "tus.mjs"), str(folder), str(port)]
    with started(command, port, {"BENCH_MODULES": str(modules.resolve())}) as pid:
        yield System("@tus/server", pid, port, send_tus, folder)


@contextmanager
def starlette(folder: Path) -> Iterator[System]:
    """Starlette that writes the body to a file."""
    folder.mkdir()
    port = free_port()
    with started([sys.executable, str(SCRIPTS / "plain.py"), str(folder), str(port)], port) as pid:
        yield System("Starlette", pid, port, send_raw, folder)


@contextmanager
def started(command: list[str], port: int, settings: dict[str, str] | None = None) -> Iterator[int]:
    """A process, once it listens. Raises Missing if it does not."""
    with subprocess.Popen(command, env=os.environ | (settings or {}), stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(100):
                with suppress(OSError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                if process.poll() is not None:
                    raise Missing(f"{command[0]} ended with {process.returncode}")
                time.sleep(0.1)
            yield process.pid
        finally:
            process.terminate()


def send_raw(system: System, file: Path) -> None:
    """POST the file."""
    path = "/v1/uploads" if system.name == "millrace" else "/"
    assert answer(system, "POST", path, file).status == 201


def send_put(system: System, file: Path) -> None:
    """PUT the file."""
    assert answer(system, "PUT", f"/{time.monotonic_ns()}", file).status == 201


def send_tus(system: System, file: Path) -> None:
    """Create it, then PATCH all of it."""
    given = {"Tus-Resumable": "1.0.0", "Upload-Length": str(file.stat().st_size)}
    created = answer(system, "POST", "/files", None, given)
    where = urlsplit(created.headers["Location"]).path
    more = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream", "Tus-Resumable": "1.0.0"}
    assert answer(system, "PATCH", where, file, more).status == 204


def answer(
    system: System, method: str, path: str, file: Path | None, headers: dict[str, str] | None = None
) -> http.client.HTTPResponse:
    """One request, its body sent by the kernel: the client should not compete for the cores."""
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=600)
    connection.putrequest(method, path)
    given = {"Authorization": f"Bearer {KEY}", "Content-Length": str(file.stat().st_size) if file else "0"}
    for name, value in (given | (headers or {})).items():
        connection.putheader(name, value)
    connection.endheaders()
    if file is not None:
        with file.open("rb") as body:
            connection.sock.sendfile(body)
    response = connection.getresponse()
    response.read()
    return response


@contextmanager
def watched(pid: int) -> Iterator[list[float]]:
    """The largest resident memory of a process while the block runs, in MiB; of its children only nginx's worker."""
    peak, done = [0.0], threading.Event()

    def look() -> None:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            those = [process, *(child for child in process.children() if child.name() == process.name() == "nginx")]
            peak[0] = max(peak[0], sum(each.memory_info().rss for each in those) / 2**20)

    def watch() -> None:
        while not done.wait(0.1):
            look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        look()


def cpu_of(pid: int) -> float:
    """Processor seconds of a process and its children so far."""
    total = 0.0
    process = psutil.Process(pid)
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
