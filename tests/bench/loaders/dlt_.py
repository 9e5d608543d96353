"""`python dlt_.py URL FILE TABLE`: dlt takes Arrow tables of the file and loads them as CSV, its fastest way here."""

import sys
import tempfile

import dlt
from pyarrow import csv

url, path, table = sys.argv[1:]
url = url.replace(
    "millrace@/", "millrace:none@localhost/"
)  # it insists on a password and a host; the socket goes before


def batches():
    """The file as Arrow tables."""
    parse = csv.ParseOptions(newlines_in_values=True)
    yield from csv.open_csv(path, parse_options=parse)


with tempfile.TemporaryDirectory() as folder:
    pipeline = dlt.pipeline(
        table, destination=dlt.destinations.postgres(url), dataset_name="public", pipelines_dir=folder
    )
    pipeline.run(batches(), table_name=table, loader_file_format="csv", write_disposition="append")
