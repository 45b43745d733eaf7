//! What devices do: they themselves, the ledgers, the history.

use anyhow::Result;
use serde_json::json;
use sqlx::PgConnection;

use super::{super::site::Site, Visits};

/// Who has the most devices.
pub(super) async fn busy_user(site: &Site, database: &mut PgConnection) -> Result<String> {
    let sql = "select scope_id from {schema}._sync_device group by 1 order by count(*) desc limit 1";
    let [busy] = site.sample(database, sql).await?;
    Ok(busy)
}

pub(super) async fn of_devices(visits: &mut Visits<'_>, database: &mut PgConnection) -> Result<()> {
    let site = visits.site;
    let [at, scope, source, next] = site
        .sample(
            database,
            "select to_char(d.last_seen_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), d.scope_id, d.source_id,
                lead(d.source_id) over (order by d.last_seen_at desc, d.scope_id, d.source_id)
            from (
                select * from {schema}._sync_device order by last_seen_at desc, scope_id, source_id
                offset (select count(*) / 2 from {schema}._sync_device) limit 2
            ) d order by d.last_seen_at desc, d.scope_id, d.source_id limit 1",
        )
        .await?;
    let busy = busy_user(site, database).await?;
    let place = json!({ "seen": { "at": at, "scope": scope, "source": source } }).to_string();
    let mut devices = |query: &[(&str, &str)], shows: &str| visits.app("/devices", &[], query, shows);
    devices(&[], "");
    devices(&[("after", &place)], &next);
    devices(&[("scope", &busy)], &busy);
    devices(&[("scope", &busy), ("after", &place)], "");
    devices(&[("q", &scope[..scope.len() - 3])], &scope[..scope.len() - 3]);
    devices(&[("q", &source[..3])], &source[..3]);
    devices(&[("q", "zzz")], "");
    for verdict in [
        "healthy",
        "behind",
        "silent",
        "retired",
        "snapshot_stalled",
        "must_rebuild",
        "conflicting",
        "refused",
        "push_rejected",
        "authentication_failing",
    ] {
        devices(&[("verdict", verdict)], "");
        devices(&[("verdict", verdict), ("after", &place)], "");
        devices(&[("verdict", verdict), ("scope", &busy)], "");
        devices(&[("verdict", verdict), ("q", &scope[..scope.len() - 3])], "");
    }
    for (what, condition) in [
        ("events", "d.device_events > 50"),
        ("healthy", "d.last_error_at is null and d.auth_failed_at is null"),
        ("refused", "d.last_error_code = 'push_commit_invalid'"),
        ("conflict", "d.last_error_code = 'push_conflict'"),
        ("token", "d.auth_failed_at is not null"),
        ("retired", "d.state = 'retired'"),
    ] {
        let sql = format!(
            "select d.scope_id, d.source_id from (
                select d.*, r.state, (
                    select count(*) from {{schema}}._sync_device_event e
                    where e.scope_id = d.scope_id and e.source_id = d.source_id
                ) as device_events
                from {{schema}}._sync_device d left join {{schema}}._sync_source r using (scope_id, source_id)
            ) d where {condition} limit 1"
        );
        let [scope, source] = site.sample(database, &sql).await?;
        visits.app("/devices/{scope}/{source}", &[&scope, &source], &[("of", what)], &source);
    }
    Ok(())
}

