"""A flow: jobs joined by dependencies, which are its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from service.domain.errors import InputError
from service.domain.job import Job

KEY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
MAX_STEPS = 100
MAX_NEEDS = 100


class FlowState(StrEnum):
    """`completed` once every required step is, `failed` while one has failed or was cancelled."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow as stored. `event_seq` is the number of its newest event, 0 for none."""

    id: UUID
    account_id: UUID
    name: str
    state: FlowState
    metadata: Mapping[str, Any]
    event_seq: int
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Step:
    """A step as stored: its job, and the keys of the steps that it waits for."""

    job: Job
    after: Sequence[str]


def in_order(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The keys of steps, each behind those that it needs, else as given. Raises InputError: unknown key, cycle."""
    for key, needed in needs.items():
        if unknown := [name for name in needed if name not in needs]:
            raise InputError(
                "invalid_flow",
                f"Step {key!r} is to run after {unknown[0]!r}, and there is no such step.",
                suggestion=f"The steps are: {', '.join(needs)}.",
            )
    placed: dict[str, None] = {}
    while len(placed) < len(needs):
        ready = [key for key in needs if key not in placed and all(name in placed for name in needs[key])]
        if not ready:
            circle = " → ".join(_cycle({key: needs[key] for key in needs if key not in placed}))
            raise InputError(
                "invalid_flow", f"The steps wait for each other: {circle}.", suggestion="Take one `after` out of it."
            )
        placed |= dict.fromkeys(ready)
    return list(placed)


def ancestors(needs: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    """For each key the keys that have run before it. The steps have no cycle."""
    found: dict[str, frozenset[str]] = {}
    for key in in_order(needs):
        found[key] = frozenset(needs[key]).union(*(found[name] for name in needs[key]))
    return found


def _cycle(stuck: Mapping[str, Sequence[str]]) -> list[str]:
    """One circle among steps of which each needs another one of them: each step, then what it waits for."""
    walk = [next(iter(stuck))]
    while walk[-1] not in walk[:-1]:
        walk.append(next(name for name in stuck[walk[-1]] if name in stuck))
    return walk[walk.index(walk[-1]) :]
