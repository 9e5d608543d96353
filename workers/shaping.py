"""From text columns, as any file gives them, to the checked columns of a dataset, with every fault of each row.

A file's columns come by position as text; only what stands in the cells counts, so no format of files is known here.
How the columns of a dataset come about is in `workers.shape`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from service.domain.chunk import Column, ColumnType, Fault
from service.domain.column_spec import ColumnSpec
from workers.casting import Mask, cast
from workers.cells import flags
from workers.checking import Check
from workers.formats import PLAIN, Format
from workers.inference import Inferred
from workers.reasons import reason
from workers.transforming import changes, rewritten

Places = npt.NDArray[np.int64]
Reading = tuple[Column | None, Format]
"""As what one of the file's columns is read: None if nothing needs it."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the dataset, from the file's column number `source`, or else a constant.

    `widens` if its type was found out and not given, so that it may turn out too narrow; `evidence` where that was just
    now.
    """

    column: Column
    source: int | None
    spec: ColumnSpec
    format: Format = PLAIN
    checks: tuple[Check, ...] = ()
    widens: bool = False
    evidence: Inferred | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that some rows break, and what to say of some of these. `texts` are the cells of a wrong type."""

    field: Field
    mask: Mask
    tell: Callable[[Places], list[Fault]]
    texts: pa.Array | None = None


@dataclass(frozen=True, slots=True)
class Shaped:
    """Typed columns by name, and what is wrong with which of their rows. A cell at fault is null or as it is."""

    arrays: Mapping[str, pa.Array]
    findings: tuple[Finding, ...]
    rows: int

    @property
    def bad(self) -> Mask:
        """Which rows have a fault."""
        found = np.zeros(self.rows, bool)
        for finding in self.findings:
            found |= finding.mask
        return found

    def faults(self, places: Places) -> list[tuple[Fault, ...]]:
        """All that is wrong with each of these rows, in the order of the columns."""
        found: list[list[Fault]] = [[] for _ in places]
        for finding in self.findings:
            at = np.flatnonzero(finding.mask[places])
            for index, fault in zip(at.tolist(), finding.tell(places[at]), strict=True):
                found[index].append(fault)
        return [tuple(faults) for faults in found]


@dataclass(frozen=True)
class Shape:
    """The columns of a dataset over a file of `width` columns."""

    width: int
    fields: tuple[Field, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The dataset's columns that are filled."""
        return tuple(field.column for field in self.fields)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(field.column.name for field in self.fields)

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """As what each of the file's columns can be read at once: what it becomes, or text that is worked on."""
        uses: list[list[Field]] = [[] for _ in range(self.width)]
        for field in self.fields:
            if field.source is not None:
                uses[field.source].append(field)
        return tuple(_reading(place, fields) for place, fields in enumerate(uses))

    def finished(self, cells: Sequence[pa.Array | None], rows: int) -> tuple[Mapping[str, pa.Array], Mask]:
        """Columns by name out of those read as `readings` says, and which rows have a fault."""
        done, bad = {}, np.zeros(rows, bool)
        for field in self.fields:
            given = None if field.source is None else cells[field.source]
            if field.source is not None and self.readings[field.source][0] is field.column:
                values = given
            else:
                values, wrong = cast(_text(field, given, rows), field.column, field.format)
                bad |= wrong
            for check in field.checks:
                bad |= broken(check, values)
            done[field.column.name] = values
        return done, bad

    def shaped(self, texts: Sequence[pa.Array], rows: int) -> Shaped:
        """Every column out of the file's text, and all that is wrong."""
        arrays, findings = {}, list[Finding]()
        for field in self.fields:
            text = _text(field, None if field.source is None else texts[field.source], rows)
            values, bad = cast(text, field.column, field.format)
            if bad.any():
                findings.append(Finding(field, bad, _telling(field, text), text))
            for check in field.checks:
                wrong = broken(check, values) & ~bad
                if wrong.any():
                    findings.append(Finding(field, wrong, _always(check.fault)))
            arrays[field.column.name] = values
        return Shaped(arrays, tuple(findings), rows)


def broken(check: Check, values: pa.Array) -> Mask:
    """Which values break the rule. What is not there breaks only the rule that it be there."""
    found = flags(pc.fill_null(check.broken(values), False))
    if values.null_count and not check.of_missing:
        found = found & flags(values.is_valid())
    return found


def text_of(spec: ColumnSpec, given: pa.Array | None, rows: int) -> pa.Array:
    """The text of one column as it is to be read, out of the file's."""
    if given is None:
        return pa.repeat(pa.scalar(spec.constant, pa.string()), rows)
    return rewritten(given, spec) if changes(spec) else given


def _reading(place: int, uses: list[Field]) -> Reading:
    if not uses:
        return None, PLAIN
    if len(uses) == 1 and not changes(uses[0].spec):
        return uses[0].column, uses[0].format
    return Column(str(place), ColumnType.TEXT), PLAIN


def _text(field: Field, given: pa.Array | None, rows: int) -> pa.Array:
    return text_of(field.spec, given, rows)


def _telling(field: Field, texts: pa.Array) -> Callable[[Places], list[Fault]]:
    def tell(places: Places) -> list[Fault]:
        cells = texts.take(pa.array(places)).to_pylist()
        told = {text: Fault(field.column.name, *reason(field.column, text, field.format)) for text in set(cells)}
        return [told[text] for text in cells]

    return tell


def _always(fault: Fault) -> Callable[[Places], list[Fault]]:
    return lambda places: [fault] * len(places)
