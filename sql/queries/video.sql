-- name: left
-- Without those that others have found out meanwhile.
with known as (
  delete from video_wish as wish
  using video
  where wish.job_id = $1
    and video.id = wish.video_id
    and video.known_at > now() - make_interval(secs => $2)
)
select count(*)
from video_wish as wish
left join video on video.id = wish.video_id and video.known_at > now() - make_interval(secs => $2)
where wish.job_id = $1 and video.id is null;

-- name: take
-- Those that nobody else is asking about just now; who dies over it is waited for until $3 seconds are over.
insert into video (id)
select wish.video_id
from video_wish as wish
left join video on video.id = wish.video_id
where wish.job_id = $1
  and (
    video.id is null
    or (
      (video.known_at is null or video.known_at < now() - make_interval(secs => $4))
      and video.asked_at < now() - make_interval(secs => $3)
    )
  )
order by wish.video_id
limit $2
on conflict (id) do update set asked_at = now()
where video.asked_at < now() - make_interval(secs => $3)
returning id;

-- name: keep
update video
set state = found.state,
  source = found.source,
  reason = found.reason,
  title = found.title,
  channel = found.channel,
  channel_id = found.channel_id,
  duration_s = found.duration_s,
  published_at = found.published_at,
  known_at = now()
from unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[], $9::timestamptz[]
) as found (id, state, source, reason, title, channel, channel_id, duration_s, published_at)
where video.id = found.id;

-- name: fulfil
delete from video_wish
where job_id = $1 and video_id = any($2::text[]);

-- name: let_go
update video
set asked_at = '-infinity'
where id = any($1::text[]);

-- name: forget_wishes
delete from video_wish
where job_id = $1;

-- name: spend
insert into youtube_quota as quota (day, units)
values ($1, $2)
on conflict (day) do update set units = quota.units + excluded.units
where quota.units + excluded.units <= $3
returning units;

-- name: use_up
insert into youtube_quota as quota (day, units)
values ($1, $2)
on conflict (day) do update set units = greatest(quota.units, excluded.units);
