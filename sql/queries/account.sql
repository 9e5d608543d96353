-- name: authenticate
select account_id, key_id
from authenticate($1);

-- name: ensure_account
insert into account (id, name)
values ($1, $2)
on conflict (name) do update set name = excluded.name  -- so that returning has a row either way
returning id;

-- name: ensure_key
insert into api_key (id, account_id, name, hash)
values ($1, $2, $3, $4)
on conflict (hash) do nothing;
