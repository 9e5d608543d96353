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
