"""Processes that are forked have what they are given and nothing else, and none outlives what it was forked for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from service.config import Settings
from tests.running import ROOT, eventually
from workers.forkserver import IS_AVAILABLE, Forked, ForkServer
from workers.sandbox import Sandboxes

pytestmark = pytest.mark.skipif(not IS_AVAILABLE, reason="needs Linux")

SHOWN = """
import json, os, sys
print(json.dumps([sys.argv[1:], dict(os.environ), sorted(map(int, os.listdir("/proc/self/fd"))), __name__]), flush=True)
if sys.argv[1] == "wait":
    sys.stdin.read()
sys.exit(int(sys.argv[2]))
"""

REFUSED_ONCE = """
import errno, os
fork = os.fork
def refused():
    os.fork = fork
    raise OSError(errno.EAGAIN, "as many processes as may be")
os.fork = refused
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ForkServer]:
    (tmp_path / "shown.py").write_text(SHOWN)
    environment = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    server = await ForkServer.start(["json"], environment)
    yield server
    await server.close()


async def shown(server: ForkServer, folder: Path, *arguments: str, stdin: int | None = None) -> tuple[Forked, list]:
    """A fork, and what it says of itself."""
    with (folder / "said").open("w+b") as said, Path(os.devnull).open() as nothing:
        standard = (nothing.fileno() if stdin is None else stdin, said.fileno(), said.fileno())
        child = await server.fork("shown", arguments, {"ONLY": "this"}, (*standard, nothing.fileno()))
        text = await eventually((folder / "said").read_text)
        return child, json.loads(text)


async def test_a_fork_has_what_it_is_given_and_nothing_else(server: ForkServer, tmp_path: Path) -> None:
    child, (arguments, environment, descriptors, name) = await shown(server, tmp_path, "end", "3")
    extra = int(arguments[2])
    assert (arguments, environment, name) == (["end", "3", str(extra)], {"ONLY": "this"}, "__main__")
    assert len(set(descriptors) - {0, 1, 2, extra}) == 1  # of the listing itself
    assert await child.wait() == 3
    with pytest.raises(ProcessLookupError):
        child.kill()


async def test_a_process_with_thousands_of_descriptors_can_have_forks(tmp_path: Path) -> None:
    (tmp_path / "shown.py").write_text(SHOWN)
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    try:
        server = await ForkServer.start(["json"], {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])})
        child, _ = await shown(server, tmp_path, "end", "0")
        assert await child.wait() == 0
        await server.close()
    finally:
        for descriptor in taken:
            os.close(descriptor)


async def test_one_fork_that_the_system_refuses_is_told_and_harms_no_other(tmp_path: Path) -> None:
    (tmp_path / "shown.py").write_text(SHOWN)
    (tmp_path / "full.py").write_text(REFUSED_ONCE)
    server = await ForkServer.start(["full"], {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])})
    with pytest.raises(BlockingIOError):
        await shown(server, tmp_path, "end", "0")
    child, _ = await shown(server, tmp_path, "end", "0")
    assert await child.wait() == 0
    await server.close()


async def test_a_fork_that_is_killed_says_so_and_leaves_nothing(server: ForkServer, tmp_path: Path) -> None:
    held, given = os.pipe()
    child, _ = await shown(server, tmp_path, "wait", "0", stdin=held)
    child.kill()
    assert await child.wait() == -signal.SIGKILL
    await eventually(lambda: not psutil.pid_exists(child.pid))
    os.close(held)
    os.close(given)


async def test_forks_end_with_what_they_were_forked_from(server: ForkServer, tmp_path: Path) -> None:
    held, given = os.pipe()
    child, _ = await shown(server, tmp_path, "wait", "0", stdin=held)
    os.kill(psutil.Process(child.pid).ppid(), signal.SIGKILL)
    assert await child.wait() == -signal.SIGKILL
    await eventually(lambda: not psutil.pid_exists(child.pid))
    assert not server.is_alive
    with pytest.raises(OSError, match=r"Bad file|ended"):
        await server.fork("shown", ["end", "0"], {}, (held, held, held))
    os.close(held)
    os.close(given)


async def test_a_fork_that_nobody_waits_for_any_more_is_ended(server: ForkServer, tmp_path: Path) -> None:
    held, given = os.pipe()
    asking = asyncio.create_task(server.fork("shown", ["wait", "0"], {}, (held, 1, 2)))
    await asyncio.sleep(0)
    asking.cancel()
    child, _ = await shown(server, tmp_path, "wait", "0", stdin=held)
    forked_from = psutil.Process(psutil.Process(child.pid).ppid())
    await eventually(lambda: [left.pid for left in forked_from.children()] == [child.pid])
    os.close(given)
    assert await child.wait() == 0
    os.close(held)


async def test_children_are_started_although_what_they_are_forked_from_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,2\n")
    source: dict[str, object] = {"path": str(path), "size": 8, "key": None}
    async with Sandboxes(Settings(data_dir=tmp_path)) as sandboxes:
        async with sandboxes.open(source, None) as child:
            os.kill(psutil.Process(child.pid).ppid(), signal.SIGKILL)
        await asyncio.gather(*(_opened(sandboxes, source) for _ in range(3)))


async def _opened(sandboxes: Sandboxes, source: dict[str, object]) -> None:
    async with sandboxes.open(source, None) as child:
        assert psutil.pid_exists(child.pid)
