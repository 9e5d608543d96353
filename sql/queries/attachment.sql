-- name: known
select distinct on (sha256) sha256, id
from upload
where account_id = $1
  and sha256 = any($2::bytea[])
  and state = 'complete'
  and expired_at is null
  and damaged_at is null
order by sha256, id;

-- name: add
with held as (  -- until the commit, so that its file is not taken away meanwhile
  select id
  from upload
  where account_id = $1 and id = any($5::uuid[]) and expired_at is null
  for key share
),
added as (
  insert into attachment (dataset_id, name, job_id, account_id, upload_id)
  select $2, given.name, $3, $1, held.id
  from unnest($4::text[], $5::uuid[]) as given (name, upload_id)
  join held on held.id = given.upload_id
  on conflict (dataset_id, name, job_id) do update
  set upload_id = excluded.upload_id
)
select count(*) from held;

-- name: list
select distinct on (attachment.name)
  attachment.name, attachment.job_id, upload.id as upload_id, upload.size_bytes, upload.sha256, upload.media_type
from attachment
join upload on upload.id = attachment.upload_id
where attachment.dataset_id = $1 and ($2::text is null or attachment.name > $2)
order by attachment.name, attachment.job_id desc
limit $3;

-- name: find
select upload_id
from attachment
where dataset_id = $1 and name = $2
order by job_id desc
limit 1;

-- name: forget_job
delete from attachment
where job_id = $1;

-- name: forget_dataset
delete from attachment
where dataset_id = $1;

-- name: forget_before
delete from attachment
using job
where job.id = $1 and attachment.dataset_id = job.dataset_id and attachment.job_id < job.id;
