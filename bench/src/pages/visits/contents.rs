//! The tenant, the app itself, its tables and its users.

use anyhow::Result;
use serde_json::json;
use sqlx::PgConnection;

use super::{Visit, Visits, activity::busy_user};

pub(super) async fn of_tenant(visits: &mut Visits<'_>, database: &mut PgConnection) -> Result<()> {
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

pub(super) fn of_app_itself(visits: &mut Visits<'_>) {
    visits.app("", &[], &[], "");
    for range in ["day", "week", "month"] {
        visits.app("", &[], &[("range", range)], "");
    }
    for pattern in ["/live", "/schema", "/schema/map", "/simulator", "/docs", "/keys", "/settings"] {
        visits.app(pattern, &[], &[], "");
    }
}

pub(super) async fn of_tables(visits: &mut Visits<'_>, database: &mut PgConnection) -> Result<()> {
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

pub(super) async fn of_users(visits: &mut Visits<'_>, database: &mut PgConnection) -> Result<()> {
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
