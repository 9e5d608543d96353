-- name: authenticate
select account_id, key_id, role, max_requests
from authenticate($1);

-- name: ensure_account
insert into account (id, name)
values ($1, $2)
on conflict (name) do update set name = excluded.name  -- so that returning has a row either way
returning id;

-- name: ensure_key
insert into api_key (id, account_id, name, role, hash)
values ($1, $2, $3, $4, $5)
on conflict (hash) do nothing;

-- name: add_key
insert into api_key (id, account_id, name, role, hash)
values ($1, $2, $3, $4, $5)
returning id, name, role, created_at, revoked_at;

-- name: keys
select id, name, role, created_at, revoked_at
from api_key
order by id desc;

-- name: keys_of
select api_key.id, api_key.name, role, api_key.created_at, revoked_at
from api_key
join account on account.id = account_id
where account.name = $1
order by api_key.id desc;

-- name: revoke
with revoked as (
  update api_key
  set revoked_at = now()
  where id = $1 and revoked_at is null
  returning id, account_id
),
closed as (
  delete from session
  using revoked
  where session.key_id = revoked.id
)
select account_id
from revoked;
