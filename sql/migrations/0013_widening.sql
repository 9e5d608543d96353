-- Types that were found out may turn out too narrow: then their job starts over with wider ones.

alter table dataset
  add column shaped_by uuid;  -- the job whose file gave it its columns
alter table job
  add column widened jsonb not null default '[]';  -- one entry a column and time: old and new type, row, text, steps
