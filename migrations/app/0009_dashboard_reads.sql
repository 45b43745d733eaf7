-- Indexes that only the dashboard's pages read by.

-- The history page: the latest bundles of every scope. Ranges, not entries: commits pay next to nothing for it, and the
-- page asks for windows of time that end at the bundle it goes on from.
create index bundle_by_time on {schema}._sync_bundle using brin (committed_at) with (pages_per_range = 16)
-- next
-- One conflict by the id in its page's address.
create unique index conflict_by_id on {schema}._sync_conflict (conflict_id)
-- next
-- One refused write by the id in its page's address.
create unique index rejected_by_id on {schema}._sync_rejected_write (rejected_id)
