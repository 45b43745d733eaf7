//! `GET sync/committed-bundles/{bundle_seq}/rows` (PROTOCOL.md section 3).

use serde_json::{Value, json};
use syncline::tables::spec::WireProfile;

use crate::support::sync_app::{SyncApp, column, delete, insert, request_hash, table, text, update, without};

fn users(count: usize) -> Vec<Value> {
    (0..count).map(|i| insert("users", &format!("u{i}"), json!({"name": format!("a,\nb {i}")}))).collect()
}

#[tokio::test]
async fn pages_of_any_size_put_together_are_the_bundle() {
    for profile in [WireProfile::Strings, WireProfile::Numbers] {
        let app = SyncApp::start(profile).await;
        let device = app.connected("ada", "dev-1").await;
        // More than a segment as they are stored.
        device.push(1, &users(1_203)).await.ok();
        let whole = device.bundle_rows(1).await;
        assert_eq!(whole.as_array().unwrap().len(), 1_203);
        for max_rows in [1_203, 1_000, 499, 500, 77] {
            let mut rows = Vec::new();
            let mut cursor = String::new();
            loop {
                let path = format!("sync/committed-bundles/1/rows?max_rows={max_rows}{cursor}");
                let page = device.get(&path).await.ok();
                let part = page["rows"].as_array().unwrap().clone();
                assert!(part.len() <= max_rows);
                rows.extend(part);
                assert_eq!(page["next_row_ordinal"], rows.len() - 1);
                assert_eq!(page["row_count"], 1_203);
                if page["has_more"] == false {
                    break;
                }
                cursor = format!("&after_row_ordinal={}", page["next_row_ordinal"]);
            }
            assert_eq!(Value::Array(rows), whole, "{max_rows}");
        }
    }
}

#[tokio::test]
async fn a_page_has_a_default_and_a_largest_size() {
    let app = SyncApp::start_with(WireProfile::Strings, crate::support::sync_app::tables(), |config| {
        config.limits.default_rows_per_committed_bundle_chunk = 3;
        config.limits.max_rows_per_committed_bundle_chunk = 5;
    })
    .await;
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &users(10)).await.ok();
    let count = async |query: &str| {
        let page = device.get(&format!("sync/committed-bundles/1/rows{query}")).await.ok();
        page["rows"].as_array().unwrap().len()
    };
    assert_eq!(count("").await, 3);
    assert_eq!(count("?max_rows=9223372036854775807").await, 5);
}

#[tokio::test]
async fn a_cursor_at_or_past_the_end_is_echoed() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = users(2);
    device.push(1, &rows).await.ok();
    for cursor in [1, 2, 4_000_000_000i64, i64::MAX] {
        let page =
            device.get(&format!("sync/committed-bundles/1/rows?after_row_ordinal={cursor}")).await.ok();
        assert_eq!(
            without(&page, &["bundle_hash"]),
            json!({
                "bundle_seq": 1, "source_id": "dev-1", "source_bundle_id": 1, "row_count": 2,
                "canonical_request_hash": request_hash(&rows), "rows": [], "next_row_ordinal": cursor,
                "has_more": false,
            })
        );
    }
}

#[tokio::test]
async fn the_servers_own_bundles_have_a_hash_of_zeros_or_none() {
    for profile in [WireProfile::Strings, WireProfile::Numbers] {
        let app = SyncApp::start(profile).await;
        let device = app.connected("ada", "dev-1").await;
        app.sql("insert into {schema}.users (_sync_scope_id, id, name) values ('ada', 'u', 'Ada')")
            .await
            .unwrap();
        let page = device.get("sync/committed-bundles/1/rows").await.ok();
        assert_eq!(page["source_id"], "server:sql");
        match profile {
            WireProfile::Strings => assert_eq!(page["canonical_request_hash"], "0".repeat(64)),
            WireProfile::Numbers => assert!(page.get("canonical_request_hash").is_none()),
        }
    }
}

#[tokio::test]
async fn what_is_not_there_or_no_longer_is_named() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &users(1)).await.ok();
    device.push(2, &[insert("users", "v", json!({"name": "x"}))]).await.ok();
    let get = async |path: &str| device.get(&format!("sync/committed-bundles/{path}")).await;
    get("3/rows").await.refused(404, "committed_bundle_not_found");
    let stranger = app.device("eve", "dev-1").await;
    stranger.get("sync/committed-bundles/1/rows").await.refused(404, "committed_bundle_not_found");
    for bad in [
        "0/rows",
        "-1/rows",
        "x/rows",
        "1.5/rows",
        "99999999999999999999/rows",
        "1/rows?max_rows=0",
        "1/rows?max_rows=-1",
        "1/rows?max_rows=x",
        "1/rows?max_rows=",
        "1/rows?after_row_ordinal=-1",
        "1/rows?after_row_ordinal=x",
        "1/rows?after_row_ordinal=1&after_row_ordinal=2",
    ] {
        get(bad).await.refused(400, "committed_bundle_chunk_invalid");
    }
    app.sql(
        "update {schema}._sync_scope set floor_seq = 1;
         delete from {schema}._sync_bundle_rows where bundle_seq = 1;
         delete from {schema}._sync_bundle where bundle_seq = 1",
    )
    .await
    .unwrap();
    get("1/rows").await.refused(409, "history_pruned");
    get("2/rows").await.ok();
}

