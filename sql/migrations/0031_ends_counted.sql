-- The end of a job that completes is counted by the statement that completes it (`settle`), which has all that is needed
-- at hand. A trigger counts the others: no update of jobs is any more copied, before and after, to find out.
drop trigger job_end on job;
drop function note_job_ends;
create function note_job_end() returns trigger
language plpgsql security definer set search_path = millrace, pg_temp
as $$
declare
  ended constant job := case when new.finished_at is null then old else new end;
begin
  insert into job_end (
    account_id, sign, processor, state, outcome, finished_at,
    read, inserted, updated, skipped, rejected, bytes, run_ms, wait_ms
  )
  select
    ended.account_id, case when new.finished_at is null then -1 else 1 end, ended.processor, ended.state, ended.outcome,
    ended.finished_at, ended.read, ended.inserted, ended.updated, ended.skipped, ended.rejected,
    case when ended.unit = 'bytes' then ended.done else 0 end,
    (
      select round(sum(extract(epoch from ended_at - started_at)) * 1000)
      from attempt
      where job_id = ended.id and ended_at is not null
    ),
    round(greatest(0, extract(epoch from ended.started_at - coalesce(ended.due_at, ended.created_at))) * 1000);
  return null;
end
$$;
revoke all on function note_job_end from public;
create trigger job_end
after update of state on job
for each row
when (
  (new.finished_at is null) <> (old.finished_at is null)
  and (new.state <> 'completed' or current_user <> 'millrace_worker')  -- which completes jobs by that one statement
  and new.queue <> 'preview'  -- nobody's work
)
execute function note_job_end();
