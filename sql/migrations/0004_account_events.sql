-- The place of each event among all events of its account, so that one stream can tell them without a gap or a repeat.
--
-- `tx` is the id of the transaction that wrote the event and `no` counts events as they are written. Events are read in
-- the order (tx, no), and only those below event_horizon(): the oldest transaction that is still under way. Whatever is
-- committed later has a higher tx, so it comes behind everything that was read.
--
-- A transaction may get its id long before it comes to the job: a chunk's does with its first row. So that a job's events
-- keep their order, the tx of each is at least that of the one before it.

alter table event add column tx bigint not null default 0, add column no bigint;

update event
set no = placed.no
from (
  -- by time, but never against a job's own numbers: clocks may be set back
  select job_id, seq, row_number() over (order by latest, job_id, seq) as no
  from (select job_id, seq, max(at) over (partition by job_id order by seq) as latest from event) as timed
) as placed
where event.job_id = placed.job_id and event.seq = placed.seq;

alter table event alter tx drop default, alter no set not null, alter no add generated always as identity;
select setval(pg_get_serial_sequence('event', 'no'), coalesce(max(no), 0) + 1, false) from event;

create index event_account on event (account_id, tx, no);

-- A constant, which costs an insert nothing. A dump that is restored on another server meets other transaction ids:
-- keep_event_order() then sets it anew, so that new events still come behind the old ones.
create function event_shift() returns bigint
language sql immutable parallel safe
return 0;

create function event_horizon() returns bigint
language sql stable parallel safe
return pg_snapshot_xmin(pg_current_snapshot())::text::bigint + millrace.event_shift();

-- Run with the migrations at each start, before anything is written.
create function keep_event_order() returns void
language plpgsql as $$
declare
  next_tx bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
  newest bigint;
begin
  select max(latest.tx) into newest
  from millrace.account
  cross join lateral (
    select tx
    from millrace.event
    where account_id = account.id
    order by tx desc, no desc
    limit 1
  ) as latest;
  if newest >= next_tx + millrace.event_shift() then
    execute format(
      'create or replace function millrace.event_shift() returns bigint '
      'language sql immutable parallel safe return %s::bigint',
      newest - next_tx + 1
    );
  end if;
end
$$;
revoke all on function keep_event_order from public;

create function place_event() returns trigger
language plpgsql as $$
begin
  new.tx := pg_current_xact_id()::text::bigint + millrace.event_shift();
  -- The event before can only have a higher one if a transaction that is newer than this one has ended by now; this
  -- is a fresh snapshot, taken after the wait for the job's row.
  if new.seq > 1
    and pg_snapshot_xmax(pg_current_snapshot())::text::bigint > pg_current_xact_id()::text::bigint + 1 then
    new.tx := greatest(new.tx, (select tx from millrace.event where job_id = new.job_id and seq = new.seq - 1));
  end if;
  return new;
end
$$;
create trigger event_place
before insert on event
for each row
execute function place_event();

-- Events of flows have their place among those of jobs.
alter table flow_event
add column tx bigint not null default pg_current_xact_id()::text::bigint + event_shift(),
add column no bigint not null default nextval('event_no_seq');
create index flow_event_account on flow_event (account_id, tx, no);
grant usage on sequence event_no_seq to millrace_api;

create index job_live on job (account_id, id desc)
where finished_at is null;  -- an account's live jobs, however many have ended
