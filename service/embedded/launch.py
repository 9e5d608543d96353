"""Becomes the server it is told to run: picks who it runs as, ties its life to its parent's, then execs.

Run by path in a bare interpreter (`python -I -S launch.py PARENT SIGNAL IDENTITY -- COMMAND…`), so that no Python code
runs between fork and exec of the service itself, which has threads. IDENTITY is `self`, `user:UID:GID` or
`namespace:UID:GID`: inside a user namespace PostgreSQL sees a plain user while every file stays ours.
"""

import ctypes
import os
import sys

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1


def main(parent: int, death_signal: int, identity: str, command: list[str]) -> None:
    """Never returns: ends as `command`, or with a one-line reason on stderr."""
    kind, _, ids = identity.partition(":")
    if kind != "self":
        uid, gid = map(int, ids.split(":"))
        _enter_namespace(uid, gid) if kind == "namespace" else _become(uid, gid)
    if sys.platform == "linux":
        # why here: a change of credentials clears it
        _checked(_libc().prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0))
    if os.getppid() != parent:
        sys.exit("the parent is already gone")
    os.execv(command[0], command)  # noqa: S606  the command is ours, no shell is wanted


def _enter_namespace(uid: int, gid: int) -> None:
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _checked(_libc().unshare(CLONE_NEWUSER))
    # why: without setgroups=deny an ordinary user may not write a gid_map
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {outer_uid} 1"),
        ("gid_map", f"{gid} {outer_gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123  pathlib costs this process 10 ms
            file.write(line)


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[5:])
    except OSError as error:
        sys.exit(f"cannot run {sys.argv[5]}: {error}")
