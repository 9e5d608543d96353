"""Starts `python -m MODULE …` by forking a process that has its libraries loaded: in 10 ms, not in half a second.

`ForkServer` is the side of whoever wants processes. The other is `python -m workers.forkserver SOCKET PARENT MODULE…`,
which loads those modules, has one thread and forks itself as it is told. It knows nothing but what it loaded, so
neither does a fork, which has its own memory, arguments, environment and descriptors. Linux only: elsewhere libraries
do not bear being forked.
"""

from __future__ import annotations

import array
import asyncio
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

IS_AVAILABLE = sys.platform == "linux"
MESSAGE_BYTES = 128 * 1024
_DESCRIPTORS = 16
_PR_SET_PDEATHSIG = 1


class Forked:
    """A process that was forked. It is a zombie until we have heard of its end, so its id is its own until then."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()

    def kill(self) -> None:
        """kill -9. Raises ProcessLookupError if it has ended."""
        if self.returncode is not None:
            raise ProcessLookupError
        os.kill(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Its exit code, once it has ended; -N for signal N."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def _end(self, returncode: int) -> None:
        self.returncode = returncode
        self._ended.set()


class ForkServer:
    """A process to fork, from `start` to `close`; it and its forks end with us, however that happens."""

    def __init__(self, process: asyncio.subprocess.Process, line: socket.socket) -> None:
        self._process = process
        self._line = line
        self._asked: list[asyncio.Future[Forked]] = []
        self._alive: dict[int, Forked] = {}
        asyncio.get_running_loop().add_reader(line.fileno(), self._hear)

    @classmethod
    async def start(
        cls, modules: Sequence[str], environment: Mapping[str, str], cwd: str | os.PathLike[str] | None = None
    ) -> ForkServer:
        """Start a process that loads these modules."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "workers.forkserver", str(theirs.fileno()), str(os.getpid()), *modules),
                env=environment,
                cwd=cwd,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for us
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, ours)

    @property
    def is_alive(self) -> bool:
        """Whether it can still be forked."""
        return self._line.fileno() >= 0

    async def fork(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int]
    ) -> Forked:
        """`python -m MODULE ARGUMENTS…` with no other environment. Raises OSError if the process to fork is gone.

        Of `descriptors` the first three become its standard ones; the numbers of the others follow its arguments.
        """
        order = json.dumps({"module": module, "arguments": list(arguments), "environment": dict(environment)})
        socket.send_fds(self._line, [order.encode()], list(descriptors))
        answer: asyncio.Future[Forked] = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        return await answer

    async def close(self) -> None:
        """End it, and with it whatever it forked."""
        self._lost()
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def _hear(self) -> None:
        try:
            said = self._line.recv(MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._lost()
            return
        told = json.loads(said)
        pid, code = told["pid"], told["code"]
        if pid is None:
            if not (answer := self._asked.pop(0)).done():
                answer.set_exception(OSError(code, os.strerror(code)))
        elif code is None:
            self._alive[pid] = child = Forked(pid)
            if (answer := self._asked.pop(0)).done():  # nobody waits for it any more
                child.kill()
            else:
                answer.set_result(child)
        else:
            self._alive.pop(pid)._end(code)
            with suppress(OSError):
                self._line.send(json.dumps({"heard_of": pid}).encode())

    def _lost(self) -> None:
        if self.is_alive:
            asyncio.get_running_loop().remove_reader(self._line.fileno())
            self._line.close()
        for child in self._alive.values():
            child._end(-signal.SIGKILL)  # as it does with the process it was forked from
        for answer in self._asked:
            if not answer.done():
                answer.set_exception(ConnectionResetError("the process to fork has ended"))
        self._alive.clear()
        self._asked.clear()


def serve(line: socket.socket, parent: int, modules: Sequence[str]) -> None:
    """Fork as told, until the other end of the line is closed."""
    _die_with(parent, signal.SIGKILL)
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a collection would touch, and so copy, every page of a fork
    ends, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    server, alive = os.getpid(), set[int]()
    watched = select.poll()  # numbers of descriptors are as high as those of a parent with thousands of clients
    watched.register(line, select.POLLIN)
    watched.register(ends, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in watched.poll()}
        if ends in ready:
            os.read(ends, 4096)
            for pid in list(alive):
                if (ended := os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                    alive.remove(pid)
                    _tell(line, pid, ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)
        if line.fileno() not in ready:
            continue
        said, ancillary, _, _ = line.recvmsg(MESSAGE_BYTES, socket.CMSG_SPACE(_DESCRIPTORS * 4))
        if not said:
            return
        told, given = json.loads(said), _descriptors(ancillary)
        if (pid := told.get("heard_of")) is not None:
            os.waitpid(pid, 0)
            continue
        try:
            pid = os.fork()
        except OSError as error:  # there are as many processes as may be
            _tell(line, None, error.errno)
        else:
            if pid == 0:
                _die_with(server, signal.SIGTERM)
                for descriptor in (line.detach(), ends, wake):
                    os.close(descriptor)
                _become(told, given)
            alive.add(pid)
            _tell(line, pid, None)
        for descriptor in given:
            os.close(descriptor)


def _tell(line: socket.socket, pid: int | None, code: int | None) -> None:
    """A fork, its end with its exit code, or why there is none."""
    line.send(json.dumps({"pid": pid, "code": code}).encode())


def _descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data)
    return list(found)


def _become(told: Mapping[str, Any], given: Sequence[int]) -> NoReturn:
    """Be the process that is wanted, from its start to its end."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for place, descriptor in enumerate(given[:3]):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(told["environment"])
    time.tzset()
    sys.argv = [told["module"], *told["arguments"], *map(str, given[3:])]
    sys.modules.pop(told["module"] + ".__main__", None)  # it runs anew: else a warning goes before what it says
    runpy.run_module(told["module"], run_name="__main__", alter_sys=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # to take apart all that was loaded takes longer than many a file


def _die_with(parent: int, death_signal: signal.Signals) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent is already gone")


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), sys.argv[3:])
