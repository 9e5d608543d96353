"""Settles the columns of a dataset over a file: from the caller's options, the dataset as it is, and a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from service.domain.chunk import Column, ColumnType, Widens
from service.domain.column_spec import ColumnSpec
from service.domain.errors import InputError
from service.domain.row_options import RowOptions
from workers.casting import cast
from workers.checking import checks
from workers.columns import COLUMN_LIMIT, too_many_columns
from workers.formats import PLAIN, Format
from workers.inference import Inferred, judge
from workers.mapping import Names, Target, targets
from workers.shaping import Field, Shape, text_of
from workers.transforming import changes

MAX_SCALE = 18
"""Decimals of a numeric column that a sample can give it."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """Text of some rows, by column of the file, in the plain way; where values have types, what these come to."""

    texts: Sequence[pa.Array]
    types: Sequence[Column] = ()


Sample = Callable[[], Sampled]
"""Asked for only where types are to be found out."""


def plan(
    file: Names,
    options: RowOptions,
    dataset: Sequence[Column] | None,
    sample: Sample,
    formats: Sequence[Format] | None = None,
    widens: Widens | None = None,
) -> Shape:
    """How the file's columns become the dataset's.

    `dataset` is None where it has no columns yet; then the types that are not given are found out, but for those which
    were widened before. `formats` is how the file's columns are written. Raises InputError: the options name what is
    not there, or do not fit each other, the types or the dataset.
    """
    found = targets(file, options)
    if dataset is None and len(found) > COLUMN_LIMIT:
        raise too_many_columns(len(found))
    settled = _matched(found, dataset) if dataset is not None else dict(widens.types if widens is not None else {})
    is_needed = any(_is_open(target.spec) and target.name not in settled for target in found)
    texts = sample() if is_needed else Sampled(())
    written = formats or [PLAIN] * len(file.names)
    fields = []
    for target in found:
        entry = PLAIN if target.source is None else written[target.source]
        if target.name in settled:
            fields.append(_field(target, settled[target.name], entry))
        else:
            inferred = _inferred(target, texts)
            fields.append(_field(target, inferred.column, entry, inferred))
    return Shape(len(file.names), tuple(fields))


def _field(target: Target, column: Column, written: Format, evidence: Inferred | None = None) -> Field:
    spec = target.spec
    widens = spec.type is None and target.source is not None
    field = Field(column, target.source, spec, written.of(column.type), checks(column, spec), widens, evidence)
    for word, text in (("constant", spec.constant), ("default", spec.default)):
        if text is not None:
            _check_word(word, text, field)
    return field


def _check_word(word: str, text: str, field: Field) -> None:
    _, bad = cast(pa.array([text], pa.string()), field.column, field.format)
    if bad[0]:
        raise InputError(
            "invalid_options",
            f"The {word} {text!r} is no value of {field.column.name}, which is {field.column.type}.",
            suggestion="Change it, or give the column another type.",
        )


def _is_open(spec: ColumnSpec) -> bool:
    return spec.type is None or (spec.type is ColumnType.NUMERIC and spec.scale is None)


def _inferred(target: Target, sampled: Sampled) -> Inferred:
    spec = target.spec
    if spec.type is not None and not _is_open(spec):
        return Inferred(Column(target.name, spec.type, spec.scale), 0, 0)
    if target.source is None:
        return judge(target.name, pa.array([spec.constant], pa.string()))
    given = sampled.texts[target.source]
    text = text_of(spec, given, len(given))
    if spec.type is ColumnType.NUMERIC:
        return Inferred(Column(target.name, spec.type, _scale(text)), 0, 0)
    judged = judge(target.name, text)  # the sample is in the plain way already
    if sampled.types and not changes(spec):
        return replace(judged, column=replace(sampled.types[target.source], name=target.name))
    return judged


def _scale(text: pa.Array) -> int:
    """The most decimals that any number of the sample has."""
    decimals = pc.extract_regex(text, r"^\s*[-+]?[0-9]*\.(?P<decimals>[0-9]*)\s*$").field("decimals")
    return min(pc.max(pc.binary_length(decimals)).as_py() or 0, MAX_SCALE)


def _matched(found: Sequence[Target], dataset: Sequence[Column]) -> dict[str, Column]:
    by_name = {column.name: column for column in dataset}
    unknown = [target.name for target in found if target.name not in by_name]
    if unknown:
        raise InputError(
            "schema_mismatch",
            f"The dataset has no column {', '.join(unknown[:10])}; it has {', '.join(by_name)[:500]}.",
            suggestion="Rename or drop these columns by options or in the file, or use another dataset.",
        )
    for target in found:
        column, spec = by_name[target.name], target.spec
        if spec.type not in (None, column.type) or spec.scale not in (None, column.scale):
            raise InputError(
                "schema_mismatch",
                f"{column.name} of the dataset is {written_type(column)}, and stays so.",
                suggestion="Leave its type out, or use another dataset.",
            )
    return by_name


def written_type(column: Column) -> str:
    """A column's type as people read it."""
    return column.type.value if column.scale is None else f"{column.type.value} with {column.scale} decimals"
