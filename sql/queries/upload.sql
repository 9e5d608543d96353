-- name: add
insert into upload (id, account_id, name, size_bytes, sha256, media_type)
values ($1, $2, $3, $4, $5, $6)
returning *;

-- name: get
select *
from upload
where id = $1;

-- name: of_account
select *
from upload
where account_id = $1 and id = $2;

-- name: list
select *
from upload
where $1::uuid is null or id < $1
order by id desc
limit $2;

-- name: which_own
select id
from upload
where id = any($1::uuid[]) and expired_at is null;

-- name: stale
select upload.id
from upload
cross join lateral (
  select
    bool_and(state = 'completed') as have_completed,
    max(finished_at) as last_end
  from job
  where job.upload_id = upload.id
) as jobs
where upload.expired_at is null
  and upload.created_at <= now() - make_interval(secs => least($1::double precision, $2::double precision))
  and ($3::uuid[] is null or upload.id = any($3))
  and not exists (select from job where job.upload_id = upload.id and finished_at is null)
  and not exists (select from schedule where schedule.job ->> 'upload_id' = upload.id::text)  -- it will be read again
  and coalesce(jobs.last_end, upload.created_at)  -- null: no job has used it
    <= now() - make_interval(secs => case when jobs.have_completed then $1 else $2 end)
order by upload.id
limit $4
for update of upload skip locked;  -- stronger than what a job takes that is being queued over it: that one wins

-- name: expire
update upload
set expired_at = now(), expired_reason = $2
where id = any($1::uuid[]) and expired_at is null
returning id;

-- name: restore
update upload
set expired_at = null, expired_reason = null
where id = any($1::uuid[]) and expired_reason = 'lost'
returning id;

-- name: kept
select id
from upload
where expired_at is null
  and created_at <= now() - make_interval(secs => $1)
  and ($2::uuid is null or id > $2)
order by id
limit $3;

-- name: forget
with let_go as (
  update job
  set upload_id = null
  where id = $1 and upload_id = $2 and finished_at is not null
    and not exists (select from job as other where other.upload_id = $2 and other.id <> $1)
  returning id
)
delete from upload
where id = $2 and exists (select from let_go)
returning id;
