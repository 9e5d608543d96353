"""References: `{"$from": "key.field.sub"}` in a step's input stands for a value of an earlier step's output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from service.domain.errors import InputError

MARK = "$from"


def of(path: str) -> dict[str, str]:
    """A reference as it stands in JSON."""
    return {MARK: path}


def path_of(value: object) -> str | None:
    """The path that a value refers to, None if it is no reference."""
    if isinstance(value, Mapping) and set(value) == {MARK} and isinstance(value[MARK], str):
        return str(value[MARK])
    return None


def step_of(path: str) -> str:
    """The step whose output a path leads into."""
    return path.partition(".")[0]


def within(value: object) -> Iterator[str]:
    """The paths of all references in a JSON value, at any depth."""
    path = path_of(value)
    if path is not None:
        yield path
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from within(part)
    elif isinstance(value, list):
        for part in value:
            yield from within(part)


def resolved(value: Any, outputs: Mapping[str, Mapping[str, Any] | None]) -> Any:
    """The value with what its references stand for; `outputs` is by step. Raises InputError."""
    path = path_of(value)
    if path is not None:
        return _found(path, outputs)
    if isinstance(value, Mapping):
        return {name: resolved(part, outputs) for name, part in value.items()}
    if isinstance(value, list):
        return [resolved(part, outputs) for part in value]
    return value


def _found(path: str, outputs: Mapping[str, Mapping[str, Any] | None]) -> Any:
    step, *names = path.split(".")
    value: Any = outputs.get(step)
    for name in names if value is not None else ():
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and len(name) < 9 and int(name) < len(value):
            value = value[int(name)]
        else:
            raise _missing(path, f"has no {name!r}")
    if step not in outputs or outputs[step] is None:
        raise _missing(path, "has made no output")
    return value


def _missing(path: str, lack: str) -> InputError:
    return InputError(
        "missing_output",
        f"{path!r} cannot be filled in: what step {step_of(path)!r} gave {lack}."
        if lack.startswith("has no ")
        else f"{path!r} cannot be filled in: step {step_of(path)!r} {lack}.",
        suggestion=f"See the output of step {step_of(path)!r}; mend the reference and submit the flow anew.",
    )
