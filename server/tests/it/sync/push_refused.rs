//! Pushes that constraints, triggers or their own hash refuse, and the inbox that keeps them.

use serde_json::{Value, json};

use crate::support::sync_app::{SyncApp, delete, insert, update};

async fn inbox(app: &SyncApp) -> Value {
    app.json_rows(
        "select source_id, user_id, source_bundle_id, code, table_name, column_name, row_count, rows::jsonb, attempts,
            state
         from {schema}._sync_rejected_write
         order by first_at, rejected_id",
    )
    .await
}

#[tokio::test]
async fn a_constraint_names_table_column_and_itself() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let first = [
        insert("users", "u1", json!({"name": "Ada", "email": "a@x"})),
        insert("notes", "n1", json!({"user_id": "u1", "title": "hello"})),
    ];
    device.push(1, &first).await.ok();
    let refusals = [
        vec![insert("users", "u2", json!({"name": "Bob", "email": "a@x"}))],
        vec![insert("users", "u2", json!({"name": null}))],
        vec![insert("users", "u2", json!({}))],
        vec![update("users", "u1", 1, json!({"name": null}))],
        vec![insert("notes", "n2", json!({"user_id": "nobody"}))],
        vec![insert("notes", "n2", json!({"stars": "-1"}))],
        vec![insert("numeric_values", "v", json!({"amount": "9999999999.99999999999"}))],
        vec![insert(
            "things",
            "0192f0c1-5f7e-7cc3-98c4-dc0c0c07398f",
            json!({"raw": "1", "meta": "\"\\ud800\""}),
        )],
    ];
    let mut messages = Vec::new();
    for rows in &refusals {
        messages.push(device.push(2, rows).await.refused(400, "push_commit_invalid"));
    }
    insta::assert_snapshot!(messages.join("\n"));
    // Nothing of any of them was done, and the number is still free.
    assert_eq!(app.json_rows("select 1 from {schema}._sync_bundle").await, json!([{"?column?": 1}]));
    device.push(2, &[insert("users", "u2", json!({"name": "Bob"}))]).await.ok();
}

#[tokio::test]
async fn of_many_rows_the_one_that_broke_the_rule_is_named_and_kept() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let first = [
        insert("users", "u1", json!({"name": "Ada", "email": "a@x"})),
        insert("users", "u2", json!({"name": "Eve"})),
        insert("notes", "n1", json!({"user_id": "u1", "title": "hello"})),
    ];
    device.push(1, &first).await.ok();
    let culprits = [
        ("users", "unique", insert("users", "bad", json!({"name": "Bob", "email": "a@x"}))),
        ("users", "missing", insert("users", "bad", json!({"name": null}))),
        ("notes", "parent", insert("notes", "bad", json!({"user_id": "nobody"}))),
        ("notes", "check", insert("notes", "bad", json!({"stars": "-1"}))),
    ];
    for (table, rule, culprit) in culprits {
        let good = |n: i32| insert("users", &format!("good-{n}"), json!({"name": "Good"}));
        let note = |n: i32| insert("notes", &format!("good-{n}"), json!({"user_id": "u2"}));
        let rows = [good(1), note(1), good(2), culprit, note(2), good(3)];
        let message = device.push(2, &rows).await.refused(400, "push_commit_invalid");
        assert!(message.contains(&format!("table \"{table}\", key \"bad\"")), "{rule}: {message}");
    }
    let kept = app
        .json_rows(
            "select row_count, rows::jsonb -> 0 -> 'key' ->> 'id' as key from {schema}._sync_rejected_write",
        )
        .await;
    assert_eq!(kept, json!(vec![json!({"row_count": 1, "key": "bad"}); 4]));
}

#[tokio::test]
async fn a_trigger_of_the_app_refuses_in_words_that_stay_on_the_server() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    app.sql(
        "create function {schema}.no_eve() returns trigger language plpgsql as $$
         begin
            if new.name = 'Eve' then raise exception 'Eve is on list 7'; end if;
            return new;
         end $$;
         create trigger no_eve before insert on {schema}.users for each row execute function {schema}.no_eve()",
    )
    .await
    .unwrap();
    let reply = device.push(1, &[insert("users", "u", json!({"name": "Eve"}))]).await;
    let message = reply.refused(400, "push_commit_invalid");
    assert!(message.contains("trigger") && !reply.text.contains("list 7"), "{message}");
    let kept = app.json_rows("select message from {schema}._sync_rejected_write").await;
    assert!(kept[0]["message"].as_str().unwrap().contains("Eve is on list 7"), "{kept}");
}

#[tokio::test]
async fn what_triggers_write_is_in_the_bundle() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    app.sql(
        "create function {schema}.welcome() returns trigger language plpgsql as $$
         begin
            insert into {schema}.notes (_sync_scope_id, id, user_id, title)
            values (new._sync_scope_id, 'welcome-' || new.id, new.id, 'Welcome');
            return null;
         end $$;
         create trigger welcome after insert on {schema}.users for each row execute function {schema}.welcome()",
    )
    .await
    .unwrap();
    let committed = device.push(1, &[insert("users", "u", json!({"name": "Ada"}))]).await.ok();
    assert_eq!(committed["row_count"], 2);
    let tables: Vec<Value> =
        device.bundle_rows(1).await.as_array().unwrap().iter().map(|row| row["table"].clone()).collect();
    assert!(tables.contains(&json!("notes")), "{tables:?}");
}

#[tokio::test]
async fn rows_that_are_not_what_was_announced_are_refused() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = [insert("users", "u", json!({"name": "Ada"}))];
    let mut announcement = device.announcement(1, &rows);
    announcement["canonical_request_hash"] = json!("0".repeat(64));
    let push_id =
        device.post("sync/push-sessions", &announcement).await.ok()["push_id"].as_str().unwrap().to_owned();
    device.stage(&push_id, 0, &rows).await.ok();
    let message = device.commit(&push_id).await.refused(400, "push_commit_invalid");
    assert!(message.contains("hash"), "{message}");
}

