"""A deck of Anki, beside the dozen lines of zip and SQLite that programs without its library use."""

from __future__ import annotations

import sqlite3
import tempfile
import zipfile
from pathlib import Path

OURS = ("anki", {})


def make(folder: Path, rows: int) -> Path:
    """Notes of two fields with some HTML, tags and a few media."""
    path = folder / f"deck-{rows}.apkg"
    if not path.exists():
        from tests.decks import note, package

        media = {f"{number}.png": bytes([number]) * 40_000 for number in range(100)}
        notes = (
            note(f"front <b>{n}</b>{f'<img src={n % 100}.png>' if n % 50 == 0 else ''}", f"back<br>{n}", guid=f"g{n}")
            for n in range(rows)
        )
        path.write_bytes(package(notes, media))
    return path


def zip_and_sqlite(path: Path) -> int:
    """Every note's fields apart, and nothing more: no plain text, no types, no media."""
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        db = sqlite3.connect(archive.extract("collection.anki2", folder))
        return sum(1 for guid, fields in db.execute("select guid, flds from notes") if guid and fields.split("\x1f"))


def ankipandas_like(path: Path) -> int:
    """The notes as a frame, as ankipandas makes one of the same table."""
    import pandas

    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        db = sqlite3.connect(archive.extract("collection.anki2", folder))
        frame = pandas.read_sql_query("select * from notes", db)
        frame["nflds"] = frame["flds"].str.split("\x1f")
        return len(frame)


PEERS = {"zip + sqlite3": zip_and_sqlite, "zip + pandas": ankipandas_like}
