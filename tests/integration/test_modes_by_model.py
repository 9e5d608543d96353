"""Random imports in random modes against a model in a few lines; then undone, backwards or in any order.

`MODES_SEED` begins elsewhere, `MODES_RUNS` takes more of them.
"""

from __future__ import annotations

import copy
import os
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.conftest import StartService
from tests.running import Json, Service, imported, rows_of, settled

SEED = int(os.environ.get("MODES_SEED", "20261123"))
RUNS = int(os.environ.get("MODES_RUNS", "4"))
IMPORTS = 7
COLUMNS = ("id", "a", "b")

Row = dict[str, Any]


@dataclass
class Import:
    """A file, the columns it has, and how its rows are to meet those there."""

    mode: str
    keyed: bool
    on_conflict: str
    columns: tuple[str, ...]
    rows: list[Row]
    conflict_on: str | None = None

    @property
    def options(self) -> dict[str, str]:
        options = {"header": "true", "mode": self.mode}
        if not self.keyed:
            return options
        options |= {"keys": "id", "on_conflict": self.on_conflict}
        options |= {"newer_by": "b"} if self.on_conflict == "newer" else {}
        return options | ({"conflict_on": self.conflict_on} if self.conflict_on else {})

    @property
    def content(self) -> bytes:
        lines = [self.columns] + [
            tuple("" if row[c] is None else str(row[c]) for c in self.columns) for row in self.rows
        ]
        return "".join(",".join(line) + "\n" for line in lines).encode()


@dataclass
class Model:
    """A dataset: its rows with lineage, and whether it has the key `id`."""

    rows: list[Row] = field(default_factory=list)
    has_key: bool = False

    def take(self, asked: Import, job: str) -> Json | None:
        """The counts of an import, None if it cannot be made."""
        if asked.mode == "upsert" and not self.has_key and not self._allows_key():
            return None
        self.has_key |= asked.keyed
        rows = [] if asked.mode == "replace" else self.rows
        counts = dict.fromkeys(("inserted", "updated", "skipped", "rejected"), 0)
        for number, row in enumerate(asked.rows, start=1):
            counts[self._meet(rows, asked, row | {"_job": job, "_row": number})] += 1
        self.rows = rows
        return {"read": len(asked.rows)} | counts

    def _meet(self, rows: list[Row], asked: Import, row: Row) -> str:
        there = next((other for other in rows if self.has_key and other["id"] == row["id"]), None)
        if self.has_key and row["id"] is None:
            return "rejected"
        if there is None:
            rows.append(dict.fromkeys(COLUMNS) | row)
            return "inserted"
        if asked.mode == "append":
            return "rejected"
        apart = asked.conflict_on
        if apart in asked.columns and there[apart] != row[apart]:
            return "skipped"
        if asked.on_conflict == "newer" and (row["b"] is None or row["b"] <= (there["b"] or 0)):
            return "skipped"
        changed = COLUMNS if asked.on_conflict == "replace" else asked.columns
        if asked.on_conflict == "skip" or all(there[column] == row.get(column) for column in changed):
            return "skipped"
        there |= {column: row.get(column) for column in (*changed, "_job", "_row")}
        return "updated"

    def _allows_key(self) -> bool:
        ids = [row["id"] for row in self.rows]
        return None not in ids and len(set(ids)) == len(ids)


def any_import(dice: random.Random, modes: tuple[str, ...]) -> Import:
    mode = dice.choice(modes)
    keyed = mode == "upsert" or (mode == "replace" and dice.random() < 0.5)
    on_conflict = dice.choice(("update", "update", "skip", "replace", "newer", "newer")) if keyed else "update"
    columns = dice.choice(
        (COLUMNS, COLUMNS, *([("id", "b")] if on_conflict == "newer" else [("a", "id"), ("id", "b")]))
    )
    conflict_on = dice.choice((None, None, "a")) if keyed else None
    rows = [any_row(dice, columns) for _ in range(dice.randint(1, 14))]
    return Import(mode, keyed, on_conflict, columns, rows, conflict_on)


def any_row(dice: random.Random, columns: tuple[str, ...]) -> Row:
    row = {
        "id": dice.choice((*range(1, 9), *range(1, 30), None)),
        "a": dice.choice(("x", "y", "z", None)),
        "b": dice.choice((1, 2, None)),
    }
    return {name: value for name, value in row.items() if name in columns}


async def seen(service: Service, dataset: str) -> list[str]:
    return sorted(str(sorted(row.items())) for row in await rows_of(service.client, dataset))


def wanted(rows: list[Row]) -> list[str]:
    return sorted(str(sorted(row.items())) for row in rows)


async def undo(service: Service, job: Json) -> None:
    answer = await service.client.post(job["links"]["undo"])
    if job["counts"]["inserted"] + job["counts"]["updated"] == 0:
        assert answer.json()["code"] == "cannot_undo"
        return
    assert answer.status_code == 202, answer.text
    assert (await settled(service.client, answer.json()))["state"] == "completed"


async def begun(service: Service, dataset: str) -> Model:
    """A dataset with one row and the model of it: every import behind it finds the columns settled."""
    first = await imported(service.client, b"id,a,b\n1,x,1\n", dataset, header="true")
    return Model([{"id": 1, "a": "x", "b": 1, "_job": first["id"], "_row": 1}])


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("chunk_bytes", [16, 1_000_000])
async def test_imports_do_what_the_model_says_and_undone_backwards_lead_back(
    start_service: StartService, run: int, chunk_bytes: int
) -> None:
    service, dice = await start_service(chunk_bytes=chunk_bytes), random.Random(SEED + run)
    model = await begun(service, "modelled")
    former: list[tuple[Json, list[Row]]] = []
    for _ in range(IMPORTS):
        asked = any_import(dice, ("append", "upsert", "upsert", "upsert", "replace"))
        before = copy.deepcopy(model.rows)
        job = await imported(service.client, asked.content, "modelled", **asked.options)
        counts = model.take(asked, job["id"])
        if counts is None:
            assert (job["state"], job["problem"]["code"]) == ("failed", "keys_not_unique")
        else:
            assert (job["state"], job["counts"]) == ("completed", counts), (asked, before)
            former.append((job, before))
        assert await seen(service, "modelled") == wanted(model.rows), (asked, before)
    for job, before in reversed(former):
        await undo(service, job)
        assert await seen(service, "modelled") == wanted(before), job["options"]


@pytest.mark.parametrize("run", range(RUNS))
async def test_undone_in_any_order_nothing_is_left_of_them(service: Service, run: int) -> None:
    dice, dataset = random.Random(SEED + run), f"any_order_{run}"
    model = await begun(service, dataset)
    first, jobs = copy.deepcopy(model.rows), []
    for _ in range(IMPORTS):
        asked = any_import(dice, ("append", "upsert", "upsert"))
        job = await imported(service.client, asked.content, dataset, **asked.options)
        if model.take(asked, job["id"]) is not None:
            jobs.append(job)
    dice.shuffle(jobs)
    for job in jobs:
        await undo(service, job)
    assert await seen(service, dataset) == wanted(first)
