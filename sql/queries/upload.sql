-- name: add
insert into upload (id, account_id, name, size_bytes, received_bytes, sha256, media_type, seal, protocol)
values ($1, $2, $3, $4, $4, $5, $6, $7, $8)
returning *, upload_status(upload) as status, upload_jobs(id) as jobs;

-- name: begin
insert into upload (
  id, account_id, name, size_bytes, media_type, seal, protocol, metadata, concat, digests, wanted, state, expires_at
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'receiving', now() + make_interval(secs => $12))
returning *, upload_status(upload) as status, upload_jobs(id) as jobs;

-- name: get
select *, upload_status(upload) as status, upload_jobs(id) as jobs
from upload
where id = $1;

-- name: of_account
select *, upload_status(upload) as status, upload_jobs(id) as jobs
from upload
where account_id = $1 and id = $2;

-- name: list
select *, upload_status(upload) as status, upload_jobs(id) as jobs
from upload
where removed_at is null
  and concat is distinct from 'partial'
  and ($1::uuid is null or id < $1)
  and ($3::text is null or upload_status(upload) = $3)
  and ($4::bytea is null or sha256 = $4)
order by id desc
limit $2;

-- name: matching
select id
from upload
where removed_at is null
  and state = 'complete'
  and expired_at is null
  and ($1::text is null or upload_status(upload) = $1)
  and ($2::text is null or kind = $2)
  and ($3::text is null or media_type = $3)
  and ($4::text is null or right(lower(name), length($4)) = $4)
  and ($5::text is null or exists (select from job where job.upload_id = upload.id and job.processor = $5))
order by id
limit $6;

-- name: take_turn
update upload
set writer = upload.writer + 1, is_open = $2
from (
  select id, is_open
  from upload
  where id = $1
  for update
) as before
where upload.id = before.id and state = 'receiving' and expired_at is null
returning upload.*, upload_status(upload) as status, upload_jobs(upload.id) as jobs, before.is_open as was_open;

-- name: hold
select *, upload_status(upload) as status, upload_jobs(id) as jobs
from upload
where id = any($1::uuid[])
order by id
for update;

-- name: record
update upload
set received_bytes = $3, expires_at = now() + make_interval(secs => $4)
where id = $1
  and writer = $2  -- the newest request only
  and state = 'receiving'
  and expired_at is null
  and received_bytes <= $3  -- an offset never goes back
returning id;

-- name: keep_longer
update upload
set expires_at = now() + make_interval(secs => $2)
where id = $1 and state = 'receiving';

-- name: close
update upload
set is_open = false
where id = $1 and writer = $2 and state = 'receiving';

-- name: tell_size
update upload
set size_bytes = $2
where id = $1 and state = 'receiving' and expired_at is null and size_bytes is null and received_bytes <= $2
returning id;

-- name: complete
update upload
set state = 'complete',
    size_bytes = $2,
    received_bytes = $2,
    sha256 = $3,
    seal = $4,
    kind = $5,
    name = $6,
    is_open = false,
    expires_at = null,
    duplicate_of = (
      select earlier.id
      from upload as earlier
      where earlier.account_id = upload.account_id
        and earlier.sha256 = $3
        and earlier.state = 'complete'
        and earlier.expired_at is null
        and earlier.id <> upload.id
      order by earlier.id
      limit 1
    )
where id = $1 and state = 'receiving' and expired_at is null
returning *, upload_status(upload) as status, upload_jobs(id) as jobs;

-- name: refuse
update upload
set expired_at = now(), expired_reason = 'refused', problem = $2, seal = null
where id = $1 and expired_at is null
returning id;

-- name: forget
delete from upload
where id = $1 and state = 'receiving';

-- name: in_use
select exists (
  select from job where upload_id = $1 and finished_at is null
) or exists (
  select from schedule where schedule.job ->> 'upload_id' = $1::text
) or exists (
  select from attachment where upload_id = $1
);

-- name: remove
update upload
set removed_at = now(),
    expired_at = coalesce(expired_at, now()),
    expired_reason = coalesce(expired_reason, 'deleted'),
    seal = null  -- what nobody can unlock is gone, from backups too
where id = $1 and removed_at is null;

-- name: writers
select id, writer
from upload_writers($1);

-- name: usage
select
  coalesce(usage.bytes, 0) as bytes,
  coalesce(usage.open, 0) as open,
  case when usage.day = (now() at time zone 'utc')::date then usage.daily else 0 end as daily,
  account.max_bytes,
  account.max_open_uploads as max_open,
  account.max_daily_uploads as max_daily
from account
left join upload_usage as usage on usage.account_id = account.id
where account.id = $1;

-- name: unfinished
with due as (
  select id
  from upload
  where state = 'receiving' and expired_at is null and expires_at <= now()
  order by id
  limit $1
  for update skip locked
)
update upload
set expired_at = now(), expired_reason = 'unfinished', seal = null
where id in (select id from due)
returning id;

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
  and upload.state = 'complete'
  and upload.damaged_at is null  -- kept to be looked at
  and upload.created_at <= now() - make_interval(secs => least($1::double precision, $2::double precision))
  and ($3::uuid[] is null or upload.id = any($3))
  and not exists (select from job where job.upload_id = upload.id and finished_at is null)
  and not exists (select from schedule where schedule.job ->> 'upload_id' = upload.id::text)  -- it will be read again
  and not exists (select from attachment where attachment.upload_id = upload.id)  -- kept as long as it is shown
  and coalesce(jobs.last_end, upload.created_at)  -- null: no job has used it
    <= now() - make_interval(secs => case when jobs.have_completed then $1 else $2 end)
order by upload.id
limit $4
for update of upload skip locked;  -- stronger than what a job takes that is being queued over it: that one wins

-- name: expire
update upload
set expired_at = now(), expired_reason = $2, seal = case $2 when 'lost' then seal end  -- what was lost may be found
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
  and state = 'complete'
  and size_bytes > 0  -- nothing is kept of an empty file
  and created_at <= now() - make_interval(secs => $1)
  and ($2::uuid is null or id > $2)
order by id
limit $3;

-- name: forget_unused
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
