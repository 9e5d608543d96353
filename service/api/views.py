"""How things look as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from service.domain import eta
from service.domain.dataset import Dataset, columns_to_json
from service.domain.flow import Flow, Step
from service.domain.job import Job, Progress
from service.domain.note import Note
from service.domain.processor import Processor
from service.domain.schedule import Schedule, template_to_json
from service.domain.upload import Upload

Json = dict[str, Any]


def upload(stored: Upload) -> Json:
    """An upload as the API shows it."""
    return {
        "id": str(stored.id),
        "name": stored.name,
        "size_bytes": stored.size_bytes,
        "sha256": stored.sha256.hex(),
        "media_type": stored.media_type,
        "created_at": stored.created_at.isoformat(),
        "expired_at": stored.expired_at and stored.expired_at.isoformat(),
        "expired_reason": stored.expired_reason,
        "links": {"self": f"/v1/uploads/{stored.id}"},
    }


def job(stored: Job) -> Json:
    """A job as the API shows it."""
    path = f"/v1/jobs/{stored.id}"
    links = {"self": path, "events": f"{path}/events", "rejects": f"{path}/rejects", "notes": f"{path}/notes"}
    if stored.dataset:
        links |= {"dataset": f"/v1/datasets/{stored.dataset}", "undo": f"{path}/undo"}
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
        "retry": asdict(stored.retry),
        "waits_for": stored.waits_for,
        "run_if": stored.run_if,
        "flow_id": None if stored.flow_id is None else str(stored.flow_id),
        "step": stored.step,
        "metadata": stored.metadata,
        "progress": progress(stored.progress, eta.of(stored)),
        "counts": asdict(stored.counts),
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
                "counts": asdict(step.job.counts),
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
        "eta_s": left and asdict(left),
    }


def dataset(stored: Dataset) -> Json:
    """A dataset as the API shows it; `columns` is empty until the first chunk arrived."""
    path = f"/v1/datasets/{stored.name}"
    return {
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
        "queue": known.queue,
        "unit": known.unit,
        "options": known.options.model_json_schema(),
    }


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
