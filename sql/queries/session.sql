-- name: open
insert into session (id, account_id, key_id, hash, expires_at)
values ($1, $2, $3, $4, now() + make_interval(secs => $5));

-- name: authenticate
select account_id, key_id, role, max_requests, session_id
from authenticate_session($1, $2);

-- name: show
select account.name as account, api_key.id as key_id, api_key.name as key_name, api_key.role, session.expires_at
from api_key
join account on account.id = api_key.account_id
left join session on session.id = $2
where api_key.id = $1;

-- name: close
delete from session
where id = $1;

-- name: expire
delete from session
where id in (
  select id
  from session
  where expires_at < now() or seen_at < now() - make_interval(secs => $1)
  order by id
  limit $2
  for update skip locked
);
