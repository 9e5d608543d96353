"""What the job engine promises, as a model in memory: each method answers as the service and its worker must.

Answers are words: `"200 queued"`, `"409 conflict"`, `"lost"`. A method that refuses changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from service.domain.job import FINAL, MAX_DEATHS, TRANSITIONS, Control, Outcome, State

FIRST_ATTEMPT, MAX_ATTEMPTS = 1, 3


@dataclass
class Asked:
    """A submit: what makes two of them the same request."""

    account: str
    priority: int = 5
    run_at: str | None = None
    dedupe_key: str | None = None

    @property
    def waits(self) -> bool:
        """Whether its time has not come."""
        return self.run_at is not None and self.run_at > "2026"


@dataclass
class Job:
    """One job."""

    id: UUID
    asked: Asked
    state: State
    priority: int
    due: bool
    outcome: Outcome | None = None
    control: Control | None = None
    remove_rows: bool = False
    removed: bool = False
    attempt: int = FIRST_ATTEMPT
    deaths: int = 0
    epoch: int = 0
    inserted: int = 0
    rejected: int = 0
    expired: bool = False
    events: list[str] = field(default_factory=lambda: ["job.created"])
    results: list[str | None] = field(default_factory=list)

    @property
    def read(self) -> int:
        """Rows in."""
        return self.inserted + self.rejected

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.state not in FINAL

    def move(self, state: State, event: str) -> None:
        """Change the state, if only in name, and tell."""
        assert state is self.state or state in TRANSITIONS[self.state], f"the model moves {self.state} to {state}"
        self.state = state
        self.outcome = self._outcome() if state in FINAL else None
        self.events.append(event)

    def _outcome(self) -> Outcome:
        if self.inserted == 0 and (self.read > 0 or self.state is not State.COMPLETED):
            return Outcome.NONE
        return Outcome.COMPLETE if self.state is State.COMPLETED and not self.rejected else Outcome.PARTIAL


@dataclass
class Hand:
    """A worker's hold of a job, as the worker believes it."""

    job: UUID
    epoch: int
    read: int


