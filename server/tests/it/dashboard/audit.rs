//! The audit log: who did what, when, from where; filtered, page by page, and as a file.

use reqwest::StatusCode;
use sqlx::AssertSqlSafe;
use syncline::{
    control::{
        api_keys::{KeyKind, NewApiKey},
        audit::{Action, AppAction},
    },
    tables::spec::WireProfile,
};
use time::Duration;

use crate::support::app::TestApp;

const AUDIT: &str = "/d/acme/audit";
const TABLE: &str = "create table t (id text primary key not null);";

#[tokio::test]
async fn the_audit_log_tells_who_did_what_page_by_page() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, TABLE).await;
    let mut owner = app.browser();
    owner.sign_in("owner@acme.example").await.location();
    let page = owner.get("/d/acme/audit").await;
    let actions = page.texts("td[data-label=What]");
    assert_eq!(
        actions,
        ["api_key.issued", "api_key.issued", "schema.published", "app.created", "tenant.created"]
    );
    assert!(page.texts("td[data-label=Who]").iter().all(|who| who == "owner@acme.example"));
    assert!(!page.html.contains(&notes.secret_key));

    for number in 0..60 {
        let key = NewApiKey::unrestricted(KeyKind::Publishable, &format!("key {number}"));
        let actor = notes.owner.owner.actor();
        app.state().control.issue_api_key(&actor, &notes.app, key.unwrap()).await.unwrap();
    }
    let first = owner.get("/d/acme/audit").await;
    assert_eq!(first.texts("td[data-label=What]").len(), 50);
    let next = first.attribute("tr.more a", "href").unwrap();
    // As htmx fetches it: rows alone.
    let rest = owner.get_part(&next).await;
    assert!(!rest.html.contains("<html") && rest.html.contains("tenant.created"), "{}", rest.html);
    assert_eq!(rest.html.matches("data-label=\"What\"").count(), 15);
    assert_eq!(owner.get("/d/acme/audit?before=nonsense").await.status, StatusCode::OK);
}

#[tokio::test]
async fn entries_are_found_by_who_what_which_app_and_when() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, TABLE).await;
    let tasks = app.create_app_of(&notes.owner, "tasks", WireProfile::Strings, "").await;
    let mut owner = app.browser();
    owner.sign_in("owner@acme.example").await.location();
    app.clock.advance(Duration::days(3));
    owner.submit("/d/acme/settings", "/d/acme/settings", &[("name", "Later")]).await.location();

    let mut found =
        async |query: String| owner.get(&format!("{AUDIT}?{query}")).await.texts("td[data-label=What]");
    let of_app = found(format!("app={}", tasks.app.app_id)).await;
    assert_eq!(of_app, ["api_key.issued", "api_key.issued", "app.created"]);
    assert_eq!(found("action=tenant.renamed".into()).await, ["tenant.renamed"]);
    assert_eq!(
        found("actor=OWNER%40acme.example&action=schema.published".into()).await,
        ["schema.published"]
    );
    assert_eq!(found("actor=nobody".into()).await, Vec::<String>::new());
    let today = app.clock.now().date();
    assert_eq!(found(format!("since={today}")).await, ["tenant.renamed"]);
    let yesterday = today.previous_day().unwrap();
    let before = found(format!("until={yesterday}")).await;
    assert!(before.len() == 8 && !before.contains(&"tenant.renamed".to_owned()), "{before:?}");
    let page = owner.get(&format!("{AUDIT}?since=yesterday")).await;
    assert_eq!(page.error_at("since"), "Type a day, like 2026-07-15.");
    // What came through the door says from where.
    let page = owner.get(&format!("{AUDIT}?action=tenant.renamed")).await;
    assert_eq!(page.text("td[data-label=Who] .sub"), "127.0.0.1");
}

#[tokio::test]
async fn what_is_done_to_an_apps_data_and_by_a_key_is_told_too() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, TABLE).await;
    let new = serde_json::json!({ "name": "from the server", "kind": "publishable" });
    let answer = notes.call(reqwest::Method::POST, "api/keys", &notes.secret_key, Some(new)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let done = AppAction {
        action: Action::AppSettingsChanged,
        subject: "row 1".into(),
        subject_label: "row 1",
        detail: serde_json::json!({ "table": "t" }),
    };
    let actor = notes.owner.owner.actor().at(Some("2001:db8::7".parse().unwrap()));
    app.state().control.record_app_action(&actor, &notes.app, done).await.unwrap();
    let mut owner = app.browser();
    owner.sign_in("owner@acme.example").await.location();
    let page = owner.get(&format!("{AUDIT}?app={}", notes.app.app_id)).await;
    let who = page.texts("td[data-label=Who]");
    assert_eq!(who[0], "owner@acme.example2001:db8::7");
    assert_eq!(who[1], "test API key127.0.0.1");
    assert!(page.texts("td[data-label=To]")[0].ends_with("in App notes"), "{}", page.html);
}

