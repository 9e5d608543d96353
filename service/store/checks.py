"""What must hold of a chunk's staged rows beside those of a dataset: unique values, and values that another has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.domain.chunk import Column
from service.store import tables
from service.store.database import Connection
from service.store.merges import STAGE
from service.store.queries import load
from service.store.tables import quoted

_SQL = load("check", "templates")

INDEX_TIMEOUT_S = 3600


@dataclass(frozen=True, slots=True)
class Rule:
    """A column whose values must be unique, or be in a column of another table."""

    column: str
    other_table: str | None = None
    other_column: str | None = None

    @property
    def is_unique(self) -> bool:
        """Whether no value may be there twice."""
        return self.other_table is None


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that was taken out of the stage, which rules it breaks, and the row as JSON text."""

    row: int
    rules: Sequence[Rule]
    values: str


async def add_lookup(db: Connection, table: str, column: str) -> None:
    """Let values of a column be found quickly. May take long on a table with many rows, which cannot grow meanwhile."""
    short = hashlib.sha256(column.encode()).hexdigest()[:8]
    # A hash index: values may be longer than an entry of a B-tree.
    await db.execute(
        _SQL["create_lookup"].format(
            index=quoted(tables.part(table, short)), table=tables.qualified(table), column=quoted(column)
        ),
        timeout=INDEX_TIMEOUT_S,
    )


async def take_broken(
    db: Connection, table: str, rules: Sequence[Rule], keys: Sequence[str], types: Mapping[str, bool]
) -> list[Broken]:
    """Take the rows that break a rule out of the stage. A row of the same key is no other row.

    Rules hold beside the rows there are; then, row by row, unique values beside those of the chunk that stay. `types`
    says of a referring column whether it has the type of the one it refers to; if not, they are compared as text.
    """
    flags = ", ".join(_flag(rule, table, keys, types) for rule in rules)
    found = {
        row["_row"]: [rule for rule, is_broken in zip(rules, row["flags"], strict=True) if is_broken]
        for row in await db.fetch(_SQL["broken"].format(stage=STAGE, flags=f"array[{flags}]"))
    }
    taken = await _take(db, found)
    unique = [rule for rule in rules if rule.is_unique]
    if unique:
        taken += await _take(db, await _repeated(db, unique, keys))
    return sorted(taken, key=lambda broken: broken.row)


async def insert(db: Connection, table: str, columns: Sequence[Column]) -> None:
    """Store what is left in the stage."""
    names = ", ".join(quoted(column.name) for column in columns)
    await db.execute(_SQL["insert"].format(table=tables.qualified(table), stage=STAGE, columns=names))


async def _take(db: Connection, found: Mapping[int, Sequence[Rule]]) -> list[Broken]:
    if not found:
        return []
    rows = await db.fetch(_SQL["take"].format(stage=STAGE), list(found))
    return [Broken(row["_row"], found[row["_row"]], row["json"]) for row in rows]


async def _repeated(db: Connection, rules: Sequence[Rule], keys: Sequence[str]) -> dict[int, Sequence[Rule]]:
    """Rows whose value of a unique column an earlier row of the chunk has, which itself is not refused."""
    names = [quoted(rule.column) for rule in rules]
    counts = ", ".join(
        f"case when s.{name} is null then 0 else count(*) over (partition by s.{name}) end" for name in names
    )
    rows = await db.fetch(
        _SQL["repeated"].format(
            stage=STAGE, values=_texts([rule.column for rule in rules]), keys=_texts(keys), counts=f"array[{counts}]"
        )
    )
    seen: list[dict[str, list[str | None]]] = [{} for _ in rules]
    found: dict[int, Sequence[Rule]] = {}
    for row in rows:
        pairs = list(zip(rules, seen, row["values"], strict=True))
        if broken := [
            rule for rule, there, value in pairs if value in there and (not keys or there[value] != row["keys"])
        ]:
            found[row["_row"]] = broken
            continue
        for _, there, value in pairs:
            if value is not None:
                there[value] = row["keys"]
    return found


def _texts(columns: Sequence[str]) -> str:
    return f"array[{', '.join(f's.{quoted(name)}::text' for name in columns)}]::text[]"


def _flag(rule: Rule, table: str, keys: Sequence[str], types: Mapping[str, bool]) -> str:
    column = f"s.{quoted(rule.column)}"
    if rule.other_table is None or rule.other_column is None:
        same = " and ".join(f"t.{quoted(key)} = s.{quoted(key)}" for key in keys)
        other = f" and not ({same})" if keys else ""
        where = f"t.{quoted(rule.column)} = {column}{other}"
        return f"exists (select from {tables.qualified(table)} as t where {where})"
    text = "" if types.get(rule.column) else "::text"
    where = f"o.{quoted(rule.other_column)}{text} = {column}{text}"
    there = f"select from {tables.qualified(rule.other_table)} as o where {where}"
    return f"({column} is not null and not exists ({there}))"
