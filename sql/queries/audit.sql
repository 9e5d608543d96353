-- name: record
insert into audit (id, account_id, key_id, session_id, request_id, action, targets, outcome)
select $1, $2, $3, $4, $5, $6, $7, 'done'
where pg_current_xact_id_if_assigned() is not null;  -- what has changed nothing is no action

-- name: refuse
insert into audit (id, account_id, key_id, session_id, request_id, action, targets, outcome)
values ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: page
select audit.*, api_key.name as key_name
from audit
left join api_key on api_key.id = audit.key_id
where ($1::uuid is null or audit.id < $1)
  and ($2::uuid is null or audit.key_id = $2)
  and ($3::text is null or position($3 in audit.action) > 0 or $3 = any (audit.targets::text[]))
  and ($4::timestamptz is null or audit.at >= $4)
  and ($5::timestamptz is null or audit.at < $5)
order by audit.id desc
limit $6;

-- name: head
select no, hash
from audit_head
where account_id = $1;

-- name: chain
select chain_audit($1);

-- name: verify
with chained as (
  select
    audit as entry, account_id, no, hash,
    lag(no, 1, 0::bigint) over chain as no_before,
    lag(hash, 1, ''::bytea) over chain as hash_before
  from audit
  where no is not null
  window chain as (partition by account_id order by no)
),
checked as (
  select
    account_id,
    max(no) as last_no,
    (array_agg(hash order by no desc))[1] as last_hash,
    min(
      case
        when no <> no_before + 1 then no_before + 1  -- the one that is not there
        when hash <> audit_hash(hash_before, entry, no) then no
      end
    ) as broken_at
  from chained
  group by account_id
),
whole as (
  select account_id, last_no, last_hash, broken_at, head.no as head_no, head.hash as head_hash
  from checked
  full join audit_head as head using (account_id)
)
select
  coalesce(account.name, whole.account_id::text) as account,
  coalesce(last_no, 0) as entries,
  case
    when broken_at is not null then broken_at
    when (head_no, head_hash) is distinct from (last_no, last_hash)
    then least(coalesce(last_no, 0), coalesce(head_no, 0)) + 1
  end as broken_at,
  head_hash as hash,
  (select count(*) from audit where audit.account_id = whole.account_id and audit.no is null) as loose
from whole
left join account on account.id = whole.account_id
where $1::text is null or account.name = $1
order by 1;
