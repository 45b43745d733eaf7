//! The tables that simulated devices sync, as a device knows them, and what their values look like on the wire.
//!
//! Nothing here is shared with the server: a value is put into wire form and read back by rules written down a second
//! time from PROTOCOL.md section 6.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value as Json, json};

/// The same tables as an app's developer would paste them.
pub(crate) const DDL: &str = "
create table users (
    id text primary key not null,
    name text not null,
    age integer,
    score real,
    active boolean not null default 1,
    balance numeric(12,4)
);
create table folders (
    id text primary key not null,
    title text not null
);
create table tags (
    id blob primary key not null,
    label text not null,
    rank integer
);
create table notes (
    id blob primary key not null,
    user_id text not null references users (id) on delete cascade,
    tag_id blob references tags (id) on delete set null,
    folder_id text references folders (id),
    body text not null,
    weight real,
    pinned boolean,
    data blob
);
create table comments (
    id text primary key not null,
    note_id blob not null references notes (id) on delete cascade,
    reply_to text references comments (id) on delete cascade,
    body text not null
);
";

/// The wire profile of an app (PROTOCOL.md, introduction).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Strings,
    Numbers,
}

impl Profile {
    pub(crate) const BOTH: [Self; 2] = [Self::Strings, Self::Numbers];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Strings => "strings",
            Self::Numbers => "numbers",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Uuid,
    Int,
    Real,
    /// `numeric(12,4)`.
    Decimal,
    Bool,
    Blob,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDelete {
    Cascade,
    SetNull,
    Refuse,
}

#[derive(Debug)]
pub(crate) struct ForeignKey {
    pub(crate) column: &'static str,
    pub(crate) parent: &'static str,
    pub(crate) on_delete: OnDelete,
}

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The first is the key.
    pub(crate) columns: &'static [(&'static str, Kind)],
    pub(crate) foreign_keys: &'static [ForeignKey],
}

impl Table {
    pub(crate) fn key(&self) -> &'static str {
        self.columns[0].0
    }
}

/// Parents before children.
pub(crate) static TABLES: [Table; 5] = [
    Table {
        name: "users",
        columns: &[
            ("id", Kind::Text),
            ("name", Kind::Text),
            ("age", Kind::Int),
            ("score", Kind::Real),
            ("active", Kind::Bool),
            ("balance", Kind::Decimal),
        ],
        foreign_keys: &[],
    },
    Table { name: "folders", columns: &[("id", Kind::Text), ("title", Kind::Text)], foreign_keys: &[] },
    Table {
        name: "tags",
        columns: &[("id", Kind::Uuid), ("label", Kind::Text), ("rank", Kind::Int)],
        foreign_keys: &[],
    },
    Table {
        name: "notes",
        columns: &[
            ("id", Kind::Uuid),
            ("user_id", Kind::Text),
            ("tag_id", Kind::Uuid),
            ("folder_id", Kind::Text),
            ("body", Kind::Text),
            ("weight", Kind::Real),
            ("pinned", Kind::Bool),
            ("data", Kind::Blob),
        ],
        foreign_keys: &[
            ForeignKey { column: "user_id", parent: "users", on_delete: OnDelete::Cascade },
            ForeignKey { column: "tag_id", parent: "tags", on_delete: OnDelete::SetNull },
            ForeignKey { column: "folder_id", parent: "folders", on_delete: OnDelete::Refuse },
        ],
    },
    Table {
        name: "comments",
        columns: &[
            ("id", Kind::Text),
            ("note_id", Kind::Uuid),
            ("reply_to", Kind::Text),
            ("body", Kind::Text),
        ],
        foreign_keys: &[
            ForeignKey { column: "note_id", parent: "notes", on_delete: OnDelete::Cascade },
            ForeignKey { column: "reply_to", parent: "comments", on_delete: OnDelete::Cascade },
        ],
    },
];

pub(crate) fn table(name: &str) -> &'static Table {
    TABLES
        .iter()
        .find(|table| table.name == name)
        .unwrap_or_else(|| panic!("the server named table {name:?}"))
}

/// A column's value as a device's own database holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Text(String),
    Int(i64),
    Real(f64),
    /// In units of 0.0001.
    Decimal(i64),
    Bool(bool),
    Blob(Vec<u8>),
}

/// A row by column, its key among them.
pub(crate) type Row = BTreeMap<&'static str, Value>;

/// Which row: table and key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowId {
    pub(crate) table: &'static str,
    pub(crate) key: String,
}

impl RowId {
    pub(crate) fn new(table: &'static str, key: &str) -> Self {
        Self { table, key: key.to_owned() }
    }

    /// The `key` member of the wire.
    pub(crate) fn wire_key(&self) -> Json {
        json!({ table(self.table).key(): self.key })
    }

    /// Of any wire object with the members `schema`, `table` and `key`.
    pub(crate) fn of_wire(object: &Json) -> Self {
        let table = table(object["table"].as_str().expect("the member table"));
        let key = object["key"].as_object().expect("the member key");
        assert_eq!(key.len(), 1, "a key has one column: {object}");
        Self { table: table.name, key: key[table.key()].as_str().expect("a key is a string").to_owned() }
    }
}

