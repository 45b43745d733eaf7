-- Conflicts and refused writes that people settle, and how both ledgers stay bounded.

-- `settled_by_hand`: somebody wrote the row in the dashboard; `settled_seq` is that bundle. The device goes on by itself:
-- it takes the row, or meets it again, which is another conflict.
alter table {schema}._sync_conflict drop constraint if exists _sync_conflict_outcome_check
-- next
alter table {schema}._sync_conflict add constraint conflict_outcome_known
    check (outcome in ('kept_local', 'accepted_server', 'merged', 'gave_up', 'settled_by_hand'))
-- next
-- The account that settled it by hand, in words an administrator knows. Null otherwise.
alter table {schema}._sync_conflict add column settled_by text
-- next
-- The account that resolved or ignored it; null where the server found out by itself, and when it has come back since.
alter table {schema}._sync_rejected_write add column state_by text
-- next
-- What is still open, latest failure first: the inbox as it opens, and the number beside it.
create index rejected_open on {schema}._sync_rejected_write (last_at desc, rejected_id desc) where state = 'open'
