"""What can be typed after `millrace`."""

from __future__ import annotations

import argparse
import os

DEFAULT_URL = "http://127.0.0.1:8000"


def parser() -> argparse.ArgumentParser:
    """The command line as argparse knows it."""
    top = argparse.ArgumentParser(
        prog="millrace",
        parents=[_shared()],
        description="Files in, rows out, and you can watch.",
        epilog="Exit codes: 0 done, 1 failed or cancelled, 2 wrong usage, 130 interrupted (the job goes on).",
    )
    top.set_defaults(
        url=os.environ.get("MILLRACE_URL") or DEFAULT_URL, key=os.environ.get("MILLRACE_KEY", ""), json=False
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=summary, description=f"{summary}.", parents=[_shared()])

    _import(command("import", "upload a file and queue the job that imports it"))
    _jobs(command("jobs", "list jobs, newest first"))
    _job(command("job", "show one job"))
    _rows(command("rows", "print rows of a dataset"))
    _rejects(command("rejects", "print the rows that a job refused, and why"))
    _correct(command("correct", "send the rows that a job refused back, corrected"))
    _preview(command("preview", "show what an import would make of a file"))
    _ids(command("pause", "stop jobs after the chunk in hand; nothing is lost"))
    _ids(command("resume", "let paused jobs go on from where they stopped"))
    _cancel(command("cancel", "stop jobs for good; what they stored stays"))
    _retry(command("retry", "run failed or cancelled jobs again from where they stopped"))
    _priority(command("priority", "change how urgent jobs are"))
    _ids(command("delete", "take ended jobs out of sight; their rows stay"))
    return top


def _shared() -> argparse.ArgumentParser:
    # SUPPRESS: the options work before and after the command, and a command's silence does not undo the one before.
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--url", help=f"where the service is (MILLRACE_URL, else {DEFAULT_URL})")
    shared.add_argument("--key", help="key of the account (MILLRACE_KEY)")
    shared.add_argument("--json", action="store_true", help="print the service's own JSON")
    return shared


def _import(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="the file, or - for standard input")
    command.add_argument("--dataset", metavar="NAME", help="where the rows go (made from the file's name)")
    command.add_argument("--processor", metavar="NAME", help="how to read it (chosen by the file's suffix, else csv)")
    command.add_argument("--priority", type=int, choices=range(1, 11), metavar="1-10", help="10 is most urgent")
    command.add_argument(
        "--option",
        action="append",
        default=[],
        dest="options",
        metavar="KEY=VALUE",
        help="an option of the processor; may be repeated",
    )
    command.add_argument("--again", action="store_true", help="also if the same content was imported before")
    command.add_argument("--follow", action="store_true", help="watch the job until it ends")


def _jobs(command: argparse.ArgumentParser) -> None:
    command.add_argument("--state", metavar="STATE", help="only those queued, running, completed, failed, …")
    command.add_argument("--limit", type=_count, default=20, metavar="N", help="at most this many (20)")


def _job(command: argparse.ArgumentParser) -> None:
    command.add_argument("id", metavar="ID")
    command.add_argument("--follow", action="store_true", help="watch it until it ends")


def _rows(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME")
    command.add_argument("--limit", type=_count, metavar="N", help="at most this many (table: 20, else all)")
    command.add_argument("--format", choices=("table", "json", "csv"), help="table unless --json is given")


def _rejects(command: argparse.ArgumentParser) -> None:
    command.add_argument("id", metavar="ID")
    command.add_argument("--csv", action="store_true", help="as a table to correct and send back")


def _correct(command: argparse.ArgumentParser) -> None:
    command.add_argument("id", metavar="ID")
    command.add_argument("file", metavar="FILE", help="the table with its rows corrected, or - for standard input")


def _preview(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="the file, or - for standard input; its first MiB is sent")
    command.add_argument("--dataset", metavar="NAME", help="whose columns the rows must fit")
    command.add_argument("--processor", metavar="NAME", help="how to read it (chosen by the file's suffix, else csv)")
    command.add_argument(
        "--option",
        action="append",
        default=[],
        dest="options",
        metavar="KEY=VALUE",
        help="an option of the processor; may be repeated",
    )


def _ids(command: argparse.ArgumentParser) -> None:
    command.add_argument("ids", nargs="+", metavar="ID")


def _cancel(command: argparse.ArgumentParser) -> None:
    _ids(command)
    command.add_argument("--remove-rows", action="store_true", help="take back what they stored")


def _retry(command: argparse.ArgumentParser) -> None:
    _ids(command)
    command.add_argument("--from-start", action="store_true", help="forget what they stored and read it all again")


def _priority(command: argparse.ArgumentParser) -> None:
    command.add_argument("priority", type=int, choices=range(1, 11), metavar="N", help="1-10; 10 is most urgent")
    _ids(command)


def _count(text: str) -> int:
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