#[tokio::test]
async fn a_push_that_changes_nothing_is_refused() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    app.sql(
        "create function {schema}.nothing() returns trigger language plpgsql as $$ begin return null; end $$;
         create trigger nothing before insert on {schema}.users for each row execute function {schema}.nothing()",
    )
    .await
    .unwrap();
    let message = device
        .push(1, &[insert("users", "u", json!({"name": "Ada"}))])
        .await
        .refused(400, "push_commit_invalid");
    assert!(message.contains("changes nothing"), "{message}");
    assert_eq!(
        app.json_rows("select bundle_seq from {schema}._sync_scope").await,
        json!([{"bundle_seq": 0}])
    );
}

#[tokio::test]
async fn a_refused_push_is_kept_once_however_often_it_is_tried() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = [
        insert("users", "u1", json!({"name": "Ada"})),
        insert("notes", "n1", json!({"user_id": "nobody", "title": "hello"})),
    ];
    for _ in 0..3 {
        device.push(1, &rows).await.refused(400, "push_commit_invalid");
    }
    let staged = json!({
        "schema": "business", "table": "notes", "key": {"id": "n1"}, "op": "INSERT", "base_row_version": "0",
        "row_ordinal": "1", "payload": {"id": "n1", "user_id": "nobody", "title": "hello"},
    });
    let kept = json!({
        "source_id": "dev-1", "user_id": "ada", "source_bundle_id": 1, "code": "push_commit_invalid",
        "table_name": "notes", "column_name": "user_id", "row_count": 1, "rows": [staged], "attempts": 3,
        "state": "open",
    });
    assert_eq!(inbox(&app).await, json!([kept]));

    // Another failure is another entry: here of a chunk, with the row as it was sent.
    let bad = insert("users", "u2", json!({"name": [7]}));
    let push_id =
        device.create(1, std::slice::from_ref(&bad)).await.ok()["push_id"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        device.stage(&push_id, 0, std::slice::from_ref(&bad)).await.refused(400, "push_chunk_invalid");
    }
    let inbox = inbox(&app).await;
    assert_eq!(
        inbox[1],
        json!({
            "source_id": "dev-1", "user_id": "ada", "source_bundle_id": 1, "code": "push_chunk_invalid",
            "table_name": "users", "column_name": "name", "row_count": 1, "rows": [bad], "attempts": 2, "state": "open",
        })
    );
    assert_eq!(inbox.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_inbox_of_a_scope_is_bounded() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = [insert("users", "u", json!({"name": "Ada"}))];
    let push_id = device.create(1, &rows).await.ok()["push_id"].as_str().unwrap().to_owned();
    for n in 0..205 {
        let bad = [insert("users", &format!("u{n}"), json!({"name": [n]}))];
        device.stage(&push_id, 0, &bad).await.refused(400, "push_chunk_invalid");
    }
    assert_eq!(inbox(&app).await.as_array().unwrap().len(), 200);
}

#[tokio::test]
async fn a_parent_that_others_refer_to_is_not_deleted() {
    let app = SyncApp::start_with(
        syncline::tables::spec::WireProfile::Strings,
        {
            let mut tables = crate::support::sync_app::tables();
            tables[1]["foreign_keys"][0]["on_delete"] = json!("restrict");
            tables
        },
        |_| {},
    )
    .await;
    let device = app.connected("ada", "dev-1").await;
    let rows = [
        insert("users", "u1", json!({"name": "Ada"})),
        insert("notes", "n1", json!({"user_id": "u1", "title": "hello"})),
    ];
    device.push(1, &rows).await.ok();
    let message = device.push(2, &[delete("users", "u1", 1)]).await.refused(400, "push_commit_invalid");
    assert!(message.contains("\"notes\"") && message.contains("\"user_id\""), "{message}");
    // Together with its child it is, in whatever order they are uploaded.
    device.push(2, &[delete("users", "u1", 1), delete("notes", "n1", 1)]).await.ok();
}

/// A trigger that fails as if another transaction were in the way, until its sequence has reached `times`.
async fn in_the_way(app: &SyncApp, times: i64) {
    app.sql(&format!(
        "create sequence {{schema}}.attempts;
         create function {{schema}}.in_the_way() returns trigger language plpgsql as $$
         begin
            -- A sequence is not rolled back.
            if nextval('{{schema}}.attempts') <= {times} then
                raise exception 'in the way' using errcode = 'serialization_failure';
            end if;
            return new;
         end $$;
         create trigger in_the_way before insert on {{schema}}.users
         for each row execute function {{schema}}.in_the_way()"
    ))
    .await
    .unwrap();
}

#[tokio::test]
async fn a_commit_that_others_are_in_the_way_of_is_tried_again() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    in_the_way(&app, 3).await;
    let committed = device.push(1, &[insert("users", "u", json!({"name": "Ada"}))]).await.ok();
    assert_eq!((&committed["bundle_seq"], &committed["row_count"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn a_commit_that_never_gets_through_is_told_to_come_back_and_can() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    in_the_way(&app, 1_000).await;
    let push_id = device.staged(1, &[insert("users", "u", json!({"name": "Ada"}))]).await;
    let reply = device.commit(&push_id).await;
    reply.refused(503, "service_unavailable");
    assert!(reply.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    // It is nobody's mistake, so nobody is bothered with it, and the push is still there.
    assert_eq!(inbox(&app).await, json!([]));
    app.sql("drop trigger in_the_way on {schema}.users").await.unwrap();
    device.commit(&push_id).await.ok();
}
