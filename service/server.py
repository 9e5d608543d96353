"""The HTTP server: a socket bound early, so that a busy port is said at once, and uvicorn without its signals."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import uvicorn
from starlette.applications import Starlette
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

SEND_BUFFER_BYTES = 64 * 1024


class CannotStart(Exception):
    """One sentence that says what is in the way and what to do."""


class Interim(HttpToolsProtocol):
    """HTTP/1.1 by uvicorn, with interim answers (1xx), for which ASGI has no message yet.

    The scope's extension `millrace.interim` is `send(status, reason, headers) -> whether it was sent`, and
    `millrace.wire` gives the connection itself.
    """

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        extensions = cycle.scope.setdefault("extensions", {})
        extensions["millrace.interim"] = partial(_send_interim, cycle)  # type: ignore[assignment]
        extensions["millrace.wire"] = partial(Wire, cycle)  # type: ignore[assignment]
        super()._start_asgi_task(cycle, app)


class Wire:
    """The connection under a response, for streams that write the same to thousands; see `api/audience`.

    The scope's extension `millrace.wire` makes it. What is written must be whole chunks of a body that has begun.
    """

    __slots__ = ("_cycle", "write")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self.write = cycle.transport.write
        with contextlib.suppress(OSError, ValueError):  # it may be closed by now
            cycle.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    @property
    def is_clogged(self) -> bool:
        """Whether more waits to be sent than is good."""
        return self._cycle.flow.write_paused

    @property
    def is_gone(self) -> bool:
        """Whether the client has left."""
        return self._cycle.disconnected or self._cycle.transport.is_closing()

    def wake(self) -> None:
        """Let the response's `receive` return."""
        self._cycle.message_event.set()

    def abort(self) -> None:
        """Cut the connection."""
        self._cycle.transport.abort()


class Server(uvicorn.Server):
    """uvicorn that tells when it is ready, and leaves signals to us."""

    def __init__(self, app: Starlette, on_ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            http=Interim,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
            timeout_keep_alive=75,
        )
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving, then say so."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for `lifecycle.stop_signal`."""
        yield


def _send_interim(cycle: RequestResponseCycle, status: int, reason: str, headers: Mapping[str, str]) -> bool:
    if cycle.response_started or cycle.disconnected or cycle.scope["http_version"] != "1.1":
        return False
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    cycle.transport.write("\r\n".join(lines).encode("latin-1"))
    return True


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises CannotStart."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once (TCP_NODELAY) only on sockets that say they are TCP
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(2048)
    except OSError as error:
        bound.close()
        raise CannotStart(
            f"Cannot listen on {host}:{port} ({error.strerror}): free it, or set MILLRACE_PORT."
        ) from error
    bound.set_inheritable(False)
    return bound


def url_of(bound: socket.socket) -> str:
    """http://HOST:PORT of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
