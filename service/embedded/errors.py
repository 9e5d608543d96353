"""The one error of the embedded servers, and how a failing system call becomes a sentence."""

import errno
from pathlib import Path

FULL = "No space left on device"


class EmbeddedError(Exception):
    """An embedded server cannot run; the message is one clear sentence that says what to do."""


def unusable(data_dir: Path, error: OSError) -> EmbeddedError:
    """The sentence for a data directory that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return full(data_dir)
    return EmbeddedError(
        f"Cannot use the data directory {data_dir} ({error.strerror}): "
        "correct its permissions, or set MILLRACE_DATA_DIR to a folder this user can write to."
    )


def full(data_dir: Path) -> EmbeddedError:
    """The sentence for a full disk."""
    return EmbeddedError(
        f"No space is left for the data directory {data_dir}: "
        "free some, or set MILLRACE_DATA_DIR to a folder on a larger disk."
    )
