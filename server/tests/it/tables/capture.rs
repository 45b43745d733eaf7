//! Every write to a synced table becomes rows of a bundle, in the wire's form.

use std::collections::BTreeMap;

use proptest::{
    collection::vec,
    prelude::any,
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use serde_json::json;
use syncline::tables::spec::WireProfile;

use super::support::{TestTables, column, table};

/// The check value of PROTOCOL.md section 3.
#[tokio::test]
async fn a_bundle_has_the_hash_that_clients_compute() {
    let app = TestTables::new(WireProfile::Strings).await;
    app.publish_specs(json!([table(
        "numeric_values",
        vec![
            column("small_count", json!("smallint")),
            column("count", json!("integer")),
            column("large_count", json!("bigint")),
            column("ratio", json!("real")),
            column("score", json!("double")),
            column("amount", json!({"numeric": {"precision": 20, "scale": 10}})),
            column("enabled", json!("boolean")),
        ]
    )]))
    .await;
    app.sql(
        "insert into {schema}.numeric_values
         values ('ann', 'n-1', -32768, 2147483647, 9007199254740993, 1.2345678901234567, 5e-324,
             1234567890.123456789, true)",
    )
    .await
    .unwrap();

    let (rows, hash) = app.latest_bundle("ann").await;
    assert_eq!(
        rows,
        [json!({
            "schema": "business", "table": "numeric_values", "key": {"id": "n-1"}, "op": "INSERT", "row_version": 1,
            "payload": {
                "amount": "1234567890.1234567890", "count": "2147483647", "enabled": true, "id": "n-1",
                "large_count": "9007199254740993", "ratio": "1.2345678806304932", "score": "5e-324",
                "small_count": "-32768"
            }
        })]
    );
    assert_eq!(hash, "92fe0879f22de1e60f1bec5655f94cc641389e2ba5624666402a2a5cdd7150e3");
}

const FAMILY: &str = "
    CREATE TABLE parents (id TEXT PRIMARY KEY NOT NULL, name TEXT);
    CREATE TABLE owned (
        id TEXT PRIMARY KEY NOT NULL, parent_id TEXT NOT NULL REFERENCES parents(id) ON DELETE CASCADE ON UPDATE CASCADE
    );
    CREATE TABLE linked (
        id TEXT PRIMARY KEY NOT NULL, parent_id TEXT REFERENCES parents(id) ON DELETE SET NULL
    );
    CREATE TABLE kept (
        id TEXT PRIMARY KEY NOT NULL, parent_id TEXT NOT NULL REFERENCES parents(id) ON DELETE RESTRICT
    );
    CREATE TABLE tree (id TEXT PRIMARY KEY NOT NULL, up TEXT REFERENCES tree(id) ON DELETE CASCADE);";

/// `table key OP payload` of every row of the scope's latest bundle.
async fn effects(app: &TestTables, scope: &str) -> Vec<String> {
    let (rows, _) = app.latest_bundle(scope).await;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned).unwrap_or_default();
    rows.iter()
        .map(|row| {
            format!(
                "{} {} {} {}",
                text(&row["table"]),
                text(&row["key"]["id"]),
                text(&row["op"]),
                row["payload"]
            )
        })
        .collect()
}

async fn family() -> TestTables {
    let app = TestTables::new(WireProfile::Strings).await;
    app.publish(FAMILY).await.unwrap();
    app
}

