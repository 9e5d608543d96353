"""Checksums of bodies and files: RFC 9530's Content-Digest and Repr-Digest, and tus's Upload-Checksum."""

from __future__ import annotations

import binascii
import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping

import google_crc32c
from starlette.requests import Request

from service.domain.errors import InputError
from service.files.port import Digest, Files

DIGESTS: Mapping[str, Callable[[], Digest]] = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
"""Of RFC 9530, the algorithms that are not weak."""

CHECKSUMS: Mapping[str, Callable[[], Digest]] = {
    "sha1": hashlib.sha1,
    "sha256": hashlib.sha256,
    "crc32c": google_crc32c.Checksum,
}
"""Of tus."""

_MEMBER = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):\s*")


def digests_in(request: Request, field: str) -> dict[str, bytes]:
    """The digests of a field by algorithm, empty without one. Raises InputError: malformed, or none that is known."""
    if (given := request.headers.get(field)) is None:
        return {}
    found = {}
    for member in given.split(","):
        if not (parts := _MEMBER.fullmatch(member)):
            raise _invalid(f"{field} is not of the form algorithm=:base64:.")
        algorithm, value = parts.groups()
        if algorithm in DIGESTS:
            found[algorithm] = _decoded(value, field, DIGESTS[algorithm])
    if not found:
        raise _invalid(f"{field} names no algorithm that is known here.")
    return found


def checksum_in(request: Request) -> tuple[str, bytes] | None:
    """The algorithm and value of Upload-Checksum, if there is one. Raises InputError."""
    if (given := request.headers.get("upload-checksum")) is None:
        return None
    algorithm, _, value = given.strip().partition(" ")
    if algorithm not in CHECKSUMS:
        raise _invalid(f"Upload-Checksum names an algorithm that is not known: {algorithm!r}.")
    return algorithm, _decoded(value.strip(), "Upload-Checksum", CHECKSUMS[algorithm])


async def checked(
    files: Files, content: AsyncIterable[bytes], running: Digest, expected: bytes, mismatch: InputError
) -> AsyncIterator[bytes]:
    """The same bytes; at their end raises `mismatch` if they are not those that were meant."""
    async for piece in content:
        await files.feed(running, piece)
        yield piece
    if running.digest() != expected:
        raise mismatch


def checked_by(files: Files, content: AsyncIterable[bytes], digests: Mapping[str, bytes]) -> AsyncIterable[bytes]:
    """The same bytes, held against a request's Content-Digest."""
    for algorithm, expected in digests.items():
        mismatch = InputError(
            "digest_mismatch",
            f"The body's {algorithm} is not that of Content-Digest.",
            suggestion="Something changed the bytes on their way: send them again.",
        )
        content = checked(files, content, DIGESTS[algorithm](), expected, mismatch)
    return content


def repr_digest(sha256: bytes) -> str:
    """The value of Repr-Digest for a file."""
    return f"sha-256=:{b64encode(sha256).decode()}:"


def _decoded(value: str, field: str, algorithm: Callable[[], Digest]) -> bytes:
    try:
        decoded = b64decode(value, validate=True)
    except binascii.Error:
        raise _invalid(f"{field} has a value that is not base64.") from None
    if len(decoded) != len(algorithm().digest()):
        raise _invalid(f"{field} has a value of the wrong length.")
    return decoded


def _invalid(message: str) -> InputError:
    return InputError(
        "invalid_digest",
        message,
        suggestion=f"Use {', '.join(DIGESTS)} in Content-Digest and Repr-Digest, {', '.join(CHECKSUMS)} in tus.",
    )
