"""Packages of npm that tests use, installed once into build/clients."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.running import ROOT

WANTED = ROOT / "tests" / "clients" / "package.json"
INSTALLED = ROOT / "build" / "clients"


def installed() -> Path:
    """The folder that has `node_modules`. Skips the test where there is no node, or npm cannot install them."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("needs node and npm (Debian: apt-get install nodejs npm)")
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other test processes want them too
        wanted = WANTED.read_text()
        package = INSTALLED / "package.json"
        if not (package.exists() and package.read_text() == wanted and (INSTALLED / "node_modules" / "uppy").exists()):
            package.write_text(wanted)
            command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"]
            ended = subprocess.run(command, cwd=INSTALLED, capture_output=True, text=True, timeout=110)
            if ended.returncode:
                package.unlink()
                pytest.skip(f"npm could not install tests/clients/package.json: {ended.stderr[-500:]}")
    return INSTALLED
