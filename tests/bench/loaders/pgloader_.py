"""`python pgloader_.py URL FILE TABLE`: pgloader, into a table that is there."""

import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

url, path, table = sys.argv[1:]
folder = parse_qs(urlsplit(url).query)["host"][0]
target = f"postgresql://millrace@unix:{folder}:5432/millrace?tablename=public.{table}"
options = [
    "--with",
    "skip header = 1",
    "--with",
    "fields terminated by ','",
    "--with",
    "fields optionally enclosed by '\"'",
]
options += ["--with", "fields escaped by double-quote"]
told = subprocess.run(
    ["pgloader", "--type", "csv", *options, path, target], capture_output=True, text=True, check=False
)
print(told.stdout[-2000:], told.stderr[-2000:])
sys.exit(told.returncode)
