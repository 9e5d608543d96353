-- What is known of YouTube's videos, for every account; which of them a job looks up; what was asked on a day.

create table video (
  id text primary key,
  state text check (state in ('available', 'unavailable')),  -- null: somebody is asking
  source text check (source in ('api', 'oembed')),
  reason text,
  title text,
  channel text,
  channel_id text,
  duration_s integer,
  published_at timestamptz,
  asked_at timestamptz not null default now(),
  known_at timestamptz,
  check ((state is null) = (known_at is null))
);
alter table video enable row level security;  -- workers own it; nobody else looks

create table video_wish (
  job_id uuid not null references job (id) on delete cascade,
  video_id text not null,
  primary key (job_id, video_id)
);
alter table video_wish enable row level security;

create table youtube_quota (
  day date primary key,  -- in California
  units integer not null
);
alter table youtube_quota enable row level security;
