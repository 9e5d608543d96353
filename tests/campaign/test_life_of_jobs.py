"""Thousands of random lives of jobs, by users, workers and deaths of workers, each step held against the model.

`make campaign` runs ten times as many from a seed of its own; `CAMPAIGN_SEED` and `CAMPAIGN_STEPS` repeat one, and
`CAMPAIGN_SHRINK=1` makes what it found small.
"""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from service.domain.ids import new_id
from service.domain.job import FINAL, State
from tests.campaign.model import Asked, Hand, Model
from tests.campaign.world import ACCOUNTS, World, world
from tests.running import Servers

SEED = int(os.environ.get("CAMPAIGN_SEED", "20261122"))
STEPS = int(os.environ.get("CAMPAIGN_STEPS", "10000"))
ROUND_RUNS, RUN_STEPS = 20, 100
MOST_ROUNDS = 2 * STEPS // (ROUND_RUNS * RUN_STEPS) + 1
PAST, FUTURE = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"
MOST_JOBS = 10

SETTINGS = settings(
    max_examples=ROUND_RUNS,
    stateful_step_count=RUN_STEPS,
    deadline=None,
    database=None,
    phases=[Phase.generate] + [Phase.shrink] * ("CAMPAIGN_SHRINK" in os.environ),
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    report_multiple_bugs=False,
)

T = TypeVar("T")
NTH = st.integers(0, MOST_JOBS - 1)
ASKED = st.builds(
    Asked,
    account=st.sampled_from(ACCOUNTS),
    priority=st.sampled_from([5, 5, 1, 10]),
    run_at=st.sampled_from([None, None, PAST, FUTURE]),
    dedupe_key=st.sampled_from([None, None, "d1", "d2"]),
)
KEY = st.sampled_from([None, None, "k1", "k2"])
PLAIN = [("pause",), ("resume",), ("delete",)]
ASK = st.sampled_from(
    [*PLAIN, *PLAIN]
    + [(action, flag) for action in ("cancel", "retry") for flag in (False, True)]
    + [("prioritize", 1), ("prioritize", 10)]
)
WORK = st.sampled_from(
    [("commit", 3, 1), ("commit", 2, 0), ("commit", 0, 1), ("beat",)]
    + [("settle", how) for how in ("complete", "fail", "stumble", "stop")]
)


