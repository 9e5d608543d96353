"""Reads an array of JSON objects by one of the peers: `documents.py PEER FILE`; one line on what that took."""

import importlib
import json
import resource
import sys
import time
from pathlib import Path


def ijson(path):
    import ijson

    with Path(path).open("rb") as source:
        return sum(1 for _ in ijson.items(source, "item"))


def pandas(path):
    import pandas

    return len(pandas.read_json(path))


def load(path):
    with Path(path).open("rb") as source:
        return len(json.load(source))


name, path = sys.argv[1:]
importlib.import_module(name.partition(".")[0])  # what loading takes is not what reading takes
began = time.process_time()
rows = {"ijson": ijson, "pandas": pandas, "json.load": load}[name](path)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"rows": rows, "cpu_s": time.process_time() - began, "peak_mib": peak}))
