"""multipart/form-data as a stream of parts, none of which is ever held in memory or in a temporary file."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from service.domain.errors import InputError, TooLarge

MOST_PARTS = 1_000
FIELD_BYTES = 64 * 1024

_BEGIN, _DATA, _END, _DONE = range(4)
_Event = tuple[int, bytes | dict[str, bytes]]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form; a file if it has a `file_name`. Read its content before the next part is asked for."""

    name: str
    file_name: str | None
    media_type: str | None
    content: AsyncIterator[bytes]

    async def text(self) -> str:
        """The value of a field. Raises TooLarge over FIELD_BYTES, InputError."""
        value = bytearray()
        async for piece in self.content:
            value += piece
            if len(value) > FIELD_BYTES:
                raise TooLarge("too_large", f"The field {self.name!r} is over {FIELD_BYTES} bytes.")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise _invalid(f"The field {self.name!r} is not UTF-8.") from None


def boundary_of(request: Request) -> bytes | None:
    """The boundary of a form; None if the body is none. Raises InputError: a form without one."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        return None
    if not (boundary := options.get(b"boundary")):
        raise _invalid("The Content-Type of the form has no boundary.")
    return bytes(boundary)


async def parts_of(content: AsyncIterable[bytes], boundary: bytes) -> AsyncIterator[Part]:
    """The parts of a form, in their order, each while it comes. Raises InputError `invalid_multipart`, TooLarge."""
    async with aclosing(_events(content, boundary)) as events:  # type: ignore[type-var]
        number = 0
        async for event, headers in events:
            if event == _DONE:
                return
            number += 1
            if number > MOST_PARTS:
                raise TooLarge("too_large", f"The form has more than {MOST_PARTS} parts.")
            assert isinstance(headers, dict)
            async with aclosing(_content(events)) as rest:  # type: ignore[type-var]
                yield _part(headers, rest)
                async for _ in rest:  # what its reader left
                    pass


async def _content(events: AsyncIterator[_Event]) -> AsyncIterator[bytes]:
    async for event, data in events:
        if event == _END:
            return
        assert isinstance(data, bytes)
        yield data


def _part(headers: dict[str, bytes], content: AsyncIterator[bytes]) -> Part:
    disposition, options = parse_options_header(headers.get("content-disposition", b""))
    if disposition != b"form-data" or b"name" not in options:
        raise _invalid("A part of the form has no name.")
    file_name = options.get(b"filename")
    media_type = headers.get("content-type")
    return Part(
        options[b"name"].decode("utf-8", "replace"),
        None if file_name is None else file_name.decode("utf-8", "replace"),
        None if media_type is None else media_type.decode("latin-1"),
        content,
    )


async def _events(content: AsyncIterable[bytes], boundary: bytes) -> AsyncIterator[_Event]:
    found: deque[_Event] = deque()
    try:
        parser = _parser(boundary, found)
        async for piece in content:
            parser.write(bytes(piece))  # it hands out slices, of bytes only if it got such
            while found:
                yield found.popleft()
        parser.finalize()
    except FormParserError as error:
        raise _invalid(f"The form cannot be read: {error}.") from error
    while found:
        yield found.popleft()
    raise _invalid("The form ends in the middle.")


def _parser(boundary: bytes, found: deque[_Event]) -> MultipartParser:
    headers: dict[str, bytes] = {}
    field, value = bytearray(), bytearray()

    def header_ended() -> None:
        headers[field.decode("latin-1").lower()] = bytes(value)
        field.clear()
        value.clear()

    def headers_ended() -> None:
        found.append((_BEGIN, dict(headers)))
        headers.clear()

    return MultipartParser(
        boundary,
        {
            "on_header_field": lambda data, start, end: field.extend(data[start:end]),
            "on_header_value": lambda data, start, end: value.extend(data[start:end]),
            "on_header_end": header_ended,
            "on_headers_finished": headers_ended,
            "on_part_data": lambda data, start, end: found.append((_DATA, data[start:end])),
            "on_part_end": lambda: found.append((_END, b"")),
            "on_end": lambda: found.append((_DONE, b"")),
        },
    )


def _invalid(message: str) -> InputError:
    return InputError("invalid_multipart", message, suggestion="Let your HTTP client build the form.")
