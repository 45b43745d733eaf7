//! Pages cost what they show, whatever else the app has: none reads a table that grows from end to end. How long they take
//! is a benchmark's business (`bench/`, command `pages`).

use serde_json::json;
use sqlx::AssertSqlSafe;
use syncline::{sync::device::verdict::VerdictKind, tables::spec::WireProfile};
use time::{Duration, format_description::well_known::Rfc3339};

use crate::support::{
    app::TestApp,
    browser::Browser,
    scans::{assert_read_by_index, backends, scans, wait_for_backends},
};

/// Tables that grow with what an app syncs and with who syncs. The ledgers of conflicts and refused writes are bounded
/// (`sync/ledger_bounds.rs`), so their pages may read them whole.
const GROWING: [&str; 8] = [
    "_sync_scope",
    "_sync_source",
    "_sync_device",
    "_sync_device_event",
    "_sync_row",
    "_sync_bundle",
    "_sync_bundle_rows",
    "notes",
];

const DDL: &str = "create table notes (id text primary key not null, title text not null);";

/// Twenty thousand users with two devices and two bundles each, a few of them with rows.
const FILL: &str = "
insert into {schema}._sync_scope (scope_id, state, bundle_seq, created_at, last_commit_at)
select 'u' || lpad(n::text, 5, '0'), 'initialized', 2, {now}, {now} from generate_series(1, 20000) n;
insert into {schema}._sync_source (scope_id, source_id, state, source_bundle_id, retired_reason, retired_at, created_at)
select 'u' || lpad(n::text, 5, '0'), 'd' || m, case when n % 50 = 0 then 'retired' else 'active' end, 1,
    case when n % 50 = 0 then 'by_people' end, case when n % 50 = 0 then {now} - n * interval '1 minute' end, {now}
from generate_series(1, 20000) n, generate_series(1, 2) m;
insert into {schema}._sync_device (
    scope_id, source_id, user_id, first_seen_at, last_seen_at, last_served_seq, last_error_at, last_error_verb,
    last_error_code, last_error_message, error_count
)
select 'u' || lpad(n::text, 5, '0'), 'd' || m, 'somebody', {now}, {now} - (n + m) * interval '1 minute', n % 3,
    case when n % 20 = 0 then {now} - n * interval '1 minute' end, case when n % 20 = 0 then 'push_commit' end,
    case when n % 20 = 0 then 'push_commit_invalid' end, case when n % 20 = 0 then 'no' end,
    case when n % 20 = 0 then 3 else 0 end
from generate_series(1, 20000) n, generate_series(1, 2) m;
insert into {schema}._sync_device_event (scope_id, source_id, event_id, at, verb, status)
select d.scope_id, d.source_id, gen_random_uuid(), d.last_seen_at, 'pull', 200 from {schema}._sync_device d;
insert into {schema}._sync_bundle (
    scope_id, bundle_seq, source_id, source_bundle_id, row_count, byte_count, bundle_hash, schema_version, committed_at
)
select 'u' || lpad(n::text, 5, '0'), m, 'd' || m, 1, 1, 2, 'x', 1, {now} - (40000 - n) * interval '1 minute'
from generate_series(1, 20000) n, generate_series(1, 2) m;
insert into {schema}._sync_bundle_rows (scope_id, bundle_seq, first_ordinal, row_count, body, prior_versions)
select b.scope_id, b.bundle_seq, 0, 1, '{\"table\":\"notes\",\"key\":{\"id\":\"x\"},\"op\":\"DELETE\"}', array[0]
from {schema}._sync_bundle b;
insert into {schema}.notes (_sync_scope_id, id, title)
select 'v' || lpad((n / 200)::text, 5, '0'), 'n' || lpad(n::text, 5, '0'), 'A note' from generate_series(1, 30000) n";

/// The app's pages, of one user and of all, at their beginnings and far behind.
fn pages(app: &TestApp) -> Vec<String> {
    let seen_at = (app.clock.now() - Duration::days(5)).format(&Rfc3339).unwrap();
    let at = |cursor: serde_json::Value| {
        let bytes = cursor.to_string().into_bytes();
        bytes.iter().map(|byte| format!("%{byte:02X}")).collect::<String>()
    };
    let device = at(json!({ "seen": { "at": seen_at, "scope": "u07000", "source": "d1" } }));
    let retired = at(json!({ "retired": { "at": seen_at, "scope": "u07000", "source": "d1" } }));
    let bundle = at(json!({ "committed_at": seen_at, "scope": "u07000", "seq": 1 }));
    let row = at(json!({ "scope": "v00050", "key": "n10050" }));
    let mut pages: Vec<String> = [
        "",
        "?range=month",
        "/live",
        "/users",
        "/users?after=u10000",
        "/users?prefix=u01",
        "/users/u01000",
        "/users/v00050",
        "/devices",
        "/devices?scope=u01000",
        "/devices?q=u01",
        "/devices?q=d2",
        "/devices/u01000/d1",
        "/history",
        "/history?scope=u01000",
        "/history?scope=u01000&source=d1",
        "/history/u01000/1",
        "/history/v00050/rows/notes/n10050",
        "/conflicts",
        "/rejected",
        "/tables",
        "/tables/notes",
        "/tables/notes?scope=v00050",
        "/tables/notes?column=title&test=contains&value=nowhere",
        "/tables/notes?scope=v00050&column=title&test=is&value=nothing",
        "/tables/notes/row?scope=v00050&key=n10050",
    ]
    .map(str::to_owned)
    .to_vec();
    pages.extend([
        format!("/devices?after={device}"),
        format!("/devices?verdict=retired&after={retired}"),
        format!("/history?after={bundle}"),
        format!("/tables/notes?after={row}"),
        format!("/tables/notes?before={row}"),
        format!("/tables/notes?column=title&test=contains&value=nowhere&before={row}"),
    ]);
    for kind in VerdictKind::ALL {
        pages.push(format!("/devices?verdict={}", kind.as_str()));
        pages.push(format!("/devices?verdict={}&after={device}", kind.as_str()));
        pages.push(format!("/devices?verdict={}&q=u01", kind.as_str()));
    }
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_reads_a_table_that_grows_from_end_to_end() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let schema = notes.app.app_id.schema();
    let now = format!("'{}'::timestamptz", app.clock.now().format(&Rfc3339).unwrap());
    let pool = app.pool().await;
    let mut tx = app.state().databases.apps.begin(&schema).await.unwrap();
    for sql in [FILL, "commit", "analyze"] {
        let sql = sql.replace("{schema}", schema.as_str()).replace("{now}", &now);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await.unwrap();
    }
    drop(tx);
    let idle = backends(&pool).await;
    let node = app.another_node().await;
    let before = scans(&pool, schema.as_str()).await;

    let mut browser = Browser::new(&node.url);
    browser.sign_in(&notes.owner.owner.email).await.location();
    for page in pages(&app) {
        let address = format!("/d/acme/notes{page}");
        let answer = browser.get(&address).await;
        assert!(answer.status.is_success(), "{address}: {}", answer.status);
    }
    node.state.end().await;
    wait_for_backends(&pool, idle).await;

    let after = scans(&pool, schema.as_str()).await;
    assert_read_by_index(&GROWING, &before, &after);
}
