//! Which pages are looked at: every one of the tenant and of the app, lists with each filter and far behind their
//! beginning. What a page must show is asked of the database, so that a link that leads nowhere is no fast page.

use anyhow::Result;
use serde_json::json;
use sqlx::PgConnection;

use super::{browser::encoded, site::Site};

/// A page to look at.
pub(super) struct Visit {
    /// Its path with parameters in braces, and what is asked of it.
    pub(super) name: String,
    pub(super) address: String,
    /// What is somewhere on it.
    pub(super) shows: String,
}

/// Paths below the app's that are pages, and what below them is none.
const OF_APP: [&str; 24] = [
    "",
    "/live",
    "/schema",
    "/schema/map",
    "/tables",
    "/tables/{table}",
    "/tables/{table}/new",
    "/tables/{table}/row",
    "/tables/{table}/import",
    "/users",
    "/users/{scope}",
    "/devices",
    "/devices/{scope}/{source}",
    "/conflicts",
    "/conflicts/{conflict}",
    "/rejected",
    "/rejected/{write}",
    "/history",
    "/history/{scope}/{seq}",
    "/history/{scope}/rows/{table}/{row}",
    "/simulator",
    "/docs",
    "/keys",
    "/settings",
];
const OF_TENANT: [&str; 5] = ["", "/apps/new", "/members", "/settings", "/audit"];
/// `/d` leads on to the only tenant.
const ELSEWHERE: [&str; 2] = ["/d", "/account"];
/// Links to what is no page: files.
const FILES: [&str; 4] = [".csv", ".ndjson", ".sqlite", ".json"];

impl Visit {
    /// The same page of an empty app. Where that has none, this very page.
    pub(super) fn without_data(&self, site: &Site) -> String {
        let path = self.address.split('?').next().unwrap_or_default();
        let is_of_something = self.name.contains('{') && !self.name.starts_with("/tables/{table}");
        match path.strip_prefix(&site.app) {
            Some(rest) if !is_of_something && !rest.ends_with("/row") => format!("{}{rest}", site.empty_app),
            _ => self.address.clone(),
        }
    }
}

/// Whether a link leads to a page that is measured, to a file, or away.
pub(super) fn is_known(site: &Site, link: &str) -> bool {
    let path = link.split(['?', '#']).next().unwrap_or_default();
    if !path.starts_with('/') || ELSEWHERE.contains(&path) || FILES.iter().any(|file| path.ends_with(file)) {
        return true;
    }
    let any_of = |patterns: &[&str], rest: &str| patterns.iter().any(|pattern| leads(pattern, rest));
    for app in [&site.app, &site.empty_app] {
        if let Some(rest) = path.strip_prefix(app.as_str()) {
            return any_of(&OF_APP, rest);
        }
    }
    match path.strip_prefix(&site.tenant) {
        // Another app's first page.
        Some(rest) => any_of(&OF_TENANT, rest) || leads("/{app}", rest),
        None => false,
    }
}

fn leads(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern.iter().zip(&path).all(|(part, given)| part == given || part.starts_with('{'))
}

struct Visits<'s> {
    site: &'s Site,
    all: Vec<Visit>,
}

impl Visits<'_> {
    /// A page of the app by its pattern; what stands in braces is taken from `parts`, in order.
    fn app(&mut self, pattern: &str, parts: &[&str], query: &[(&str, &str)], shows: &str) {
        let (base, empty) = (self.site.app.clone(), pattern.to_owned());
        self.add(&base, &empty, parts, query, shows);
    }

    fn tenant(&mut self, pattern: &str, query: &[(&str, &str)], shows: &str) {
        let base = self.site.tenant.clone();
        self.add(&base, pattern, &[], query, shows);
        if let Some(visit) = self.all.last_mut() {
            visit.name = format!("tenant{}", visit.name);
        }
    }

    fn add(&mut self, base: &str, pattern: &str, parts: &[&str], query: &[(&str, &str)], shows: &str) {
        let mut parts = parts.iter();
        let mut address = base.to_owned();
        for part in pattern.split('/').skip(1) {
            address.push('/');
            match part.starts_with('{') {
                true => address.push_str(&encoded(parts.next().expect("BUG: a page without its parts"))),
                false => address.push_str(part),
            }
        }
        let mut name = pattern.to_owned();
        for (place, (asked, value)) in query.iter().enumerate() {
            let separator = if place == 0 { '?' } else { '&' };
            address.push_str(&format!("{separator}{asked}={}", encoded(value)));
            let shown = if value.starts_with('{') || value.len() > 24 { "…" } else { value };
            name.push_str(&format!("{separator}{asked}={shown}"));
        }
        self.all.push(Visit { name, address, shows: shows.to_owned() });
    }
}

/// All of them.
pub(super) async fn all(database: &mut PgConnection, site: &Site) -> Result<Vec<Visit>> {
    let mut visits = Visits { site, all: Vec::new() };
    of_tenant(&mut visits, database).await?;
    of_app_itself(&mut visits);
    of_tables(&mut visits, database).await?;
    of_users(&mut visits, database).await?;
    of_devices(&mut visits, database).await?;
    of_ledgers(&mut visits, database).await?;
    of_history(&mut visits, database).await?;
    Ok(visits.all)
}

