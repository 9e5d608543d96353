"""The master keys, with which the keys of files are locked into seals.

The first of them locks; all of them open. To change it, put a new one in front: every seal is locked anew by the
upkeep, and the old one may go. A seal is 70 bytes: version, whether the file is packed, the first 8 bytes of the
SHA-256 of its master key, a nonce, and the file's key under AES-256-GCM, bound to the upload's id.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.domain.errors import Transient
from service.files.frames import Frames, damaged
from service.files.port import File

KEY_BYTES = 32

_VERSION = 1
_HEAD = struct.Struct("<B?8s12s")
_BOUND = struct.Struct("<B?16s")
_NAME = slice(2, 10)


class Masters:
    """The master keys of this installation, the current one first."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {name_of(key): AESGCM(key) for key in keys}
        self.current = name_of(keys[0])

    def new(self, upload_id: UUID, *, packed: bool) -> File:
        """A file with a fresh key."""
        return File(upload_id, self._locked(upload_id, secrets.token_bytes(KEY_BYTES), packed))

    def frames(self, file: File) -> Frames:
        """What seals and opens the frames of a file. Raises Transient `key_missing`, InputError `upload_damaged`."""
        key, packed = self._unlocked(file)
        return Frames(file.upload_id, key, packed=packed)

    def rewrapped(self, file: File) -> bytes | None:
        """The seal under the current master key, None if it is so already."""
        if file.seal is None or file.seal[_NAME] == self.current:
            return None
        return self._locked(file.upload_id, *self._unlocked(file))

    def _locked(self, upload_id: UUID, key: bytes, packed: bool) -> bytes:
        nonce = os.urandom(12)
        locked = self._keys[self.current].encrypt(nonce, key, _BOUND.pack(_VERSION, packed, upload_id.bytes))
        return _HEAD.pack(_VERSION, packed, self.current, nonce) + locked

    def _unlocked(self, file: File) -> tuple[bytes, bool]:
        assert file.seal is not None
        try:
            version, packed, name, nonce = _HEAD.unpack_from(file.seal)
            if (master := self._keys.get(name)) is None:
                raise key_missing()
            key = master.decrypt(nonce, file.seal[_HEAD.size :], _BOUND.pack(version, packed, file.upload_id.bytes))
        except (struct.error, InvalidTag):
            raise damaged() from None
        return key, packed


def name_of(key: bytes) -> bytes:
    """How seals name the master key that they are locked with."""
    return hashlib.sha256(b"millrace master key" + key).digest()[:8]


def parsed(text: str) -> list[bytes]:
    """Keys of 64 hexadecimal digits, one a line or between commas. Raises ValueError."""
    words = text.replace(",", " ").split()
    if not words or any(len(word) != 2 * KEY_BYTES for word in words):
        raise ValueError("master keys are 64 hexadecimal digits each: `openssl rand -hex 32` makes one")
    return [bytes.fromhex(word) for word in words]


def kept_keys(path: Path) -> list[bytes]:
    """The keys in a file that only its owner may read, with one made up if it is not there. Raises ValueError."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}-{uuid4()}")
        try:
            draft.touch(0o600, exist_ok=False)
            with draft.open("w") as file:
                file.write(secrets.token_hex(KEY_BYTES) + "\n")
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):  # another process was first: its key is everybody's
                os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)
    return parsed(path.read_text("ascii"))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: else a power cut may forget a new one."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def key_missing() -> Transient:
    """The seal names a master key that is not ours. Nothing is lost: the file opens again once the key is there."""
    return Transient(
        "key_missing",
        "The master key of this file is not known here.",
        suggestion="Put it back into MILLRACE_MASTER_KEYS or the file master-keys: every process needs the same ones.",
        retry_after_s=60,
    )
