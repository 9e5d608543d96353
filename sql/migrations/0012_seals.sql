-- Sealed files: the key of each upload, and uploads whose file was found damaged.

alter table upload
  add column seal bytea,  -- the file's key, locked with the master key; null: written before there were seals, or destroyed
  add column damaged_at timestamptz;  -- the file is not what was written: kept to be looked at, not read again
create index upload_sealed on upload (id) where seal is not null;  -- for the change of the master key

create or replace function check_upload_kept() returns trigger
language plpgsql security definer set search_path = millrace, pg_temp
as $$
declare
  gone_since timestamptz;
  damaged_since timestamptz;
begin
  select expired_at, damaged_at into gone_since, damaged_since
  from upload
  where id = new.upload_id and account_id = new.account_id
  for key share;
  if gone_since is not null then
    raise exception 'the file of upload % is gone', new.upload_id using errcode = 'MR001';
  elsif damaged_since is not null then
    raise exception 'the file of upload % is damaged', new.upload_id using errcode = 'MR002';
  end if;
  return new;
end
$$;
