-- name: seen
insert into worker (name, host, pid, version, queues, cpu, rss_bytes, load)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (name) do update
set version = excluded.version,
    queues = excluded.queues,
    cpu = excluded.cpu,
    rss_bytes = excluded.rss_bytes,
    load = excluded.load,
    seen_at = now();

-- name: gone
delete from worker
where name = $1;

-- name: forget
delete from worker
where seen_at < now() - make_interval(secs => $1);

-- name: all
select
  name, host, pid, version, queues, cpu, rss_bytes, load, started_at, seen_at,
  extract(epoch from now() - seen_at)::double precision as silent_s
from worker
order by name;
