-- name: after
select seq, type, at, data
from event
where job_id = $1 and seq > $2
order by seq
limit $3;
