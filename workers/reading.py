"""A file as the UTF-8 text in it: unpacked, decoded and with a one-character delimiter, read forwards as a stream.

Offsets are those of the text. Going back behind what was last sought means to start over.
"""

from __future__ import annotations

import codecs
import json
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import BinaryIO

from service.domain.errors import InputError
from workers.unpacking import Compression, unpacked

STEP_BYTES = 256 * 1024
"""How much is unpacked or decoded at a time."""
KEPT_BYTES = 40 * 1024 * 1024
"""Text kept behind the place that was last sought: more than the longest record takes."""

UTF8 = "utf-8"
_NOT_TEXT = "\udcff"


@dataclass(frozen=True, slots=True)
class Reading:
    """How the text is got out of the file. `spelling` is written there where the text has `delimiter`."""

    compression: Compression | None = None
    member: str | None = None
    encoding: str = UTF8
    spelling: str | None = None
    delimiter: str = ","

    @property
    def is_plain(self) -> bool:
        """Whether the file is the text, byte for byte."""
        return self.compression is None and self.encoding == UTF8 and self.spelling is None

    def dumped(self) -> str:
        """As text for a cursor."""
        return json.dumps(asdict(self))

    @staticmethod
    def loaded(text: str) -> Reading:
        """From a cursor."""
        return Reading(**json.loads(text))


PLAIN_READING = Reading()


class Text:
    """The text of a file. Bytes that its encoding does not have become a byte that UTF-8 does not have either."""

    def __init__(self, source: BinaryIO, reading: Reading) -> None:
        self._source = source
        self._reading = reading
        self._is_plain = reading.is_plain
        self._buffer = bytearray()
        self._base = self._at = 0
        self._ends = [(0, 0)]
        self._steps = _steps(source, reading)

    def seek(self, offset: int) -> int:
        """Go to a place in the text; what lies before it is let go."""
        if self._is_plain:
            self._source.seek(offset)
        elif offset < self._base:
            self._restart()
        self._at = offset
        self._drop(offset)
        return offset

    def read(self, size: int) -> bytes:
        """The next bytes of text: `size` of them, or fewer at the end."""
        if self._is_plain:
            return self._source.read(size)
        end = self._at + size
        while self._base + len(self._buffer) < end and (step := next(self._steps, None)) is not None:
            self._buffer += step
            self._ends.append((self._ends[-1][0] + len(step), self._source.tell()))
            self._drop(self._at - KEPT_BYTES if self._base + len(self._buffer) > self._at else self._at)
        start = self._at - self._base
        data = bytes(memoryview(self._buffer)[start : start + size])
        self._at += len(data)
        return data

    def done(self, offset: int) -> int:
        """How many bytes of the file it took to get so far."""
        if self._is_plain:
            return offset
        return self._ends[min(bisect_left(self._ends, (offset, 0)), len(self._ends) - 1)][1]

    def _drop(self, offset: int) -> None:
        gone = min(offset - self._base, len(self._buffer))
        if gone > 0:
            del self._buffer[:gone]
            self._base += gone

    def _restart(self) -> None:
        self._buffer = bytearray()
        self._base = self._at = 0
        self._ends = [(0, 0)]
        self._steps = _steps(self._source, self._reading)


def opened(source: BinaryIO, reading: Reading) -> Text:
    """The text of a file."""
    return Text(source, reading)


def head(source: BinaryIO, reading: Reading, size: int) -> bytes:
    """The first bytes of a file's text, still in its own encoding."""
    data = bytearray()
    for step in unpacked(source, reading.compression, reading.member, STEP_BYTES):
        data += step
        if len(data) >= size:
            break
    return bytes(data[:size])


def _steps(source: BinaryIO, reading: Reading) -> Iterator[bytes]:
    steps = unpacked(source, reading.compression, reading.member, STEP_BYTES)
    if reading.encoding != UTF8:
        steps = _transcoded(steps, reading.encoding)
    if reading.spelling is not None:
        steps = _respelled(steps, reading.spelling.encode(), reading.delimiter.encode())
    return steps


def _transcoded(steps: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(_marked.__name__)
    for step in steps:
        yield decoder.decode(step).encode(UTF8, "surrogateescape")
    yield decoder.decode(b"", final=True).encode(UTF8, "surrogateescape")


def _marked(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _NOT_TEXT, error.end


codecs.register_error(_marked.__name__, _marked)


def _respelled(steps: Iterator[bytes], spelling: bytes, delimiter: bytes) -> Iterator[bytes]:
    rest = b""
    held = len(spelling) - 1
    for step in steps:
        if delimiter in step:
            raise InputError(
                "delimiter_conflict",
                f"The file has the delimiter {spelling.decode()!r} and the character {delimiter.decode()!r}, "
                "which stands for it while it is read.",
                suggestion="Remove that control character, or write the file with a delimiter of one character.",
            )
        *whole, rest = (rest + step).split(spelling)
        cut = max(len(rest) - held, 0)
        whole.append(rest[:cut])
        yield delimiter.join(whole)
        rest = rest[cut:]
    yield rest
