"""What a child that reads files needs loaded, which is most of what its start takes."""

from __future__ import annotations

import importlib.util
import sys

import numpy.ma  # noqa: F401  # by which pyarrow knows masked arrays: else it is loaded at the first array of a fork

if importlib.util.find_spec("dateutil") is None:
    # pyarrow looks for it all over the disk whenever it is given a Python value: a tenth of what reading costs.
    sys.modules["dateutil"] = None  # type: ignore[assignment]

from workers import corrections, delimited, documents, encoding, lines, previews, registry, slots, source  # noqa: F401

PROCESSORS = registry.discover()
