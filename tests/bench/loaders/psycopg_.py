"""`python psycopg_.py URL FILE TABLE`: the file's bytes through psycopg's COPY, into a table that is there."""

import sys
from pathlib import Path

import psycopg

url, path, table = sys.argv[1:]
with (
    psycopg.connect(url) as db,
    db.cursor() as cursor,
    Path(path).open("rb") as file,
    cursor.copy(f"copy {table} from stdin (format csv, header)") as copy,
):
    while data := file.read(256 * 1024):
        copy.write(data)
