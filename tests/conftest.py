"""What every test may ask for: servers (once per test process), a migrated database, a running service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from contextlib import AsyncExitStack
from typing import Protocol

import pytest

from tests import running
from tests.running import Running, Servers, Service


@pytest.fixture(scope="session")
async def servers() -> AsyncIterator[Servers]:
    """Embedded PostgreSQL and Redis."""
    async with running.servers() as found:
        yield found


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[str]:
    """The URL of a fresh, migrated database."""
    async with servers.database() as url:
        yield url


@pytest.fixture(scope="module")
async def service(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """API and worker in one process, shared by the tests of a module: give your datasets names of their own."""
    async with running.service(servers, tmp_path_factory.mktemp("service")) as started:
        yield started


class StartService(Protocol):
    """Starts a service: `await start_service("api", chunk_bytes=64)`."""

    async def __call__(self, command: str = "all", **settings: object) -> Service: ...


@pytest.fixture
async def start_service(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StartService]:
    """Services of the test's own, with settings of its own; ended after it."""
    async with AsyncExitStack() as stack:

        async def start(command: str = "all", **settings: object) -> Service:
            folder = tmp_path_factory.mktemp("service")
            return await stack.enter_async_context(running.service(servers, folder, command, **settings))

        yield start


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the processes said."""
    report = yield
    if report.failed:
        report.sections += [(f"{child.name} (process {child.pid})", _tail(child)) for child in running.ALIVE]
    return report


def _tail(child: Running) -> str:
    return child.output[-running.SHOWN_BYTES :]