pub(super) async fn of_ledgers(visits: &mut Visits<'_>, database: &mut PgConnection) -> Result<()> {
    let site = visits.site;
    let [at, id, scope, source, day] = site
        .sample(
            database,
            "select to_char(c.first_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
                'cfl_' || replace(c.conflict_id::text, '-', ''), c.scope_id, c.source_id,
                to_char(c.first_at at time zone 'utc', 'YYYY-MM-DD')
            from {schema}._sync_conflict c order by c.first_at desc, c.conflict_id desc
            offset (select count(*) / 2 from {schema}._sync_conflict) limit 1",
        )
        .await?;
    let place = json!({ "first_at": at, "id": id }).to_string();
    let table = site.table.as_str();
    let mut conflicts = |query: &[(&str, &str)], shows: &str| visits.app("/conflicts", &[], query, shows);
    conflicts(&[], "");
    conflicts(&[("after", &place)], "");
    conflicts(&[("table", table)], table);
    conflicts(&[("table", "items_2")], "");
    conflicts(&[("scope", &scope)], &scope);
    conflicts(&[("scope", &scope), ("source", &source)], &source);
    conflicts(&[("source", "nobody")], "");
    conflicts(&[("from", &day), ("until", &day)], "");
    for outcome in ["open", "kept_local", "accepted_server", "merged", "gave_up", "settled_by_hand"] {
        conflicts(&[("outcome", outcome)], "");
        conflicts(&[("outcome", outcome), ("after", &place)], "");
    }
    visits.app("/conflicts/{conflict}", &[&id], &[], &scope);

    let [at, id, scope] = site
        .sample(
            database,
            "select to_char(w.last_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
                'rej_' || replace(w.rejected_id::text, '-', ''), w.scope_id
            from {schema}._sync_rejected_write w order by w.last_at desc, w.rejected_id desc
            offset (select count(*) / 2 from {schema}._sync_rejected_write) limit 1",
        )
        .await?;
    let place = json!({ "last_at": at, "id": id }).to_string();
    for state in ["", "open", "resolved", "ignored"] {
        visits.app("/rejected", &[], &[("state", state)], "");
        visits.app("/rejected", &[], &[("state", state), ("after", &place)], "");
        visits.app("/rejected", &[], &[("state", state), ("scope", &scope)], "");
    }
    visits.app("/rejected/{write}", &[&id], &[], &scope);
    Ok(())
}

pub(super) async fn of_history(visits: &mut Visits<'_>, database: &mut PgConnection) -> Result<()> {
    let site = visits.site;
    let [at, scope, seq, source] = site
        .sample(
            database,
            "select to_char(b.committed_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), b.scope_id,
                b.bundle_seq::text, b.source_id
            from {schema}._sync_bundle b order by b.committed_at desc, b.scope_id desc, b.bundle_seq desc
            offset (select count(*) / 2 from {schema}._sync_bundle) limit 1",
        )
        .await?;
    let [oldest] = site
        .sample(
            database,
            "select to_char(min(b.committed_at) at time zone 'utc' + interval '1 hour', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
            from {schema}._sync_bundle b",
        )
        .await?;
    let [big, big_seq] = site
        .sample(
            database,
            "select scope_id, bundle_seq::text from {schema}._sync_bundle order by row_count desc, bundle_seq limit 1",
        )
        .await?;
    let [row_scope, row_key] = site
        .sample(
            database,
            "select r.scope_id, r.key from {schema}._sync_row r
            join {schema}._sync_scope s on s.scope_id = r.scope_id and s.bundle_seq = r.row_version
            where not r.deleted order by r.scope_id desc, r.key limit 1",
        )
        .await?;
    let place = |at: &str, seq: i64| json!({ "committed_at": at, "scope": scope, "seq": seq }).to_string();
    let number = seq.parse()?;
    visits.app("/history", &[], &[], "");
    visits.app("/history", &[], &[("after", &place(&at, number))], "");
    visits.app("/history", &[], &[("from", "oldest"), ("after", &place(&oldest, number))], "");
    visits.app("/history", &[], &[("scope", &scope)], &scope);
    visits.app("/history", &[], &[("scope", &big)], &big);
    visits.app("/history", &[], &[("scope", &big), ("after", "60")], &big);
    visits.app("/history", &[], &[("scope", &scope), ("source", &source)], &scope);
    visits.app("/history/{scope}/{seq}", &[&scope, &seq], &[], &scope);
    visits.app("/history/{scope}/{seq}", &[&big, &big_seq], &[("of", "many")], &big);
    visits.app("/history/{scope}/{seq}", &[&big, &big_seq], &[("from", "400")], &big);
    let row = [row_scope.as_str(), &site.table, &row_key];
    visits.app("/history/{scope}/rows/{table}/{row}", &row, &[], &row_key);
    Ok(())
}
