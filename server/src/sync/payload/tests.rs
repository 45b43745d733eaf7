//! Chunks through `check_chunk`, without a database.

use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::*;
use crate::{
    ids::AppId,
    tables::{
        ident::Ident,
        spec::{AppSpec, ColumnSpec, ColumnType, KeyKind, SyncKey, TableSpec, WireProfile},
    },
};

fn ident(name: &str) -> Ident {
    Ident::parse(name).unwrap()
}

fn table(name: &str, table_no: i32, kind: KeyKind, columns: &[(&str, ColumnType)]) -> TableSpec {
    let key = match kind {
        KeyKind::Text => ColumnType::Text,
        KeyKind::Uuid => ColumnType::Uuid,
    };
    TableSpec {
        name: ident(name),
        table_no,
        key: SyncKey { column: ident("id"), kind },
        columns: [("id", key)]
            .iter()
            .chain(columns)
            .map(|(name, ty)| ColumnSpec { name: ident(name), ty: *ty, nullable: true, default: None })
            .collect(),
        uniques: vec![],
        indexes: vec![],
        foreign_keys: vec![],
        checks: vec![],
    }
}

fn limits(max_rows: i64) -> ChunkLimits {
    ChunkLimits { max_rows, max_row_bytes: 4_194_304 }
}

fn catalog(profile: WireProfile) -> AppCatalog {
    let numeric_values = [
        ("amount", ColumnType::Numeric { precision: Some(20), scale: 10 }),
        ("count", ColumnType::Integer),
        ("enabled", ColumnType::Boolean),
        ("large_count", ColumnType::BigInt),
        ("ratio", ColumnType::Real),
        ("score", ColumnType::Double),
        ("small_count", ColumnType::SmallInt),
    ];
    let texts =
        [("\u{e000}", ColumnType::Text), ("\u{10000}", ColumnType::Text), ("b\"\\", ColumnType::Text)];
    let tables = vec![
        table("numeric_values", 1, KeyKind::Text, &numeric_values),
        table("texts", 2, KeyKind::Uuid, &texts),
    ];
    AppCatalog::new(
        AppId::new(),
        profile,
        AppSpec { version: 1, logical_schema: ident("business"), tables },
        1,
    )
}

fn check(body: &Json) -> Result<CheckedChunk, InvalidChunk> {
    check_chunk(&catalog(WireProfile::Strings), limits(100), body.to_string().as_bytes())
}

fn chunk(row: &Json) -> Json {
    json!({"start_row_ordinal": 0, "rows": [row]})
}

fn numeric_row() -> Json {
    json!({
        "schema": "business", "table": "numeric_values", "key": {"id": "n-1"}, "op": "INSERT",
        "base_row_version": 0,
        "payload": {
            "id": "n-1", "amount": "1234567890.123456789", "count": "2147483647", "enabled": "1",
            "large_count": "9007199254740993", "ratio": "1.2345678901234567", "score": "5e-324",
            "small_count": "-32768",
        },
    })
}

fn sentence(row: &Json) -> String {
    check(&chunk(row)).unwrap_err().to_string()
}

#[test]
fn the_request_hash_of_the_protocols_example_comes_out() {
    let checked = check(&chunk(&numeric_row())).unwrap();
    let hash = Sha256::digest(format!("[{}]", checked.rows));
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "ce9f4105cdda62a7705ef32476ebb3b3737fb44866a4bf4eedfeaaa571eb443a");
    assert_eq!((checked.table_nos, checked.ops, checked.base_versions), (vec![1], vec!["I"], vec![0]));
}

#[test]
fn rows_may_come_before_their_ordinal() {
    let first = check(&chunk(&numeric_row())).unwrap();
    let text = format!("{{\"rows\":[{}],\"start_row_ordinal\":0}}", numeric_row());
    assert_eq!(check_chunk(&catalog(WireProfile::Strings), limits(100), text.as_bytes()), Ok(first));
}

