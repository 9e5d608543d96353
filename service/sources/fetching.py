"""Opens a file elsewhere by its address: http and https through the guard, s3, gs and az as the operator has named."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from service.config import Settings
from service.domain.errors import InputError
from service.files.growing import too_large
from service.sources import guarded
from service.sources.addresses import networks_of

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Remote

PIECE_BYTES = 8 * 1024 * 1024
BUCKETS = ("s3", "gs", "az")

_FILENAME = re.compile(r"""filename\*=utf-8''([^;]+)|filename="((?:[^"\\]|\\.)*)"|filename=([^;\s]+)""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A file that can be read: what it is called there, and its size if that is told."""

    name: str
    media_type: str | None
    size_bytes: int | None
    content: AsyncIterable[bytes]


@asynccontextmanager
async def opened(url: str, settings: Settings) -> AsyncGenerator[Elsewhere, None]:
    """A file by its address.

    Raises InputError `invalid_url`, `address_refused`, `fetch_refused`, `source_unknown`; TooLarge by what the other
    side says of its size; Transient `upstream_unavailable`. All of it has to come within the time that is set.
    """
    kind = url.partition("://")[0]
    deadline = asyncio.timeout(settings.fetch_timeout_s)
    try:
        async with deadline:
            way = _in_bucket(url, settings) if kind in BUCKETS else _by_http(url, settings)
            async with way as found:
                if found.size_bytes is not None and found.size_bytes > settings.max_upload_bytes:
                    raise too_large(settings.max_upload_bytes)
                yield found
    except TimeoutError:
        if not deadline.expired():
            raise  # not ours
        raise guarded.unavailable(f"was not done within {settings.fetch_timeout_s:g} seconds") from None


@asynccontextmanager
async def _by_http(url: str, settings: Settings) -> AsyncGenerator[Elsewhere, None]:
    allowed = networks_of(settings.fetch_allow)
    async with (
        guarded.get(url, idle_s=settings.upload_idle_s, allowed=allowed) as answer,
        aclosing(answer.content()) as content,
    ):
        length = answer.headers.get("content-length", "")
        yield Elsewhere(
            name=_name_of(answer.headers.get("content-disposition", "")) or _last_part(answer.url),
            media_type=answer.headers.get("content-type"),
            size_bytes=int(length) if length.isdecimal() else None,
            content=content,
        )


@asynccontextmanager
async def _in_bucket(url: str, settings: Settings) -> AsyncGenerator[Elsewhere, None]:
    import obstore
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    from service.files.objects import remote

    prefix, options = _source_of(url, settings.sources)
    path = url[len(prefix) :].strip("/")
    store = remote(prefix, options, settings.store_timeout_s)
    try:
        found = await obstore.head_async(store, path)
    except FileNotFoundError:
        raise InputError("fetch_refused", "There is no such file.", suggestion="Check the address.") from None
    except (PermissionDeniedError, UnauthenticatedError):
        raise InputError("fetch_refused", "The store does not let Millrace read this file.") from None
    except BaseError as error:
        raise guarded.unavailable(type(error).__name__) from error
    async with aclosing(_pieces(store, path, found["size"], found["e_tag"])) as content:
        yield Elsewhere(path.rpartition("/")[2], None, found["size"], content)


async def _pieces(store: Remote, path: str, size: int, tag: str | None) -> AsyncGenerator[bytes, None]:
    """In requests of 8 MiB, all of the same version of the file."""
    import obstore
    from obstore.exceptions import BaseError, PreconditionError

    for start in range(0, size, PIECE_BYTES):
        try:
            answer = await obstore.get_async(
                store, path, options={"range": (start, min(start + PIECE_BYTES, size)), "if_match": tag}
            )
            yield bytes(await answer.bytes_async())
        except (FileNotFoundError, PreconditionError) as error:
            raise guarded.unavailable("changed the file while it was fetched") from error
        except BaseError as error:
            raise guarded.unavailable(type(error).__name__) from error


def _source_of(url: str, sources: Mapping[str, Mapping[str, str]]) -> tuple[str, Mapping[str, str]]:
    """The longest configured beginning of an address. Raises InputError `source_unknown`, `invalid_url`."""
    parts = url.split("/")[3:]
    if not parts or {"", ".", ".."} & set(parts) or not url.isprintable() or {"?", "#"} & set(url):
        raise InputError("invalid_url", "This is not the address of a file in a bucket.")
    fitting = [prefix for prefix in sources if url.startswith(prefix.rstrip("/") + "/")]
    if not fitting:
        raise InputError(
            "source_unknown",
            "Files may not be fetched from there.",
            suggestion="Have the operator name the bucket in MILLRACE_SOURCES.",
        )
    longest = max(fitting, key=len)
    return longest, sources[longest]


def _name_of(disposition: str) -> str | None:
    if not (found := _FILENAME.search(disposition)):
        return None
    encoded, in_quotes, bare = found.groups()
    return unquote(encoded) if encoded else re.sub(r"\\(.)", r"\1", in_quotes) if in_quotes else bare


def _last_part(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])