class Life(RuleBasedStateMachine):
    """Steps that are taken on both sides; each answer, and the state of every job after it, must be the same."""

    run: Callable[[Coroutine[Any, Any, Any]], Any]
    real: World
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.hands: list[Hand] = []
        self.agreed = True
        self.run(self.real.begin())

    def same(self, answer: object, expected: object) -> None:
        """The answers are the same, and so are the jobs."""
        self.agreed = False
        assert answer == expected
        self.run(self.real.agrees(self.model))
        self.agreed = True
        type(self).steps += 1

    def job(self, nth: int) -> UUID:
        """One of the jobs, the newest for 0."""
        ids = list(self.model.jobs)
        return ids[-1 - nth % len(ids)]

    def hand(self, nth: int) -> Hand:
        """One of the holds that there were, the latest for 0; most are lost by now."""
        return self.hands[-1 - nth % min(len(self.hands), 4)]

    def account(self, job_id: UUID) -> str:
        return self.model.jobs[job_id].asked.account

    @precondition(lambda self: len(self.model.jobs) < MOST_JOBS)
    @rule(asked=ASKED, key=KEY)
    def submit(self, asked: Asked, key: str | None) -> None:
        answer, shown = self.run(self.real.submit(asked, key))
        fresh = new_id() if shown is None or shown in self.model.jobs else shown
        self.same((answer, shown), self.model.submit(fresh, asked, key))

    @precondition(lambda self: self.model.jobs)
    @rule(nth=NTH, asked=ASK)
    def ask(self, nth: int, asked: tuple[Any, ...]) -> None:
        job_id = self.job(nth)
        answer = self.run(self.real.ask(self.account(job_id), asked[0], job_id, *asked[1:]))
        self.same(answer, getattr(self.model, asked[0])(job_id, *asked[1:]))

    @precondition(lambda self: self.model.jobs)
    @rule(nths=st.lists(NTH, min_size=1, max_size=3), action=st.sampled_from(["pause", "resume", "cancel", "retry"]))
    def batch(self, nths: list[int], action: str) -> None:
        account = self.account(self.job(nths[0]))
        ids = [i for i in map(self.job, nths) if self.account(i) == account]
        answer = self.run(self.real.batch(account, action, ids=[str(i) for i in ids]))
        self.same(answer, list(zip(ids, self.model.batch(action, ids), strict=True)))

    @precondition(lambda self: self.model.jobs)
    @rule(
        account=st.sampled_from(ACCOUNTS),
        state=st.sampled_from(list(State)),
        action=st.sampled_from(["pause", "resume", "retry", "prioritize"]),
    )
    def batch_of_all(self, account: str, state: State, action: str) -> None:
        ids = self.model.matching(account, state)
        answer = self.run(self.real.batch(account, action, filter={"state": state}))
        self.same(answer, list(zip(ids, self.model.batch(action, ids), strict=True)))

    @precondition(lambda self: self.model.jobs)
    @rule()
    def claim(self) -> None:
        hand = self.run(self.real.worker.claim())
        self.same(hand, self.model.claim())
        self.hands += [hand] if hand else []

    @precondition(lambda self: self.hands)
    @rule(nth=NTH, move=WORK)
    def work(self, nth: int, move: tuple[Any, ...]) -> None:
        hand = self.hand(nth)
        if self.real.worker.must_restart(hand) and move != ("settle", "fail"):
            move = ("restart",)
        answer = self.run(getattr(self.real.worker, move[0])(hand, *move[1:]))
        self.same(answer, getattr(self.model, move[0])(hand, *move[1:]))

    @precondition(lambda self: self.hands)
    @rule(nth=NTH)
    def look_before_the_stop(self, nth: int) -> None:
        """What a user asks between a worker's look and its settling must not be forgotten."""
        self.run(self.real.worker.look(self.hand(nth)))
        self.same(None, None)

    @precondition(lambda self: self.hands)
    @rule(nth=NTH, move=WORK, asked=ASK)
    def work_and_ask_at_once(self, nth: int, move: tuple[Any, ...], asked: tuple[Any, ...]) -> None:
        """A user and a worker at one job at the same time: as if one had come after the other."""
        hand = self.hand(nth)
        if self.real.worker.must_restart(hand):
            move = ("restart",)
        account = self.account(hand.job)

        async def both() -> list[str]:
            return await asyncio.gather(
                getattr(self.real.worker, move[0])(hand, *move[1:]),
                self.real.ask(account, asked[0], hand.job, *asked[1:]),
            )

        answers = [_loosely(answer) for answer in self.run(both())]
        told = self.run(self.real.told(hand.job))
        before, possible = (self.model, self.hands), []
        for worker_first in (True, False):
            self.model, self.hands = copy.deepcopy(before)
            expected = self.one_after_the_other(self.hand(nth), move, asked, worker_first)
            possible.append((expected, self.model.jobs[hand.job].events))
            if possible[-1] == (answers, told):
                self.same(None, None)
                return
        self.agreed = False
        raise AssertionError(f"{move} and {asked} at once: {answers}, {told} is neither of {possible}")

    def one_after_the_other(self, hand: Hand, move: tuple[Any, ...], asked: tuple[Any, ...], first: bool) -> list[str]:
        """Both answers of the model, the worker's move being made `first` or last."""
        worked = getattr(self.model, move[0])(hand, *move[1:]) if first else ""
        answer = getattr(self.model, asked[0])(hand.job, *asked[1:])
        return [worked or getattr(self.model, move[0])(hand, *move[1:]), _loosely(answer)]

    @precondition(lambda self: self.hands)
    @rule(nth=NTH)
    def expire(self, nth: int) -> None:
        hand = self.hand(nth)
        self.same(self.run(self.real.expire(hand)), self.model.expire(hand))

    @precondition(lambda self: any(job.expired for job in self.model.jobs.values()))
    @rule()
    def rescue(self) -> None:
        self.run(self.real.worker.rescue())
        self.model.rescue()
        self.same(None, None)

    @precondition(lambda self: any(job.state in (State.PENDING, State.RETRYING) for job in self.model.jobs.values()))
    @rule(nth=NTH)
    def come_and_promote(self, nth: int) -> None:
        waiting = [j.id for j in self.model.jobs.values() if j.state in (State.PENDING, State.RETRYING)]
        job_id = waiting[nth % len(waiting)]
        self.same(self.run(self.real.come(job_id)), self.model.come(job_id))
        self.run(self.real.worker.promote())
        self.model.promote()
        self.same(None, None)

    @precondition(lambda self: self.model.jobs)
    @rule(nth=NTH)
    def read(self, nth: int) -> None:
        job = self.model.jobs[self.job(nth)]
        shown = self.run(self.real.shown(job.asked.account, job.id))
        if job.removed:
            assert shown.status_code == 404
        else:
            seen = shown.json()
            assert (seen["state"], seen["outcome"], seen["control"]) == (job.state, job.outcome, job.control)
            assert (seen["counts"]["read"], seen["last_event_id"]) == (job.read, len(job.events))
            assert len(self.run(self.real.rejects(job.asked.account, job.id))) == job.rejected
        stranger = next(name for name in ACCOUNTS if name != job.asked.account)
        self.same(self.run(self.real.shown(stranger, job.id)).status_code, 404)

    @precondition(lambda self: any(j.state in FINAL and not j.removed for j in self.model.jobs.values()))
    @rule(nth=NTH, after=NTH)
    def follow(self, nth: int, after: int) -> None:
        """A client that comes back with the number that it saw last gets exactly the rest."""
        ended = [j for j in self.model.jobs.values() if j.state in FINAL and not j.removed]
        job = ended[nth % len(ended)]
        after %= len(job.events) + 1
        rest = list(enumerate(job.events, 1))[after:]
        self.same(self.run(self.real.stream(job.asked.account, job.id, after)), rest)

    def teardown(self) -> None:
        if self.agreed:
            self.run(self.real.holds(self.model))


def _loosely(answer: str) -> str:
    """Why it was refused is told by a later look, which may see the other's change."""
    return "409" if answer.startswith("409") else answer


@pytest.mark.slow
@pytest.mark.timeout(max(300, STEPS // 10))
def test_jobs_live_as_the_model_says(servers: Servers, tmp_path: Path) -> None:
    print(f"CAMPAIGN_SEED={SEED} CAMPAIGN_STEPS={STEPS}")
    with asyncio.Runner() as own:
        stack = AsyncExitStack()
        database_url = own.run(stack.enter_async_context(servers.database()))
        redis_url = own.run(stack.enter_async_context(servers.redis()))
        try:
            Life.real = own.run(stack.enter_async_context(world(database_url, redis_url, tmp_path)))
            Life.run = staticmethod(own.run)
            for number in range(MOST_ROUNDS):
                if Life.steps < STEPS:
                    run_state_machine_as_test(seed(SEED + number)(Life), settings=SETTINGS)
        finally:
            own.run(stack.aclose())
    assert Life.steps >= STEPS
