"""Commits a correction: rows that a job had refused go in under their own numbers, and their rejects are closed.

A chunk is one transaction: rows, rejects and counts of both jobs, checkpoint. A reject is locked before its row goes
in, so that a correction that is sent twice, or two at once, bring each row in once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asyncpg import Record

from service.domain import correction, csv_text
from service.domain.chunk import Column, Reject
from service.domain.dataset import columns_from_json
from service.domain.errors import InputError
from service.domain.row_options import Meeting
from service.store import claims, datasets, merges, rejects, stages
from service.store.claims import Claim
from service.store.database import Connection
from service.store.merges import Merged
from service.store.rejects import Counts
from workers.committer import DEADLINE_S, Interrupted
from workers.frames import Frame, reject_of
from workers.keys import REFUSALS
from workers.pieces import Payload
from workers.sandbox import Sandbox
from workers.tools import Tools

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """A row that came back and reads well: where it stands in what was sent, the reject it mends, its fields."""

    position: int
    line: int
    original: int
    cells: Sequence[str | None]


async def order(tools: Tools, claim: Claim) -> dict[str, object]:
    """What the child has to know beside what it is told of every job. Raises InputError."""
    assert claim.corrects_id is not None
    async with tools.database.connection() as db:
        first = await rejects.correctable(db, claim.corrects_id)
    if first is None or claim.columns is None:
        raise InputError(
            "nothing_to_correct",
            "The rows of the job that is to be corrected are no longer there: it was undone, or its dataset replaced.",
            suggestion="Import the corrected rows as a file of their own.",
        )
    return {"job_id": str(claim.corrects_id), "correction": first}


async def commit_all(tools: Tools, claim: Claim, child: Sandbox) -> None:
    """Commit every chunk until the child's end. Raises LeaseLost, Interrupted, or what child or database raises."""
    async for frame in child.frames():
        payload = await child.payload(frame)
        async with asyncio.timeout(DEADLINE_S), tools.database.transaction() as db:
            control = await _commit(db, claim, frame, payload)
        tools.bus.notify(claim.changed)
        if control is not None:
            raise Interrupted


async def _commit(db: Connection, claim: Claim, frame: Frame, payload: Payload) -> object:
    assert claim.corrects_id is not None
    assert claim.table_name is not None
    assert claim.dataset_id is not None
    fields = frame.fields
    place = await datasets.merging_place(db, claim.dataset_id)  # before rejects and jobs, as everybody does
    columns = columns_from_json(fields["columns"])
    try:
        sent = await _staged(db, columns, payload.over(db)) if fields["inserted"] else []
    finally:
        payload.free()
    bad = [_returned(reject_of(told)) for told in fields["rejects"]]
    numbers = sorted({row.original for row in sent} | {original for original, _ in bad if original is not None})
    still_open = await rejects.lock_open(db, claim.corrects_id, numbers)
    accepted, refused = _judged(sent, still_open)
    merged = await _landed(db, claim, place, columns[len(correction.BESIDE) :], [row.position for row in accepted])
    clashing = {told.row: told.why for told in merged.refused}
    for row in accepted:
        if row.original in clashing:
            code = clashing[row.original]
            bad.append((row.original, _refusal(row, code, *REFUSALS[code])))
    accepted = [row for row in accepted if row.original not in clashing]
    await rejects.close(db, claim.corrects_id, claim.job_id, [row.original for row in accepted])
    await rejects.mend(db, claim.corrects_id, _mended(bad, still_open, accepted))
    refused += [reject for _, reject in bad]
    await rejects.add(db, claim.job_id, claim.account_id, refused)
    counts = Counts(merged.inserted, merged.updated, merged.skipped)
    await rejects.move_counts(db, claim.corrects_id, counts)
    return await claims.advance(
        db,
        claim,
        cursor=fields["cursor"],
        done=fields["done"],
        read=fields["read"],
        inserted=counts.inserted,
        updated=counts.updated,
        skipped=counts.skipped,
        rejected=len(refused),
        rate=None,
    )


