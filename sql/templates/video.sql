-- name: wish
insert into video_wish (job_id, video_id)
select distinct $1::uuid, row.video_id
from {table} as row
where row.video_id is not null
  and row.kind <> 'ad'
  and not exists (
    select
    from video
    where video.id = row.video_id and video.known_at > now() - make_interval(secs => $2)
  )
on conflict do nothing;

-- name: statistics
with watched as (
  select row.kind, row.video_id, row.at, row.at at time zone $1 as local,
    coalesce(row.channel, video.channel) as channel,
    coalesce(row.channel_id, video.channel_id) as channel_id,
    video.state, video.duration_s
  from {table} as row
  left join video on video.id = row.video_id
  where row.kind in ('video', 'short', 'music')
)
select
  (select count(*) from watched) as watched,
  (select count(distinct video_id) from watched) as videos,
  (select count(distinct video_id) from watched where state = 'unavailable') as unavailable,
  (select count(distinct video_id) from watched where state is null) as not_looked_up,
  (select coalesce(sum(duration_s), 0) from watched) as duration_s,
  (select count(*) from watched where duration_s is not null) as with_duration,
  (select min(at) from watched) as first_at,
  (select max(at) from watched) as last_at,
  (select coalesce(jsonb_object_agg(kind, times), '{{}}')
    from (select kind, count(*) as times from {table} group by kind) as kinds) as kinds,
  (select coalesce(jsonb_object_agg(hour, times), '{{}}')
    from (select extract(hour from local)::integer as hour, count(*) as times from watched group by 1) as hours
  ) as by_hour,
  (select coalesce(jsonb_object_agg(weekday, times), '{{}}')
    from (select extract(isodow from local)::integer as weekday, count(*) as times from watched group by 1) as days
  ) as by_weekday,
  (select coalesce(jsonb_agg(to_jsonb(top) order by top.watched desc, top.channel), '[]')
    from (
      select channel, max(channel_id) as channel_id, count(*) as watched
      from watched
      where channel is not null
      group by channel
      order by count(*) desc, channel
      limit 20
    ) as top) as top_channels;
