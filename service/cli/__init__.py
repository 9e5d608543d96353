"""The `millrace` command: files in, rows out, from a terminal. It knows the HTTP API and nothing else of the service.

`main` imports what a command needs only when it runs, so that `millrace --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from service.cli.arguments import parser
from service.cli.failure import FAILED, INTERRUPTED, Failure


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed or cancelled, 2 wrong usage, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a trace over an umlaut helps nobody
    given = parser().parse_args(arguments)
    try:
        from service.cli.commands import run

        code = run(given)
        sys.stdout.flush()
        return code
    except Failure as failure:
        print(f"millrace: {failure}", file=sys.stderr)
        return failure.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `millrace rows … | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:  # a bug of ours, or a service of another version: a sentence is of more use than a trace
        print(f"millrace: This broke unexpectedly ({error!r}); is the service of the same version?", file=sys.stderr)
        return FAILED
