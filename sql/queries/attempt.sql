-- name: list
select epoch, number, worker, started_at, ended_at, result
from attempt
where job_id = $1 and epoch > $2
order by epoch
limit $3;
