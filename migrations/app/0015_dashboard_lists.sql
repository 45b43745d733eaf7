-- Lists of the dashboard that read what they show and no more, however much an app has.

-- The history page and the time of the last commit: the latest bundles of every scope, from any time on. In place of one
-- of ranges, which holds little only while bundles lie in the order of their times: pruning gives room back everywhere, new
-- bundles are put there, and then every range holds all times. Commits pay for an entry at the index's end, 22 bytes and no
-- more time than for the ranges. Ties are few and sorted when they are read.
create index bundle_by_commit on {schema}._sync_bundle (committed_at desc)
-- next
drop index {schema}.bundle_by_time
-- next
-- Retired sources, those retired last first: the list of retired devices. Written when a source is retired and never
-- again. In place of one that was in no order, so that every retired source had to be read and sorted.
create index source_by_retirement on {schema}._sync_source (retired_at desc, scope_id, source_id) where state = 'retired'
-- next
drop index {schema}.source_retired
