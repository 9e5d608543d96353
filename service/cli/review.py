"""What to look at and mend before and after an import: previews, rejects, corrections."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import PurePath

from service.cli import wording
from service.cli.client import Client, in_path
from service.cli.failure import Usage
from service.cli.files import opened, pieces_of, size_of
from service.cli.follow import come_back
from service.cli.printing import print_array, print_table

PREVIEW_BYTES = 1024 * 1024


def rejects(client: Client, given: Namespace) -> int:
    """Print what a job refused: where, why, what to do, and the original text; or the table to correct."""
    path = f"/v1/jobs/{in_path(given.id)}/rejects"
    if given.csv:
        for piece in client.pieces(f"{path}?format=csv"):
            sys.stdout.buffer.write(piece)
        return 0
    found = client.items(path, "rejects", None)
    if given.json:
        print_array(found)
        return 0
    for text in found:
        r = json.loads(text)
        where = f"row {r['row']}, line {r['line']}"
        for fault in r["faults"]:
            at = where + (f", column {fault['column']}" if fault["column"] else "")
            print(wording.printable(f"{at}: {fault['message']} — {fault['suggestion']}"))
        print(f"    {wording.printable(r['raw'])}")
    return 0


def correct(client: Client, given: Namespace) -> int:
    """Send the table of rejects back, corrected."""
    with opened(given.file) as source:
        path = f"/v1/jobs/{in_path(given.id)}/rejects"
        created = client.send(pieces_of(source, _ignore), size_of(source), {}, path)
    print(json.dumps(created) if given.json else f"job {created['id']} brings them in: {come_back(created['id'])}")
    return 0


def preview(client: Client, given: Namespace) -> int:
    """Show what an import would make of a file, by its beginning."""
    with opened(given.file) as source:
        content = source.read(PREVIEW_BYTES)
        is_cut = bool(source.read(1))
    asked = {"cut": "yes" if is_cut else "no", "name": "" if given.file == "-" else PurePath(given.file).name}
    asked |= {name: value for name, value in vars(given).items() if name in ("dataset", "processor") and value}
    for option in given.options:
        key, found, value = option.partition("=")
        if not (key and found):
            raise Usage(f"--option {wording.printable(option)} is no option of a processor; write --option key=value.")
        asked[key] = value
    told = client.send(iter([content]), len(content), asked, "/v1/previews")
    if given.json or "columns" not in told:
        print(json.dumps(told))
        return 0
    counts = told["counts"]
    print(f"{counts['read']:,} rows: {counts['inserted']:,} would go in, {counts['rejected']:,} be refused")
    columns = [
        [c["name"], c["type"], wording.printable(", ".join(str(value) for value in c["values"]))[:60]]
        for c in told["columns"]
    ]
    print_table(("column", "type", "values"), columns, "no columns")
    for r in told["rejects"]:
        print(wording.printable(f"row {r['row']}: {r['message']} — {r['suggestion']}"))
    return 0


def _ignore(_size: int) -> None:
    """Nobody watches."""
