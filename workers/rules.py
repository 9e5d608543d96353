"""What a caller wants to hold of rows beside others: unique values, and values that another dataset has.

Rows that break it are refused as their chunk lands, after all that can be said of a row alone was said where it was
read. A row that is refused takes no value from the others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from uuid import UUID

from service.domain.chunk import RAW_LIMIT, Column, Fault, Reject
from service.domain.errors import InputError
from service.domain.row_options import RowOptions
from service.store import checks, datasets
from service.store.checks import Broken, Rule
from service.store.database import Connection


class Rules:
    """Those of one job. False if it has none."""

    def __init__(self, account_id: UUID, options: RowOptions) -> None:
        self.unique = [column.name for column in options.columns if column.unique]
        self._account_id = account_id
        self._options = options
        self._references = {c.name: c.references for c in options.columns if c.references is not None}

    def __bool__(self) -> bool:
        return bool(self.unique or self._references)

    async def prepare(self, db: Connection, table: str, columns: Sequence[Column]) -> None:
        """Make them quick to check. Raises InputError, NotFound: a reference leads nowhere."""
        if self:
            await self._all(db, columns)
        for column in self.unique:
            await checks.add_lookup(db, table, column)

    async def refuse(
        self, db: Connection, table: str, columns: Sequence[Column], keys: Sequence[str], brought: Sequence[str] | None
    ) -> list[Reject]:
        """Take the rows that break a rule out of the stage of a chunk that is to land in the table."""
        if not self:
            return []
        rules, types = await self._all(db, columns)
        broken = await checks.take_broken(db, table, rules, keys, types)
        return [_reject(one, brought, self._options) for one in broken]

    async def _all(self, db: Connection, columns: Sequence[Column]) -> tuple[list[Rule], dict[str, bool]]:
        """The rules, and of references whether both sides are of one type."""
        own = {column.name: column for column in columns}
        rules, types = [Rule(name) for name in self.unique], {}
        for name, reference in self._references.items():
            other = await datasets.of_account(db, self._account_id, reference.dataset)
            known = {column.name: column for column in other.columns or ()}
            if reference.column not in known:
                raise InputError(
                    "unknown_column",
                    f"Dataset {other.name} has no column {reference.column!r}, which {name} refers to.",
                    suggestion=f"Use one of: {', '.join(known)[:500] or 'none, it is empty'}.",
                )
            rules.append(Rule(name, other.table_name, reference.column))
            types[name] = known[reference.column].type is own[name].type
        return rules, types


def cell_of(value: object) -> str | None:
    """A value of a row that came as JSON, as a field."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _reject(broken: Broken, brought: Sequence[str] | None, options: RowOptions) -> Reject:
    """A row that does not hold beside others. Its text is gone by now; its values are shown."""
    values = json.loads(broken.values, parse_float=str, parse_int=str)
    names = brought or [name for name in values if name not in ("_row", "_job")]
    shown = {name: cell_of(values[name]) for name in names}
    faults = tuple(
        Fault(rule.column, *(_duplicate if rule.is_unique else _unknown)(rule.column)) for rule in broken.rules
    )
    first = faults[0]
    return Reject(
        broken.row, 0, first.column, first.code, first.message, first.suggestion,
        json.dumps(shown, ensure_ascii=False)[:RAW_LIMIT], faults if len(faults) > 1 else (),
        tuple(shown.values()) if _is_as_written(options) else None,
    )  # fmt: skip


def _is_as_written(options: RowOptions) -> bool:
    """Whether the dataset's columns are those of the file, so that a row can be shown as its fields."""
    if options.others == "drop" or options.drop:
        return False
    return not any(c.split or c.replace or c.case or c.default or c.constant for c in options.columns)


def _duplicate(name: str) -> tuple[str, str, str]:
    return ("duplicate_value", f"Another row has the same {name}.", "Remove the row, or correct the value.")


def _unknown(name: str) -> tuple[str, str, str]:
    return ("unknown_reference", f"Nothing has this {name}.", "Correct the value, or import what it refers to first.")
