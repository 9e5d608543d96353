"""An HTTP client for addresses that strangers give: it connects only to where `addresses` lets it.

A name is resolved once, here, and the connection goes to the address that was looked at: a name that resolves to
something else the next moment changes nothing. No proxy and no credential of the environment is used.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

import certifi
import httpcore

from service import __version__
from service.domain.errors import InputError, Transient
from service.sources.addresses import Network, may_fetch, parsed

MAX_REDIRECTS = 5
CONNECT_S = 10.0
URL_LIMIT = 8192

_REDIRECTS = (301, 302, 303, 307, 308)
_LATER = (408, 425, 429)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a server that has something to give; `content` reads it."""

    url: str
    headers: dict[str, str]
    response: httpcore.Response

    async def content(self) -> AsyncGenerator[bytes, None]:
        """The body. Raises Transient `upstream_unavailable` when it breaks off or stalls."""
        try:
            async for piece in self.response.aiter_stream():
                yield piece
        except (*_TROUBLE, TimeoutError) as error:
            raise unavailable(f"broke off: {type(error).__name__}") from error


@asynccontextmanager
async def get(url: str, *, idle_s: float, allowed: Sequence[Network] = ()) -> AsyncGenerator[Answer, None]:
    """What a GET gives, behind at most 5 redirects, each of which is looked at like the first address.

    Raises InputError `invalid_url`, `address_refused`, `fetch_refused` (the server says no); Transient
    `upstream_unavailable`.
    """
    limits = {"connect": CONNECT_S, "read": idle_s, "write": idle_s, "pool": CONNECT_S}
    backend = Guard(allowed)
    context = ssl.create_default_context(cafile=certifi.where())
    async with httpcore.AsyncConnectionPool(context, network_backend=backend, http1=True) as pool:
        for _ in range(MAX_REDIRECTS + 1):
            where = checked(url)
            try:
                response = await pool.handle_async_request(
                    httpcore.Request("GET", url, headers=_headers(where), extensions={"timeout": limits})
                )
            except _TROUBLE as error:
                raise unavailable(type(error).__name__) from error
            try:
                headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                if response.status not in _REDIRECTS:
                    _check(response.status, headers)
                    yield Answer(url, headers, response)
                    return
                url = _redirected(url, where, headers)
            finally:
                await response.aclose()
    raise InputError("fetch_refused", f"There were more than {MAX_REDIRECTS} redirects.")


def checked(url: str) -> SplitResult:
    """The parts of an address that may be asked. Raises InputError `invalid_url`."""
    try:
        where = urlsplit(url)
        fits = (
            where.scheme in ("http", "https")
            and where.hostname
            and len(url) <= URL_LIMIT
            and url.isascii()
            and url.isprintable()
            and " " not in url
            and (where.port is None or where.port > 0)
        )
    except ValueError:
        fits = False
    if not fits:
        raise InputError(
            "invalid_url", "This is not the http or https address of a file.", suggestion="Give it percent-encoded."
        )
    if "@" in where.netloc:
        raise InputError(
            "invalid_url", "The address has a name or password in it.", suggestion="Use a signed address instead."
        )
    return where


class Guard(httpcore.AsyncNetworkBackend):
    """Connects to addresses that may be fetched from, and to no other."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._inner = httpcore.AnyIOBackend()
        self._allowed = allowed

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to one of the addresses of a name, if all of them may be fetched from."""
        found = await self._resolved(host, port, timeout or CONNECT_S)
        if not all(may_fetch(parsed(address), self._allowed) for address in found):
            raise InputError(
                "address_refused",
                f"{host} is not a public address.",
                suggestion="Fetch from public servers, or have the operator allow it in MILLRACE_FETCH_ALLOW.",
            )
        for address in found[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(found[-1], port, timeout, local_address, socket_options)

    async def _resolved(self, host: str, port: int, timeout_s: float) -> list[str]:
        try:
            async with asyncio.timeout(timeout_s):
                infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
            raise httpcore.ConnectError(f"{host} does not resolve") from error
        return list(dict.fromkeys(str(info[4][0]) for info in infos))


def _headers(where: SplitResult) -> list[tuple[str, str]]:
    return [
        ("Host", where.netloc),
        ("User-Agent", f"millrace/{__version__}"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
    ]


def _redirected(url: str, where: SplitResult, headers: dict[str, str]) -> str:
    location = headers.get("location")
    if not location:
        raise InputError("fetch_refused", "The server redirects to nowhere.")
    following = urljoin(url, location).partition("#")[0]
    if where.scheme == "https" and urlsplit(following).scheme == "http":
        raise InputError("fetch_refused", "The server redirects from https to http.")
    return following


def _check(status: int, headers: dict[str, str]) -> None:
    if status in _LATER or status >= 500:
        raise unavailable(f"answered {status}")
    if status != 200:
        raise InputError(
            "fetch_refused", f"The server answered {status}.", suggestion="Open the address yourself, signed out."
        )
    if headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise InputError(
            "fetch_refused",
            "The server sends the file in an encoding that was not asked for.",
            suggestion="Have it send the file as it is, or upload it yourself.",
        )


def unavailable(what: str) -> Transient:
    """The other side does not answer, or not as it should."""
    return Transient(
        "upstream_unavailable",
        f"The server of this address {what}." if " " in what else f"The server cannot be reached ({what}).",
        suggestion="Try again later, or upload the file yourself.",
        retry_after_s=30,
    )


_TROUBLE = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    ssl.SSLError,
)