#[tokio::test]
async fn the_log_is_exported_whole_and_as_it_was_filtered() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    // More than the export reads at a time, with a name that a spreadsheet would take for a formula.
    let pool = app.pool().await;
    let sql = format!(
        "insert into platform.audit (
             audit_id, tenant_id, at, actor_kind, actor_label, action, subject, subject_label, detail
         )
         select gen_random_uuid(), '{}', now(), 'command', 'ci', 'app.created', 's' || n, '=1+1', '{{}}'
         from generate_series(1, 2500) n",
        acme.tenant.tenant_id.uuid()
    );
    sqlx::query(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    let mut owner = app.browser();
    owner.sign_in("owner@acme.example").await.location();
    let csv = owner.get("/d/acme/audit.csv").await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    assert_eq!(csv.headers["content-disposition"], "attachment; filename=\"acme-audit.csv\"");
    assert_eq!(csv.html.lines().count(), 1 + 2_501);
    assert!(csv.html.starts_with("id,at,") && csv.html.contains(",\"'=1+1\",{}"), "{}", &csv.html[..300]);
    let distinct: std::collections::HashSet<&str> =
        csv.html.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(distinct.len(), 2_502, "an entry came twice, or not at all");

    let lines = owner.get("/d/acme/audit.ndjson?action=tenant.created").await;
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    let entry: serde_json::Value = serde_json::from_str(lines.html.trim()).unwrap();
    assert_eq!(
        (&entry["action"], &entry["subject_label"]),
        (&"tenant.created".into(), &"Tenant acme".into())
    );
    let empty = owner.get("/d/acme/audit.ndjson?actor=nobody").await;
    assert_eq!((empty.status, empty.html.as_str()), (StatusCode::OK, ""));
}

#[tokio::test]
async fn behind_a_proxy_the_address_is_the_one_that_it_saw() {
    for (behind_proxy, address) in [(true, "203.0.113.9"), (false, "127.0.0.1")] {
        let app = TestApp::start_with(|config| config.http.behind_proxy = behind_proxy).await;
        let notes = app.create_app(WireProfile::Strings, "").await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/t/acme/notes/api/keys", listener.local_addr().unwrap());
        tokio::spawn(syncline::http::serve(listener, app.state().clone()));
        let answer = reqwest::Client::new()
            .post(url)
            .bearer_auth(&notes.secret_key)
            .header("x-forwarded-for", "198.51.100.1, 203.0.113.9")
            .json(&serde_json::json!({ "name": "from afar", "kind": "publishable" }))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        let tenant = notes.owner.tenant.tenant_id;
        let entries =
            app.state().control.audit_entries(tenant, &Default::default(), None, 1).await.unwrap().entries;
        assert_eq!(entries[0].subject_label, "from afar");
        assert_eq!(entries[0].address.as_deref(), Some(address), "behind a proxy: {behind_proxy}");
    }
}

#[tokio::test]
async fn two_conditions_that_seldom_meet_are_looked_for_a_bounded_while_at_a_time() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let insert = "insert into platform.audit (audit_id, tenant_id, at, actor_kind, actor_label, action, subject, subject_label,
            detail)
        select gen_random_uuid(), t.tenant_id, now() + n * interval '1 second', 'command', 'busy',
            case n when 1 then 'tenant.renamed' else 'device.retired' end, n::text, n::text, '{}'
        from platform.tenant t, generate_series(1, 12000) n";
    sqlx::query(insert).execute(&app.pool().await).await.unwrap();
    let mut owner = app.browser();
    owner.sign_in("owner@acme.example").await.location();
    let asked = "actor=busy&action=tenant.renamed";
    let first = owner.get(&format!("{AUDIT}?{asked}")).await;
    assert_eq!(first.texts("td[data-label=What]"), [] as [&str; 0]);
    assert!(first.html.contains("entries have been looked at up to here"), "{}", first.html);
    let next = first.attribute("tr.more a", "href").unwrap();
    let rest = owner.get(&next).await;
    assert_eq!(rest.texts("td[data-label=What]"), ["tenant.renamed"]);
    assert!(rest.texts("tr.more").is_empty());
    // The file has it all.
    let file = owner.get_part(&format!("{AUDIT}.ndjson?{asked}")).await.html;
    assert_eq!(file.lines().count(), 1, "{file}");
}
