"""The commands that change jobs: pause, resume, cancel, retry, priority, delete; one line for each job."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from service.cli import wording
from service.cli.client import Client, Json, in_path
from service.cli.failure import FAILED, Away, Failure


def control(client: Client, given: Namespace) -> int:
    """Do it to each job, whatever became of the one before. 1 if any refused; a service that is away ends it."""
    code = 0
    for job_id in [in_path(job_id) for job_id in given.ids]:  # all are looked at before the first is changed
        try:
            became = _ask(client, job_id, given)
        except Away:
            raise
        except Failure as failure:
            print(f"millrace: {job_id}: {failure}", file=sys.stderr)
            code = FAILED
        else:
            print(json.dumps(became, ensure_ascii=False) if given.json else _said(job_id, became, given), flush=True)
    return code


def _ask(client: Client, job_id: str, given: Namespace) -> Json:
    path = f"/v1/jobs/{job_id}"
    match given.command:
        case "delete":
            return client.change("DELETE", path) or {"id": job_id, "deleted": True}
        case "priority":
            return client.change("PATCH", path, body={"priority": given.priority})
        case "cancel":
            return client.change("POST", f"{path}/cancel", {"rows": "remove" if given.remove_rows else "keep"})
        case "retry":
            return client.change("POST", f"{path}/retry", {"from": "start" if given.from_start else "checkpoint"})
        case action:
            return client.change("POST", f"{path}/{action}")


def _said(job_id: str, became: Json, given: Namespace) -> str:
    match given.command:
        case "delete":
            return f"{job_id} is deleted; its rows stay"
        case "priority":
            return f"{job_id} has priority {became['priority']}"
        case _:
            return f"{job_id} is {wording.state(became)}"
