"""Packages that mean harm: endless views, triggers, damaged pages, bombs, lengths that are lies."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import zipfile
import zlib

import pytest
import zstandard

from service.domain.errors import InputError
from service.domain.processor import Work
from tests.decks import deck, note, package
from workers.anki import collection as collections
from workers.anki import protobuf
from workers.anki.collection import Collection
from workers.processors.anki import AnkiOptions, processor

ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select i as ntid, i as name, i as ord from n"


def read(data, **options):
    async def collect():
        work = Work(io.BytesIO(data), len(data), AnkiOptions(**options), None, None, 2**20)
        return [chunk async for chunk in processor.chunks(work)]

    return asyncio.run(collect())


def database(data=None):
    """The collection of a package, open to be changed."""
    with zipfile.ZipFile(io.BytesIO(data or package([note("front")]))) as archive:
        db = sqlite3.connect(":memory:", isolation_level=None)
        db.deserialize(archive.read("collection.anki2"))
        return db


def packed(members, compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def refusal(data, **options):
    with pytest.raises(InputError) as refused:
        read(data, **options)
    assert refused.value.suggestion
    return refused.value.code


@pytest.mark.parametrize("table", ["notes", "cards", "col"])
def test_a_view_in_place_of_a_table_is_refused_without_a_look_at_it(table):
    db = database()
    db.execute(f"alter table {table} rename to old")
    db.execute(f"create view {table} as {ENDLESS}")
    assert refusal(packed({"collection.anki2": db.serialize()})) == "file_damaged"


@pytest.mark.parametrize("view", ["fields", "templates"])
def test_views_among_the_tables_of_newer_schemas_are_refused(view):
    db = database()
    db.executescript(
        "create table notetypes (id int, name text, config blob);"
        + "".join(
            f"create view {name} as {ENDLESS};"
            if name == view
            else f"create table {name} (ntid int, name, ord, config);"
            for name in ("fields", "templates")
        )
    )
    with pytest.raises(InputError, match=f"no table {view}"):
        Collection(db.serialize())


def test_triggers_and_columns_that_compute_do_nothing():
    db = database()
    db.execute("create trigger t after insert on notes begin delete from notes; end")
    db.execute("alter table cards add column boom text as (hex(zeroblob(1000000000))) virtual")
    [chunk] = read(packed({"collection.anki2": db.serialize()}), part="cards")
    assert chunk.read == 1


def test_a_text_that_a_database_makes_up_is_bounded():
    db = database()
    db.execute("alter table notes rename to old")
    db.execute(
        "create table notes (id integer primary key, guid, mid, mod, tags,"
        " flds text as (hex(zeroblob(40000000))) virtual)"
    )
    db.execute("insert into notes (id, guid, mid, mod, tags) select id, guid, mid, mod, tags from old")
    assert refusal(packed({"collection.anki2": db.serialize()})) == "file_damaged"


def test_damaged_pages_are_told():
    data = bytearray(database(deck({}, [f"note {n}" * 50 for n in range(200)])).serialize())
    for page in range(8, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    assert refusal(packed({"collection.anki2": bytes(data)})) == "file_damaged"


def test_a_collection_that_unpacks_without_end_is_refused():
    bomb = zstandard.ZstdCompressor().compress(bytes(600 * 1024 * 1024))
    assert len(bomb) < 100_000
    assert refusal(packed({"meta": b"\x08\x03", "collection.anki21b": bomb})) == "too_large"


def test_a_window_that_takes_all_memory_is_refused():
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = frame.compress(b"x" * 1000) + frame.flush()
    assert refusal(packed({"meta": b"\x08\x03", "collection.anki21b": data})) == "file_damaged"


def test_media_that_unpack_to_far_more_than_the_package_are_refused():
    media = {f"{number}.png": bytes(20 * 1024 * 1024) for number in range(4)}
    assert refusal(deck(media)) == "unpacks_too_large"
    assert len(read(deck(media), media=False)) == 1


def test_a_medium_that_is_damaged_is_a_reject_and_the_others_come_in():
    data = deck({"a.png": b"a" * 500, "b.png": b"b" * 500})
    at = data.index(zlib.compress(b"a" * 500)[2:8])
    broken = data[:at] + b"\xff\xff\xff" + data[at + 3 :]
    [chunk] = read(broken, part="media")
    assert [(reject.row, reject.code) for reject in chunk.rejects] == [(1, "incomplete")]
    assert [file.name for file in chunk.enclosed] == ["b.png"]
    [notes] = read(broken)
    assert [medium["is_there"] for row in notes.batch.to_pylist() for medium in json.loads(row["media"])] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    "message", [b"\x0a\xff\xff\xff\xff\x0f", b"\x0a" + b"\x80" * 20, b"\x0b", b"\x0a\x05ab", b"\x09\x01", b"\xff" * 30]
)
def test_lengths_that_are_lies_are_errors(message):
    with pytest.raises(ValueError, match=r"cut short|no end|wire type"):
        protobuf.fields(message)
    index = zstandard.ZstdCompressor().compress(message)
    collection = zstandard.ZstdCompressor().compress(database().serialize())
    members = {"meta": b"\x08\x03", "collection.anki21b": collection, "media": index}
    assert refusal(packed(members)) == "file_damaged"


def test_time_that_passes_between_two_rows_is_not_the_statements(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(collections.time, "monotonic", lambda: now[0])
    found = Collection(database(package([note(f"note {n}") for n in range(3)])).serialize())
    found._db.set_progress_handler(None, 0)
    rows = found.notes()
    for _ in range(3):
        next(rows)
        found._db.set_progress_handler(lambda: collections.time.monotonic() > found._give_up_at, 1)
        now[0] += 10 * collections.STATEMENT_S
    assert next(rows, None) is None


def test_a_collection_whose_packing_is_broken_is_told():
    data = bytearray(packed({"collection.anki2": database(deck({}, ["x" * 5000])).serialize()}, zipfile.ZIP_DEFLATED))
    at = data.index(b"collection.anki2") + len("collection.anki2")
    for size in (40, 400, len(data) // 2):
        broken = bytes(data[: at + size]) + bytes(byte ^ 0x5A for byte in data[at + size : at + size + 60])
        assert refusal(broken + bytes(data[at + size + 60 :])) == "file_damaged"
