"""Brings a chunk's rows into a table with a key: first into a table of their own, then each to where its key is.

All of it in the chunk's transaction, and one chunk at a time: whoever calls has locked the dataset.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from service.domain.chunk import Column, ColumnType
from service.domain.dataset import LINEAGE
from service.domain.row_options import Meeting
from service.store import tables
from service.store.database import Connection
from service.store.queries import load
from service.store.tables import quoted

_SQL = load("merge", "templates")

STAGE, PLAN = "stage_rows", "stage_plan"

KEY_BYTES = 2_000
"""Most that the texts of a key may take: an index entry has to fit into a third of a page."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that cannot be taken in: `values` is the whole row as JSON text."""

    row: int
    why: str
    values: str


@dataclass(frozen=True, slots=True)
class Repeat:
    """A row with a key that the same job had brought before, in row `other_row`."""

    row: int
    other_row: int
    keys: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A row that has a key and is something else than the row that has it; `other_job` is None if that is new too."""

    row: int
    other_job: UUID | None
    other_row: int
    keys: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of a chunk's rows. `repeats` are the first of `repeated`; conflicts count as skipped."""

    inserted: int
    updated: int
    skipped: int
    repeated: int
    repeats: Sequence[Repeat]
    refused: Sequence[Refused]
    conflicts: Sequence[Conflict] = ()


async def stage(db: Connection, table: str, columns: Sequence[Column], source: AsyncIterator[bytes]) -> None:
    """Take the rows in, for this transaction only; they come as PostgreSQL's binary COPY format."""
    await db.execute(_SQL["stage"].format(stage=STAGE, table=tables.qualified(table)))
    names = [*LINEAGE, *(column.name for column in columns)]
    await db.copy_to_table(STAGE, columns=names, source=source, format="binary")


async def merge(
    db: Connection,
    table: str,
    job_id: UUID,
    columns: Sequence[Column],
    keys: Sequence[str],
    brought: Sequence[str],
    meeting: Meeting | None,
    most_repeats: int,
) -> Merged:
    """Bring the staged rows into the table.

    `brought` are the columns that the file has; of a row that is there, `update` and `newer` change these and `replace`
    all. Without `meeting` a row whose key is there is refused.
    """
    on_conflict = None if meeting is None else meeting.on_conflict
    changed = [column.name for column in columns] if on_conflict == "replace" else brought
    parts = _parts(table, columns, keys, changed, keeps=on_conflict in ("skip", None))
    await db.execute(_SQL["prepare"])
    refused = await _nameless(db, parts)
    conflicts, older = await _set_aside(db, parts, meeting, brought)
    await db.execute(_SQL["plan"].format_map(parts))
    if on_conflict in ("update", "replace", "newer"):
        for step in ("keep_images", "move_images"):
            await db.execute(_SQL[step].format_map(parts), job_id)
        await db.execute(_SQL["change"].format_map(parts))
    await db.execute(_SQL["add"].format_map(parts))
    counts = await db.fetchrow(_SQL["counts"].format_map(parts), job_id)
    assert counts is not None
    if on_conflict is None:
        clashing = await db.fetch(_SQL["refused"].format_map(parts))
        refused += [Refused(row["row"], "not_unique", row["json"]) for row in clashing]
        return Merged(counts["inserted"], 0, 0, 0, (), refused)
    repeats = await db.fetch(_SQL["repeated"].format_map(parts), job_id, most_repeats) if counts["repeated"] else ()
    done = Merged(**counts, repeats=[Repeat(**row) for row in repeats], refused=refused, conflicts=conflicts)
    return replace(done, skipped=done.skipped + len(conflicts) + older)


async def _set_aside(
    db: Connection, parts: Mapping[str, str], meeting: Meeting | None, brought: Sequence[str]
) -> tuple[list[Conflict], int]:
    """Take away staged rows that are in conflict with others, and count those taken away that are not newer."""
    if meeting is None:
        return [], 0
    conflicts: list[Conflict] = []
    if apart := [name for name in meeting.conflict_on if name in brought]:
        told = {alias: _names(apart, alias) for alias in ("s.", "t.")}
        first = ", ".join(f"first_value(s.{quoted(name)}) over same_key" for name in apart)
        given = {"s_told_apart": told["s."], "t_told_apart": told["t."], "first_told_apart": first}
        rows = await db.fetch(_SQL["take_conflicts"].format_map({**parts, **given}))
        conflicts = [Conflict(**row) for row in sorted(rows, key=lambda row: int(row["row"]))]
    if meeting.on_conflict != "newer":
        return conflicts, 0
    assert meeting.newer_by is not None
    return conflicts, len(await db.fetch(_SQL["take_older"].format_map({**parts, "age": quoted(meeting.newer_by)})))


async def _nameless(db: Connection, parts: Mapping[str, str]) -> list[Refused]:
    rows = await db.fetch(_SQL["take_nameless"].format_map(parts))
    return [Refused(row["_row"], "key_missing" if row["is_null"] else "key_too_long", row["json"]) for row in rows]


def _parts(
    table: str, columns: Sequence[Column], keys: Sequence[str], changed: Sequence[str], *, keeps: bool
) -> dict[str, str]:
    own = [column.name for column in columns]
    long = [
        column.name for column in columns if column.name in keys and column.type in (ColumnType.TEXT, ColumnType.JSONB)
    ]
    sizes = " + ".join(f"octet_length(s.{quoted(name)}::text)" for name in long)
    return {
        **tables.key_parts(table, keys),
        "was": tables.qualified(tables.images(table)),
        "stage": STAGE,
        "plan": PLAN,
        "columns": _names(own),
        "s_columns": _names(own, "s."),
        "t_columns": _names(own, "t."),
        "s_keys": _names(keys, "s."),
        "s_keys_json": tables.json_of(list(keys), "s."),
        "s_brought": _names(changed, "s."),
        "t_brought": _names(changed, "t."),
        "set_brought": ", ".join(f"{quoted(name)} = s.{quoted(name)}" for name in changed),
        "matches": " and ".join(f"t.{quoted(key)} = s.{quoted(key)}" for key in keys),
        "nameless": "(" + " or ".join(f"s.{quoted(key)} is null" for key in keys) + ")",
        "too_long": f"{sizes} > {KEY_BYTES}" if long else "false",
        "keeps": "true" if keeps else "false",
        "changed_within": "row({0}) is distinct from lag(row({0})) over same_key".format(_names(changed, "s.")),
    }


def _names(columns: Sequence[str], alias: str = "") -> str:
    return ", ".join(alias + quoted(name) for name in columns)
