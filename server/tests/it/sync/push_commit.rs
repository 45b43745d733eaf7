//! `POST sync/push-sessions/{push_id}/commit`: bundles, effects, hashes (PROTOCOL.md section 3).

use serde_json::{Value, json};
use syncline::tables::spec::WireProfile;

use crate::support::sync_app::{SyncApp, delete, hex_hash, insert, request_hash, row, table, text, update};

fn numeric_values() -> Value {
    insert(
        "numeric_values",
        "n-1",
        json!({
            "amount": "1234567890.123456789", "count": "2147483647", "enabled": "1",
            "large_count": "9007199254740993", "ratio": "1.2345678901234567", "score": "5e-324",
            "small_count": "-32768",
        }),
    )
}

#[tokio::test]
async fn the_protocols_example_has_the_protocols_hashes() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = [numeric_values()];
    let announced = "ce9f4105cdda62a7705ef32476ebb3b3737fb44866a4bf4eedfeaaa571eb443a";
    assert_eq!(request_hash(&rows), announced);
    let committed = device.push(1, &rows).await.ok();
    let bundle_hash = "92fe0879f22de1e60f1bec5655f94cc641389e2ba5624666402a2a5cdd7150e3";
    assert_eq!(
        committed,
        json!({
            "bundle_seq": 1, "source_id": "dev-1", "source_bundle_id": 1, "row_count": 1,
            "bundle_hash": bundle_hash, "canonical_request_hash": announced,
        })
    );
    let page = device.get("sync/committed-bundles/1/rows").await.ok();
    assert_eq!(
        page,
        json!({
            "bundle_seq": 1, "source_id": "dev-1", "source_bundle_id": 1, "row_count": 1,
            "bundle_hash": bundle_hash, "canonical_request_hash": announced, "next_row_ordinal": 0, "has_more": false,
            "rows": [{
                "schema": "business", "table": "numeric_values", "key": {"id": "n-1"}, "op": "INSERT", "row_version": 1,
                "payload": {
                    "amount": "1234567890.1234567890", "count": "2147483647", "enabled": true, "id": "n-1",
                    "large_count": "9007199254740993", "ratio": "1.2345678806304932", "score": "5e-324",
                    "small_count": "-32768",
                },
            }],
        })
    );
}

#[tokio::test]
async fn profile_numbers_sends_exact_numbers_and_hashes_what_its_clients_decode() {
    let app = SyncApp::numbers().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = [insert(
        "numeric_values",
        "n<1",
        json!({"amount": 12.5, "count": 7, "enabled": true, "large_count": 9_007_199_254_740_993i64, "score": 1e21}),
    )];
    let committed = device.push(1, &rows).await.ok();
    let text = device.get("sync/committed-bundles/1/rows").await.text;
    assert!(text.contains("\"large_count\":9007199254740993,"), "{text}");
    assert!(text.contains("\"amount\":12.5000000000,"), "{text}");
    assert!(!text.contains("canonical_request_hash"), "{text}");
    // As Go writes it again after decoding: keys sorted, `<` escaped, numbers as binary64.
    let hashed = "[{\"key\":{\"id\":\"n\\u003c1\"},\"op\":\"INSERT\",\"payload\":{\"amount\":12.5,\"count\":7,\
        \"enabled\":true,\"id\":\"n\\u003c1\",\"large_count\":9007199254740992,\"ratio\":null,\"score\":1e+21,\
        \"small_count\":null},\"row_ordinal\":0,\"row_version\":1,\"schema\":\"business\",\"table\":\"numeric_values\"}]";
    assert_eq!(committed["bundle_hash"], hex_hash(hashed.as_bytes()));
    assert!(committed.get("canonical_request_hash").is_none());
}

#[tokio::test]
async fn a_request_hash_sent_in_profile_numbers_is_echoed() {
    let app = SyncApp::numbers().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = [insert("users", "u", json!({"name": "Ada"}))];
    let mut announcement = device.announcement(1, &rows);
    let hash = "ab".repeat(32);
    announcement["canonical_request_hash"] = json!(hash);
    let created = device.post("sync/push-sessions", &announcement).await.ok();
    assert_eq!(created["canonical_request_hash"], hash);
    let push_id = created["push_id"].as_str().unwrap();
    device.stage(push_id, 0, &rows).await.ok();
    assert_eq!(device.commit(push_id).await.ok()["canonical_request_hash"], hash);
    assert_eq!(device.create(1, &rows).await.ok()["canonical_request_hash"], hash);
    let page = device.get("sync/committed-bundles/1/rows").await.ok();
    assert_eq!(page["canonical_request_hash"], hash);
}

