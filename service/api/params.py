"""Reads ids, limits, cursors and JSON bodies out of requests, and says clearly what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Annotated, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError
from starlette.requests import Request

from service.domain.errors import InputError, NotFound, TooLarge, faults_of

MAX_JSON_BYTES = 1024 * 1024
MAX_PAGE = 1_000

Model = TypeVar("Model", bound=BaseModel)
Item = TypeVar("Item")
Word = TypeVar("Word", bound=str)

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
]
"""What people call a thing: one line of text."""


def uuid_of(request: Request, what: str) -> UUID:
    """The id in the path. Something that is no id names nothing, so it is NotFound."""
    given = request.path_params["id"]
    try:
        return UUID(given)
    except ValueError:
        raise NotFound(what, given) from None


def whole(text: str) -> int | None:
    """A whole number of at most 19 digits, None if the text is none: Python refuses to read very long ones."""
    return int(text) if text.isdecimal() and len(text) <= 19 else None


def number_of(request: Request, name: str, *, default: int, low: int, high: int) -> int:
    """A whole number among the query parameters. Raises InputError outside low…high."""
    return number_in(request.query_params.get(name, str(default)), name, low=low, high=high)


def number_in(given: str, name: str, *, low: int, high: int) -> int:
    """A whole number that is a parameter's value. Raises InputError outside low…high."""
    number = whole(given)
    if number is not None and low <= number <= high:
        return number
    raise InputError(f"invalid_{name}", f"{name}={given!r} is not usable.", suggestion=f"Use {low} to {high}.")


def word_of(given: str | None, name: str) -> str | None:
    """A key made up by the caller, at most 200 characters. Raises InputError."""
    if given is None or 1 <= len(given) <= 200:
        return given
    raise InputError(f"invalid_{name}", f"The {name} is not usable.", suggestion="Use 1 to 200 characters.")


def moment_of(request: Request, name: str) -> datetime | None:
    """A moment with its time zone among the query parameters. Raises InputError."""
    return moment_in(request.query_params.get(name), name)


def moment_in(given: str | None, name: str) -> datetime | None:
    """A moment with its time zone that is a parameter's value. Raises InputError."""
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given.replace(" ", "+"))  # a bare + in a query means a space
        if moment.tzinfo is not None:
            return moment
    except ValueError:
        pass
    raise InputError(
        f"invalid_{name}", f"{name}={given!r} is no moment.", suggestion="For example: 2026-12-24T18:00:00+01:00"
    )


def choice_of(request: Request, name: str, default: str, *others: str) -> str:
    """One of a few words among the query parameters. Raises InputError."""
    return choice_in(request.query_params.get(name, default), name, default, *others)


def choice_in(given: str, name: str, *words: str) -> str:
    """One of a few words that is a parameter's value. Raises InputError."""
    if given in words:
        return given
    usable = " or ".join(f"{name}={word}" for word in words)
    raise InputError("invalid_choice", f"{name}={given!r} is not usable.", suggestion=f"Use {usable}.")


def word_among(request: Request, name: str, words: Sequence[Word]) -> Word | None:
    """One of a few words among the query parameters, or none. Raises InputError."""
    given = request.query_params.get(name)
    if given is None:
        return None
    for word in words:
        if word == given:
            return word
    raise InputError(f"invalid_{name}", f"{given!r} is no {name}.", suggestion=f"Use one of: {', '.join(words)}.")


def hex_of(request: Request, name: str, size_bytes: int) -> bytes | None:
    """Bytes in hexadecimal among the query parameters. Raises InputError."""
    given = request.query_params.get(name)
    try:
        value = None if given is None else bytes.fromhex(given)
    except ValueError:
        value = b""
    if value is None or len(value) == size_bytes:
        return value
    raise InputError(
        "invalid_value", f"{name}={given!r} is not usable.", suggestion=f"Use {2 * size_bytes} hexadecimal digits."
    )


def limit_of(request: Request) -> int:
    """How many things a page may hold."""
    return number_of(request, "limit", default=100, low=1, high=MAX_PAGE)


def cursor_id(request: Request) -> UUID | None:
    """The id that a list goes on behind. Raises InputError."""
    cursor = request.query_params.get("cursor")
    try:
        return None if cursor is None else UUID(cursor)
    except ValueError:
        raise InputError(
            "invalid_cursor", f"{cursor!r} is no cursor.", suggestion="Pass next_cursor of the page before, unchanged."
        ) from None


def next_cursor(found: Sequence[Item], limit: int, place: Callable[[Item], object]) -> str | None:
    """The cursor of the page behind a full one: the `place` of its last item."""
    return str(place(found[-1])) if len(found) == limit else None


async def json_of(request: Request, model: type[Model]) -> Model:
    """The JSON body as `model`. Raises InputError with the faults named, TooLarge over 1 MiB."""
    body = await _body(request)
    with _faults_told():
        return model.model_validate_json(body)


async def one_or_many(request: Request, model: type[Model], most: int) -> Model | list[Model]:
    """The JSON body as `model`, or as a list of up to `most` of them. Raises as `json_of` does."""
    body = await _body(request)
    with _faults_told():
        if body.lstrip().startswith(b"["):
            found: list[Model] = _list_of(model, most).validate_json(body)
            return found
        return model.model_validate_json(body)


@cache
def _list_of(model: type[Model], most: int) -> TypeAdapter[list[Model]]:
    return TypeAdapter(Annotated[list[model], Field(min_length=1, max_length=most)])  # type: ignore[arg-type,valid-type]


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_JSON_BYTES:
            raise TooLarge("too_large", "The JSON body is over 1 MiB.", suggestion="Upload files to /v1/uploads.")
    return bytes(body)


@contextmanager
def _faults_told() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise InputError(
            "invalid_request",
            f"The request does not fit: {faults_of(error, 'body')}.",
            suggestion="See /openapi.json for its form.",
        ) from error
