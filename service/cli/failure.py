"""What ends a command early.

Failure          one sentence for the person at the terminal, and the exit code
├── Usage        the command line is at fault
├── Interrupted  Ctrl-C
└── Away         the service does not answer, or not now: following tries again
"""

from __future__ import annotations

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130


class Failure(Exception):
    """Its text is all that is shown; never a trace."""

    exit_code = FAILED


class Usage(Failure):
    """Mended by typing something else."""

    exit_code = WRONG_USAGE


class Interrupted(Failure):
    """The person had enough."""

    exit_code = INTERRUPTED


class Away(Failure):
    """Worth another try."""