#[tokio::test]
async fn defaults_and_cascades_are_rows_of_the_bundle() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = [
        // Children before parents: constraints are checked at the end.
        insert("comments", "c1", json!({"note_id": "n1", "body": "first"})),
        insert("notes", "n1", json!({"user_id": "u1", "title": "hello"})),
        insert("users", "u1", json!({"name": "Ada"})),
    ];
    assert_eq!(device.push(1, &rows).await.ok()["row_count"], 3);
    let written = device.bundle_rows(1).await;
    let note = written.as_array().unwrap().iter().find(|row| row["table"] == "notes").unwrap();
    assert_eq!(
        note["payload"],
        json!({"id": "n1", "user_id": "u1", "title": "hello", "stars": null, "pinned": false})
    );

    // Only the user is deleted by the device; the note cascades, the comment loses its note.
    let committed = device.push(2, &[delete("users", "u1", 1)]).await.ok();
    assert_eq!(committed["row_count"], 3);
    let mut rows = device.bundle_rows(2).await;
    rows.as_array_mut().unwrap().sort_by_key(|row| row["table"].as_str().unwrap().to_owned());
    assert_eq!(
        rows,
        json!([
            {"schema": "business", "table": "comments", "key": {"id": "c1"}, "op": "UPDATE", "row_version": 2,
                "payload": {"id": "c1", "note_id": null, "body": "first"}},
            {"schema": "business", "table": "notes", "key": {"id": "n1"}, "op": "DELETE", "row_version": 2,
                "payload": null},
            {"schema": "business", "table": "users", "key": {"id": "u1"}, "op": "DELETE", "row_version": 2,
                "payload": null},
        ])
    );
}

#[tokio::test]
async fn a_row_that_a_cascade_of_the_same_push_took_away_is_no_error() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = [
        insert("users", "u1", json!({"name": "Ada"})),
        insert("notes", "n1", json!({"user_id": "u1", "title": "hello"})),
    ];
    device.push(1, &rows).await.ok();
    let committed = device.push(2, &[delete("users", "u1", 1), delete("notes", "n1", 1)]).await.ok();
    assert_eq!(committed["row_count"], 2);
}

#[tokio::test]
async fn an_update_changes_the_columns_it_names_and_answers_the_whole_row() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &[insert("users", "u1", json!({"name": "Ada", "email": "ada@example.com"}))]).await.ok();
    device.push(2, &[update("users", "u1", 1, json!({"name": "Countess"}))]).await.ok();
    assert_eq!(
        device.bundle_rows(2).await[0]["payload"],
        json!({"id": "u1", "name": "Countess", "email": "ada@example.com"})
    );
    // An update that names nothing touches the row all the same.
    device.push(3, &[update("users", "u1", 2, json!({}))]).await.ok();
    assert_eq!(device.bundle_rows(3).await[0]["row_version"], 3);
}

#[tokio::test]
async fn a_deleted_row_is_inserted_again_over_its_tombstone() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &[insert("users", "u1", json!({"name": "Ada"}))]).await.ok();
    device.push(2, &[delete("users", "u1", 1)]).await.ok();
    let again = row("users", "INSERT", "u1", 2, json!({"id": "u1", "name": "Ada"}));
    device.push(3, &[again]).await.ok();
    let written = device.bundle_rows(3).await;
    assert_eq!((&written[0]["op"], &written[0]["row_version"]), (&json!("INSERT"), &json!(3)));
}

#[tokio::test]
async fn a_unique_value_can_be_freed_and_taken_in_one_push() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = [
        insert("users", "u1", json!({"name": "Ada", "email": "a@x"})),
        insert("users", "u2", json!({"name": "Bob", "email": "b@x"})),
    ];
    device.push(1, &rows).await.ok();
    let rows = [
        insert("users", "u3", json!({"name": "Eve", "email": "a@x"})),
        update("users", "u1", 1, json!({"email": "b@x"})),
        update("users", "u2", 1, json!({"email": "c@x"})),
    ];
    assert_eq!(device.push(2, &rows).await.ok()["row_count"], 3);
}

