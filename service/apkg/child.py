"""A dataset's rows into a package: `python -m service.apkg.child`, so that no event loop waits for SQLite or zlib.

It gets on standard input one line of JSON, `{name, now_s, note_types}`; the rows, a JSON object a line; an empty line;
then each file as a line of JSON, `{name, size}`, and its bytes. It answers with the package on standard output. What
is at fault with the rows it writes to standard error as JSON, and ends with FAULT.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from typing import IO, BinaryIO

from service.apkg.notes import Notes
from service.apkg.writing import Writer
from service.domain.errors import InputError

MEMORY_BYTES = 2 * 1024**3
"""The collection is in memory until it is written."""
FAULT = 3


def main() -> None:
    """Read until the end, then complete the package."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    source = sys.stdin.buffer
    asked = json.loads(source.readline())
    notes, writer = Notes(asked["name"], asked["note_types"]), Writer(asked["now_s"])
    try:
        while (line := source.readline()) not in (b"", b"\n"):
            writer.add(notes.of(json.loads(line)))
        writer.write(sys.stdout.buffer, _files(source))
        sys.stdout.buffer.flush()
    except InputError as error:
        _refuse(error.code, error.message, error.suggestion)
    except MemoryError:
        _refuse("too_large", "The dataset is too large for one package.", "Export a part of it with where=, or as csv.")


def _files(source: BinaryIO) -> Iterator[tuple[str, int, IO[bytes]]]:
    while line := source.readline():
        told = json.loads(line)
        yield told["name"], told["size"], source


def _refuse(code: str, message: str, suggestion: str | None) -> None:
    sys.stderr.write(json.dumps({"code": code, "message": message, "suggestion": suggestion}))
    sys.stderr.flush()
    sys.exit(FAULT)


if __name__ == "__main__":
    main()
