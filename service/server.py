"""The HTTP server: a socket bound early, so that a busy port is said at once, and uvicorn without its signals."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import uvicorn
from httptools import HttpRequestParser
from starlette.applications import Starlette
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.bodies import LEAST_BYTES, Body
from service.wires import Wire


class CannotStart(Exception):
    """One sentence that says what is in the way and what to do."""


class Connection(HttpToolsProtocol):
    """HTTP/1.1 by uvicorn; long bodies are read by `Body`, and interim answers (1xx), which ASGI lacks, can be sent.

    The scope's extension `millrace.interim` is `send(status, reason, headers) -> whether it was sent`, and
    `millrace.wire` gives the connection itself.
    """

    def data_received(self, data: bytes) -> None:
        """More of a request. When this is its head, nobody has asked for its body yet."""
        before = self.cycle
        super().data_received(data)
        cycle = self.cycle
        if cycle is before or not cycle.more_body or self.pipeline or self.transport.is_closing():
            return
        length = _length_of(cycle)
        if length - len(cycle.body) >= LEAST_BYTES:
            body = Body(cycle, self, length)
            cycle.receive = body.receive  # type: ignore[method-assign]
            self._read_by(body)

    def body_ended(self) -> None:
        """A `Body` has all of it."""
        self._read_by(self)
        self.parser = HttpRequestParser(self)  # the former one still waits for the body
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.on_message_complete()

    def pause_reading(self) -> None:
        """Let the client wait."""
        self.flow.pause_reading()

    def resume_reading(self) -> None:
        """The opposite."""
        self.flow.resume_reading()

    def _read_by(self, protocol: asyncio.BaseProtocol) -> None:
        self.flow.pause_reading()  # uvloop heeds how a protocol wants its bytes only when reading begins
        self.transport.set_protocol(protocol)
        self.flow.resume_reading()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        extensions = cycle.scope.setdefault("extensions", {})
        extensions["millrace.interim"] = partial(_send_interim, cycle)  # type: ignore[assignment]
        extensions["millrace.wire"] = partial(Wire, cycle)  # type: ignore[assignment]
        super()._start_asgi_task(cycle, app)


class Server(uvicorn.Server):
    """uvicorn that tells when it is ready, and leaves signals to us."""

    def __init__(self, app: Starlette, on_ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            http=Connection,
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


def _length_of(cycle: RequestResponseCycle) -> int:
    """How long the body is by the head of its request, which the parser has checked; 0 if that is not told."""
    lengths = [value for name, value in cycle.scope["headers"] if name == b"content-length"]
    is_coded = any(name in (b"transfer-encoding", b"upgrade") for name, _ in cycle.scope["headers"])
    return int(lengths[0]) if len(lengths) == 1 and not is_coded else 0


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
