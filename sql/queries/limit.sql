-- name: set
insert into running_limit (kind, name, max_running)
values ($1, $2, $3)
on conflict (kind, name) do update set max_running = excluded.max_running;

-- name: lift
delete from running_limit
where kind = $1 and name = $2;

-- name: set_of_account
update account
set max_running = $2
where name = $1
returning id;

-- name: weigh_account
update account
set weight = $2
where name = $1
returning id;

-- name: quota
update account
set max_bytes = case $2::text when 'bytes' then $3::bigint else max_bytes end,
    max_open_uploads = case $2 when 'open' then $3 else max_open_uploads end,
    max_daily_uploads = case $2 when 'daily' then $3 else max_daily_uploads end,
    max_requests = case $2 when 'requests' then $3 else max_requests end
where name = $1
returning id;
