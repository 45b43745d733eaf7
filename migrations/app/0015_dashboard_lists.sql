-- Lists of the dashboard that read what they show and no more, however much an app has.

-- Retired sources, those retired last first: the list of retired devices. Written when a source is retired and never
-- again. In place of one that was in no order, so that every retired source had to be read and sorted.
create index source_by_retirement on {schema}._sync_source (retired_at desc, scope_id, source_id) where state = 'retired'
-- next
drop index {schema}.source_retired