async fn of_tenant(visits: &mut Visits<'_>, database: &mut PgConnection) -> Result<()> {
    visits.all.push(Visit {
        name: "/account".to_owned(),
        address: "/account".to_owned(),
        shows: String::new(),
    });
    for pattern in ["", "/apps/new", "/settings"] {
        visits.tenant(pattern, &[], "");
    }
    visits.tenant("/members", &[], "");
    let site = visits.site;
    let of_tenant = format!("from platform.audit where tenant_id = '{}'", site.tenant_id);
    let newest_first = "order by at desc, audit_id desc";
    visits.tenant("/audit", &[], "");
    let [entry, actor, action, day] = site
        .sample(
            database,
            &format!(
                "select 'aud_' || replace(audit_id::text, '-', ''), actor_label, action, to_char(at at time zone 'utc', 'YYYY-MM-DD')
                 {of_tenant} {newest_first} offset (select count(*) / 2 {of_tenant}) limit 1"
            ),
        )
        .await?;
    let app = site.schema.as_str();
    visits.tenant("/audit", &[("before", &entry)], "");
    visits.tenant("/audit", &[("actor", &actor)], &actor);
    visits.tenant("/audit", &[("actor", "nobody@example.com")], "");
    visits.tenant("/audit", &[("action", &action)], &action);
    visits.tenant("/audit", &[("action", "tenant.renamed")], "");
    visits.tenant("/audit", &[("app", app), ("action", &action), ("actor", &actor)], &actor);
    visits.tenant("/audit", &[("actor", &actor), ("action", "user.erased")], "");
    visits.tenant("/audit", &[("since", &day), ("until", &day)], "");
    visits.tenant("/audit", &[("action", &action), ("before", &entry)], &action);
    Ok(())
}

fn of_app_itself(visits: &mut Visits<'_>) {
    visits.app("", &[], &[], "");
    for range in ["day", "week", "month"] {
        visits.app("", &[], &[("range", range)], "");
    }
    for pattern in ["/live", "/schema", "/schema/map", "/simulator", "/docs", "/keys", "/settings"] {
        visits.app(pattern, &[], &[], "");
    }
}

async fn of_tables(visits: &mut Visits<'_>, database: &mut PgConnection) -> Result<()> {
    let site = visits.site;
    let table = site.table.as_str();
    let [scope, key, next] = site
        .sample(
            database,
            "select _sync_scope_id, id, lead(id) over (order by _sync_scope_id, id) from (
                select r._sync_scope_id, r.id from {schema}.{table} r order by 1, 2
                offset (select count(*) / 2 from {schema}.{table}) limit 2
            ) r order by _sync_scope_id, id limit 1",
        )
        .await?;
    let [busy] = site
        .sample(
            database,
            "select _sync_scope_id from {schema}.{table} group by 1 order by count(*) desc limit 1",
        )
        .await?;
    let [last] = site
        .sample(
            database,
            &format!(
                "select max(id collate \"C\") from {{schema}}.{{table}} where _sync_scope_id = '{busy}'"
            ),
        )
        .await?;
    let place = json!({ "scope": scope, "key": key }).to_string();
    visits.app("/tables", &[], &[], table);
    let mut rows =
        |query: &[(&str, &str)], shows: &str| visits.app("/tables/{table}", &[table], query, shows);
    rows(&[], "");
    rows(&[("after", &place)], &next);
    rows(&[("before", &place)], "");
    rows(&[("scope", &busy)], &busy);
    let filters: [(&str, &str, &str); 6] = [
        ("title", "starts-with", "Item 9"),
        ("body", "contains", "nowhere"),
        ("amount", "more", "65534"),
        ("amount", "at-most", "60000"),
        ("body", "null", ""),
        ("id", "is", &last),
    ];
    for (column, test, value) in filters {
        let condition = [("column", column), ("test", test), ("value", value)];
        rows(&condition, "");
        rows(&[&[("scope", busy.as_str())], &condition[..]].concat(), "");
    }
    rows(&[("column", "body"), ("test", "contains"), ("value", "nowhere"), ("after", &place)], "");
    visits.app("/tables/{table}/new", &[table], &[], "");
    visits.app("/tables/{table}/import", &[table], &[], "");
    visits.app("/tables/{table}/row", &[table], &[("scope", &scope), ("key", &key)], &key);
    Ok(())
}

async fn of_users(visits: &mut Visits<'_>, database: &mut PgConnection) -> Result<()> {
    let site = visits.site;
    let [user, next] = site
        .sample(
            database,
            "select scope_id, lead(scope_id) over (order by scope_id) from (
                select scope_id from {schema}._sync_scope order by 1
                offset (select count(*) / 2 from {schema}._sync_scope) limit 2
            ) s order by 1 limit 1",
        )
        .await?;
    let busy = busy_user(site, database).await?;
    visits.app("/users", &[], &[], "");
    visits.app("/users", &[], &[("after", &user)], &next);
    visits.app("/users", &[], &[("prefix", &user[..user.len() - 2])], &user[..user.len() - 2]);
    visits.app("/users", &[], &[("prefix", "zzz")], "");
    visits.app("/users/{scope}", &[&user], &[], &user);
    visits.app("/users/{scope}", &[&busy], &[("of", "many")], &busy);
    Ok(())
}

/// Who has the most devices.
async fn busy_user(site: &Site, database: &mut PgConnection) -> Result<String> {
    let sql = "select scope_id from {schema}._sync_device group by 1 order by count(*) desc limit 1";
    let [busy] = site.sample(database, sql).await?;
    Ok(busy)
}

async fn of_devices(visits: &mut Visits<'_>, database: &mut PgConnection) -> Result<()> {
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

async fn of_ledgers(visits: &mut Visits<'_>, database: &mut PgConnection) -> Result<()> {
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

async fn of_history(visits: &mut Visits<'_>, database: &mut PgConnection) -> Result<()> {
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
