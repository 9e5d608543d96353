"""What running jobs needs; built once by `workers.work`, passed down as one argument."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from service.bus import Bus
from service.config import Settings
from service.dispatch import Dispatch
from service.domain.processor import Processor
from service.files.port import Files
from service.store.database import Database
from workers.clients.youtube import YouTube
from workers.sandbox import Sandboxes
from workers.settler import Settler


@dataclass(frozen=True, slots=True)
class Tools:
    """The parts of a running worker process."""

    settings: Settings
    database: Database
    files: Files
    bus: Bus
    dispatch: Dispatch
    sandboxes: Sandboxes
    settler: Settler
    processors: Mapping[str, Processor]
    youtube: YouTube | None = None


def worker_name() -> str:
    """This process, among all workers."""
    return f"{socket.gethostname()}:{os.getpid()}"
