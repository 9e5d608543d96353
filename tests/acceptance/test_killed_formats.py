"""A worker is killed again and again while it reads a document or a history: every row arrives exactly once."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from tests.conftest import StartService
from tests.running import Json, eventually, post_import, settled, superuser

ROWS = 6_000
KILLS = 3


def document() -> bytes:
    return json.dumps({"rows": [{"id": n, "title": f"Film {n}"} for n in range(ROWS)]}).encode()


def takeout() -> bytes:
    """A history as a page, in a zip."""
    card = (
        '<div class="outer-cell mdl-cell"><div class="mdl-grid"><div class="header-cell mdl-cell">'
        '<p class="mdl-typography--title">YouTube<br></p></div><div class="content-cell mdl-typography--body-1">'
        'Watched&nbsp;<a href="https://www.youtube.com/watch?v=video{n:06}">Film {n}</a><br>'
        '12 Jul 2026, 16:20:22 UTC</div><div class="content-cell mdl-typography--text-right"></div>'
        '<div class="content-cell mdl-typography--caption"><b>Products:</b><br>&emsp;YouTube<br></div></div></div>'
    )
    page = (
        '<html><body><div class="mdl-grid">' + "".join(card.format(n=n) for n in range(ROWS)) + "</div></body></html>"
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Takeout/history/watch-history.html", page)
    return packed.getvalue()


@pytest.mark.parametrize(("processor", "content", "chunk_bytes", "options"), [
    ("json", document(), 2_048, {"path": "rows", "name": "x.json"}),
    ("watch_history", takeout(), 40_000, {"name": "takeout.zip"}),
])  # fmt: skip
async def test_kills_of_the_worker_lose_and_double_nothing(
    start_service: StartService, processor: str, content: bytes, chunk_bytes: int, options: dict[str, str]
) -> None:
    service = await start_service("api", lease_s=1, sweep_s=0.2, chunk_bytes=chunk_bytes)
    worker = await service.worker()
    job = await post_import(service.client, content, "films", processor=processor, **options)
    read = 0

    async def further() -> Json | None:
        now: Json = (await service.client.get(job["links"]["self"])).json()
        return now if now["counts"]["read"] > read or now["state"] == "completed" else None

    for _ in range(KILLS):
        now = await eventually(further)
        assert now is not None
        read = now["counts"]["read"]
        worker.kill()
        worker = await service.worker()
    ended = await settled(service.client, job)
    assert (ended["state"], ended["counts"]["inserted"], ended["counts"]["read"]) == ("completed", ROWS, ROWS)
    async with superuser(service.database_url) as db:
        table = await db.fetchval("select table_name from dataset where name = 'films'")
        titles = await db.fetch(f'select title from datasets."{table}" order by _row')
    assert [row["title"] for row in titles] == [f"Film {n}" for n in range(ROWS)]