/// The `payload` of an upload.
pub(crate) fn row_to_wire(profile: Profile, id: &RowId, row: &Row) -> Json {
    let columns = table(id.table).columns;
    Json::Object(
        columns
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), to_wire(profile, *kind, &row[name])))
            .collect(),
    )
}

/// A `payload` from the server: every column, and none more.
pub(crate) fn row_from_wire(profile: Profile, id: &RowId, payload: &Json) -> Row {
    let members = payload.as_object().unwrap_or_else(|| panic!("{id:?} came without a payload: {payload}"));
    let columns = table(id.table).columns;
    assert_eq!(members.len(), columns.len(), "{id:?} came with other columns: {payload}");
    let row: Row = columns
        .iter()
        .map(|(name, kind)| {
            let value = members.get(*name).unwrap_or_else(|| panic!("{id:?} came without {name}: {payload}"));
            (*name, from_wire(profile, *kind, value))
        })
        .collect();
    assert_eq!(
        row[table(id.table).key()],
        Value::Text(id.key.clone()),
        "key and payload disagree: {payload}"
    );
    row
}

fn to_wire(profile: Profile, kind: Kind, value: &Value) -> Json {
    let number = |text: String| match profile {
        Profile::Strings => Json::String(text),
        Profile::Numbers => serde_json::from_str(&text).expect("a JSON number"),
    };
    match (kind, value) {
        (_, Value::Null) => Json::Null,
        (Kind::Text | Kind::Uuid, Value::Text(text)) => json!(text),
        (Kind::Int, Value::Int(int)) => number(int.to_string()),
        (Kind::Real, Value::Real(real)) => number(ryu_js::Buffer::new().format(*real).to_owned()),
        (Kind::Decimal, Value::Decimal(units)) => number(decimal_text(*units)),
        (Kind::Bool, Value::Bool(bool)) => match profile {
            Profile::Strings => json!(if *bool { "1" } else { "0" }),
            Profile::Numbers => json!(i64::from(*bool)),
        },
        (Kind::Blob, Value::Blob(bytes)) => json!(STANDARD.encode(bytes)),
        (kind, value) => panic!("{value:?} in a column of kind {kind:?}"),
    }
}

fn from_wire(profile: Profile, kind: Kind, wire: &Json) -> Value {
    let text = || wire.as_str().unwrap_or_else(|| panic!("{kind:?} came as {wire}"));
    match (kind, profile) {
        _ if wire.is_null() => Value::Null,
        (Kind::Text | Kind::Uuid, _) => Value::Text(text().to_owned()),
        (Kind::Bool, _) => Value::Bool(wire.as_bool().unwrap_or_else(|| panic!("a boolean came as {wire}"))),
        (Kind::Blob, _) => Value::Blob(STANDARD.decode(text()).expect("canonical base64")),
        (Kind::Int, Profile::Strings) => {
            let int: i64 = text().parse().expect("an integer");
            assert_eq!(int.to_string(), text(), "an integer that is not in canonical form");
            Value::Int(int)
        }
        (Kind::Int, Profile::Numbers) => {
            Value::Int(wire.as_i64().unwrap_or_else(|| panic!("an integer came as {wire}")))
        }
        (Kind::Real, Profile::Strings) => {
            let real: f64 = text().parse().expect("a real");
            assert_eq!(ryu_js::Buffer::new().format(real), text(), "a real that is not in canonical form");
            Value::Real(real)
        }
        (Kind::Real, Profile::Numbers) => {
            Value::Real(wire.as_f64().unwrap_or_else(|| panic!("a real came as {wire}")))
        }
        (Kind::Decimal, Profile::Strings) => {
            let units = text().replace('.', "").parse().expect("a decimal");
            assert_eq!(decimal_text(units), text(), "numeric(12,4) comes with four digits after the point");
            Value::Decimal(units)
        }
        (Kind::Decimal, Profile::Numbers) => {
            let number = wire.as_f64().unwrap_or_else(|| panic!("a decimal came as {wire}"));
            Value::Decimal((number * 10_000.0).round() as i64)
        }
    }
}

fn decimal_text(units: i64) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let units = units.unsigned_abs();
    format!("{sign}{}.{:04}", units / 10_000, units % 10_000)
}

#[test]
fn every_kind_of_value_survives_the_wire_in_both_profiles() {
    let values = [
        (Kind::Int, Value::Int(i64::MIN)),
        (Kind::Int, Value::Int(9_007_199_254_740_993)),
        (Kind::Real, Value::Real(5e-324)),
        (Kind::Real, Value::Real(-1e21)),
        (Kind::Decimal, Value::Decimal(-12_345)),
        (Kind::Blob, Value::Blob(vec![0, 255])),
        (Kind::Text, Value::Null),
    ];
    for profile in Profile::BOTH {
        for (kind, value) in &values {
            assert_eq!(&from_wire(profile, *kind, &to_wire(profile, *kind, value)), value);
        }
    }
}
