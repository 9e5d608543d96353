-- Two datasets beside each other. In braces: the tables one and other, {keys} with a. or b. before each, and
--   matches    a and b have the same key
--   differs    they differ in a column that both have
--   both       columns that both have

-- name: repeated
select {key_json} as keys, count(*) as number
from {table} as a
group by {a_keys}
having count(*) > 1 or {a_nameless}
limit 3;

-- name: counts
select
  count(*) filter (where a._row is null) as added,
  count(*) filter (where b._row is null) as removed,
  count(*) filter (where a._row is not null and b._row is not null and ({differs})) as changed,
  count(*) filter (where a._row is not null and b._row is not null and not ({differs})) as same
from {one} as a
full join {other} as b on {matches};

-- name: page
select
  place::text as place,
  json_build_object('change', change, 'keys', keys, 'columns', columns, 'before', before, 'after', after)::text as json
from (
  select
    jsonb_build_array({either_keys}) as place,
    {either_json} as keys,
    case when a._row is null then 'added' when b._row is null then 'removed' else 'changed' end as change,
    case when a._row is not null and b._row is not null then {columns} else '[]'::jsonb end as columns,
    case when a._row is not null then {a_json} end as before,
    case when b._row is not null then {b_json} end as after
  from {one} as a
  full join {other} as b on {matches}
  where a._row is null or b._row is null or {differs}
) as differing
where $1::jsonb is null or place > $1
order by differing.place
limit $2;
