-- name: roll_up
with taken as (
  delete from job_end
  where id in (
    select id
    from job_end
    order by id
    limit $1
    for update skip locked
  )
  returning *
),
counted as (
  insert into job_stat (
    account_id, hour, processor, state, outcome, run_class,
    jobs, read, inserted, updated, skipped, rejected, bytes, run_ms, wait_ms
  )
  select
    account_id, date_trunc('hour', finished_at, 'UTC'), processor, state, outcome,
    coalesce(run_class, run_class(run_ms)),
    sum(sign * jobs), sum(sign * read), sum(sign * inserted), sum(sign * updated), sum(sign * skipped), sum(sign * rejected),
    sum(sign * bytes), coalesce(sum(sign * run_ms), 0), coalesce(sum(sign * wait_ms), 0)
  from taken
  where exists (select from account where account.id = taken.account_id)  -- one that is deleted has no figures any more
  group by 1, 2, 3, 4, 5, 6
  order by 1, 2, 3, 4, 5, 6  -- two at once lock in the same order
  on conflict (account_id, hour, processor, state, outcome, run_class) do update
  set jobs = job_stat.jobs + excluded.jobs,
      read = job_stat.read + excluded.read,
      inserted = job_stat.inserted + excluded.inserted,
      updated = job_stat.updated + excluded.updated,
      skipped = job_stat.skipped + excluded.skipped,
      rejected = job_stat.rejected + excluded.rejected,
      bytes = job_stat.bytes + excluded.bytes,
      run_ms = job_stat.run_ms + excluded.run_ms,
      wait_ms = job_stat.wait_ms + excluded.wait_ms
)
select coalesce(sum(jobs), 0)
from taken;

-- name: live
select
  queue, state, count(*) as jobs, greatest(0, extract(epoch from now() - min(run_at)))::double precision as oldest_s
from job
where finished_at is null
group by queue, state;

-- name: failures
select processor, coalesce(problem->>'code', 'unknown') as code, count(*) as jobs
from job
where state = 'failed'
  and finished_at >= date_trunc($3, $1::timestamptz, 'UTC') and finished_at < $2
  and ($4::text is null or processor = $4)
  and queue <> 'preview'
group by 1, 2
order by jobs desc, processor, code
limit 100;

-- name: fold
with old as (
  delete from job_stat
  where hour < now() - make_interval(secs => $1) and hour > '-infinity'
  returning *
)
insert into job_stat (
  account_id, hour, processor, state, outcome, run_class,
  jobs, read, inserted, updated, skipped, rejected, bytes, run_ms, wait_ms
)
select
  account_id, '-infinity', processor, state, outcome, run_class,  -- sums that only grow, for those who collect them
  sum(jobs), sum(read), sum(inserted), sum(updated), sum(skipped), sum(rejected), sum(bytes), sum(run_ms), sum(wait_ms)
from old
group by account_id, processor, state, outcome, run_class
order by account_id, processor, state, outcome, run_class
on conflict (account_id, hour, processor, state, outcome, run_class) do update
set jobs = job_stat.jobs + excluded.jobs,
    read = job_stat.read + excluded.read,
    inserted = job_stat.inserted + excluded.inserted,
    updated = job_stat.updated + excluded.updated,
    skipped = job_stat.skipped + excluded.skipped,
    rejected = job_stat.rejected + excluded.rejected,
    bytes = job_stat.bytes + excluded.bytes,
    run_ms = job_stat.run_ms + excluded.run_ms,
    wait_ms = job_stat.wait_ms + excluded.wait_ms;

-- name: all_live
select queue, state, jobs, oldest_s
from live_jobs();

-- name: all_ended
select processor, state, run_class, jobs, inserted, updated, skipped, rejected, bytes, run_ms
from ended_jobs();

-- name: series
with ended as (
  select
    date_trunc($3, hour, 'UTC') as start,
    sum(jobs) filter (where state = 'completed') as completed,
    sum(jobs) filter (where state = 'failed') as failed,
    sum(jobs) filter (where state = 'cancelled') as cancelled,
    sum(read) as read,
    sum(inserted) as inserted,
    sum(updated) as updated,
    sum(skipped) as skipped,
    sum(rejected) as rejected,
    sum(bytes) as bytes,
    sum(run_ms) as run_ms,
    sum(wait_ms) as wait_ms
  from job_stat
  where hour >= date_trunc($3, $1::timestamptz, 'UTC') and hour < $2
    and ($4::text is null or processor = $4)
  group by 1
)
select
  start,
  coalesce(completed, 0)::bigint as completed,
  coalesce(failed, 0)::bigint as failed,
  coalesce(cancelled, 0)::bigint as cancelled,
  coalesce(read, 0)::bigint as read,
  coalesce(inserted, 0)::bigint as inserted,
  coalesce(updated, 0)::bigint as updated,
  coalesce(skipped, 0)::bigint as skipped,
  coalesce(rejected, 0)::bigint as rejected,
  coalesce(bytes, 0)::bigint as bytes,
  coalesce(run_ms, 0)::bigint as run_ms,
  coalesce(wait_ms, 0)::bigint as wait_ms
from generate_series(
  date_trunc($3, $1::timestamptz, 'UTC'), $2::timestamptz - interval '1 microsecond', ('1 ' || $3)::interval
) as points (start)
left join ended using (start)
order by start;

-- name: classes
select
  processor, state, run_class,
  sum(jobs)::bigint as jobs,
  sum(read)::bigint as read,
  sum(bytes)::bigint as bytes,
  sum(run_ms)::bigint as run_ms,
  sum(wait_ms)::bigint as wait_ms
from job_stat
where hour >= date_trunc($3, $1::timestamptz, 'UTC') and hour < $2
  and ($4::text is null or processor = $4)
group by processor, state, run_class
having sum(jobs) > 0
order by processor, run_class;
