"""What the API and its actions work with; built once by `__main__`, passed down as one argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.actions.submits import Submits
from service.actions.transfers import Transfers
from service.bus import Bus
from service.config import Settings
from service.dispatch import Dispatch
from service.domain.processor import Processor
from service.files.port import Files
from service.store.database import Database


@dataclass(frozen=True, slots=True)
class Deps:
    """The parts of a running API process."""

    settings: Settings
    database: Database
    files: Files
    bus: Bus
    dispatch: Dispatch
    submits: Submits
    transfers: Transfers
    catalog: Mapping[str, Processor]
