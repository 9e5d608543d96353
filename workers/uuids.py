"""UUIDs as text to their 16 bytes, a whole column at a time."""

from __future__ import annotations

import binascii

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from workers.cells import flags, kept, lengths, octets

_HYPHENS = (8, 13, 18, 23)
_GROUPS = [("a", "u8"), ("b", "u4"), ("c", "u4"), ("d", "u4"), ("e", "u8"), ("f", "u4")]
_WRITTEN = np.dtype(
    {
        "names": [name for name, _ in _GROUPS],
        "formats": [kind for _, kind in _GROUPS],
        "offsets": [0, 9, 14, 19, 24, 32],
        "itemsize": 36,
    }
)
_DIGITS = np.dtype(_GROUPS)
"""The digits with the hyphens and without: what is copied is six numbers, and not 32 digits."""
_IS_HEX = np.isin(np.arange(256), list(b"0123456789abcdefABCDEF"))


def uuids(cells: pa.Array) -> pa.Array:
    """The canonical forms among these cells as 16 bytes, null for all others."""
    is_long = (lengths(cells) == 36) & flags(cells.is_valid())
    long = cells if is_long.all() else cells.filter(pa.array(is_long))
    raw, good = _sixteen(np.frombuffer(octets(long), np.uint8).reshape(-1, 36))
    values = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(long), [None, pa.py_buffer(raw)])
    values = values if good.all() else kept(values, pa.array(good))
    return values if len(values) == len(cells) else values.take(pa.array(np.cumsum(is_long) - 1, mask=~is_long))


def _sixteen(text: npt.NDArray[np.uint8]) -> tuple[bytes, npt.NDArray[np.bool_]]:
    """The 16 bytes of each form, and which of them are right."""
    good = np.full(len(text), True)
    for place in _HYPHENS:
        good &= text[:, place] == ord("-")
    written, digits = text.view(_WRITTEN)[:, 0], np.empty(len(text), _DIGITS)
    for name, _ in _GROUPS:
        digits[name] = written[name]
    bare = digits.view(np.uint8).reshape(-1, 32)
    try:
        return binascii.unhexlify(bare.data), good
    except binascii.Error:
        right = _IS_HEX[bare].all(axis=1)
        bare[~right] = ord("0")
        return binascii.unhexlify(bare.data), good & right