#[tokio::test]
async fn every_type_comes_back_in_its_canonical_form() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let id = "0192f0c1-5f7e-7cc3-98c4-dc0c0c07398f";
    let sent = json!({
        "data": "AAEC/w==", "meta": "{\"b\":1,  \"a\":[1e2]}", "raw": "{\"b\":1,  \"a\":[1e2]}",
        "at": "2024-05-06T09:08:09.5+02:00", "local": "2024-05-06T07:08:09.25", "day": "2024-05-06", "hour": "07:08",
    });
    device.push(1, &[insert("things", id, sent)]).await.ok();
    assert_eq!(
        device.bundle_rows(1).await[0]["payload"],
        json!({
            "id": id, "data": "AAEC/w==", "meta": "{\"a\": [100], \"b\": 1}", "raw": "{\"b\":1,  \"a\":[1e2]}",
            "at": "2024-05-06T07:08:09.500000Z", "local": "2024-05-06T07:08:09.25", "day": "2024-05-06",
            "hour": "07:08:00",
        })
    );
}

#[tokio::test]
async fn a_table_may_have_hundreds_of_columns() {
    // More than a function call may have arguments.
    let columns = (0..300).map(|n| text(&format!("c{n}"))).collect();
    let tables = json!([table("wide", columns)]);
    let app = SyncApp::start_with(WireProfile::Strings, tables, |_| {}).await;
    let device = app.connected("ada", "dev-1").await;
    let payload: Value = (0..300).map(|n| (format!("c{n}"), json!(n.to_string()))).collect();
    let rows: Vec<Value> = (0..40).map(|n| insert("wide", &format!("w{n}"), payload.clone())).collect();
    device.push(1, &rows).await.ok();
    let written = device.bundle_rows(1).await;
    assert_eq!(
        (&written[39]["payload"]["c0"], &written[39]["payload"]["c299"]),
        (&json!("0"), &json!("299"))
    );
    device.push(2, &[update("wide", "w7", 1, json!({"c150": null}))]).await.ok();
    assert_eq!(device.bundle_rows(2).await[0]["payload"]["c150"], Value::Null);
}

#[tokio::test]
async fn a_row_that_grows_beyond_what_devices_can_read_is_not_committed() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    app.sql(
        "create function {schema}.grow() returns trigger language plpgsql as $$
         begin new.name := repeat(new.name, 4200000); return new; end $$;
         create trigger grow before insert or update on {schema}.users
         for each row when (new.name = 'g') execute function {schema}.grow()",
    )
    .await
    .unwrap();
    // One row goes the short way first; two the long way.
    for rows in [
        vec![insert("users", "u", json!({"name": "g"}))],
        vec![insert("users", "v", json!({"name": "x"})), insert("users", "w", json!({"name": "g"}))],
    ] {
        let message = device.push(1, &rows).await.refused(400, "push_commit_invalid");
        assert!(message.contains("table \"users\"") && message.contains("at most 4194304"), "{message}");
    }
    // Whoever writes with SQL hears of it too, and before anything is in the way of a snapshot.
    let insert_sql =
        "insert into {schema}.users (_sync_scope_id, id, name) values ('ada', 's', repeat('y', 4200000))";
    let error = app.sql(insert_sql).await.unwrap_err().to_string();
    assert!(error.contains("devices can read rows of at most 4194304"), "{error}");
    let many = "insert into {schema}.users (_sync_scope_id, id, name)
        select 'ada', 'm' || n, repeat('y', 1000) from generate_series(1, 10000) n";
    app.sql(many).await.unwrap();
    device.post("sync/snapshot-sessions", &json!({})).await.ok();
}

#[tokio::test]
async fn a_push_of_more_rows_than_are_looked_through_at_once_is_committed_or_refused_as_a_whole() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let count = 60_000;
    let mut rows: Vec<Value> = (0..count)
        .map(|n| insert("comments", &format!("c{n}"), json!({"note_id": null, "body": "x".repeat(200)})))
        .collect();
    let upload = async |rows: &[Value]| {
        let push_id = device.create(1, rows).await.ok()["push_id"].as_str().unwrap().to_owned();
        for (n, chunk) in rows.chunks(5_000).enumerate() {
            device.stage(&push_id, n * 5_000, chunk).await.ok();
        }
        push_id
    };
    // The same row twice, so far apart that no chunk sees it.
    let last = std::mem::replace(&mut rows[count - 1], insert("comments", "c1", json!({"body": "again"})));
    let push_id = upload(&rows).await;
    let message = device.commit(&push_id).await.refused(400, "push_commit_invalid");
    assert!(message.contains("twice"), "{message}");
    rows[count - 1] = last;
    let push_id = upload(&rows).await;
    assert_eq!(device.commit(&push_id).await.ok()["row_count"], count);
    let session = device.post("sync/snapshot-sessions", &json!({})).await.ok();
    assert_eq!(session["row_count"], count);
}
