-- name: try
select pg_try_advisory_xact_lock(1296649292, hashtext($1));  -- the number is ours ("MILL"), the text names the duty
