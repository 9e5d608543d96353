"""`make bench`: the whole service beside `psql \\copy`, alternating in one run on one server. Asserts nothing.

python -m tests.bench [imports] [kinds] [loaders] [memory] [pickup] [claim] [control] [idle] [streams]
python -m tests.bench dirty                beside other readers, which this installs into build/bench-readers
python -m tests.bench queues [PEER…]       beside other job queues, which this installs into build/bench-peers
python -m tests.bench formats [documents] [sheets] [decks]   readers by themselves, beside others
python -m tests.bench uploads [large] [many] [slow]    beside nginx, @tus/server and plain Starlette
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.bench import dirty, formats, generate, queue, queues, readers, streams, uploads
from tests.bench import imports as files
from tests.bench.measuring import Usage, watched

ROWS = int(os.environ.get("BENCH_ROWS", "2000000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
KEY = "mr_bench"
BUILD = Path("build/bench")


@dataclass
class Bench:
    """A running service with its own embedded servers."""

    url: str
    pid: int
    data: Path
    key: str = KEY

    def call(self, method: str, path: str, file: Path | None = None) -> Any:
        """One HTTP request, the file as its body; the JSON answer."""
        where = urlsplit(self.url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=600)
        connection.putrequest(method, path)
        connection.putheader("Authorization", f"Bearer {KEY}")
        connection.putheader("Content-Length", str(file.stat().st_size) if file else "0")
        connection.endheaders()
        if file is not None:
            with file.open("rb") as body:
                connection.sock.sendfile(body)  # the client should not compete for the two cores
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise RuntimeError(text.decode())
        return json.loads(text)

    def sql(self, *statements: str) -> str:
        """Run statements with psql, as superuser; what it prints."""
        from service.embedded import postgres

        command = [str(postgres.binaries() / "psql"), "-h", str(self.data / "postgres"), "-U", "millrace", "-qAt"]
        for statement in statements:
            command += ["-c", statement]
        return subprocess.run([*command, "millrace"], check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def running() -> Iterator[Bench]:
    """`python -m service` in a fresh folder."""
    with tempfile.TemporaryDirectory(prefix="mr-bench-", dir=BUILD.resolve()) as folder:
        settings = {
            "MILLRACE_LOG_LEVEL": "warning",
            "MILLRACE_DATA_DIR": folder,
            "MILLRACE_PORT": "0",
            "MILLRACE_DEV_KEY": KEY,
            "MILLRACE_ACCOUNT_REQUESTS": "0",
        }
        command = [sys.executable, "-m", "service"]
        with subprocess.Popen(command, env=os.environ | settings, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = next(line.split()[-1] for line in process.stdout if line.startswith("listening on"))
            try:
                yield Bench(url, process.pid, Path(folder))
            finally:
                process.terminate()


@dataclass
class Import:
    """One import from POST to `completed`."""

    wall_s: float
    post_s: float
    first_row_s: float
    usage: dict[str, Usage]


def import_file(bench: Bench, path: Path, dataset: str) -> Import:
    """Import a file and wait for its end."""
    with watched(bench.pid) as usage:
        started = time.perf_counter()
        job = bench.call("POST", f"/v1/imports?processor=csv&dataset={dataset}&again=true", path)
        posted = time.perf_counter()
        first_row = None
        while job["state"] not in ("completed", "failed"):
            time.sleep(0.2 if first_row and job["progress"]["percent"] < 90 else 0.02)
            job = bench.call("GET", job["links"]["self"])
            if first_row is None and bench.call("GET", f"/v1/datasets/{dataset}/rows?limit=1")["rows"]:
                first_row = time.perf_counter()
        ended = time.perf_counter()
    assert job["state"] == "completed", job
    return Import(ended - started, posted - started, (first_row or ended) - started, usage)


def copy_file(bench: Bench, path: Path, dataset: str) -> tuple[float, Usage]:
    r"""`psql \copy` of the same file into a table with the same columns, without lineage."""
    columns = ", ".join(f'"{c["name"]}"' for c in bench.call("GET", f"/v1/datasets/{dataset}")["columns"])
    source = bench.sql(f"select table_name from millrace.dataset where name = '{dataset}'")
    bench.sql("drop table if exists peer", f'create table peer as select {columns} from datasets."{source}" limit 0')
    with watched(bench.pid) as usage:
        started = time.perf_counter()
        bench.sql(rf"\copy peer from '{path.resolve()}' csv header")
        wall_s = time.perf_counter() - started
    return wall_s, usage["postgres"]


def imports(bench: Bench) -> None:
    """A mixed CSV through the whole service beside the server's own loader, alternating."""
    path = made("mixed", ROWS)
    ours, theirs = [], []
    for number in range(ROUNDS):
        ours.append(import_file(bench, path, f"round_{number}"))
        theirs.append(copy_file(bench, path, f"round_{number}"))
    wall_s, copy_s = median(x.wall_s for x in ours), median(x for x, _ in theirs)
    server_s, copy_server_s = (
        median(x.usage["postgres"].total_cpu_s for x in ours),
        median(u.total_cpu_s for _, u in theirs),
    )
    print(f"{ROWS:,} rows of 10 columns, {path.stat().st_size / 1e6:.0f} MB, medians of {ROUNDS} alternating rounds")
    print(f"  service, POST to completed   {wall_s:6.2f} s  {ROWS / wall_s:9,.0f} rows/s")
    print(f"    of that the upload         {median(x.post_s for x in ours):6.2f} s  (SHA-256, fsync)")
    print(f"    POST to first row visible  {median(x.first_row_s for x in ours):6.2f} s")
    print(f"  psql \\copy                   {copy_s:6.2f} s  {ROWS / copy_s:9,.0f} rows/s")
    print(
        f"  speed against \\copy          {median(c / o.wall_s for o, (c, _) in zip(ours, theirs, strict=True)):6.2f} x"
    )
    print(f"  server CPU                   {server_s:6.2f} s against {copy_server_s:.2f} s")
    print(
        f"  other CPU                    {median(x.usage['service'].total_cpu_s for x in ours):6.2f} s service, "
        f"{median(x.usage['child'].total_cpu_s for x in ours):.2f} s child"
    )
    print(f"  peak RSS                     {peaks(ours)}\n")


