-- Run before the first migration, by the role of MILLRACE_DATABASE_URL: two roles without log-in, and their schemas.
-- Roles belong to the whole server, so two databases may both come here at once.
do $$
begin
  create role millrace_worker nologin;
exception when duplicate_object or unique_violation then null;
end
$$;
do $$
begin
  create role millrace_api nologin;
exception when duplicate_object or unique_violation then null;
end
$$;
do $$
begin
  execute format('grant millrace_worker, millrace_api to %I', current_user);
exception when unique_violation then null;
end
$$;
create schema if not exists millrace authorization millrace_worker;
create schema if not exists datasets authorization millrace_worker;
grant usage on schema millrace, datasets to millrace_api;