class Model:
    """Every job of a run, and the rules of its life."""

    def __init__(self) -> None:
        self.jobs: dict[UUID, Job] = {}
        self.keys: dict[tuple[str, str], tuple[Asked, UUID]] = {}
        self.turns: dict[str, int] = {}  # virtual time, by account
        self.clock = 0

    # What users do

    def submit(self, new: UUID, asked: Asked, key: str | None) -> tuple[str, UUID | None]:
        """The answer, and the id of the job that it shows; `new` is the id if there is a new one."""
        first = self.keys.get((asked.account, key)) if key else None
        if first and first[0] != asked:
            return "409 idempotency_key_reused", None
        if first:
            return self._shown(first[1])
        if live := self._live(asked):
            shown = live.id
        else:
            shown = new
            self.jobs[new] = Job(
                new, asked, State.PENDING if asked.waits else State.QUEUED, asked.priority, not asked.waits
            )
        if key:
            self.keys[asked.account, key] = (asked, shown)
        return f"{202 if shown == new else 200} {self.jobs[shown].state}", shown

    def pause(self, job_id: UUID) -> str:
        """POST …/pause."""
        job = self.jobs[job_id]
        if not job.is_live or job.state is State.PAUSED or job.control:
            return self._refused(job)
        if job.state is State.RUNNING:
            job.control = Control.PAUSE
            job.events.append("job.pause_requested")
        else:
            job.move(State.PAUSED, "job.paused")
        return f"200 {job.state}"

    def resume(self, job_id: UUID) -> str:
        """POST …/resume: also takes back a pause that no worker has obeyed."""
        job = self.jobs[job_id]
        if job.state is not State.PAUSED and not (job.is_live and job.control is Control.PAUSE):
            return self._refused(job)
        job.control = None
        job.move(State.QUEUED if job.state is State.PAUSED else job.state, "job.resumed")
        return f"200 {job.state}"

    def cancel(self, job_id: UUID, remove_rows: bool) -> str:
        """POST …/cancel?rows=."""
        job = self.jobs[job_id]
        if not job.is_live or job.control is Control.CANCEL:
            return self._refused(job)
        job.remove_rows = remove_rows
        if job.state is State.RUNNING or (remove_rows and job.inserted):
            job.control = Control.CANCEL
            job.move(job.state if job.state is State.RUNNING else State.QUEUED, "job.cancel_requested")
        else:
            job.control = None
            job.move(State.CANCELLED, "job.cancelled")
        return f"200 {job.state}"

    def retry(self, job_id: UUID, from_start: bool) -> str:
        """POST …/retry?from=."""
        job = self.jobs[job_id]
        if job.state not in (State.FAILED, State.CANCELLED) or job.removed:
            return self._refused(job)
        if self._live(job.asked):
            return "409 conflict"
        job.control = Control.RESTART if from_start else None
        job.attempt, job.deaths, job.remove_rows = FIRST_ATTEMPT, 0, False
        job.move(State.QUEUED, "job.requeued")
        return f"200 {job.state}"

    def prioritize(self, job_id: UUID, priority: int) -> str:
        """PATCH {priority}."""
        job = self.jobs[job_id]
        if not job.is_live:
            return self._refused(job)
        job.priority = priority
        job.events.append("job.prioritized")
        return f"200 {job.state}"

    def delete(self, job_id: UUID) -> str:
        """DELETE."""
        job = self.jobs[job_id]
        if job.is_live or job.removed:
            return self._refused(job)
        job.removed = True
        return "204"

    def batch(self, action: str, job_ids: list[UUID]) -> list[str]:
        """POST /v1/jobs/batch: a state or a code for each job."""
        answers = [getattr(self, action)(job_id, *BATCH_ARGUMENTS.get(action, ())) for job_id in job_ids]
        return [answer.partition(" ")[2] or self.jobs[i].state for i, answer in zip(job_ids, answers, strict=True)]

    def matching(self, account: str, state: State) -> list[UUID]:
        """The jobs that a batch's filter names, oldest first."""
        return sorted(
            j.id for j in self.jobs.values() if (j.asked.account, j.state, j.removed) == (account, state, False)
        )

    # What workers do

    def _turn(self, job: Job) -> int:
        return max(self.turns.get(job.asked.account, 0), self.clock)

    def next_up(self) -> Job | None:
        """The most urgent job; among equals that of the account whose turn it is, then the oldest."""
        queued = [job for job in self.jobs.values() if job.state is State.QUEUED]
        urgent = [job for job in queued if job.priority == max(j.priority for j in queued)]
        oldest = {job.asked.account: job for job in sorted(urgent, key=lambda j: j.id, reverse=True)}
        return min(oldest.values(), key=lambda j: (self._turn(j), j.id), default=None)

    def claim(self) -> Hand | None:
        """Start the next job."""
        job = self.next_up()
        if job is None:
            return None
        self.clock = self._turn(job)
        self.turns[job.asked.account] = self.clock + 1
        job.epoch += 1
        job.expired = False
        job.results.append(None)
        job.move(State.RUNNING, "job.started")
        return Hand(job.id, job.epoch, job.read)

    def restart(self, hand: Hand) -> str:
        """Take back what earlier attempts stored."""
        if (job := self._held(hand)) is None:
            return "lost"
        self._reset(job)
        hand.read = 0
        return "restarted"

    def commit(self, hand: Hand, rows: int, rejects: int) -> str:
        """Commit a chunk; what the user wants."""
        if (job := self._held(hand)) is None:
            return "lost"
        job.inserted += rows
        job.rejected += rejects
        hand.read += rows + rejects
        job.deaths = 0
        job.events.append("job.progressed")
        return str(job.control)

    def beat(self, hand: Hand) -> str:
        """Prolong the lease; what the user wants."""
        if (job := self._held(hand)) is None:
            return "lost"
        job.expired = False
        return str(job.control)

    def settle(self, hand: Hand, how: str) -> str:
        """End the attempt: `complete`, `fail`, `stumble` (a transient failure), or `stop` (interrupted)."""
        if (job := self._held(hand)) is None:
            return "lost"
        if how == "complete":
            return self._ended(job, State.COMPLETED, "job.completed")
        if how == "fail" or (how == "stumble" and job.attempt >= MAX_ATTEMPTS):
            return self._ended(job, State.FAILED, "job.failed")
        if job.control is Control.PAUSE:
            return self._ended(job, State.PAUSED, "job.paused")
        if job.control is Control.CANCEL:
            if job.remove_rows:
                self._reset(job)
            return self._ended(job, State.CANCELLED, "job.cancelled")
        if how == "stumble":
            job.attempt += 1
            job.due = False
            return self._ended(job, State.RETRYING, "job.retrying")
        return self._ended(job, State.QUEUED, "job.requeued")

    def expire(self, hand: Hand) -> str:
        """The worker is silent until its lease is over."""
        if (job := self._held(hand)) is not None:
            job.expired = True
        return "silent"

    def rescue(self) -> list[UUID]:
        """Take jobs from silent workers."""
        lost = [job for job in self.jobs.values() if job.state is State.RUNNING and job.expired]
        for job in lost:
            job.deaths += 1
            job.results[-1] = "lost"
            if job.deaths < MAX_DEATHS:
                job.move(State.QUEUED, "job.requeued")
            else:
                job.control = None
                job.move(State.FAILED, "job.failed")
        return sorted(job.id for job in lost)

    def come(self, job_id: UUID) -> str:
        """The moment that a job waits for is here."""
        self.jobs[job_id].due = True
        return "come"

    def promote(self) -> list[UUID]:
        """Queue what is due."""
        due = [job for job in self.jobs.values() if job.state in (State.PENDING, State.RETRYING) and job.due]
        for job in due:
            job.move(State.QUEUED, "job.requeued")
        return sorted(job.id for job in due)

    # How it knows

    def _held(self, hand: Hand) -> Job | None:
        job = self.jobs[hand.job]
        return job if job.state is State.RUNNING and job.epoch == hand.epoch else None

    def _live(self, asked: Asked) -> Job | None:
        mine = (asked.account, asked.dedupe_key)
        same = (j for j in self.jobs.values() if j.is_live and (j.asked.account, j.asked.dedupe_key) == mine)
        return next(same, None) if asked.dedupe_key else None

    def _reset(self, job: Job) -> None:
        job.inserted = job.rejected = 0
        job.control = None if job.control is Control.RESTART else job.control
        job.events.append("job.reset")

    def _ended(self, job: Job, state: State, event: str) -> str:
        job.control = job.control if state in (State.QUEUED, State.RETRYING) else None
        job.results[-1] = event.removeprefix("job.")
        job.move(state, event)
        return job.state

    def _shown(self, job_id: UUID) -> tuple[str, UUID | None]:
        job = self.jobs[job_id]
        return ("404 not_found", None) if job.removed else (f"200 {job.state}", job_id)

    def _refused(self, job: Job) -> str:
        if job.removed:
            return "404 not_found"
        return "409 conflict" if job.is_live else "409 already_finished"


BATCH_ARGUMENTS: dict[str, tuple[object, ...]] = {"cancel": (False,), "retry": (False,), "prioritize": (5,)}
"""What a batch means when it says no more than its action."""
