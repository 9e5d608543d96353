"""How long a body may take."""

from __future__ import annotations

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Message

from service.api import intake
from service.api.metering import Meters
from service.config import Settings
from service.domain.errors import InputError


def request_of(*pieces: bytes, pause_s: float) -> Request:
    left = list(pieces)

    async def receive() -> Message:
        await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    app = Starlette()
    app.state.meters = Meters()
    return Request({"type": "http", "method": "POST", "headers": [], "query_string": b"", "app": app}, receive)


async def read(request: Request, **settings: float) -> bytes:
    content = intake.content_of(request, Settings(**settings))  # type: ignore[arg-type]
    return b"".join([piece async for piece in content])


async def test_a_client_below_the_minimum_rate_is_dropped_once_it_was_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "GRACE_S", 0.05)
    with pytest.raises(InputError, match="Less than 1000000 bytes a second"):
        await read(request_of(*[b"x"] * 100, pause_s=0.01), upload_min_rate=1_000_000)


async def test_within_its_grace_a_client_may_be_slow() -> None:
    assert await read(request_of(b"a", b"b", pause_s=0.01), upload_min_rate=1_000_000) == b"ab"


async def test_a_silent_client_is_dropped() -> None:
    with pytest.raises(InputError) as raised:
        await read(request_of(b"a", b"b", pause_s=10), upload_idle_s=0.05)
    assert raised.value.code == "upload_timeout"
