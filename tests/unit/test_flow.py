"""The order of steps, references between them, and the export that is one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from uuid import UUID

import pytest

from service.domain.errors import InputError
from service.domain.flow import ancestors, in_order
from service.domain.processor import ExportFormat, NoOptions, Piece, Saved, Task
from service.domain.reference import resolved, within
from workers.processors import export

MADE = {"upload_id": "u", "rows": 3, "size_bytes": 9, "sha256": "00"}


def test_steps_that_need_nothing_keep_their_order() -> None:
    assert in_order({"c": (), "a": (), "b": ()}) == ["c", "a", "b"]


def test_each_step_comes_behind_all_that_it_needs() -> None:
    assert in_order({"d": ("b", "c"), "b": ("a",), "c": ("a",), "a": ()}) == ["a", "b", "c", "d"]


def test_the_ancestors_of_a_step_are_those_of_its_ancestors_too() -> None:
    assert ancestors({"c": ("b",), "b": ("a",), "a": (), "x": ()})["c"] == {"a", "b"}


def test_only_the_steps_of_the_circle_are_named() -> None:
    with pytest.raises(InputError, match="b → c → b") as caught:
        in_order({"a": (), "behind": ("b",), "b": ("a", "c"), "c": ("b",)})
    assert "behind" not in caught.value.message


def test_a_reference_has_exactly_one_member_and_it_is_a_text() -> None:
    assert list(within([{"$from": "a"}, {"x": {"$from": "b.c"}}, {"$from": 1}, {"$from": "d", "y": 1}])) == ["a", "b.c"]


@pytest.mark.parametrize("path", ["a.z", "a.list.2", "a.list.x", "a.n.x", "b", "b.x", "nothing"])
def test_what_is_not_there_is_a_missing_output(path: str) -> None:
    with pytest.raises(InputError) as caught:
        resolved({"x": {"$from": path}}, {"a": {"n": 1, "list": [1, 2]}, "b": None})
    assert caught.value.code == "missing_output"


class Endless:
    """Stores whose dataset has no end."""

    def __init__(self) -> None:
        self.is_saving = False

    async def rows(self, dataset: str, wanted: ExportFormat, *, as_is: bool = False) -> AsyncGenerator[Piece, None]:
        while True:
            await asyncio.sleep(0)
            yield Piece(b"x", 1)

    async def save(self, name: str, media_type: str, content: AsyncIterable[bytes]) -> Saved:
        self.is_saving = True
        try:
            async for _ in content:
                pass
        finally:
            self.is_saving = False
        return Saved(UUID(int=0), 0, "")


async def test_an_export_that_is_broken_off_leaves_nothing_running() -> None:
    stores = Endless()
    reports = export.run(Task({"dataset": "d"}, NoOptions(), None, stores))
    assert (await anext(reports)).done > 0
    assert stores.is_saving
    await reports.aclose()
    assert not stores.is_saving


async def test_an_export_whose_upload_is_there_makes_no_second_one() -> None:
    stores = Endless()
    (report,) = [report async for report in export.run(Task({"dataset": "d"}, NoOptions(), MADE, stores))]
    assert report.output == MADE