#[tokio::test]
async fn a_device_that_asks_again_rebuilds_where_rows_are_spelled_otherwise() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    // `"1"` becomes `true`, and `"12.5"` gets the column's scale.
    let rows = [insert("numeric_values", "n", json!({"amount": "12.5", "enabled": "1"}))];
    let path = "sync/committed-bundles/1/rows";
    let committed = device.push(1, &rows).await.ok();
    // In the ordinary course of things it takes over what it reads.
    assert_eq!(device.get(path).await.ok()["rows"][0]["payload"]["enabled"], true);
    // The answer was lost, so it asks again, and then compares.
    let again = device.create(1, &rows).await.ok();
    assert_eq!(without(&again, &["status"]), committed);
    device.get(path).await.refused(409, "history_pruned");
    // It rebuilds and goes on. Nobody else compares, and a pull is as ever.
    device.post("sync/snapshot-sessions", &json!({})).await.ok();
    device.push(2, &[insert("users", "u", json!({"name": "x"}))]).await.ok();
    assert_eq!(device.with_source("dev-2").get(path).await.ok()["bundle_hash"], committed["bundle_hash"]);
    assert_eq!(device.get("sync/pull?after_bundle_seq=0").await.ok()["bundles"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn rows_that_are_as_they_were_sent_are_read_after_a_lost_answer_too() {
    let id = |n: u32| format!("0192f0c1-5f7e-7cc3-98c4-{n:012}");
    let tables = json!([
        table("texts", vec![text("t"), column("n", json!("bigint")), column("r", json!("double"))]),
        {
            "name": "things", "table_no": 0, "key": {"column": "id", "kind": "uuid"},
            "columns": [{"name": "id", "type": "uuid", "nullable": false}, column("b", json!("bytea"))],
            "uniques": [], "indexes": [], "foreign_keys": [], "checks": []
        },
    ]);
    let app = SyncApp::start_with(WireProfile::Strings, tables, |_| {}).await;
    let device = app.connected("ada", "dev-1").await;
    let texts = ["", "1\u{1f}", "\"\\/", "<&>\u{2028}", "é🔑\u{7f}", "a,\nb"];
    let row = |n: usize, t: &str| {
        insert("texts", &format!("k{n} \"{t}"), json!({"t": t, "n": "9007199254740993", "r": "5e-324"}))
    };
    // More than a page of segments.
    let mut rows: Vec<Value> = (0..3_000).map(|n| row(n, texts[n % texts.len()])).collect();
    rows.push(insert("things", &id(1), json!({"b": "AP8Q"})));
    rows.push(insert("things", &id(2), json!({"b": null})));
    let changes = [
        update("texts", "k0 \"", 1, json!({"id": "k0 \"", "t": "x", "n": null, "r": "0"})),
        delete("things", &id(1), 1),
        delete("texts", &format!("k1 \"{}", texts[1]), 1),
    ];
    device.push(1, &rows).await.ok();
    device.push(2, &changes).await.ok();
    for (seq, rows) in [(1, &rows[..]), (2, &changes)] {
        assert_eq!(device.create(seq, rows).await.ok()["status"], "already_committed");
        assert_eq!(device.bundle_rows(seq).await.as_array().unwrap().len(), rows.len());
    }
    let known = app.json_rows("select replay from {schema}._sync_bundle order by bundle_seq").await;
    assert_eq!(known, json!([{"replay": "stored"}, {"replay": "stored"}]));
}

#[tokio::test]
async fn rows_that_the_server_added_are_never_those_that_were_sent() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let note =
        |id: &str| insert("notes", id, json!({"user_id": "u", "title": "t", "stars": null, "pinned": null}));
    let user = |id: &str| insert("users", id, json!({"name": "x", "email": id}));
    device.push(1, &[user("u"), user("v"), note("n")]).await.ok();
    // A cascade; and a column that was not sent.
    let pushes = [vec![delete("users", "u", 1)], vec![insert("users", "w", json!({"name": "x"}))]];
    for (seq, rows) in (2..).zip(&pushes) {
        device.push(seq, rows).await.ok();
        let path = format!("sync/committed-bundles/{seq}/rows");
        device.get(&path).await.ok();
        for _ in 0..3 {
            device.create(seq, rows).await.ok();
            device.get(&path).await.refused(409, "history_pruned");
        }
    }
    // Updates are done before inserts, which makes no difference.
    let rows = [user("a"), update("users", "v", 1, json!({"id": "v", "name": "y", "email": "v"}))];
    device.push(4, &rows).await.ok();
    device.create(4, &rows).await.ok();
    assert_eq!(device.bundle_rows(4).await[0]["op"], "UPDATE");
}

#[tokio::test]
async fn a_page_ends_early_where_rows_are_large() {
    let app = SyncApp::start_with(WireProfile::Strings, crate::support::sync_app::tables(), |config| {
        config.limits.max_bytes_per_pull = 10_000;
    })
    .await;
    let device = app.connected("ada", "dev-1").await;
    // One alone is more than a page.
    let name = |n: usize| "x".repeat(if n == 7 { 30_000 } else { 1_500 });
    let rows: Vec<Value> =
        (0..40).map(|n| insert("users", &format!("u{n}"), json!({"name": name(n)}))).collect();
    device.push(1, &rows).await.ok();
    let (mut keys, mut cursor, mut sizes) = (Vec::new(), String::new(), Vec::new());
    loop {
        let page = device.get(&format!("sync/committed-bundles/1/rows?max_rows=1000{cursor}")).await.ok();
        let rows = page["rows"].as_array().unwrap();
        sizes.push(rows.len());
        keys.extend(rows.iter().map(|row| row["key"]["id"].as_str().unwrap().to_owned()));
        assert_eq!(page["next_row_ordinal"], keys.len() - 1);
        if page["has_more"] == false {
            break;
        }
        cursor = format!("&after_row_ordinal={}", page["next_row_ordinal"]);
    }
    assert_eq!(keys, (0..40).map(|n| format!("u{n}")).collect::<Vec<_>>());
    assert!(sizes.contains(&1) && sizes.iter().all(|size| (1..=6).contains(size)), "{sizes:?}");
}