#[tokio::test]
async fn what_a_foreign_key_does_is_captured() {
    let app = family().await;
    app.sql(
        "insert into {schema}.parents values ('s', 'p', 'P'), ('other', 'p', 'P');
         insert into {schema}.owned values ('s', 'o', 'p'), ('other', 'o', 'p');
         insert into {schema}.linked values ('s', 'l', 'p');
         insert into {schema}.tree values ('s', '1', '2'), ('s', '2', null), ('s', '3', '1')",
    )
    .await
    .unwrap();
    app.sql("delete from {schema}.parents where _sync_scope_id = 's'").await.unwrap();
    let mut deleted = effects(&app, "s").await;
    deleted.sort();
    assert_eq!(
        deleted,
        [r#"linked l UPDATE {"id":"l","parent_id":null}"#, "owned o DELETE null", "parents p DELETE null"]
    );
    // The other scope has a row of the same key, and keeps it.
    let untouched = effects(&app, "other").await;
    assert_eq!(
        untouched,
        [r#"parents p INSERT {"id":"p","name":"P"}"#, r#"owned o INSERT {"id":"o","parent_id":"p"}"#]
    );

    app.sql("delete from {schema}.tree where id = '2'").await.unwrap();
    let mut felled = effects(&app, "s").await;
    felled.sort();
    assert_eq!(felled, ["tree 1 DELETE null", "tree 2 DELETE null", "tree 3 DELETE null"]);
}

#[tokio::test]
async fn a_restricted_parent_goes_when_its_children_go_in_the_same_transaction() {
    let app = family().await;
    app.sql(
        "insert into {schema}.parents values ('s', 'p', 'P');
         insert into {schema}.kept values ('s', 'k', 'p')",
    )
    .await
    .unwrap();
    let refused = app.sql("delete from {schema}.parents").await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("23503"));
    app.sql("delete from {schema}.parents; delete from {schema}.kept").await.unwrap();
    assert_eq!(effects(&app, "s").await, ["parents p DELETE null", "kept k DELETE null"]);
}

#[tokio::test]
async fn a_changed_key_is_a_delete_and_an_insert() {
    let app = family().await;
    app.sql(
        "insert into {schema}.parents values ('s', 'a', 'A'), ('s', 'b', 'B'), ('s', 'c', 'C');
         insert into {schema}.owned values ('s', 'o', 'a')",
    )
    .await
    .unwrap();
    app.sql("update {schema}.parents set id = id || '2', name = name || '!' where id in ('a', 'b')")
        .await
        .unwrap();
    let mut moved = effects(&app, "s").await;
    moved.sort();
    assert_eq!(
        moved,
        [
            r#"owned o UPDATE {"id":"o","parent_id":"a2"}"#,
            "parents a DELETE null",
            r#"parents a2 INSERT {"id":"a2","name":"A!"}"#,
            "parents b DELETE null",
            r#"parents b2 INSERT {"id":"b2","name":"B!"}"#,
        ]
    );

    // One moves, one stays.
    app.sql("update {schema}.parents set id = case id when 'c' then 'd' else id end where id in ('c', 'b2')")
        .await
        .unwrap();
    let mut moved = effects(&app, "s").await;
    moved.sort();
    assert_eq!(
        moved,
        [
            r#"parents b2 UPDATE {"id":"b2","name":"B!"}"#,
            "parents c DELETE null",
            r#"parents d INSERT {"id":"d","name":"C"}"#,
        ]
    );

    // Rows that change places keep their keys.
    app.sql("update {schema}.parents set name = 'Z' where id in ('a2', 'd')").await.unwrap();
    assert_eq!(effects(&app, "s").await.len(), 2);
}

#[tokio::test]
async fn a_row_that_changes_its_scope_leaves_one_and_joins_the_other() {
    let app = family().await;
    app.sql("insert into {schema}.parents values ('s', 'a', 'A')").await.unwrap();
    app.sql("update {schema}.parents set _sync_scope_id = 't'").await.unwrap();
    assert_eq!(effects(&app, "s").await, ["parents a DELETE null"]);
    assert_eq!(effects(&app, "t").await, [r#"parents a INSERT {"id":"a","name":"A"}"#]);
}

#[tokio::test]
async fn an_upsert_is_captured_as_what_it_did() {
    let app = family().await;
    app.sql("insert into {schema}.parents values ('s', 'a', 'A')").await.unwrap();
    app.sql(
        "insert into {schema}.parents values ('s', 'a', 'A2'), ('s', 'b', 'B')
         on conflict (_sync_scope_id, id) do update set name = excluded.name",
    )
    .await
    .unwrap();
    let mut upserted = effects(&app, "s").await;
    upserted.sort();
    assert_eq!(
        upserted,
        [r#"parents a UPDATE {"id":"a","name":"A2"}"#, r#"parents b INSERT {"id":"b","name":"B"}"#]
    );
}

#[tokio::test]
async fn truncate_is_refused() {
    let app = family().await;
    let refused = app.sql("truncate {schema}.tree").await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("0A000"));
}

#[tokio::test]
async fn the_session_cannot_change_how_values_look() {
    let app = TestTables::new(WireProfile::Strings).await;
    app.publish(
        "create table t (id text primary key, at timestamptz, d date, l timestamp, f float8, b bytea)",
    )
    .await
    .unwrap();
    app.sql(
        r"set local datestyle = 'German'; set local timezone = 'Asia/Kathmandu'; set local extra_float_digits = -10;
          set local bytea_output = 'escape'; set local search_path = {schema}; set local lc_numeric = 'C';
          set local standard_conforming_strings = off;
          insert into {schema}.t values
              ('s', '1', '2024-05-06 07:08:09.5+02', '2024-05-06', '2024-05-06 07:08:09.5', 0.1::float8 + 0.2, 'a')",
    )
    .await
    .unwrap();
    assert_eq!(
        effects(&app, "s").await,
        [
            r#"t 1 INSERT {"at":"2024-05-06T05:08:09.500000Z","b":"YQ==","d":"2024-05-06","f":"0.30000000000000004","id":"1","l":"2024-05-06T07:08:09.5"}"#
        ]
    );
}

#[tokio::test]
async fn names_cannot_break_out_of_the_generated_sql() {
    let app = TestTables::new(WireProfile::Numbers).await;
    app.publish(
        r#"CREATE TABLE "a""; drop schema platform; --" (
               "{payload}" TEXT PRIMARY KEY NOT NULL, "$capture0$" TEXT, "it's \ " REAL UNIQUE, "{schema}" BLOB,
               "%s" INTEGER REFERENCES "x'y"(id), CHECK ("it's \ " > 1)
           );
           CREATE TABLE "x'y" (id TEXT PRIMARY KEY NOT NULL);"#
            .replace("INTEGER", "TEXT")
            .as_str(),
    )
    .await
    .unwrap();
    let sql = r#"insert into {schema}."a""; drop schema platform; --"
                 values ('s', 'k', 'v', 1.5, '\x00', null)"#;
    app.sql(sql).await.unwrap();
    let (rows, _) = app.latest_bundle("s").await;
    assert_eq!(
        rows[0],
        json!({
            "schema": "business", "table": "a\"; drop schema platform; --", "key": {"{payload}": "k"}, "op": "INSERT",
            "row_version": 1,
            "payload": {"{payload}": "k", "$capture0$": "v", "it's \\ ": 1.5, "{schema}": "AA==", "%s": null}
        })
    );
}

/// What a transaction did to a row.
#[derive(Debug)]
struct Touched {
    was_there: bool,
    /// The number of the statement that touched it first.
    first: usize,
    name: Option<String>,
}

/// A statement, 0 to 2 for insert, update and delete, on some rows of one scope and some of another.
type Drawn = (u8, [u8; 2]);

/// The statement as SQL; `rows` are those that are there, and are kept up to date. None if there is no row for it.
fn statement(
    number: usize,
    (kind, wanted): Drawn,
    scopes: &[String; 2],
    rows: &mut BTreeMap<(usize, u8), Touched>,
) -> Option<String> {
    let name = format!("name {number}");
    let mut hit = Vec::new();
    for (scope, wanted) in wanted.into_iter().enumerate() {
        for key in (0..8).filter(|key| wanted & (1 << key) != 0) {
            let untouched = Touched { was_there: false, first: usize::MAX, name: None };
            let row = rows.entry((scope, key)).or_insert(untouched);
            if row.name.is_none() == (kind == 0) {
                row.name = (kind < 2).then(|| name.clone());
                row.first = row.first.min(number);
                hit.push(format!("('{}', 'k{key}'{})", scopes[scope], if kind == 0 { ", '#'" } else { "" }));
            }
        }
    }
    let hit = (!hit.is_empty()).then(|| hit.join(", "))?;
    Some(match kind {
        0 => format!("insert into {{schema}}.parents values {}", hit.replace('#', &name)),
        1 => format!("update {{schema}}.parents set name = '{name}' where (_sync_scope_id, id) in ({hit})"),
        _ => format!("delete from {{schema}}.parents where (_sync_scope_id, id) in ({hit})"),
    })
}

/// The rule of `_sync_seal` against plain code: a bundle has every row that has changed once, with what became of it, where it
/// was touched first.
#[tokio::test]
async fn a_row_that_several_statements_touch_is_in_the_bundle_once() {
    let app = family().await;
    let mut runner = TestRunner::deterministic();
    let plans = vec((0..3_u8, any::<[u8; 2]>()), 1..7);
    for round in 0..80 {
        let scopes = [format!("a{round}"), format!("b{round}")];
        app.sql(&format!(
            "insert into {{schema}}.parents
             select s, 'k' || n, 'before' from unnest(array['{}', '{}']) s, generate_series(0, 3) n",
            scopes[0], scopes[1]
        ))
        .await
        .unwrap();
        let before = |scope| (0..4_u8).map(move |key| (scope, key));
        let mut rows: BTreeMap<_, _> = before(0)
            .chain(before(1))
            .map(|row| (row, Touched { was_there: true, first: usize::MAX, name: Some("before".to_owned()) }))
            .collect();
        let plan = plans.new_tree(&mut runner).unwrap().current();
        let statements: Vec<_> = plan
            .iter()
            .enumerate()
            .filter_map(|(number, drawn)| statement(number, *drawn, &scopes, &mut rows))
            .collect();
        app.sql(&statements.join(";\n")).await.unwrap();

        for (number, scope) in scopes.iter().enumerate() {
            let mut expected: Vec<_> = rows
                .iter()
                .filter(|((scope, _), row)| {
                    *scope == number && row.first < usize::MAX && (row.was_there || row.name.is_some())
                })
                .map(|((_, key), row)| {
                    let op = match &row.name {
                        None => "DELETE",
                        Some(_) if row.was_there => "UPDATE",
                        Some(_) => "INSERT",
                    };
                    let payload =
                        row.name.as_ref().map(|name| json!({"id": format!("k{key}"), "name": name}));
                    (row.first, format!("parents k{key} {op} {}", json!(payload)))
                })
                .collect();
            expected.sort();
            // Rows of one statement have no order among each other.
            let first: BTreeMap<_, _> = expected.iter().map(|(first, row)| (row.clone(), *first)).collect();
            let found = effects(&app, scope).await;
            if expected.is_empty() {
                assert!(found[0].contains("before"), "a bundle of nothing: {statements:#?}");
                continue;
            }
            let mut in_order: Vec<_> =
                found.iter().map(|row| (first.get(row).copied(), row.clone())).collect();
            assert!(in_order.is_sorted_by_key(|(first, _)| *first), "{in_order:#?}\n{statements:#?}");
            in_order.sort();
            let expected: Vec<_> = expected.into_iter().map(|(first, row)| (Some(first), row)).collect();
            assert_eq!(in_order, expected, "{statements:#?}");
        }
    }
}

/// Not a benchmark: a guard against plans that are quadratic in the number of rows.
#[tokio::test]
async fn five_thousand_rows_are_captured_at_once() {
    let app = family().await;
    app.sql(
        "insert into {schema}.parents select 's', 'k' || n, 'name ' || n from generate_series(1, 5000) n",
    )
    .await
    .unwrap();
    app.sql("update {schema}.parents set name = name || '!'").await.unwrap();
    app.sql("update {schema}.parents set id = id || '!'").await.unwrap();
    let (rows, _) = app.latest_bundle("s").await;
    assert_eq!(rows.len(), 10_000);
}
