"""The elements of a JSON document's array, one at a time: a file of any size in the memory of its largest element.

RFC 8259 to the letter: no NaN, no comments, nothing behind the end. Positions are byte offsets into UTF-8.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, NoReturn

from service.domain.errors import InputError
from workers.exact import Decimal, refuse

ELEMENT_LIMIT = 16 * 1024 * 1024
"""Characters of one element, which is in memory as a whole."""
READ_BYTES = 256 * 1024
DEPTH_LIMIT = 200
"""Levels of arrays and objects that a value may have, or that what is passed over may."""

KEYS_SHOWN = 10

_BLANK = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Element:
    """A value of the array, the byte and line where it starts, and where reading goes on behind it.

    `is_only` says that there is no array: this value is all there is.
    """

    value: Any
    text: str
    start: int
    line: int
    end: int
    is_only: bool = False


def elements(source: BinaryIO, path: Sequence[str], offset: int = 0, line: int = 1) -> Iterator[Element]:
    """The elements of the array under `path` of keys, or the one value there if it is none.

    `offset` is 0 or the end of an element of an array, `line` the line there; behind it nothing of what came before is
    looked at again. Raises InputError `not_json` with its position, `path_not_found`, `json_too_deep`,
    `record_too_large`.
    """
    text = _Text(source, offset, line)
    if offset == 0:
        for key in path:
            text.take("{", f"the object that should hold {key!r}")
            text.enter(key)
        if text.peek() != "[":
            yield replace(text.value(), is_only=True)
            _end(text, path)
            return
        text.take("[", "an array")
    is_first = offset == 0
    while (mark := text.peek()) != "]":
        if not is_first:
            if mark != ",":
                text.fail("Expected a comma or the end of the array")
            text.take(",", "a comma")
        is_first = False
        yield text.value()
    text.take("]", "the end of the array")
    _end(text, path)


def _end(text: _Text, path: Sequence[str]) -> None:
    """What is left behind the array must still be JSON, and nothing else may follow."""
    for _ in path:
        while text.peek() == ",":
            text.take(",", "a comma")
            text.key()
            text.skip()
        text.take("}", "a comma or the end of the object")
    if text.peek():
        text.fail("Nothing may follow the document's end")


class _Text:
    """The file as text: a window of it, and a place in that."""

    def __init__(self, source: BinaryIO, offset: int, line: int) -> None:
        self._source = source
        self._read = offset
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._window = ""
        self._at = 0
        self._mark = 0  # a place in the window at or before `at`; `byte` and `line` are those of it
        self._byte, self._line = offset, line
        self._ended = False
        self._decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=refuse)
        if offset == 0:
            self._more()
            if self._window.startswith("\ufeff"):
                self._at = 1

    def peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        while True:
            found = _BLANK.match(self._window, self._at)
            assert found is not None
            self._at = found.end()
            if self._at < len(self._window):
                return self._window[self._at]
            if not self._more():
                return ""

    def take(self, mark: str, what: str) -> None:
        """Go behind this mark. Raises InputError if something else stands there."""
        if self.peek() != mark:
            self.fail(f"Expected {what}")
        self._at += 1

    def value(self) -> Element:
        """Go behind the next value, and give it."""
        self.peek()
        self._cut()
        start, line, at = self.position(), self._line, self._at
        value = self._parsed()
        return Element(value, self._window[at : self._at], start, line, self.position())

    def key(self) -> str:
        """Go behind a key and its colon, and give it."""
        if self.peek() != '"':
            self.fail("Expected a key in double quotes")
        self._cut()
        key = self._parsed()
        self.take(":", "a colon")
        return str(key)

    def skip(self) -> None:
        """Go behind the next value, which may be larger than memory: what is not at hand is gone through by parts."""
        closing: list[str] = []
        while True:
            if self._opens(closing):
                continue  # inside it now, in front of its first value
            while closing:
                mark = self.peek()
                if mark == ",":
                    self.take(",", "a comma")
                    if closing[-1] == "}":
                        self.key()
                    break
                self.take(closing.pop(), "a comma or the end")
            else:
                return

    def _opens(self, closing: list[str]) -> bool:
        """Go behind a value, or, where that is large and has values of its own, in front of the first of these."""
        opening = self.peek()
        if opening not in ("[", "{"):
            self.value()
            return False
        self._cut()
        if len(self._window) - self._at < READ_BYTES:
            self._more()
        at = self._at
        try:
            value, self._at = self._decoder.raw_decode(self._window, at)
            if not is_too_deep(value, self._window[at : self._at]):
                return False
            self._at = at + 1
        except (ValueError, RecursionError):
            self._at = at + 1
        closing.append("]" if opening == "[" else "}")
        if len(closing) > DEPTH_LIMIT:
            raise too_deep(self.position())
        if self.peek() == closing[-1]:
            return False
        if opening == "{":
            self.key()
        return True

    def enter(self, wanted: str) -> None:
        """Go behind the colon of this key of the object just opened. Raises InputError `path_not_found`."""
        seen: list[str] = []
        while self.peek() != "}":
            if seen:
                self.take(",", "a comma or the end of the object")
            key = self.key()
            if key == wanted:
                return
            if len(seen) < KEYS_SHOWN:
                seen.append(key)
            self.skip()
        raise InputError(
            "path_not_found",
            f"The document has no {wanted!r} there; it has {', '.join(map(repr, seen)) or 'nothing'}.",
            suggestion="Give the option path as keys with dots between, such as path=data.items.",
        )

    def position(self) -> int:
        """The byte of the place."""
        passed = self._window[self._mark : self._at]
        self._byte += len(passed) if passed.isascii() else len(passed.encode())
        self._line += passed.count("\n")
        self._mark = self._at
        return self._byte

    def fail(self, why: str) -> NoReturn:
        """Refuse the document at this place."""
        raise not_json(why, self.position())

    def _parsed(self) -> Any:
        wanted = READ_BYTES
        while True:
            try:
                value, end = self._decoder.raw_decode(self._window, self._at)
            except json.JSONDecodeError as error:
                if self._ended:
                    self._at = max(self._at, error.pos)
                    self.fail(error.msg)
            except RecursionError:
                raise too_deep(self.position()) from None
            except ValueError as error:
                self.fail(str(error).partition(";")[0])
            else:
                if end < len(self._window) or self._ended or isinstance(value, str | list | dict):
                    if is_too_deep(value, self._window[self._at : end]):
                        raise too_deep(self.position())
                    self._at = end
                    return value
            # The value may go on behind the window. Twice as much each time, so that no byte is parsed often.
            self._grow(wanted)
            wanted *= 2

    def _grow(self, wanted: int) -> None:
        if len(self._window) - self._at > ELEMENT_LIMIT:
            raise InputError(
                "record_too_large",
                f"The value at byte {self.position():,} is longer than {ELEMENT_LIMIT // 1024 // 1024} MiB.",
                suggestion="Split it, or name the array of rows inside the document with the option path.",
            )
        size = len(self._window)
        while len(self._window) - size < wanted and self._more():
            pass

    def _more(self) -> bool:
        """Read on. False at the end of the file."""
        if self._ended:
            return False
        self._source.seek(self._read)  # of a packed file, what lies before that is let go
        data = self._source.read(READ_BYTES)
        self._read += len(data)
        try:
            self._window += self._decode.decode(data, final=not data)
        except UnicodeDecodeError as error:
            self._at = len(self._window)
            raise not_json("The text is not UTF-8", self.position() + error.start) from None
        self._ended = not data
        return bool(data)

    def _cut(self) -> None:
        """Let go of what is behind, once that is much."""
        if self._at >= READ_BYTES:
            self.position()
            self._window, self._at, self._mark = self._window[self._at :], 0, 0


def is_too_deep(value: Any, text: str) -> bool:
    """Whether a value has more levels than anybody writes. Most texts have too few brackets to be looked at."""
    if text.count("[") + text.count("{") <= DEPTH_LIMIT:
        return False
    level, depth = [value] if isinstance(value, list | dict) else [], 0
    while level and depth <= DEPTH_LIMIT:
        inside = [outer.values() if isinstance(outer, dict) else outer for outer in level]
        level = [inner for values in inside for inner in values if isinstance(inner, list | dict)]
        depth += 1
    return depth > DEPTH_LIMIT


def too_deep(at: int) -> InputError:
    """The value at this byte has too many levels."""
    return InputError(
        "json_too_deep",
        f"The value at byte {at:,} is nested too deeply.",
        suggestion=f"Send data with at most {DEPTH_LIMIT} levels.",
    )


def not_json(why: str, at: int) -> InputError:
    """The file is not JSON from byte `at`."""
    return InputError(
        "not_json", f"The file is not JSON at byte {at:,}: {why}.", suggestion="Check the file where it was exported."
    )
