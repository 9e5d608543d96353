-- Who did what, when, on what: written by the transaction that does it, and chained a moment later, so that requests of
-- an account do not wait for each other's commits.

create table audit (
  id uuid primary key,
  account_id uuid not null,  -- no foreign key: the account may go, this stays
  no bigint,  -- 1, 2, 3 … in the account, once it is chained
  at timestamptz not null default clock_timestamp(),
  key_id uuid,
  session_id uuid,
  request_id text not null,
  action text not null check (length(action) <= 600),  -- method and path
  targets uuid[] not null,  -- what it made, where the path does not say so
  outcome text not null,  -- done, or the code it was refused with
  hash bytea,  -- SHA-256 of the hash before it and of all of the above
  check ((no is null) = (hash is null))
) with (fillfactor = 80);
create unique index audit_chain on audit (account_id, no) where no is not null;
create index audit_loose on audit (account_id, id) where no is null;
create index audit_account on audit (account_id, id desc);

-- The end of each chain, so that one which was cut off at its end shows too.
create table audit_head (
  account_id uuid primary key,
  no bigint not null,
  hash bytea not null
);

do $$
declare
  guarded text;
begin
  foreach guarded in array array['audit', 'audit_head'] loop
    execute format('alter table %I enable row level security', guarded);
    execute format(
      'create policy own_account on %I to millrace_api '
      'using (account_id = nullif(current_setting(''millrace.account'', true), '''')::uuid)',
      guarded
    );
  end loop;
end
$$;
grant select, insert on audit to millrace_api;
grant select on audit_head to millrace_api;

create function audit_hash(before bytea, entry audit, in_chain bigint) returns bytea
language sql immutable set search_path = millrace, pg_temp
as $$
  select sha256(before || convert_to(
    jsonb_build_array(
      entry.id, entry.account_id, in_chain, (extract(epoch from entry.at) * 1000000)::bigint, entry.key_id,
      entry.session_id, entry.request_id, entry.action, to_jsonb(entry.targets), entry.outcome
    )::text,
    'UTF8'
  ))
$$;

create function keep_audit() returns trigger
language plpgsql set search_path = millrace, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and old.no is null and audit_hash('', old, 0) = audit_hash('', new, 0) then
    return new;
  end if;
  raise exception 'the audit is only ever added to' using errcode = 'insufficient_privilege';
end
$$;
create trigger audit_kept
before update or delete on audit
for each row
execute function keep_audit();

-- Chain what is loose, at most `most` entries; how many those were. One at a time: its caller holds a lock.
create function chain_audit(most integer) returns integer
language plpgsql set search_path = millrace, pg_temp
as $$
declare
  entry audit;
  head audit_head;
  chained integer := 0;
begin
  for entry in select * from audit where no is null order by account_id, id limit most loop
    if head.account_id is distinct from entry.account_id then
      select * into head from audit_head where account_id = entry.account_id;
      if not found then
        head := row(entry.account_id, 0, ''::bytea);
      end if;
    end if;
    head.no := head.no + 1;
    head.hash := audit_hash(head.hash, entry, head.no);
    update audit set no = head.no, hash = head.hash where id = entry.id;
    insert into audit_head (account_id, no, hash)
    values (head.account_id, head.no, head.hash)
    on conflict (account_id) do update set no = excluded.no, hash = excluded.hash;
    chained := chained + 1;
  end loop;
  return chained;
end
$$;
revoke all on function audit_hash, keep_audit, chain_audit from public;
