"""What must hold for the values of a column beyond their type: presence, range, length, one of a few."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

import pyarrow as pa
import pyarrow.compute as pc

from service.domain.chunk import Column, ColumnType, Fault
from service.domain.column_spec import NUMBERS, TIMES, ColumnSpec
from service.domain.errors import InputError
from workers.casting import cast
from workers.columns import PRECISION

SHOWN_VALUES = 10

Broken = Callable[[pa.Array], pa.Array]
"""For typed values, which of them break a rule; null is: it does not."""


@dataclass(frozen=True, slots=True)
class Check:
    """One rule and what to say where it is broken. `of_missing` is for the rule that there be a value at all."""

    fault: Fault
    broken: Broken
    of_missing: bool = False


def checks(column: Column, spec: ColumnSpec) -> tuple[Check, ...]:
    """What the caller wants to hold for this column. Raises InputError where that makes no sense for its type."""
    return tuple(_checks(column, spec))


def _checks(column: Column, spec: ColumnSpec) -> Iterator[Check]:
    if spec.required:
        yield _required(column)
    if spec.min is not None:
        least = bound(column, "min", spec.min)
        fault = Fault(column.name, "out_of_range", f"{column.name} is below {spec.min}.", f"Use {spec.min} or more.")
        yield Check(fault, lambda values: pc.less(values, least))
    if spec.max is not None:
        most = bound(column, "max", spec.max)
        fault = Fault(column.name, "out_of_range", f"{column.name} is above {spec.max}.", f"Use {spec.max} or less.")
        yield Check(fault, lambda values: pc.greater(values, most))
    yield from _lengths(column, spec)
    if spec.values is not None:
        yield _one_of(column, spec.values)


def _required(column: Column) -> Check:
    fault = Fault(column.name, "missing_value", f"{column.name} has no value.", "Fill it in; the column requires one.")
    if column.type is ColumnType.TEXT:
        return Check(fault, lambda values: pc.fill_null(pc.equal(values, ""), True), of_missing=True)
    return Check(fault, lambda values: values.is_null(), of_missing=True)


def bound(column: Column, word: str, text: str) -> pa.Scalar:
    """A limit as a value of the column; between two values of it, the one inside the limit. Raises InputError."""
    if column.type not in NUMBERS | TIMES:
        raise _senseless(f"{word} is for numbers, dates and times, and {column.name} is {column.type}.")
    written = _inside(column, word, text) if column.type in NUMBERS - {ColumnType.DOUBLE} else text
    values, bad = cast(pa.array([written], pa.string()), column)
    if bad[0] or not values[0].is_valid:
        raise _senseless(f"{word} {text!r} is no value of {column.name}, which is {column.type}.")
    return values[0]


def _inside(column: Column, word: str, text: str) -> str:
    try:
        exact = Decimal(text)
        step = Decimal(1).scaleb(-(column.scale or 0))
        rounding = ROUND_CEILING if word == "min" else ROUND_FLOOR
        return f"{exact.quantize(step, rounding, Context(2 * PRECISION)):f}"
    except ArithmeticError:
        return text


def _lengths(column: Column, spec: ColumnSpec) -> Iterator[Check]:
    for word, limit in (("min_length", spec.min_length), ("max_length", spec.max_length)):
        if limit is not None and column.type is not ColumnType.TEXT:
            raise _senseless(f"{word} is for text, and {column.name} is {column.type}.")
    if (least := spec.min_length) is not None:
        short = ("too_short", f"{column.name} has fewer than {least} characters.", f"Write {least} or more.")
        yield Check(Fault(column.name, *short), lambda values: pc.less(pc.utf8_length(values), least))
    if (most := spec.max_length) is not None:
        long = ("too_long", f"{column.name} has more than {most} characters.", f"Shorten it to {most} at most.")
        yield Check(Fault(column.name, *long), lambda values: pc.greater(pc.utf8_length(values), most))


def _one_of(column: Column, texts: list[str]) -> Check:
    if column.type is ColumnType.JSONB:
        raise _senseless(f"values is not for JSON, and {column.name} is {column.type}.")
    allowed, bad = cast(pa.array(texts, pa.string()), column)
    if bad.any():
        wrong = texts[int(bad.argmax())]
        raise _senseless(f"Of the values of {column.name}, {wrong!r} is no {column.type}.")
    shown = ", ".join(texts[:SHOWN_VALUES]) + (" …" if len(texts) > SHOWN_VALUES else "")
    unknown = ("not_in_values", f"{column.name} is none of its values.", f"Use one of: {shown}.")
    return Check(Fault(column.name, *unknown), lambda values: pc.invert(pc.is_in(values, allowed)))


def _senseless(message: str) -> InputError:
    return InputError("invalid_options", message, suggestion="Change `columns`, or give the column another type.")
