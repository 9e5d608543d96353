"""`python pandas_.py URL FILE TABLE`: pandas reads the file in parts and writes each by to_sql."""

import sys

import pandas
from sqlalchemy import create_engine

url, path, table = sys.argv[1:]
engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
for part in pandas.read_csv(path, chunksize=50_000):
    part.to_sql(table, engine, schema="public", if_exists="append", index=False)
