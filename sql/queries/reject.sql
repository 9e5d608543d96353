-- name: list
select row, line, "column", code, message, suggestion, raw
from reject
where job_id = $1 and row > $2
order by row
limit $3;
