"""Jobs, sizes and foreign text as words for a terminal."""

from __future__ import annotations

from datetime import UTC, datetime

from service.cli.client import Json

ABOUT_TO = {"pause": "pausing", "cancel": "cancelling"}
"""A job by what is asked of it."""


def size(number: int) -> str:
    """Bytes for people: 52.2 MB."""
    amount, units = float(number), ["bytes", "kB", "MB", "GB", "TB"]
    while amount >= 999.95 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.0f} {units[0]}" if units[0] == "bytes" else f"{amount:.1f} {units[0]}"


def duration(seconds: float) -> str:
    """Seconds for people: 2.4 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def printable(text: str) -> str:
    """Text of others without anything that could steer the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def stored(job: Json) -> int:
    """Rows of a job that are in its dataset."""
    counts = job["counts"]
    return int(counts["inserted"] + counts["updated"])


def elapsed_s(job: Json) -> float:
    """Seconds since a job first started, until it ended."""
    if not job["started_at"]:
        return 0
    ended = datetime.fromisoformat(job["finished_at"]) if job["finished_at"] else datetime.now(UTC)
    return max(0, (ended - datetime.fromisoformat(job["started_at"])).total_seconds())


def percent(job: Json) -> str:
    """How far it is; a dash when nobody knows."""
    known = job["progress"]["percent"]
    return "–" if known is None else f"{known:.0f} %"


def state(job: Json) -> str:
    """Its state, or what it is about to be: a worker obeys after the chunk in hand."""
    return ABOUT_TO.get(job["control"]) or str(job["state"])


def phase(job: Json) -> str:
    """What it is doing."""
    return ABOUT_TO.get(job["control"]) or str(job["progress"]["phase"])


def situation(job: Json) -> str:
    """Where a job stands, without its percent: rows, rejected, rate."""
    parts = [f"{stored(job):,} rows", f"{job['counts']['rejected']:,} rejected"]
    if job["state"] == "running" and job["progress"]["rate"]:
        parts.append(f"{job['progress']['rate']:,.0f} rows/s")
    return " · ".join(parts)


def problem(job: Json) -> str:
    """What went wrong and what to do, or nothing."""
    told = job["problem"] or {}
    return printable(" — ".join(filter(None, (told.get("message"), told.get("suggestion")))))


def summary(job: Json) -> str:
    """How a job ended, in one line."""
    into = f" into {job['dataset']}" if job["dataset"] else ""
    rejected = job["counts"]["rejected"]
    parts = [f"{stored(job):,} rows{into}"]
    parts += [f"{rejected:,} rejected (millrace rejects {job['id']})"] if rejected else []
    parts += [duration(elapsed_s(job))]
    why = problem(job)
    return f"{job['state']}: {why + ' · ' if why else ''}{' · '.join(parts)}"
