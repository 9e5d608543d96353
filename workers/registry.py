"""Finds processors: every module in workers/processors, and other packages' entry points `millrace.processors`."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points

from service.domain.processor import Processor
from workers import processors


def discover() -> dict[str, Processor]:
    """All processors by name. A name that differs from its module, or is taken, is an error at start-up."""
    found: dict[str, Processor] = {}
    for module in pkgutil.iter_modules(processors.__path__):
        _add(found, module.name, importlib.import_module(f"{processors.__name__}.{module.name}").processor)
    for entry in entry_points(group="millrace.processors"):
        _add(found, entry.name, entry.load())
    return found


def _add(found: dict[str, Processor], name: str, processor: Processor) -> None:
    if processor.name != name:
        raise ValueError(f"the processor in {name} calls itself {processor.name}")
    if name in found:
        raise ValueError(f"there are two processors called {name}")
    found[name] = processor
