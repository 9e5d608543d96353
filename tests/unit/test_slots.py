"""The memory that a child shares with its parent."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from workers import slots
from workers.slots import SLOTS, Shelf, Slots

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason=f"{sys.platform} has no memfd")


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Slots, Shelf]]:
    monkeypatch.setattr(slots, "SLOT_BYTES", 1 << 16)
    parent = Slots()
    freed, *memory = parent.for_child
    yield parent, Shelf(freed, memory)
    parent.started()
    parent.close()


def test_the_parent_finds_what_the_child_has_put(shared: tuple[Slots, Shelf]) -> None:
    parent, shelf = shared
    for number in range(3 * SLOTS):
        put = shelf.put(iter([b"%d" % number, b"rows"]))
        assert isinstance(put, tuple)
        slot, length = put
        assert os.pread(parent.memory(slot, length), length, 0) == b"%drows" % number
        parent.free(slot)


def test_what_does_not_fit_is_given_back_whole_and_its_slot_used_again(shared: tuple[Slots, Shelf]) -> None:
    _, shelf = shared
    pieces = [bytes([number]) * 30_000 for number in range(4)]
    for _ in range(SLOTS + 1):
        put = shelf.put(iter(pieces))
        assert not isinstance(put, tuple)
        assert b"".join(put) == b"".join(pieces)


@pytest.mark.parametrize(("slot", "length"), [(-1, 1), (SLOTS, 1), (0, 0), (0, (1 << 16) + 1)])
def test_a_child_cannot_name_what_is_not_there(shared: tuple[Slots, Shelf], slot: int, length: int) -> None:
    with pytest.raises(ValueError, match="a child spoke of"):
        shared[0].memory(slot, length)
