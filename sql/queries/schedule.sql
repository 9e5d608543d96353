-- name: now
select now();

-- name: add
insert into schedule (id, account_id, name, cron, time_zone, job, missed, overlap, paused, next_run_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: count
select count(*)
from schedule;

-- name: get
select *
from schedule
where id = $1;

-- name: hold
select *
from schedule
where id = $1
for update;  -- a worker may be about to move it on

-- name: list
select *
from schedule
where $1::uuid is null or id < $1
order by id desc
limit $2;

-- name: change
update schedule
set name = $2, cron = $3, time_zone = $4, job = $5, missed = $6, overlap = $7, paused = $8, next_run_at = $9
where id = $1;

-- name: remove
delete from schedule
where id = $1
returning id;

-- name: due
select id
from schedule
where next_run_at <= now()
order by next_run_at
limit $1;

-- name: hold_due
select *, now() as now
from schedule
where id = $1 and next_run_at <= now()
for update skip locked;  -- another worker has it: nothing left to do here

-- name: move_on
update schedule
set next_run_at = $2
where id = $1;

-- name: stop
update schedule
set paused = true, next_run_at = null, last_problem = $2
where id = $1;

-- name: take
insert into schedule_slot (schedule_id, account_id, slot)
values ($1, $2, $3)
on conflict (schedule_id, slot) do nothing
returning slot;

-- name: forget_slots
delete from schedule_slot
where schedule_id = $1 and slot < now() - interval '7 days';  -- next_run_at never goes back that far

-- name: ran
update schedule
set last_run_at = now(), last_job_id = $2, last_problem = null
where id = $1;

-- name: failed
update schedule
set last_problem = $2
where id = $1;
