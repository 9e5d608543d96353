"""Follows a job over its event stream, through lost connections, until it has ended."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator

from service.cli.client import Client, Json
from service.cli.failure import Away, Failure
from service.domain.job import FINAL

RETRY_S = 1.0
LONGEST_WAIT_S = 15.0
GIVE_UP_S = 600.0
RESTART_S = 20.0
"""A service that said `reconnect` may be away for so long without a word about it."""

PHASES = {"queued": "waiting", "running": "importing", "retrying": "backing off"}
ASKED = {"job.pause_requested": "pause", "job.cancel_requested": "cancel"}
ENDS_ASKING = FINAL | {"paused"}
"""States in which nothing is asked of a job any more."""
NOT_YET = {"outcome": None, "problem": None, "finished_at": None, "cancel_requested_at": None}
"""What a job that runs again has no more."""


def watch(client: Client, job: Json, note: Callable[[str], None]) -> Iterator[tuple[Json, str]]:
    """The job as known after each event, with the event as JSON text ("" for a snapshot); the last one has ended.

    Every event comes once and in order. Raises Failure when the service has been away for GIVE_UP_S.
    """
    job_id, seen, retry_s, tries, heard_s, quiet_until_s = job["id"], 0, RETRY_S, 0, time.monotonic(), 0.0
    while True:
        try:
            is_restarting = False
            for message in client.events(job_id, seen):
                tries, heard_s = 0, time.monotonic()
                retry_s = retry_s if message.retry_ms is None else message.retry_ms / 1000
                told = json.loads(message.data)
                if message.event == "reconnect":
                    is_restarting, quiet_until_s = True, heard_s + RESTART_S
                elif message.event == "snapshot":
                    job = told
                    yield job, ""
                else:
                    seen = int(message.id)
                    apply(job, told)
                    yield job, message.data
            if not is_restarting:
                job = client.get(f"/v1/jobs/{job_id}")
                if job["state"] in FINAL and seen >= job["last_event_id"]:
                    yield job, ""
                    return
        except Away as away:
            if time.monotonic() - heard_s > GIVE_UP_S:
                raise Failure(f"{away} Giving up; the job may well go on: {come_back(job_id)}") from None
            if time.monotonic() > quiet_until_s:
                note(f"{away} Trying again …")
        # Half fixed, half random: clients cut off together come back one by one.
        time.sleep(random.uniform(0.5, 1) * min(LONGEST_WAIT_S, retry_s * 2**tries))
        tries = min(tries + 1, 10)


def apply(job: Json, event: Json) -> None:
    """Bring a job up to date with an event, unless the snapshot it came from was newer."""
    if event["seq"] <= job["last_event_id"]:
        return
    job["last_event_id"] = event["seq"]
    if event.get("reason") == "retried":
        job |= NOT_YET
    told = ("state", "outcome", "problem", "attempt", "counts", "priority")
    job.update({key: event[key] for key in told if key in event})
    job["progress"] |= event.get("progress", {})
    if event["type"] == "job.reset":
        job["counts"] = dict.fromkeys(job["counts"], 0)
        job["progress"] |= {"done": 0, "percent": None, "rate": None}
    if event["type"] in ("job.started", "job.progressed"):
        job["state"] = "running"
    if event["type"] in ASKED:
        job["control"] = ASKED[event["type"]]
    elif event["type"] == "job.resumed" or event.get("state") in ENDS_ASKING:
        job["control"] = None
    if "state" in event:
        job["progress"]["phase"] = PHASES.get(event["state"], event["state"])


def come_back(job_id: str) -> str:
    """How to follow it again."""
    return f"millrace job {job_id} --follow"
