//! The statements of writes, golden-filed; that they run is tested over HTTP.

use super::*;
use crate::{
    ids::AppId,
    tables::{
        ident::Ident,
        spec::{
            AppSpec, ColumnSpec, ColumnType, ForeignKeyAction, ForeignKeySpec, SyncKey, TableSpec,
            WireProfile,
        },
    },
};

fn ident(name: &str) -> Ident {
    Ident::parse(name).unwrap()
}

fn column(name: &str, ty: ColumnType) -> ColumnSpec {
    ColumnSpec { name: ident(name), ty, nullable: true, default: None }
}

/// `notes` belongs to `folders`, and has a column of every type.
fn catalog() -> AppCatalog {
    let folders = TableSpec {
        name: ident("folders"),
        table_no: 7,
        key: SyncKey { column: ident("id"), kind: KeyKind::Uuid },
        columns: vec![column("id", ColumnType::Uuid), column("name", ColumnType::Varchar { max: 10 })],
        uniques: vec![],
        indexes: vec![],
        foreign_keys: vec![],
        checks: vec![],
    };
    let notes = TableSpec {
        name: ident("no\"tes"),
        table_no: 1,
        key: SyncKey { column: ident("key\""), kind: KeyKind::Text },
        columns: vec![
            column("key\"", ColumnType::Text),
            column("folder", ColumnType::Uuid),
            column("select", ColumnType::Text),
            column("a", ColumnType::SmallInt),
            column("b", ColumnType::Integer),
            column("c", ColumnType::BigInt),
            column("d", ColumnType::Real),
            column("e", ColumnType::Double),
            column("f", ColumnType::Numeric { precision: Some(8), scale: 4 }),
            column("g", ColumnType::Boolean),
            column("h", ColumnType::Json),
            column("i", ColumnType::Jsonb),
            column("j", ColumnType::Timestamptz),
            column("k", ColumnType::Timestamp),
            column("l", ColumnType::Date),
            column("m", ColumnType::Time),
            column("n", ColumnType::Bytea),
        ],
        uniques: vec![],
        indexes: vec![],
        foreign_keys: vec![ForeignKeySpec {
            column: ident("folder"),
            parent: ident("folders"),
            on_delete: ForeignKeyAction::Cascade,
            on_update: ForeignKeyAction::NoAction,
        }],
        checks: vec![],
    };
    let spec = AppSpec { version: 1, logical_schema: ident("main"), tables: vec![notes, folders] };
    let app = AppId::from_uuid(uuid::Uuid::nil());
    AppCatalog::new(app, WireProfile::Strings, spec, 1)
}

fn row<'a>(app: &'a AppCatalog, table: &str, op: RowOp, key: &'a str, columns: &[&str]) -> WriteRow<'a> {
    let table = app.table(table).unwrap();
    let place = |name: &&str| table.columns().iter().position(|c| c.name.as_str() == *name).unwrap();
    let values = columns.iter().map(|name| (place(name), Some(Cow::Borrowed("x")))).collect();
    WriteRow { table, op, key: Cow::Borrowed(key), values }
}

fn outline(rows: Vec<WriteRow<'_>>) -> Vec<String> {
    let group = |group: &Group<'_>| {
        format!("{} {} {:?} {}", group.op.letter(), group.table.name(), group.columns, group.keys.join(" "))
    };
    groups(rows).iter().map(group).collect()
}

#[test]
fn statements_name_quoted_identifiers_and_bind_every_value() {
    let app = catalog();
    let all: Vec<&str> =
        app.table("no\"tes").unwrap().columns()[1..].iter().map(|c| c.name.as_str()).collect();
    let rows = vec![
        row(&app, "no\"tes", RowOp::Insert, "1", &all),
        row(&app, "no\"tes", RowOp::Update, "2", &["select", "f"]),
        row(&app, "no\"tes", RowOp::Update, "3", &[]),
        row(&app, "folders", RowOp::Insert, "4", &[]),
        row(&app, "folders", RowOp::Update, "5", &["name"]),
        row(&app, "no\"tes", RowOp::Delete, "6", &[]),
        row(&app, "folders", RowOp::Delete, "7", &[]),
    ];
    let sql: Vec<_> = groups(rows).iter().map(|group| group.sql(&app.schema)).collect();
    insta::assert_snapshot!(sql.join(";\n\n"));
}

#[test]
fn rows_that_are_alike_share_a_statement_and_parents_go_first() {
    let app = catalog();
    let rows = vec![
        row(&app, "no\"tes", RowOp::Insert, "n1", &["a"]),
        row(&app, "folders", RowOp::Insert, "f1", &["name"]),
        row(&app, "no\"tes", RowOp::Insert, "n2", &["a"]),
        row(&app, "no\"tes", RowOp::Insert, "n3", &["b"]),
        row(&app, "no\"tes", RowOp::Update, "n4", &["a"]),
        row(&app, "folders", RowOp::Insert, "f2", &["name"]),
    ];
    insta::assert_snapshot!(outline(rows).join("\n"), @r#"
    I folders [1] f1 f2
    U no"tes [3] n4
    I no"tes [3] n1 n2
    I no"tes [4] n3
    "#);
}

#[test]
fn deletes_and_upserts_keep_their_order_and_children_are_deleted_first() {
    let app = catalog();
    let rows = vec![
        row(&app, "folders", RowOp::Delete, "f1", &[]),
        row(&app, "no\"tes", RowOp::Delete, "n1", &[]),
        row(&app, "folders", RowOp::Delete, "f2", &[]),
        row(&app, "no\"tes", RowOp::Insert, "n2", &["a"]),
        row(&app, "no\"tes", RowOp::Delete, "n3", &[]),
    ];
    insta::assert_snapshot!(outline(rows).join("\n"), @r#"
    D no"tes [] n1
    D folders [] f1 f2
    I no"tes [3] n2
    D no"tes [] n3
    "#);
}
