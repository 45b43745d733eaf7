//! What an app syncs, as data: tables, columns, keys and constraints of one schema version.
//!
//! A spec is made from DDL text by `ddl`, numbered by `plan`, kept as JSON with each published version, and is the
//! only source of generated SQL: names in it are [`Ident`]s, and defaults and checks are trees, never SQL text.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{check::CheckExpr, ident::Ident};

/// How values travel, chosen when the app is created and never changed (PROTOCOL.md, introduction).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WireProfile {
    /// Numbers are JSON strings in canonical form; hashes are over RFC 8785 JSON.
    #[default]
    Strings,
    /// Numbers are JSON numbers; hashes are over Go's JSON of the decoded values.
    Numbers,
}

impl WireProfile {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strings => "strings",
            Self::Numbers => "numbers",
        }
    }

    /// The profile of that name; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "strings" => Some(Self::Strings),
            "numbers" => Some(Self::Numbers),
            _ => None,
        }
    }
}

impl fmt::Display for WireProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One version of what an app syncs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSpec {
    /// 1, 2, 3 … as published; 0 for an app that has no tables yet.
    pub version: i32,
    /// The `schema` member of rows on the wire, `main` unless the app chose another.
    pub logical_schema: Ident,
    /// In the order of their numbers.
    pub tables: Vec<TableSpec>,
}

impl AppSpec {
    /// An app before its first tables.
    pub fn empty(logical_schema: Ident) -> Self {
        Self { version: 0, logical_schema, tables: Vec::new() }
    }

    pub fn table(&self, name: &str) -> Option<&TableSpec> {
        self.tables.iter().find(|table| table.name.as_str() == name)
    }
}

/// A table of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSpec {
    pub name: Ident,
    /// 1, 2, 3 …: stands for the table in the engine's own tables, the same in every version. 0 until planned.
    pub table_no: i32,
    /// The one column that names a row within its scope; it is among `columns`.
    pub key: SyncKey,
    /// As declared, in order; the hidden scope column is not among them.
    pub columns: Vec<ColumnSpec>,
    /// Columns that are unique together within a scope.
    pub uniques: Vec<Vec<Ident>>,
    /// Columns that are indexed for the tenant's own queries.
    pub indexes: Vec<Vec<Ident>>,
    pub foreign_keys: Vec<ForeignKeySpec>,
    pub checks: Vec<CheckExpr>,
}

impl TableSpec {
    pub fn column(&self, name: &str) -> Option<&ColumnSpec> {
        self.columns.iter().find(|column| column.name.as_str() == name)
    }
}

/// The sync key of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncKey {
    pub column: Ident,
    pub kind: KeyKind,
}

/// What a sync key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    Uuid,
    Text,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnSpec {
    pub name: Ident,
    #[serde(rename = "type")]
    pub ty: ColumnType,
    pub nullable: bool,
    /// The value of a row that does not say. None: NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<DefaultValue>,
}

/// The PostgreSQL type of a column. What each looks like on the wire is PROTOCOL.md section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    SmallInt,
    Integer,
    BigInt,
    Real,
    Double,
    /// `precision` digits of which `scale` stand after the point; no precision: any number, as written.
    Numeric {
        precision: Option<u16>,
        scale: u16,
    },
    Boolean,
    Text,
    Varchar {
        /// Characters.
        max: u32,
    },
    Json,
    Jsonb,
    Timestamptz,
    Timestamp,
    Date,
    Time,
    Uuid,
    Bytea,
}

impl ColumnType {
    /// The type's name in PostgreSQL.
    pub fn sql(self) -> String {
        let name = match self {
            Self::SmallInt => "smallint",
            Self::Integer => "integer",
            Self::BigInt => "bigint",
            Self::Real => "real",
            Self::Double => "double precision",
            Self::Numeric { precision: None, .. } => "numeric",
            Self::Numeric { precision: Some(precision), scale } => {
                return format!("numeric({precision},{scale})");
            }
            Self::Boolean => "boolean",
            Self::Text => "text",
            Self::Varchar { max } => return format!("varchar({max})"),
            Self::Json => "json",
            Self::Jsonb => "jsonb",
            Self::Timestamptz => "timestamp with time zone",
            Self::Timestamp => "timestamp without time zone",
            Self::Date => "date",
            Self::Time => "time without time zone",
            Self::Uuid => "uuid",
            Self::Bytea => "bytea",
        };
        name.to_owned()
    }

    /// Whole numbers.
    pub fn is_integer(self) -> bool {
        matches!(self, Self::SmallInt | Self::Integer | Self::BigInt)
    }

    /// Binary floating point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Real | Self::Double)
    }

    /// Types whose values are JSON strings in profile `strings` and JSON numbers in profile `numbers`.
    pub fn is_number(self) -> bool {
        self.is_integer() || self.is_float() || matches!(self, Self::Numeric { .. })
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sql())
    }
}

/// The default of a column: a constant, or one of the few expressions that SQLite and PostgreSQL agree on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultValue {
    Boolean(bool),
    /// In the grammar of JSON numbers.
    Number(String),
    Text(String),
    /// Lowercase hex digits.
    Bytes(String),
    /// The transaction's time: as a `timestamptz` or `timestamp`, or as SQLite's text `2024-05-06 07:08:09` (UTC).
    CurrentTimestamp,
    /// The transaction's time as the text `2024-05-06T07:08:09.012Z`.
    CurrentIsoTimestamp,
    /// Today (UTC), as a `date` or as text.
    CurrentDate,
    /// The time of day (UTC), as a `time` or as text `07:08:09`.
    CurrentTime,
    /// Whole seconds since 1970.
    UnixEpoch,
    /// A random UUID, version 4.
    RandomUuid,
}

/// A column that names a row of a parent table by its sync key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKeySpec {
    pub column: Ident,
    /// May be the table itself.
    pub parent: Ident,
    pub on_delete: ForeignKeyAction,
    pub on_update: ForeignKeyAction,
}

/// What happens to a row whose parent goes away or changes its key.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignKeyAction {
    #[default]
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

impl ForeignKeyAction {
    /// As it is written in DDL.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::NoAction => "no action",
            Self::Restrict => "restrict",
            Self::Cascade => "cascade",
            Self::SetNull => "set null",
            Self::SetDefault => "set default",
        }
    }
}
