-- Statements of previews over tables that have a key; in braces stand names, as in merge.sql.

-- name: touch
-- A row that an earlier chunk has met is there by now.
insert into {table} (_row, _job, {columns})
select t._row, t._job, {t_columns}
from {target} as t
where exists (select from {stage} as s where {matches})
on conflict do nothing;

-- name: clear
drop table if exists {stage}, {plan};
