-- What must hold of staged rows beside others. In braces stand parts, as SQL text:
--   table, stage         the dataset's table and the chunk's rows
--   flags                an array of booleans, one a rule: which of them row s breaks
--   values               an array of texts, one a unique column: the value there
--   keys                 an array of texts: the key, where the dataset has one
--   columns              names of all columns, separated by commas

-- name: create_lookup
create index if not exists {index} on {table} using hash ({column});

-- name: broken
with judged as (
  select s._row, {flags} as flags
  from {stage} as s
)
select _row, flags
from judged
where true = any(flags)
order by _row;

-- name: repeated
-- Rows that have a value of a unique column in common with another one of the chunk.
with counted as (
  select s._row, {values} as values, {keys} as keys, {counts} as counts
  from {stage} as s
)
select _row, values, keys
from counted
where 1 < any(counts)
order by _row;

-- name: take
delete from {stage} as s
where _row = any($1::bigint[])
returning _row, row_to_json(s)::text as json;

-- name: insert
insert into {table} (_row, _job, {columns})
select _row, _job, {columns}
from {stage}
order by _row;
