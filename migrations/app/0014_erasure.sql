-- Erasing everything of a scope (server: sync/erase).

-- When everything of the scope was erased; null: never. What stays of a user's scope is this row: its bundle numbers go
-- on where they were, with the floor right below the latest, so that every device that had anything is told
-- `history_pruned` and rebuilds, to nothing. While erasing goes on, which takes many transactions, the scope is
-- `initializing` with the lease of the source `server:erasure`: every gate of the protocol already says what to answer then.
alter table {schema}._sync_scope add column erased_at timestamptz
