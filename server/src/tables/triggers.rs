//! Capture: the trigger function of a business table and its triggers.
//!
//! Three statement-level AFTER triggers read the transition tables, render every changed row, and hand all of them to
//! `_sync_capture` in one call; cascades fire them too. A transition table is only ever aggregated, never joined: its
//! size is unknown to the planner, and a nested loop over 5,000 rows would be 25 million steps.

use super::{
    payload_sql::{self, RowSource},
    spec::{TableSpec, WireProfile},
};
use crate::ids::SchemaName;

/// The statement that makes or replaces the capture function of a table: run it whenever the table's columns change.
pub(super) fn capture_function(schema: &SchemaName, profile: WireProfile, table: &TableSpec) -> String {
    let body = capture_body(schema, profile, table);
    let quote = dollar_quote(&body);
    format!(
        "create or replace function {schema}.{function}() returns trigger\n\
         language plpgsql set search_path = pg_catalog set extra_float_digits = 1 as {quote}{body}{quote}",
        function = function_name(table.table_no)
    )
}

/// The statements that put the triggers on a new table.
pub(super) fn triggers(schema: &SchemaName, table: &TableSpec) -> Vec<String> {
    let on = format!("on {schema}.{}", table.name.quoted());
    let capture = format!("for each statement execute function {schema}.{}()", function_name(table.table_no));
    vec![
        format!("create trigger _sync_insert after insert {on} referencing new table as _sync_new {capture}"),
        format!(
            "create trigger _sync_update after update {on} \
             referencing old table as _sync_old new table as _sync_new {capture}"
        ),
        format!("create trigger _sync_delete after delete {on} referencing old table as _sync_old {capture}"),
        format!(
            "create trigger _sync_truncate before truncate {on} \
             for each statement execute function {schema}._sync_refuse_truncate()"
        ),
    ]
}

fn function_name(table_no: i32) -> String {
    format!("_sync_capture_{table_no}")
}

/// An update that leaves all keys in place is the usual one and is taken from the new rows alone. One that moves keys
/// is a DELETE of the keys that are gone and an INSERT of those that have come; rows that kept theirs stay an UPDATE.
///
/// `offset 0` keeps the planner from writing the payload's expression out again wherever it is used.
fn capture_body(schema: &SchemaName, profile: WireProfile, table: &TableSpec) -> String {
    let row = RowSource { schema, alias: "r", profile };
    let scope = payload_sql::scope_expression("r");
    let key = payload_sql::key_expression("r", &table.key);
    let payload = payload_sql::payload_expression(row, &table.columns);
    // Null means "as the payload": all rows of profile `strings`, and most of the other.
    let hash_payload =
        payload_sql::hash_payload_expression(row, &table.columns).unwrap_or("null::text".to_owned());
    let table_no = table.table_no;
    format!(
        "
declare
    v_scopes text[];
    v_keys text[];
    v_ops text[];
    v_payloads text[];
    v_hash_payloads text[];
    v_moved boolean := false;
begin
    -- A statement of its own: an INSERT has no old rows, and naming them in its plan would fail.
    if tg_op = 'UPDATE' then
        v_moved := exists (
            select {scope}, {key} from _sync_old r except all select {scope}, {key} from _sync_new r
        );
    end if;
    if tg_op = 'DELETE' then
        select array_agg({scope}), array_agg({key}), array_agg('D'::text)
        into v_scopes, v_keys, v_ops
        from _sync_old r;
    elsif not v_moved then
        select array_agg(n.scope_id), array_agg(n.key), array_agg(left(tg_op, 1)), array_agg(n.payload),
            array_agg(nullif(n.hash_payload, n.payload))
        into v_scopes, v_keys, v_ops, v_payloads, v_hash_payloads
        from (
            select {scope} as scope_id, {key} as key,
                {payload} as payload,
                {hash_payload} as hash_payload
            from _sync_new r
            offset 0
        ) n;
    else
        select array_agg(m.scope_id), array_agg(m.key), array_agg(m.op), array_agg(m.payload),
            array_agg(nullif(m.hash_payload, m.payload))
        into v_scopes, v_keys, v_ops, v_payloads, v_hash_payloads
        from (
            select u.scope_id, u.key, max(u.payload) as payload, max(u.hash_payload) as hash_payload,
                case when not bool_or(u.is_new) then 'D' when bool_and(u.is_new) then 'I' else 'U' end as op
            from (
                select {scope} as scope_id, {key} as key, false as is_new, null::text as payload,
                    null::text as hash_payload
                from _sync_old r
                union all
                select {scope}, {key}, true,
                    {payload},
                    {hash_payload}
                from _sync_new r
            ) u
            group by u.scope_id, u.key
            order by op, u.scope_id, u.key
        ) m;
    end if;
    perform {schema}._sync_capture({table_no}, v_scopes, v_keys, v_ops, v_payloads, v_hash_payloads);
    return null;
end
"
    )
}

/// A dollar quote that does not occur in `body`, whatever its names are.
pub(super) fn dollar_quote(body: &str) -> String {
    (0..)
        .map(|n| format!("$capture{n}$"))
        .find(|quote| !body.contains(quote.as_str()))
        .expect("BUG: a finite text cannot contain every quote")
}