#[test]
fn what_is_wrong_with_a_row_is_said_with_its_place() {
    let with = |change: &dyn Fn(&mut Json)| {
        let mut row = numeric_row();
        change(&mut row);
        sentence(&row)
    };
    let messages = [
        with(&|row| row["schema"] = json!("main")),
        with(&|row| row["table"] = json!("users")),
        with(&|row| row["table"] = json!("_sync_scope")),
        with(&|row| row["op"] = json!("insert")),
        with(&|row| row["key"] = json!({})),
        with(&|row| row["key"] = json!({"id": "n-1", "x": "y"})),
        with(&|row| row["key"] = json!({"id": 1})),
        with(&|row| row["key"] = json!({"id": "n-2"})),
        with(&|row| row["payload"]["id"] = json!(null)),
        with(&|row| row["base_row_version"] = json!(-1)),
        with(&|row| row["base_row_version"] = json!("0")),
        with(&|row| row["base_row_version"] = json!(1.5)),
        with(&|row| row["payload"] = json!(null)),
        with(&|row| row["op"] = json!("DELETE")),
        with(&|row| row["payload"]["nope"] = json!("1")),
        with(&|row| row["payload"]["_sync_scope_id"] = json!("other")),
        with(&|row| row["payload"]["count"] = json!(1)),
        with(&|row| row["payload"]["count"] = json!("2147483648")),
        with(&|row| row["payload"]["score"] = json!([[]])),
        with(&|row| row["payload"]["enabled"] = json!(2)),
    ];
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn a_body_that_is_no_chunk_says_so() {
    let app = catalog(WireProfile::Strings);
    let message = |body: &[u8]| check_chunk(&app, limits(100), body).unwrap_err().to_string();
    let deep = [&b"{\"start_row_ordinal\":0,\"rows\":"[..], &b"[".repeat(100_000)].concat();
    let wide =
        format!("{{\"start_row_ordinal\":0,\"rows\":[{{\"key\":{{{}\"a\":1}}}}]}}", "\"a\":1,".repeat(5_000));
    let repeated =
        numeric_row().to_string().replacen("\"op\":\"INSERT\"", "\"op\":\"INSERT\",\"op\":\"DELETE\"", 1);
    let surrogate = numeric_row().to_string().replacen("\"n-1\"", "\"\\ud800\"", 1);
    let in_chunk = |rows: &str| format!("{{\"start_row_ordinal\":0,\"rows\":[{rows}]}}");
    let messages = [
        message(b""),
        message(b"[]"),
        message(b"{}"),
        message(b"{\"start_row_ordinal\":0}"),
        message(b"{\"start_row_ordinal\":0,\"rows\":{}}"),
        message(b"{\"start_row_ordinal\":0,\"rows\":[]}"),
        message(b"{\"start_row_ordinal\":0,\"rows\":[1]}"),
        message(b"{\"start_row_ordinal\":0,\"rows\":[{}]}"),
        message(b"{\"start_row_ordinal\":0,\"start_row_ordinal\":0,\"rows\":[]}"),
        message(b"{\"start_row_ordinal\":-1,\"rows\":[]}"),
        message(b"{\"start_row_ordinal\":99999999999999999999,\"rows\":[]}"),
        message(b"{\"start_row_ordinal\":\"0\",\"rows\":[]}"),
        message(b"{\"start_row_ordinal\":0,\"rows\":[]} x"),
        message(b"{\"start_row_ordinal\":0,\"rows\":[\"\xff\"]}"),
        message(&deep),
        message(wide.as_bytes()),
        message(in_chunk(&repeated).as_bytes()),
        message(in_chunk(&surrogate).as_bytes()),
    ];
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn a_repeated_column_and_a_repeated_row_are_refused() {
    let repeated = numeric_row().to_string().replacen("\"count\":", "\"count\":\"1\",\"count\":", 1);
    let body = format!("{{\"start_row_ordinal\":7,\"rows\":[{repeated}]}}");
    let error = check_chunk(&catalog(WireProfile::Strings), limits(100), body.as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Row 7, table \"numeric_values\", column \"count\": the column is named twice."
    );
    let twice = json!({"start_row_ordinal": 7, "rows": [numeric_row(), numeric_row()]});
    assert_eq!(
        check(&twice).unwrap_err().to_string(),
        "Row 8, table \"numeric_values\": the same row is in this push already."
    );
    let many = json!({"start_row_ordinal": 0, "rows": vec![numeric_row(); 101]});
    assert_eq!(check(&many).unwrap_err(), InvalidChunk::TooManyRows { max: 100 });
}

#[test]
fn profile_numbers_keeps_the_text_of_numbers() {
    let row = "{\"schema\":\"business\",\"table\":\"numeric_values\",\"key\":{\"id\":\"a\"},\"op\":\"UPDATE\",\
        \"base_row_version\":3,\"payload\":{\"large_count\":9007199254740993,\"amount\":1.10,\"enabled\":true}}";
    let body = format!("{{\"start_row_ordinal\":0,\"rows\":[{row}]}}");
    let checked = check_chunk(&catalog(WireProfile::Numbers), limits(100), body.as_bytes()).unwrap();
    assert!(
        checked
            .rows
            .contains("\"payload\":{\"amount\":1.10,\"enabled\":true,\"large_count\":9007199254740993}")
    );
}

proptest! {
    #[test]
    fn staged_rows_are_the_canonical_json_of_what_was_sent(
        texts in proptest::collection::vec(proptest::option::of("[^\0]*"), 3),
        base in 0..=i64::MAX,
        start in 0..1_000_000i64,
    ) {
        let id = "0192f0c1-5f7e-7cc3-98c4-dc0c0c07398f";
        let payload = json!({"b\"\\": texts[0], "\u{10000}": texts[1], "\u{e000}": texts[2]});
        let row = json!({"schema": "business", "table": "texts", "key": {"id": id}, "op": "UPDATE",
            "base_row_version": base, "payload": payload});
        let checked = check(&json!({"start_row_ordinal": start, "rows": [row]})).unwrap();
        let logical = json!({"schema": "business", "table": "texts", "key": {"id": id}, "op": "UPDATE",
            "base_row_version": base.to_string(), "payload": payload, "row_ordinal": start.to_string()});
        prop_assert_eq!(checked.rows, serde_json_canonicalizer::to_string(&logical).unwrap());
    }

    #[test]
    fn no_body_makes_the_checks_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = check_chunk(&catalog(WireProfile::Strings), limits(100), &body);
    }
}

/// Not a benchmark: run in release with `--nocapture` it tells how long the checks of a full chunk take.
#[test]
fn a_full_chunk_is_checked() {
    let mut row = numeric_row();
    let rows: Vec<Json> = (0..5_000)
        .map(|i| {
            row["key"]["id"] = json!(format!("n-{i}"));
            row["payload"]["id"] = row["key"]["id"].clone();
            row.clone()
        })
        .collect();
    let body = json!({"start_row_ordinal": 0, "rows": rows}).to_string();
    let app = catalog(WireProfile::Strings);
    let started = Instant::now();
    let checked = check_chunk(&app, limits(5_000), body.as_bytes()).unwrap();
    eprintln!("checked {} bytes in {:?}", body.len(), started.elapsed());
    assert_eq!(checked.keys.len(), 5_000);
}

#[test]
fn a_row_is_measured_as_a_snapshot_will_have_it() {
    let app = catalog(WireProfile::Strings);
    let id = "0192f0c1-5f7e-7cc3-98c4-dc0c0c07398f";
    let body = |text: &str| {
        json!({"start_row_ordinal": 12, "rows": [
            {"schema": "business", "table": "texts", "key": {"id": id}, "op": "INSERT", "base_row_version": 0,
                "payload": {"b\"\\": text, "id": id}},
            {"schema": "business", "table": "texts", "key": {"id": id.replace('1', "2")}, "op": "DELETE",
                "base_row_version": 7},
        ]})
        .to_string()
    };
    let in_snapshot = |text: &str| {
        let payload = format!("{{\"b\\\"\\\\\":\"{text}\",\"id\":\"{id}\"}}");
        format!(
            "{{\"schema\":\"business\",\"table\":\"texts\",\"key\":{{\"id\":\"{id}\"}},\"row_version\":1,\"payload\":{payload}}}"
        )
        .len() as i64
    };
    let check = |text: &str, max_row_bytes: i64| {
        check_chunk(&app, ChunkLimits { max_rows: 5, max_row_bytes }, body(text).as_bytes())
    };
    let bytes = in_snapshot("four");
    assert!(check("four", bytes).is_ok());
    let refused = check("four!", bytes).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "Row 12, table \"texts\": the row has {} bytes, and devices can read rows of at most {bytes}.",
            bytes + 1
        )
    );
}
