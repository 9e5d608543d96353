"""What a person sees who starts the service where it cannot start: one sentence, no trace."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.running import ALIVE, KEY, Running, client_for, eventually, imported, rows_of, start


async def said(folder: Path, **settings: str) -> str:
    """What `python -m service` says before it gives up."""
    process = await start("service", ["-m", "service"], settings, folder / "said.log")
    assert await process.ended() == 1
    ALIVE.remove(process)
    return process.output


async def test_a_busy_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = await said(tmp_path, MILLRACE_PORT=str(port), MILLRACE_DATA_DIR=str(tmp_path))
    assert text == f"Cannot listen on 127.0.0.1:{port} (Address already in use): free it, or set MILLRACE_PORT.\n"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MILLRACE_DATA_DIR", "/proc/nowhere"),
        ("MILLRACE_PORT", "many"),
        ("MILLRACE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing"),
    ],
)
async def test_a_setting_that_does_not_do_is_one_sentence_that_names_it(
    tmp_path: Path, variable: str, value: str
) -> None:
    text = await said(tmp_path, **({"MILLRACE_PORT": "0", "MILLRACE_DATA_DIR": str(tmp_path)} | {variable: value}))
    assert variable in text
    assert text.count("\n") == 1


async def listening(folder: Path) -> tuple[Running, str]:
    """`python -m service` with its embedded servers, as `make dev` runs it, and its URL."""
    log = folder / "service.log"
    log.unlink(missing_ok=True)
    settings = {"MILLRACE_PORT": "0", "MILLRACE_DATA_DIR": str(folder), "MILLRACE_DEV_KEY": KEY}
    process = await start("service", ["-m", "service"], settings, log)
    line = await eventually(
        lambda: next((x for x in process.output.splitlines() if x.startswith("listening on")), None)
    )
    return process, line.split()[-1]


async def test_a_killed_service_starts_again_on_its_data_and_ctrl_c_ends_it_soon(tmp_path: Path) -> None:
    first, url = await listening(tmp_path)
    async with client_for(url, KEY) as client:
        await imported(client, b"id,name\n1,Ann\n", "people")
    first.kill()
    await first.ended()
    ALIVE.remove(first)
    second, url = await listening(tmp_path)
    async with client_for(url, KEY) as client:
        assert [row["name"] for row in await rows_of(client, "people")] == ["Ann"]
    asked_at = time.monotonic()
    os.kill(second.pid, signal.SIGINT)
    assert await second.ended(10) == 0
    assert time.monotonic() - asked_at < 10
    ALIVE.remove(second)
