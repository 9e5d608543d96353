"""How things look as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from service.domain import eta
from service.domain.dataset import Dataset, RowCount, columns_to_json
from service.domain.flow import Flow, Step
from service.domain.job import Counts, Job, Progress, Retry
from service.domain.note import Note
from service.domain.processor import Processor
from service.domain.schedule import Schedule, template_to_json
from service.domain.upload import Upload
from service.store.rules import Rule

Json = dict[str, Any]


def upload(stored: Upload) -> Json:
    """An upload as the API shows it; `jobs` are the newest that used it."""
    path = f"/v1/uploads/{stored.id}"
    return {
        "id": str(stored.id),
        "name": stored.name,
        "state": stored.status,
        "size_bytes": stored.size_bytes,
        "received_bytes": stored.received_bytes,
        "sha256": stored.sha256 and stored.sha256.hex(),
        "media_type": stored.media_type,
        "kind": stored.kind,
        "protocol": stored.protocol,
        "duplicate_of": stored.duplicate_of and str(stored.duplicate_of),
        "jobs": [_used_by(job) for job in stored.jobs],
        "problem": stored.problem,
        "created_at": stored.created_at.isoformat(),
        "expires_at": stored.expires_at and stored.expires_at.isoformat(),
        "expired_at": stored.expired_at and stored.expired_at.isoformat(),
        "expired_reason": stored.expired_reason,
        "damaged_at": stored.damaged_at and stored.damaged_at.isoformat(),
        "links": {"self": path, "content": f"{path}/content"},
    }


def _used_by(job: Mapping[str, Any]) -> Json:
    return {**job, "links": {"self": f"/v1/jobs/{job['id']}"}}


def rule(stored: Rule) -> Json:
    """A rule as the API shows it."""
    return {
        "id": str(stored.id),
        "type": stored.type,
        "processor": stored.processor,
        "dataset": stored.dataset,
        "options": stored.options,
        "priority": stored.priority,
        "created_at": stored.created_at.isoformat(),
        "links": {"self": f"/v1/rules/{stored.id}"},
    }


def job(stored: Job) -> Json:
    """A job as the API shows it."""
    path = f"/v1/jobs/{stored.id}"
    links = {"self": path, "events": f"{path}/events", "rejects": f"{path}/rejects", "notes": f"{path}/notes"}
    if stored.dataset:
        links |= {"dataset": f"/v1/datasets/{stored.dataset}", "undo": f"{path}/undo"}
    if stored.corrects_id:
        links["corrects"] = f"/v1/jobs/{stored.corrects_id}"
    return {
        "id": str(stored.id),
        "processor": stored.processor,
        "queue": stored.queue,
        "state": stored.state,
        "outcome": stored.outcome,
        "priority": stored.priority,
        "attempt": stored.attempt,
        "upload_id": None if stored.upload_id is None else str(stored.upload_id),
        "dataset": stored.dataset,
        "input": stored.input,
        "output": stored.output,
        "options": stored.options,
        "retry": fields(stored.retry),
        "waits_for": stored.waits_for,
        "run_if": stored.run_if,
        "flow_id": None if stored.flow_id is None else str(stored.flow_id),
        "step": stored.step,
        "corrects": None if stored.corrects_id is None else str(stored.corrects_id),
        "duplicate_of": str(stored.id) if stored.is_duplicate else None,
        "metadata": stored.metadata,
        "progress": progress(stored.progress, eta.of(stored)),
        "counts": fields(stored.counts),
        "notes": stored.noted,
        "undone_by": None if stored.undone_by is None else str(stored.undone_by),
        "undone_at": stored.undone_at and stored.undone_at.isoformat(),
        "problem": stored.problem,
        "control": stored.control,
        "cancel_requested_at": stored.cancel_requested_at and stored.cancel_requested_at.isoformat(),
        "created_at": stored.created_at.isoformat(),
        "started_at": stored.started_at and stored.started_at.isoformat(),
        "finished_at": stored.finished_at and stored.finished_at.isoformat(),
        "last_event_id": stored.event_seq,
        "links": links,
    }


def places(stored: Job) -> dict[str, str]:
    """The headers that say where a job is, the answer to a request that made it or might have."""
    path = f"/v1/jobs/{stored.id}"
    return {"Location": path} | ({"Content-Location": path} if stored.is_duplicate else {})


def flow(stored: Flow) -> Json:
    """A flow as the API lists it; `steps` has the rest."""
    path = f"/v1/flows/{stored.id}"
    return {
        "id": str(stored.id),
        "name": stored.name,
        "state": stored.state,
        "metadata": stored.metadata,
        "created_at": stored.created_at.isoformat(),
        "finished_at": stored.finished_at and stored.finished_at.isoformat(),
        "last_event_id": stored.event_seq,
        "links": {"self": path, "events": f"{path}/events"},
    }


def steps(stored: Sequence[Step]) -> Json:
    """The steps of a flow, each behind those that it needs, and the edges between them."""
    return {
        "steps": [
            {
                "key": step.job.step,
                "job_id": str(step.job.id),
                "processor": step.job.processor,
                "after": step.after,
                "run_if": step.job.run_if,
                "required": step.job.is_required,
                "state": step.job.state,
                "outcome": step.job.outcome,
                "progress": progress(step.job.progress, eta.of(step.job)),
                "counts": fields(step.job.counts),
                "problem": step.job.problem,
                "output": step.job.output,
                "links": {"job": f"/v1/jobs/{step.job.id}"},
            }
            for step in stored
        ],
        "edges": [{"from": key, "to": step.job.step} for step in stored for key in step.after],
    }


def progress(p: Progress, left: eta.Eta | None) -> Json:
    """Progress with percent; the estimate is None while it is unknown."""
    return {
        "done": p.done,
        "total": p.total,
        "unit": p.unit,
        "percent": p.percent,
        "phase": p.phase,
        "message": p.message,
        "rate": p.rate,
        "eta_s": left and fields(left),
    }


def fields(plain: Counts | Retry | eta.Eta) -> Json:
    """A dataclass of plain values as a dictionary; `asdict` takes ten times as long, for it copies at any depth."""
    return {name: getattr(plain, name) for name in plain.__slots__}


def dataset(stored: Dataset, counted: RowCount | None = None) -> Json:
    """A dataset as the API shows it; `columns` is empty until the first chunk arrived."""
    path = f"/v1/datasets/{stored.name}"
    told = {} if counted is None else {"rows": counted.rows, "rows_are": "counted" if counted.is_counted else "about"}
    return {
        **told,
        "name": stored.name,
        "columns": columns_to_json(stored.columns or ()),
        "keys": stored.keys,
        "created_at": stored.created_at.isoformat(),
        "links": {"self": path, "rows": f"{path}/rows", "export": f"{path}/export?format=csv"},
    }


def note(stored: Note) -> Json:
    """A note as the API shows it."""
    return {
        "row": stored.row,
        "code": stored.code,
        "message": stored.message,
        "other_job": None if stored.other_job is None else str(stored.other_job),
        "other_row": stored.other_row,
        "keys": stored.keys,
    }


def processor(known: Processor) -> Json:
    """A processor as the API shows it, its options as JSON Schema."""
    return {
        "name": known.name,
        "title": known.title,
        "suffixes": known.suffixes,
        "accepts": known.accepts,
        "max_bytes": known.max_bytes,
        "queue": known.queue,
        "unit": known.unit,
        "options": _schema(known.options),
    }


@cache
def _schema(options: type[BaseModel]) -> Json:
    """As JSON Schema, which takes milliseconds to make."""
    return options.model_json_schema()


def schedule(stored: Schedule) -> Json:
    """A schedule as the API shows it; `job` as it was asked for."""
    path = f"/v1/schedules/{stored.id}"
    links = {"self": path, "run": f"{path}/run"}
    if stored.last_job_id:
        links["last_job"] = f"/v1/jobs/{stored.last_job_id}"
    asked = {name: value for name, value in template_to_json(stored.job).items() if name not in ("queue", "unit")}
    return {
        "id": str(stored.id),
        "name": stored.name,
        "cron": stored.cron,
        "time_zone": stored.time_zone,
        "job": asked,
        "missed": stored.missed,
        "overlap": stored.overlap,
        "paused": stored.paused,
        "next_run_at": stored.next_run_at and stored.next_run_at.isoformat(),
        "last_run_at": stored.last_run_at and stored.last_run_at.isoformat(),
        "last_job_id": stored.last_job_id and str(stored.last_job_id),
        "last_problem": stored.last_problem,
        "created_at": stored.created_at.isoformat(),
        "links": links,
    }


def runs(slots: Sequence[datetime], time_zone: str) -> list[Json]:
    """Slots as moments in UTC and as the clock on the wall shows them there."""
    return [{"at": slot.isoformat(), "local": slot.astimezone(ZoneInfo(time_zone)).isoformat()} for slot in slots]
