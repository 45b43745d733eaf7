-- Which version of the engine's tables (migrations/app) an app's schema has had; 0: unknown. A server that knows a later
-- one brings the schema up to date before it serves the app, and goes through those nobody asks for beside.
alter table platform.app add column engine_version integer not null default 0 check (engine_version >= 0);

-- Serves looking for apps that are behind: there are some only after a server was replaced by a newer one.
create index app_by_engine_version on platform.app (engine_version) where state = 'ready';
