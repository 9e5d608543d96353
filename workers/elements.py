"""The elements of a JSON document's array, one at a time: a file of any size in the memory of its largest element.

RFC 8259 to the letter: no NaN, no comments, nothing behind the end. Positions are byte offsets into UTF-8.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

from service.domain.errors import InputError
from workers.exact import Decimal, refuse

ELEMENT_LIMIT = 16 * 1024 * 1024
"""Bytes of one element, which is in memory as a whole."""
READ_BYTES = 256 * 1024

_BLANK = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Element:
    """A value of the array, the byte where it starts, and where reading goes on behind it."""

    value: Any
    text: str
    start: int
    end: int


def elements(source: BinaryIO, path: Sequence[str], offset: int = 0) -> Iterator[Element]:
    """The elements of the array under `path` of keys, or the one value there if it is none.

    `offset` is 0 or the end of an element; behind it nothing of what came before is looked at again. Raises InputError
    `not_json` with its position, `path_not_found`, `json_too_deep`, `record_too_large`.
    """
    text = _Text(source, offset)
    closing: list[str] = []
    if offset == 0:
        for key in path:
            text.take("{", f"the object that should hold {key!r}")
            text.enter(key)
            closing.append("}")
        if text.peek() != "[":
            yield text.value()
            _end(text, closing)
            return
        text.take("[", "an array")
        is_first = True
    else:
        closing = ["}"] * len(path)
        is_first = False
    while True:
        mark = text.peek()
        if mark == "]":
            text.take("]", "the end of the array")
            _end(text, closing)
            return
        if not is_first:
            text.take(",", "a comma or the end of the array")
        is_first = False
        yield text.value()


def _end(text: _Text, closing: list[str]) -> None:
    """What is left behind the array must still be JSON, and nothing else may follow."""
    for mark in closing:
        while text.peek() == ",":
            text.take(",", "a comma")
            text.key()
            text.skip()
        text.take(mark, "a comma or the end of the object")
    if text.peek():
        text.fail("Nothing may follow the document's end")


class _Text:
    """The file as text: a window of it, and a place in that."""

    def __init__(self, source: BinaryIO, offset: int) -> None:
        source.seek(offset)
        self._source = source
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._window = ""
        self._at = 0
        self._start = offset  # the byte at which the window starts
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
        start = self.position()
        value = self._parsed()
        text = self._window[: self._at]
        return Element(value, text, start, start + len(text.encode()))

    def key(self) -> str:
        """Go behind a key and its colon, and give it."""
        if self.peek() != '"':
            self.fail("Expected a key in double quotes")
        self._cut()
        key = self._parsed()
        self.take(":", "a colon")
        return str(key)

    def skip(self) -> None:
        """Go behind the next value, which may be larger than memory: arrays and objects are gone through by parts."""
        opening = self.peek()
        if opening not in "[{" or not opening:
            self.value()
            return
        closing = "]" if opening == "[" else "}"
        self._at += 1
        if self.peek() == closing:
            self._at += 1
            return
        while True:
            if opening == "{":
                self.key()
            self.value()
            if self.peek() == closing:
                self._at += 1
                return
            self.take(",", "a comma or the end")

    def enter(self, wanted: str) -> None:
        """Go behind the colon of this key of the object just opened. Raises InputError `path_not_found`."""
        seen: list[str] = []
        while self.peek() != "}":
            if seen:
                self.take(",", "a comma or the end of the object")
            seen.append(key := self.key())
            if key == wanted:
                return
            self.skip()
        raise InputError(
            "path_not_found",
            f"The document has no {wanted!r} there; it has {', '.join(map(repr, seen[:10])) or 'nothing'}.",
            suggestion="Give the option path as keys with dots between, such as path=data.items.",
        )

    def position(self) -> int:
        """The byte of the place."""
        return self._start + len(self._window[: self._at].encode())

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
                    self._at = error.pos
                    self.fail(error.msg)
            except RecursionError:
                raise InputError(
                    "json_too_deep",
                    f"The value at byte {self.position():,} is nested too deeply.",
                    suggestion="Send data with at most some hundred levels.",
                ) from None
            except ValueError as error:
                self.fail(str(error))
            else:
                if end < len(self._window) or self._ended or isinstance(value, str | list | dict):
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
        data = self._source.read(READ_BYTES)
        try:
            self._window += self._decode.decode(data, final=not data)
        except UnicodeDecodeError as error:
            at = self._start + len(self._window.encode()) + error.start
            raise not_json("The text is not UTF-8", at) from None
        self._ended = not data
        return bool(data)

    def _cut(self) -> None:
        """Let go of what is behind."""
        self._start = self.position()
        self._window, self._at = self._window[self._at :], 0


def not_json(why: str, at: int) -> InputError:
    """The file is not JSON from byte `at`."""
    return InputError(
        "not_json", f"The file is not JSON at byte {at:,}: {why}.", suggestion="Check the file where it was exported."
    )
