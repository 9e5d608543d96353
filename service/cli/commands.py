"""The commands. Each returns its exit code."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath

from service.cli import review, wording
from service.cli.client import Client, Json, in_path
from service.cli.control import control
from service.cli.display import Display, display
from service.cli.failure import FAILED, INTERRUPTED, Interrupted, Usage
from service.cli.files import opened, pieces_of, size_of
from service.cli.follow import come_back, watch
from service.cli.printing import print_array, print_table

TABLE_ROWS = 20
OWN_PARAMETERS = ("processor", "dataset", "priority", "metadata", "name", "again")


def run(given: Namespace) -> int:
    """Do what was typed."""
    commands = {
        "import": import_file,
        "jobs": jobs,
        "job": job,
        "rows": rows,
        "rejects": review.rejects,
        "correct": review.correct,
        "preview": review.preview,
    }
    with Client(given.url, given.key) as client:
        return commands.get(given.command, control)(client, given)


def import_file(client: Client, given: Namespace) -> int:
    """Send a file and queue its job; with --follow, watch it."""
    shown = display(as_json=given.json)
    with opened(given.file) as source:
        name = "" if given.file == "-" else PurePath(given.file).name
        asked = _parameters(given, name) | {"processor": given.processor or _processor_for(client, name)}
        size_bytes = size_of(source)
        with shown.upload(name or "standard input", size_bytes) as sent:
            created = _sent(client, pieces_of(source, sent), size_bytes, asked)
    if created.get("duplicate_of"):
        told = f"the same content was imported before by job {created['id']}; --again imports it once more"
        shown.end(created, told)
        return 0
    if given.follow:
        return _follow(client, created, shown)
    queued = f"job {created['id']} is queued ({created['processor']} into {created['dataset']})"
    shown.end(created, queued + f" · watch it: {come_back(created['id'])}")
    return 0


def jobs(client: Client, given: Namespace) -> int:
    """List jobs."""
    asked = {} if given.state is None else {"state": given.state}
    found = client.items("/v1/jobs", "jobs", given.limit, asked)
    if given.json:
        print_array(found)
    else:
        header = ("job", "state", "done", "rows", "rejected", "dataset", "created")
        print_table(header, (_job_cells(json.loads(text)) for text in found), "no jobs")
    return 0


def job(client: Client, given: Namespace) -> int:
    """Show a job; with --follow, until it has ended."""
    shown = display(as_json=given.json)
    text = client.text(f"/v1/jobs/{in_path(given.id)}")
    found: Json = json.loads(text)
    if given.follow:
        return _follow(client, found, shown)
    if given.json:
        print(text)
    else:
        _print_job(found)
    return _exit_code(found)


def rows(client: Client, given: Namespace) -> int:
    """Print rows as a table, as JSON or as CSV."""
    wanted = given.format or ("json" if given.json else "table")
    name = in_path(given.name)
    if wanted == "csv":
        for piece in _first_records(client.export(name), given.limit):
            sys.stdout.buffer.write(piece)
        return 0
    limit = given.limit or (TABLE_ROWS if wanted == "table" else None)
    found = client.items(f"/v1/datasets/{name}/rows", "rows", limit)
    if wanted == "json":
        print_array(found)
    else:
        columns = ["_row", *(c["name"] for c in client.get(f"/v1/datasets/{name}")["columns"])]
        print_table(columns, (_row_cells(text, columns) for text in found), "no rows yet")
    return 0


def dataset_name(file_name: str) -> str:
    """A dataset's name out of a file's: `2024 Käufe.csv` → `data_2024_kaufe`."""
    plain = unicodedata.normalize("NFKD", PurePath(file_name).stem).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return (words if words[:1].isalpha() else f"data_{words}".rstrip("_"))[:48].rstrip("_")


def _follow(client: Client, followed: Json, shown: Display) -> int:
    newest, was = followed, ""
    try:
        with shown.job(followed) as look:
            for newest, event in watch(client, followed, shown.say):
                look(newest, event)
                if newest["state"] == "paused" != was:
                    shown.say(f"Job {newest['id']} is paused; it goes on with: millrace resume {newest['id']}")
                was = newest["state"]
    except KeyboardInterrupt:
        shown.say(f"Job {followed['id']} goes on without you. Come back with: {come_back(followed['id'])}")
        return INTERRUPTED
    shown.end(newest, wording.summary(newest))
    return _exit_code(newest)


def _exit_code(found: Json) -> int:
    return FAILED if found["state"] in ("failed", "cancelled") else 0


def _sent(client: Client, pieces: Iterator[bytes], size_bytes: int | None, asked: dict[str, str]) -> Json:
    try:
        return client.send(pieces, size_bytes, asked)
    except KeyboardInterrupt:
        raise Interrupted("Stopped while the file was being sent; `millrace jobs` lists every job there is.") from None


def _parameters(given: Namespace, name: str) -> dict[str, str]:
    if not (given.dataset or name):
        raise Usage("Standard input has no name to call the dataset by; pass --dataset NAME.")
    asked = {"dataset": given.dataset or dataset_name(name)}
    asked |= {"name": name} if name else {}
    asked |= {"priority": str(given.priority)} if given.priority else {}
    asked |= {"again": "true"} if given.again else {}
    for option in given.options:
        key, found, value = option.partition("=")
        if not (key and found) or key in OWN_PARAMETERS:
            raise Usage(f"--option {wording.printable(option)} is no option of a processor; write --option key=value.")
        asked[key] = value
    return asked


def _processor_for(client: Client, name: str) -> str:
    suffix = PurePath(name).suffix.lower()
    known = client.get("/v1/processors")["processors"]
    return next((p["name"] for p in known if suffix in p["suffixes"]), "csv")


def _first_records(pieces: Iterable[bytes], limit: int | None) -> Iterator[bytes]:
    """CSV up to its `limit`-th record behind the header. A line end counts where the quotes before it are paired."""
    if limit is None:
        yield from pieces
        return
    left, quotes = limit + 1, 0
    for piece in pieces:
        for line in piece.splitlines(keepends=True) if b"\r" not in piece else re.findall(rb"[^\n]*\n|[^\n]+", piece):
            yield line
            quotes += line.count(b'"')
            left -= line.endswith(b"\n") and quotes % 2 == 0
            if left == 0:
                return


def _job_cells(found: Json) -> tuple[str, ...]:
    counts = (f"{wording.stored(found):,}", f"{found['counts']['rejected']:,}")
    created = found["created_at"][:16].replace("T", " ")
    return (found["id"], wording.state(found), wording.percent(found), *counts, found["dataset"] or "", created)


def _row_cells(text: str, columns: Sequence[str]) -> list[str]:
    row = json.loads(text, parse_int=str, parse_float=str)  # digits as they were sent
    cells = (row[column] for column in columns)
    return ["" if c is None else wording.printable(c if isinstance(c, str) else json.dumps(c)) for c in cells]


def _print_job(found: Json) -> None:
    lines = {
        "job": found["id"],
        "state": wording.state(found) + (f" ({found['outcome']})" if found["outcome"] else ""),
        "imports": f"{found['processor']} into {found['dataset']}, priority {found['priority']}",
        "done": f"{wording.percent(found)} · {wording.situation(found)}",
        "problem": wording.problem(found),
        "created": found["created_at"],
        "took": wording.duration(wording.elapsed_s(found)) if found["started_at"] else "",
    }
    for name, text in lines.items():
        if text:
            print(f"{name:<9}{text}")
