"""Runs a preview: reads a file as an import would, counts what would become of its rows, and stores nothing else."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from service.domain.chunk import TooNarrow
from service.domain.dataset import Dataset, columns_from_json, columns_to_json
from service.domain.errors import InputError, NotFound
from service.domain.processor import Processor
from service.domain.tolerance import Tolerance
from service.store import claims, datasets, uploads, widenings
from service.store.claims import Claim, Settlement
from workers import landing, outcome
from workers.committer import Interrupted
from workers.inputs import Input
from workers.landing import Landed
from workers.previews import ROWS
from workers.rehearsing import Rehearsal, keys_of, rehearsal
from workers.tools import Tools

SAMPLE_BYTES = 1024 * 1024
"""How much of the input a sample is, in whole chunks."""

REPORT_EVERY_S = 0.5


async def preview(
    tools: Tools, claim: Claim, processor: Processor, order: Mapping[str, Any], file: Input
) -> Settlement:
    """Look at the file to its end, or at its beginning. Raises LeaseLost, Interrupted, or what the child raises."""
    asked = claim.input["preview"]
    dataset = await _dataset(tools, claim, asked["dataset"])
    columns = None if dataset is None or dataset.columns is None else columns_to_json(dataset.columns)
    options = landing.options_of(processor, claim)
    has_key = bool(keys_of(options, dataset))
    request = {**order, "cursor": None, "columns": columns, "preview": "rows" if has_key else "counts"}
    types, steps = dict[str, Any](), Counter[str]()  # as an import would widen them, where the columns are not given
    widened = 0
    while True:
        may_widen = columns is None and widened < widenings.MOST
        widens = {"types": list(types.values()), "steps": steps, "misfits": {}} if may_widen else None
        try:
            async with rehearsal(tools, claim, options, dataset) as stage:
                seen = await _look(
                    tools, claim, {**request, "widens": widens}, file, stage, is_sample=asked["scope"] == "sample"
                )
            break
        except TooNarrow as found:
            widened += len(found.widenings)
            for widening in found.widenings:
                (types[widening.new.name],) = columns_to_json([widening.new])
                steps[widening.new.name] += widening.steps
    output = {
        "processor": processor.name,
        "scope": asked["scope"],
        "recognised": asked.get("recognised"),
        "dataset": asked["dataset"] and {"name": asked["dataset"], "exists": dataset is not None},
        **seen.told(Tolerance.of(claim.options)),
    }
    return outcome.done(_readable(output))


async def _look(
    tools: Tools, claim: Claim, request: Mapping[str, Any], file: Input, stage: Rehearsal, *, is_sample: bool
) -> Seen:
    seen = Seen()
    async with tools.sandboxes.open(file.source, request, claim.retry.deadline_s) as child:
        async for frame in child.frames():
            fields = frame.fields
            if frame.kind == "preview":
                seen.add(fields)
                if request["preview"] == "rows":
                    continue  # they come next
                landed = Landed(inserted=fields["inserted"])
            else:
                columns = columns_from_json(fields["columns"])
                payload = await child.payload(frame)
                landed = await stage.land(columns, fields["brings"], payload, fields["inserted"])
            seen.count(landed)
            if is_sample and seen.done >= SAMPLE_BYTES:
                return seen
            await seen.report(tools, claim)
    seen.is_whole = True
    return seen


def _readable(told: Any) -> Any:
    """JSON without NUL characters, which PostgreSQL cannot store."""
    match told:
        case str():
            return told.replace("\0", "\N{SYMBOL FOR NULL}")
        case dict():
            return {_readable(name): _readable(value) for name, value in told.items()}
        case list() | tuple():
            return [_readable(value) for value in told]
    return told


async def clear(tools: Tools, claim: Claim) -> None:
    """Forget the file of a preview that came as its body."""
    if claim.upload_id is None or not claim.input["preview"]["temporary"]:
        return
    async with tools.database.transaction() as db:
        forgotten = await uploads.forget(db, claim.job_id, claim.upload_id)
    if forgotten:
        await tools.files.remove(claim.upload_id)


class Seen:
    """What was seen of a file so far."""

    def __init__(self) -> None:
        self.done = 0
        self.is_whole = False
        self._first: Mapping[str, Any] = {}
        self._columns: list[dict[str, Any]] = []
        self._counts: Counter[str] = Counter()
        self._rows: list[Any] = []
        self._rejects: list[Any] = []
        self._reported_at = time.monotonic()

    def add(self, fields: Mapping[str, Any]) -> None:
        """Take in a chunk's frame."""
        self._first = self._first or fields
        self._columns = fields["columns"]
        self._counts.update({name: fields[name] for name in ("read", "rejected")})
        self._rows += fields["rows"][: ROWS - len(self._rows)]
        self._rejects += fields["rejects"][: ROWS - len(self._rejects)]
        self.done = fields["done"]

    def count(self, landed: Landed) -> None:
        """Take in what would become of the rows that the chunk accepted."""
        self._counts.update({"inserted": landed.inserted, "updated": landed.updated, "skipped": landed.skipped})
        self._counts["rejected"] += len(landed.rejects)
        self._rejects += [asdict(reject) for reject in landed.rejects[: ROWS - len(self._rejects)]]
        self._rejects.sort(key=lambda reject: int(reject["row"]))

    def told(self, tolerance: Tolerance) -> dict[str, Any]:
        """The preview as it is shown."""
        evidence = self._first.get("evidence") or {}
        of_columns = evidence.get("columns", {})
        values = self._first.get("values") or {}
        return {
            "is_whole": self.is_whole,
            **{name: evidence.get(name) for name in ("dialect", "encoding", "compression", "evidence")},
            "header": self._first.get("header"),
            "columns": [
                {**of_columns.get(column["name"], {}), **column, "values": values.get(column["name"], [])}
                for column in self._columns
            ],
            "rows": self._rows,
            "counts": {name: self._counts[name] for name in ("read", "inserted", "updated", "skipped", "rejected")},
            "rejects": self._rejects,
            "problem": self._problem(tolerance),
        }

    async def report(self, tools: Tools, claim: Claim) -> None:
        """Say how far it is, now and then. Raises LeaseLost, Interrupted."""
        if time.monotonic() < self._reported_at + REPORT_EVERY_S:
            return
        self._reported_at = time.monotonic()
        async with tools.database.transaction() as db:
            control = await claims.report(
                db, claim, cursor=None, done=self.done, total=None, phase="looking", message=None
            )
        tools.bus.notify(claim.changed)
        if control is not None:
            raise Interrupted

    def _problem(self, tolerance: Tolerance) -> dict[str, str] | None:
        """What would stop the import."""
        try:
            tolerance.check(self._counts["read"], self._counts["rejected"], is_all=self.is_whole)
        except InputError as error:
            return outcome.problem(error.code, error.message, error.suggestion)
        return None


async def _dataset(tools: Tools, claim: Claim, name: str | None) -> Dataset | None:
    if name is None:
        return None
    try:
        async with tools.database.connection() as db:
            return await datasets.of_account(db, claim.account_id, name)
    except NotFound:
        return None
