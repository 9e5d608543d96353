-- Statements over a dataset's own table. In braces stand its parts, as SQL text:
--   table, stage, plan, was    the table, the chunk's rows, what is to become of each, before-images
--   keys, columns, brought     names, separated by commas; those in t. and s. are prefixed with that
--   matches                    s and t have the same key

-- name: prepare
-- Rows are found one by one, by key or by place: what a chunk costs must not grow with the table it goes into.
select
  set_config('enable_hashjoin', 'off', true),
  set_config('enable_mergejoin', 'off', true),
  set_config('work_mem', '32MB', true);

-- name: stage
create temporary table {stage} (like {table}) on commit drop;

-- name: take_nameless
-- A null names nothing, and a very long value fits no index.
delete from {stage} as s
where {nameless} or {too_long}
returning _row, {nameless} as is_null, row_to_json(s)::text as json;

-- name: take_conflicts
-- What differs from the row of its key, in columns that must be the same there, never changes it: so the row that is
-- stored, or the first of the chunk, is what all others are held against.
delete from {stage} as s
using (
  select
    s.ctid as at, t._job as other_job,
    case when t.ctid is null then first_value(s._row) over same_key else t._row end as other_row,
    case
      when t.ctid is null then ({s_told_apart}) is distinct from ({first_told_apart})
      else ({s_told_apart}) is distinct from ({t_told_apart})
    end as is_other
  from {stage} as s
  left join {table} as t on {matches}
  window same_key as (partition by {s_keys} order by s._row)
) as seen
where s.ctid = seen.at and seen.is_other
returning s._row as row, seen.other_job, seen.other_row, {s_keys_json} as keys;

-- name: take_older
-- Rows that are not newer than the one of their key, be it stored or in front of them in this chunk.
delete from {stage} as s
using (
  select
    s.ctid as at, s.{age} as own, greatest(t.{age}, max(s.{age}) over before) as newest,
    t.ctid is not null or row_number() over same_key > 1 as meets
  from {stage} as s
  left join {table} as t on {matches}
  window
    same_key as (partition by {s_keys} order by s._row),
    before as (same_key rows between unbounded preceding and 1 preceding)
) as seen
where s.ctid = seen.at and seen.meets and (seen.own is null or seen.own <= seen.newest)
returning s._row;

-- name: plan
-- What each row does in its turn: it meets what is stored, or the row of the same key before it in this chunk.
-- So the outcome does not hang on where a file is cut into chunks.
create temporary table {plan} on commit drop as
with met as (
  select
    s._row as _place, s.ctid as _staged, {s_keys}, t.ctid as _at, t._job as _old_job, t._row as _old_row,
    lag(s._row) over same_key as _previous,
    case
      when lag(s._row) over same_key is null and t.ctid is null then 'insert'
      when {keeps} then 'same'
      when lag(s._row) over same_key is null then
        case when ({s_brought}) is distinct from ({t_brought}) then 'update' else 'same' end
      when {changed_within} then 'update'
      else 'same'
    end as _effect
  from {stage} as s
  left join {table} as t on {matches}
  window same_key as (partition by {s_keys} order by s._row)
)
select
  _place, _staged, {keys}, _at, _old_job, _old_row, _effect,
  _effect <> 'same' and _place = max(_place) filter (where _effect <> 'same') over (partition by {keys}) as _is_applied,
  max(_place) filter (where _effect <> 'same') over ahead as _met_row
from met
window ahead as (partition by {keys} order by _place rows between unbounded preceding and 1 preceding)
order by _place;  -- what is written by it lies in the order of the file

-- name: keep_images
insert into {was} (_by, _by_row, _row, _job, {columns})
select $1, p._place, t._row, t._job, {t_columns}
from {plan} as p
join {table} as t on t.ctid = p._at
where p._is_applied and p._old_job <> $1;

-- name: move_images
update {was} as w
set _by_row = p._place
from {plan} as p
where p._is_applied and p._old_job = $1 and w._by = $1 and w._by_row = p._old_row;

-- name: change
update {table} as t
set _row = s._row, _job = s._job, {set_brought}
from {plan} as p
join {stage} as s on s.ctid = p._staged
where p._is_applied and t.ctid = p._at;

-- name: add
insert into {table} (_row, _job, {columns})
select s._row, s._job, {s_columns}
from {plan} as p
join {stage} as s on s.ctid = p._staged
where p._is_applied and p._at is null
order by s._row;

-- name: counts
select
  count(*) filter (where _effect = 'insert') as inserted,
  count(*) filter (where _effect = 'update') as updated,
  count(*) filter (where _effect = 'same') as skipped,
  count(*) filter (where _met_row is not null or _old_job = $1) as repeated
from {plan};

-- name: repeated
select _place as row, coalesce(_met_row, _old_row) as other_row, {keys_json} as keys
from {plan}
where _met_row is not null or _old_job = $1
order by _place
limit $2;

-- name: refused
select p._place as row, row_to_json(s)::text as json
from {plan} as p
join {stage} as s on s.ctid = p._staged
where p._effect = 'same'
order by p._place;

-- name: repeated_keys
select {keys_json} as keys, count(*) as number
from {table}
group by {keys}
having count(*) > 1
limit 3;

-- name: nameless
select count(*) from {table} where {bare_nameless};

-- name: create_images
create table {was} (_by uuid not null, _by_row bigint not null, like {table});

-- name: undo_pass_on
-- Rows that another job has changed since stay as they are; what that job would bring back is now what this one met.
with later as (
  select w.ctid as at, w._by, w._by_row, w._row as row, {w_keys_json} as keys, v.ctid as before
  from {was} as w
  left join {was} as v on v._by = $1 and v._by_row = w._row
  where w._job = $1 and w._row > $2 and w._row <= $3
),
passed_on as (
  update {was} as w
  set _row = v._row, _job = v._job, {set_v}
  from later
  join {was} as v on v.ctid = later.before
  where w.ctid = later.at
),
made as (  -- there was nothing before: the later job counts as the one that made the row
  delete from {was} as w
  using later
  where w.ctid = later.at and later.before is null
)
select row, _by as other_job, _by_row as other_row, keys
from later
order by row;

-- name: undo_restore
update {table} as t
set _row = v._row, _job = v._job, {set_v}
from {was} as v
where v._by = $1 and v._by_row > $2 and v._by_row <= $3
  and t._job = $1 and t._row = v._by_row;

-- name: undo_remove
delete from {table}
where _job = $1 and _row > $2 and _row <= $3;

-- name: forget_images
delete from {was}
where _by = $1 and _by_row > $2 and _by_row <= $3;

-- name: forget_all_images
delete from {was}
where _by = $1;
