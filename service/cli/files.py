"""Opens what is to be sent."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import BinaryIO

from service.cli import wording
from service.cli.failure import Usage

BLOCK_BYTES = 256 * 1024


def opened(file: str) -> BinaryIO | nullcontext[BinaryIO]:
    """The file, or standard input for -. Raises Usage."""
    if file == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return open(file, "rb")  # noqa: PTH123  # the caller closes it
    except OSError as error:
        raise Usage(f"{wording.printable(file)} cannot be read: {error.strerror}.") from None


def size_of(source: BinaryIO) -> int | None:
    """How much is left of a file; None for a pipe."""
    found = os.fstat(source.fileno())
    return found.st_size - source.tell() if stat.S_ISREG(found.st_mode) else None


def pieces_of(source: BinaryIO, sent: Callable[[int], None]) -> Iterator[bytes]:
    """The content in pieces; `sent` is told the size of each behind it."""
    # A pipe's pieces are sent on as they come.
    while piece := source.read1(BLOCK_BYTES):  # type: ignore[attr-defined]  # both kinds we open are buffered readers
        yield piece
        sent(len(piece))
