"""`python -m tests.servers`: runs embedded servers in a folder of their own until its input closes, and leaves nothing.

Prints their addresses as one line of JSON once they are ready.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from service import embedded


async def main() -> None:
    """Run until the pipe's other end is closed, by an orderly end or by a kill."""
    folder = Path(tempfile.mkdtemp(prefix="mr-", dir="/tmp"))  # short: pytest's own can be too long for a socket
    try:
        async with embedded.start(folder) as servers:
            print(json.dumps(asdict(servers), default=str), flush=True)
            await asyncio.to_thread(sys.stdin.read)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main())
