-- Roles of keys, sessions of browsers, and how many requests an account may make.

alter table api_key
  add column role text not null default 'operator' check (role in ('viewer', 'operator'));

alter table account
  add column max_requests integer check (max_requests >= 0);  -- a second; null: what the settings say, 0: any number

create table session (
  id uuid primary key,
  account_id uuid not null references account on delete cascade,
  key_id uuid not null references api_key on delete cascade,  -- a session may what its key may, and goes with it
  hash bytea not null unique,  -- SHA-256 of the cookie's secret
  created_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index session_key on session (key_id);
create index session_end on session (expires_at);
create index session_account on session (account_id);

alter table session enable row level security;
create policy own_account on session to millrace_api
using (account_id = nullif(current_setting('millrace.account', true), '')::uuid);

grant select (id, account_id, key_id, created_at, seen_at, expires_at), insert, delete on session to millrace_api;
grant select (id, account_id, name, role, created_at, revoked_at), insert, update (revoked_at) on api_key
to millrace_api;

drop function authenticate;
-- A key is looked up before its account is known, so this one question is asked with the owner's rights.
create function authenticate(key_hash bytea)
returns table (account_id uuid, key_id uuid, role text, max_requests integer)
language sql stable security definer set search_path = millrace, pg_temp
as $$
  select api_key.account_id, api_key.id, api_key.role, account.max_requests
  from api_key
  join account on account.id = api_key.account_id
  where api_key.hash = key_hash and api_key.revoked_at is null
$$;

-- So is a session, which is seen by that.
create function authenticate_session(session_hash bytea, idle_s double precision)
returns table (account_id uuid, key_id uuid, role text, max_requests integer, session_id uuid)
language sql volatile security definer set search_path = millrace, pg_temp
as $$
  update session
  set seen_at = now()
  from api_key
  join account on account.id = api_key.account_id
  where session.hash = session_hash
    and session.expires_at > now()
    and session.seen_at > now() - make_interval(secs => idle_s)
    and api_key.id = session.key_id
    and api_key.revoked_at is null
  returning session.account_id, session.key_id, api_key.role, account.max_requests, session.id
$$;
revoke all on function authenticate, authenticate_session from public;
grant execute on function authenticate, authenticate_session to millrace_api;
