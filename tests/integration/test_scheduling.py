"""Who goes next: turns by weight, ageing, limits. The claims are the engine's own, asked for by the test."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import groupby
from uuid import UUID

import asyncpg
import pytest

from service.domain.event import EventType
from service.domain.ids import new_id
from service.domain.job import State
from service.store import accounts, claims, jobs, limits
from service.store.claims import Claim, Settlement
from service.store.database import WORKER_ROLE, Database, open_database
from tests.running import eventually

QUEUE = "io"
IS_WAITED_FOR = """
    select exists (
      select
      from pg_locks
      join pg_database on pg_database.oid = database
      where datname = current_database() and locktype = 'advisory' and not granted
    )
"""


@dataclass
class Line:
    """Jobs in one queue, and a worker that takes them."""

    database: Database
    accounts: dict[str, UUID] = field(default_factory=dict)

    async def queue(self, account: str, number: int, *, processor: str = "echo", priority: int = 5) -> None:
        """Queue jobs of an account, which is made when first named."""
        async with self.database.transaction() as db:
            if account not in self.accounts:
                self.accounts[account] = await accounts.ensure(db, account, f"key of {account}")
            new = [self._job(self.accounts[account], processor, priority) for _ in range(number)]
            await jobs.submit_many(db, self.accounts[account], new)

    async def take(self, most: int = 1) -> list[Claim]:
        """Claim up to so many."""
        async with self.database.transaction() as db:
            return await claims.claim(db, QUEUE, "worker", lease_s=60, most=most, ageing_s=600)

    async def order(self, number: int, *, at_a_time: int = 1) -> list[str]:
        """Whose the next jobs are, as workers take them."""
        taken = [claim for _ in range(number // at_a_time) for claim in await self.take(at_a_time)]
        names = {account_id: name for name, account_id in self.accounts.items()}
        return [names[claim.account_id] for claim in taken]

    async def end(self, claim: Claim) -> None:
        """Complete a job."""
        async with self.database.transaction() as db:
            await claims.settle(db, [(claim, Settlement(State.COMPLETED, EventType.COMPLETED))])

    async def limit(self, kind: str, name: str, most: int | None) -> None:
        """Set a limit."""
        async with self.database.transaction() as db:
            await limits.limit(db, kind, name, most)

    async def age(self, account: str, seconds: int) -> None:
        """Make an account's jobs older."""
        async with self.database.connection() as db:
            await db.execute(
                "update job set run_at = run_at - make_interval(secs => $2) where account_id = $1",
                self.accounts[account],
                float(seconds),
            )

    def _job(self, account_id: UUID, processor: str, priority: int) -> jobs.NewJob:
        return jobs.NewJob(
            id=new_id(),
            account_id=account_id,
            processor=processor,
            queue=QUEUE,
            priority=priority,
            upload_id=None,
            dataset_id=None,
            options={},
            metadata={},
            unit="steps",
            total=None,
        )


@pytest.fixture
async def line(database: str) -> AsyncIterator[Line]:
    async with open_database(database, role=WORKER_ROLE, connections=4, name="test") as opened:
        yield Line(opened)


@pytest.mark.parametrize("at_a_time", [1, 5, 20])
async def test_accounts_take_turns_by_weight(line: Line, at_a_time: int) -> None:
    for account in ("ann", "bob"):
        await line.queue(account, 60)
    async with line.database.transaction() as db:
        await limits.weigh(db, "ann", 3)
    taken = await line.order(40, at_a_time=at_a_time)
    assert Counter(taken) == {"ann": 30, "bob": 10}
    assert max(len(list(run)) for name, run in groupby(taken) if name == "ann") <= 4


async def test_who_rested_has_no_turns_saved_up(line: Line) -> None:
    await line.queue("ann", 50)
    assert await line.order(20, at_a_time=4) == ["ann"] * 20
    await line.queue("bob", 50)
    assert Counter(await line.order(20)) == {"ann": 10, "bob": 10}


async def test_thousands_of_one_account_do_not_delay_the_first_of_another(line: Line) -> None:
    await line.queue("ann", 3_000)
    await line.take(20)
    await line.queue("bob", 1)
    assert "bob" in await line.order(2)


async def test_the_most_urgent_go_first_whatever_the_turns(line: Line) -> None:
    await line.queue("ann", 5, priority=3)
    await line.queue("bob", 5, priority=9)
    assert await line.order(10, at_a_time=5) == ["bob"] * 5 + ["ann"] * 5


