-- Jobs that complete in one statement and are counted in the same row of the statistics get one entry in the ledger of
-- ends, instead of one each.

-- n: ran more than 0.1 s * 2^(n-1) and up to 0.1 s * 2^n; 0: up to 0.1 s; -1: never ran.
create function run_class(run_ms bigint) returns integer
language sql immutable
return coalesce(width_bucket(run_ms - 1, array[
  100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 102400, 204800, 409600, 819200, 1638400, 3276800, 6553600,
  13107200, 26214400, 52428800, 104857600, 209715200, 419430400, 838860800, 1677721600, 3355443200, 6710886400,
  13421772800, 26843545600, 53687091200, 107374182400
]), -1);

alter table job_end
  add column jobs integer not null default 1,
  add column run_class integer;  -- of each; null where it is that of run_ms, of the only one