def kinds(bench: Bench) -> None:
    """Files of several kinds beside the server's own loader; BENCH_KINDS names some."""

    def imported(path: Path, dataset: str) -> tuple[float, dict[str, Usage]]:
        done = import_file(bench, path, dataset)
        return done.wall_s, done.usage

    chosen = os.environ.get("BENCH_KINDS", " ".join(files.KINDS)).split()
    files.table(made, imported, lambda path, dataset: copy_file(bench, path, dataset), chosen)


def loaders(bench: Bench) -> None:
    """The mixed file through other loaders, a quarter of it: some are slow."""
    path = made("mixed", ROWS // 4)
    ours = import_file(bench, path, "loaders")
    copy_s, _ = copy_file(bench, path, "loaders")
    print(f"{ROWS // 4:,} rows of 10 columns, {path.stat().st_size / 1e6:.0f} MB")
    url = f"postgresql://millrace@/millrace?host={bench.data.resolve() / 'postgres'}"
    files.loaders(path.resolve(), url, bench.sql, "peer", ours.wall_s, copy_s)


def memory(bench: Bench) -> None:
    """Peak memory while importing about 100 MB and about 1 GB, or as many rows as BENCH_MEMORY_ROWS says."""
    sizes = map(int, os.environ.get("BENCH_MEMORY_ROWS", f"{ROWS // 4} {ROWS * 3}").split())
    for rows in sizes:
        path = made("mixed", rows)
        print(
            f"peak RSS, {path.stat().st_size / 1e6:5.0f} MB file   "
            + peaks([import_file(bench, path, f"memory_{rows}")])
        )
    print()


def pickup(bench: Bench) -> None:
    """From the submit's commit to the claim of the job, one job at a time on an idle worker."""
    path = BUILD / "tiny.csv"
    path.write_text("id,name\n1,Ann\n")
    for _ in range(200):
        job = bench.call("POST", "/v1/imports?processor=csv&dataset=tiny&again=true", path)
        while job["state"] not in ("completed", "failed"):
            time.sleep(0.005)
            job = bench.call("GET", job["links"]["self"])
    waits = sorted(
        float(x)
        for x in bench.sql(
            "select extract(epoch from b.at - a.at) * 1000 from millrace.event a join millrace.event b using (job_id) "
            "join millrace.job on job.id = job_id join millrace.dataset on dataset.id = dataset_id "
            "where dataset.name = 'tiny' and a.type = 'job.created' and b.type = 'job.started'"
        ).split()
    )
    print(
        f"ticket pick-up, {len(waits)} jobs one at a time: p50 {waits[len(waits) // 2]:.1f} ms, "
        f"p99 {waits[len(waits) * 99 // 100]:.1f} ms\n"
    )


def made(kind: str, rows: int) -> Path:
    """A generated file, kept for the next run."""
    path = BUILD / f"{kind}-{rows}.csv"
    if not path.exists():
        generate.mixed(path, rows, bad_share=0.01) if kind == "bad" else getattr(generate, kind)(path, rows)
    return path


def peaks(runs: list[Import]) -> str:
    """The largest peaks of the runs."""
    return ", ".join(f"{name} {max(r.usage[name].peak_mib for r in runs):.0f} MiB" for name in ("service", "child"))


def median(values: Any) -> float:
    """The median of an iterable."""
    return statistics.median(list(values))


def control(bench: Bench) -> None:
    """Pause and cancel while the mixed CSV loads in every slot."""
    queue.control(bench, made("mixed", ROWS))


def score(bench: Bench) -> None:
    """Our reader beside others on polluted files."""

    def copy(path: Path, width: int) -> str:
        columns = ", ".join(f"c{number} text" for number in range(width))
        bench.sql("drop table if exists dirty", f"create table dirty ({columns})")
        bench.sql(rf"\copy dirty from '{path.resolve()}' csv header")
        return bench.sql("copy dirty to stdout csv")

    dirty.main(BUILD, copy)


PARTS = {
    "imports": imports,
    "kinds": kinds,
    "loaders": loaders,
    "memory": memory,
    "pickup": pickup,
    "claim": queue.claim,
    "control": control,
    "idle": queue.idle,
    "streams": streams.streams,
    "dirty": score,
}

if __name__ == "__main__":
    BUILD.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:2] == ["queues"]:
        queues.main(BUILD, sys.argv[2:])
        sys.exit()
    if sys.argv[1:2] == ["uploads"]:
        uploads.main(BUILD, sys.argv[2:])
        sys.exit()
    if sys.argv[1:2] == ["formats"]:
        chosen = sys.argv[2:]
        if not chosen or "documents" in chosen:
            formats.main(BUILD)
        if chosen != ["documents"]:
            readers.main(BUILD, [name for name in chosen if name != "documents"])
        sys.exit()
    with running() as started:
        for name in sys.argv[1:] or PARTS:
            PARTS[name](started)