async def test_waiting_makes_more_urgent(line: Line) -> None:
    await line.queue("ann", 2, priority=3)
    await line.age("ann", 4_300)  # seven steps of 600 s: as urgent as 10
    await line.queue("bob", 4, priority=9)
    assert await line.order(6) == ["ann"] * 2 + ["bob"] * 4


@pytest.mark.parametrize("is_paused", [False, True])
async def test_a_cancel_that_takes_rows_back_waits_from_now_on_and_not_from_the_end_of_the_back_off(
    line: Line, is_paused: bool
) -> None:
    await line.queue("ann", 1)
    [claim] = await line.take()
    async with line.database.transaction() as db:
        await claims.advance(db, claim, cursor={}, done=0, read=1, inserted=1, rejected=0, rate=None)
        await claims.settle(db, [(claim, Settlement(State.RETRYING, EventType.RETRYING, wait_s=3_600))])
        if is_paused:
            assert await jobs.pause(db, claim.job_id)
        assert await jobs.cancel(db, claim.job_id, remove_rows=True)
    await line.age("ann", 1_200)  # two steps of 600 s: as urgent as 7
    await line.queue("bob", 2, priority=6)
    assert await line.order(3) == ["ann", "bob", "bob"]


async def test_who_comes_while_a_claim_waits_for_another_is_no_less_urgent_for_it(line: Line) -> None:
    await line.queue("ann", 1, priority=5)
    async with line.database.transaction() as other:
        await other.execute("select pg_advisory_xact_lock(1296651340, 1)")
        taking = asyncio.create_task(line.take())  # its time is that of its start
        await eventually(lambda: other.fetchval(IS_WAITED_FOR))
        await line.queue("bob", 1, priority=6)
    assert [claim.account_id for claim in await taking] == [line.accounts["bob"]]


@pytest.mark.parametrize(("kind", "name"), [("queue", QUEUE), ("processor", "echo"), ("account", "ann")])
async def test_a_limit_holds_over_all_workers_and_frees_with_each_end(line: Line, kind: str, name: str) -> None:
    await line.queue("ann", 30)
    await line.limit(kind, name, 3)
    batches = await asyncio.gather(*(line.take(2) for _ in range(8)))
    running = [claim for batch in batches for claim in batch]
    assert len(running) == 3
    await line.end(running[0])
    assert len(await line.take(5)) == 1
    await line.limit(kind, name, None)
    assert len(await line.take(5)) == 5


async def test_a_limited_processor_or_account_holds_up_nobody_else(line: Line) -> None:
    await line.queue("ann", 200, processor="slow", priority=9)
    await line.queue("bob", 5)
    await line.limit("processor", "slow", 1)
    assert Counter(await line.order(10, at_a_time=10)) == {"ann": 1, "bob": 5}
    await line.queue("ann", 5)
    await line.queue("bob", 5, processor="slow")
    await line.limit("processor", "slow", None)
    await line.limit("account", "ann", 1)
    assert await line.order(10, at_a_time=10) == ["bob"] * 5


async def test_one_claim_takes_many_and_no_job_twice(line: Line) -> None:
    await line.queue("ann", 300)
    batches = await asyncio.gather(*(line.take(50) for _ in range(8)))
    taken = [claim.job_id for batch in batches for claim in batch]
    assert len(taken) == len(set(taken)) == 300


async def test_jobs_that_end_together_are_settled_together_and_lost_ones_left_out(line: Line) -> None:
    await line.queue("ann", 3)
    taken = await line.take(3)
    await line.end(taken[1])
    async with line.database.transaction() as db:
        settled = await claims.settle(
            db, [(claim, Settlement(State.COMPLETED, EventType.COMPLETED)) for claim in taken]
        )
    assert set(settled) == {taken[0].held, taken[2].held}


async def test_a_lease_that_no_attempt_has_goes_when_it_has_run_out(line: Line) -> None:
    """No statement leaves one. If there is one all the same, its job waits for it no longer than for a lost worker."""
    await line.queue("ann", 1)
    (claim,) = await line.take()
    async with line.database.connection() as db:
        await line.end(claim)
        await line.queue("ann", 1)
        await db.execute(
            """
            insert into lease (job_id, account_id, epoch, worker, expires_at, queue)
            select id, account_id, epoch + 1, 'nobody', now() - interval '1 s', queue
            from job
            where state = 'queued'
            """
        )
        with pytest.raises(asyncpg.UniqueViolationError):
            await line.take()
        assert await claims.rescue(db, 3, {}) == ([], [])
        assert len(await line.take()) == 1
