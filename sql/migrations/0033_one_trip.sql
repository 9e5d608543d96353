-- What a stream reads, in one round trip instead of three: the account whose rows may be seen comes with the question, and
-- is forgotten with its implicit transaction. Row-level security holds as before, for whoever calls these.
create function read_account_events(whose uuid, after_tx bigint, after_no bigint, most integer)
returns table (
  job_id uuid, seq integer, type text, at timestamptz, data jsonb, tx bigint, no bigint, is_settled boolean
)
language plpgsql
as $$
#variable_conflict use_column
begin
  perform set_config('millrace.account', whose::text, true);
  return query
  (
    select job_id, seq, type, at, data, tx, no, tx < event_horizon()
    from event
    where account_id = whose and (tx, no) > (after_tx, after_no)
    order by tx, no
    limit most
  )
  union all
  (
    select null, seq, type, at, data, tx, no, tx < event_horizon()
    from flow_event
    where account_id = whose and (tx, no) > (after_tx, after_no)
    order by tx, no
    limit most
  )
  order by tx, no
  limit most;
end
$$;

create function read_job_events(whose uuid, of_job uuid, after_seq integer, most integer)
returns table (job_id uuid, seq integer, type text, at timestamptz, data jsonb, tx bigint, no bigint)
language plpgsql
as $$
#variable_conflict use_column
begin
  perform set_config('millrace.account', whose::text, true);
  return query
  select job_id, seq, type, at, data, tx, no
  from event
  where job_id = of_job and seq > after_seq
  order by seq
  limit most;
end
$$;

create function read_flow_events(whose uuid, of_flow uuid, after_seq integer, most integer)
returns table (seq integer, type text, at timestamptz, data jsonb, tx bigint, no bigint)
language plpgsql
as $$
#variable_conflict use_column
begin
  perform set_config('millrace.account', whose::text, true);
  return query
  select seq, type, at, data, tx, no
  from flow_event
  where flow_id = of_flow and seq > after_seq
  order by seq
  limit most;
end
$$;

-- Jobs that stand for themselves, each with its first event, and who asked for them; as they are then.
create function submit_jobs(whose uuid, wanted jsonb, acts jsonb)
returns setof job
language plpgsql
as $$
#variable_conflict use_column
begin
  perform set_config('millrace.account', whose::text, true);
  insert into audit (id, account_id, key_id, session_id, request_id, action, targets, outcome)
  select id, whose, key_id, session_id, request_id, action, array[target], 'done'
  from jsonb_to_recordset(acts) as act (
    id uuid, key_id uuid, session_id uuid, request_id text, action text, target uuid
  );
  return query
  with created as (
    insert into job (
      id, account_id, processor, queue, state, priority, options, metadata, input,
      unit, phase, event_seq, run_at, max_attempts, first_wait_s, longest_wait_s, deadline_s
    )
    select
      id, whose, processor, queue, case when run_at > now() then 'pending' else 'queued' end, priority, options,
      metadata, input, unit, 'waiting', 1, greatest(run_at, now()), max_attempts, first_wait_s, longest_wait_s, deadline_s
    from jsonb_to_recordset(wanted) as new (
      id uuid, processor text, queue text, priority smallint, options jsonb, metadata jsonb, input jsonb,
      unit text, run_at timestamptz, max_attempts integer, first_wait_s float8, longest_wait_s float8, deadline_s float8
    )
    returning *
  ),
  told as (
    insert into event (job_id, account_id, seq, type, data)
    select id, account_id, 1, 'job.created', jsonb_build_object(
      'processor', processor, 'priority', priority, 'metadata', metadata
    )
    from created
  )
  select *
  from created
  order by id;
end
$$;