async def _landed(
    db: Connection,
    claim: Claim,
    place: tuple[str, tuple[str, ...] | None],
    columns: Sequence[Column],
    positions: Sequence[int],
) -> Merged:
    """Bring those staged rows to their place: added, or matched by key where the dataset has one."""
    assert claim.corrects_id is not None
    table, keys = place
    if not positions or keys is None:
        inserted = await stages.insert(db, table, columns, positions) if positions else 0
        return Merged(inserted, 0, 0, 0, (), ())
    await stages.hand_over(db, table, columns, positions)
    names = [column.name for column in columns]
    return await merges.merge(db, table, claim.corrects_id, columns, keys, names, _meeting(claim), 0)


def _meeting(claim: Claim) -> Meeting | None:
    given = claim.options
    if given.get("mode") != "upsert":
        return None
    return Meeting(given.get("on_conflict", "update"), given.get("newer_by"), tuple(given.get("conflict_on", ())))


async def _staged(db: Connection, columns: Sequence[Column], payload: AsyncIterator[bytes]) -> list[Sent]:
    rows = await stages.stage(db, columns[len(correction.BESIDE) :], correction.BESIDE, payload)
    return [Sent(row["_row"], row["_line"], row["_original"], json.loads(row["_cells"])) for row in rows]


def _returned(reject: Reject) -> tuple[int | None, Reject]:
    """The number of the reject that a bad row was to mend, where it has one; and the row without it."""
    if reject.cells is None:
        return None, reject
    number, *cells = reject.cells
    is_number = number is not None and number.strip().isdecimal() and len(number.strip()) < 19
    return int(number) if number is not None and is_number else None, replace(reject, cells=tuple(cells))


def _judged(sent: Sequence[Sent], still_open: Mapping[int, Record]) -> tuple[list[Sent], list[Reject]]:
    """Those that go in, each reject's row once, and why the others do not."""
    accepted: dict[int, Sent] = {}
    refused = []
    for row in sent:
        reject = still_open.get(row.original)
        if reject is None or row.original in accepted:
            refused.append(_refusal(row, *_not_open(row.original)))
        elif correction.must_change(
            reject["code"], reject["column"], reject["cells"], len(row.cells)
        ) and correction.is_unchanged(row.cells, reject["cells"], reject["raw"]):
            refused.append(_refusal(row, *_UNCHANGED))
        else:
            accepted[row.original] = row
    return list(accepted.values()), refused


def _mended(
    bad: Sequence[tuple[int | None, Reject]], still_open: Mapping[int, Record], accepted: Sequence[Sent]
) -> list[Reject]:
    """Open rejects with what is wrong with them now. One that was sent back as it was shown keeps its reason."""
    closed = {row.original for row in accepted}
    mended = []
    for original, reject in bad:
        found = None if original is None or original in closed else still_open.get(original)
        if found is not None and not correction.is_unchanged(reject.cells or (), found["cells"], found["raw"]):
            mended.append(replace(reject, row=found["row"], raw=csv_text.record(reject.cells or ()).rstrip("\r\n")))
    return mended


_UNCHANGED = (
    "unchanged_row",
    "The row came back as it was.",
    "Correct its cells; what was wrong with it is in the job's rejects.",
)


def _not_open(original: int) -> tuple[str, str, str]:
    return (
        "unknown_row",
        f"Row {original} is not among the open rejects of the job, or stands here twice.",
        "Nothing to do if it was corrected before; else leave _row as it was in the table of rejects.",
    )


def _refusal(row: Sent, code: str, message: str, suggestion: str) -> Reject:
    raw = csv_text.record(row.cells).rstrip("\r\n")
    return Reject(row.position, row.line, None, code, message, suggestion, raw, cells=tuple(row.cells))
