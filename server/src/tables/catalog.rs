//! What the sync engine knows of an app's tables: one immutable value per app and schema version.

use std::collections::{HashMap, HashSet};

use sqlx::types::Json;

use super::{
    ident::Ident,
    payload_sql::{self, RowSource},
    spec::{AppSpec, ColumnSpec, SyncKey, TableSpec, WireProfile},
};
use crate::{
    ids::{AppId, SchemaName},
    ops::database::{AppPool, in_schema},
};

/// The tables of one app in one schema version.
///
/// The physical tables may have more columns than an old version knows; whoever reads or writes rows for a version
/// names the columns of *its* catalog. Made by loading, shared behind an `Arc`, replaced when a version is published.
#[derive(Debug, Clone)]
pub struct AppCatalog {
    pub app: AppId,
    pub schema: SchemaName,
    pub profile: WireProfile,
    /// The `schema` member of rows on the wire.
    pub logical_schema: Ident,
    /// The version this catalog describes; 0 when the app has no tables yet.
    pub schema_version: i32,
    /// The latest published version; `schema_version` unless an old one was asked for.
    pub latest_version: i32,
    /// In the order of their numbers.
    tables: Vec<CatalogTable>,
    by_name: HashMap<Ident, usize>,
    by_no: HashMap<i32, usize>,
}

/// A table in an [`AppCatalog`].
#[derive(Debug, Clone)]
pub struct CatalogTable {
    pub spec: TableSpec,
    /// Parents before children, as far as cycles of foreign keys allow: insert upwards, delete downwards. Unique
    /// within the app.
    pub rank: usize,
}

impl AppCatalog {
    /// Load the latest version; version 0, without tables, when none has been published.
    pub async fn load(
        apps: &AppPool,
        app: AppId,
        profile: WireProfile,
        logical_schema: &Ident,
    ) -> Result<Self, sqlx::Error> {
        let schema = app.schema();
        let query = sqlx::query_as(in_schema(
            &schema,
            "select v.spec from {schema}._sync_schema_version v order by v.version desc limit 1",
        ));
        let latest: Option<(Json<AppSpec>,)> = apps.optional(&schema, query.persistent(false)).await?;
        let spec = latest.map_or_else(|| AppSpec::empty(logical_schema.clone()), |(Json(spec),)| spec);
        let latest_version = spec.version;
        Ok(Self::new(app, profile, spec, latest_version))
    }

    /// Load one published version; None when there is no such version.
    pub async fn load_version(
        apps: &AppPool,
        app: AppId,
        profile: WireProfile,
        version: i32,
    ) -> Result<Option<Self>, sqlx::Error> {
        let schema = app.schema();
        let query = sqlx::query_as(in_schema(
            &schema,
            "select v.spec, (select max(l.version) from {schema}._sync_schema_version l)
             from {schema}._sync_schema_version v
             where v.version = $1",
        ));
        let found: Option<(Json<AppSpec>, i32)> =
            apps.optional(&schema, query.persistent(false).bind(version)).await?;
        Ok(found.map(|(Json(spec), latest)| Self::new(app, profile, spec, latest)))
    }

    /// The catalog of the version that `spec` describes.
    pub fn new(app: AppId, profile: WireProfile, spec: AppSpec, latest_version: i32) -> Self {
        let ranks = ranks(&spec.tables);
        let tables: Vec<_> =
            spec.tables.into_iter().zip(ranks).map(|(spec, rank)| CatalogTable { spec, rank }).collect();
        Self {
            app,
            schema: app.schema(),
            profile,
            logical_schema: spec.logical_schema,
            schema_version: spec.version,
            latest_version,
            by_name: tables.iter().enumerate().map(|(i, table)| (table.spec.name.clone(), i)).collect(),
            by_no: tables.iter().enumerate().map(|(i, table)| (table.spec.table_no, i)).collect(),
            tables,
        }
    }

    /// The version as data: what a plan for the next one starts from.
    pub fn spec(&self) -> AppSpec {
        AppSpec {
            version: self.schema_version,
            logical_schema: self.logical_schema.clone(),
            tables: self.tables.iter().map(|table| table.spec.clone()).collect(),
        }
    }

    /// All tables, in the order of their numbers.
    pub fn tables(&self) -> &[CatalogTable] {
        &self.tables
    }

    /// The table of that name.
    pub fn table(&self, name: &str) -> Option<&CatalogTable> {
        self.by_name.get(name).map(|&i| &self.tables[i])
    }

    /// The SQL expression that renders a row of `table`, whose alias in the query is `alias`, as the JSON object that
    /// this version's clients get.
    pub fn payload_sql(&self, table: &CatalogTable, alias: &'static str) -> String {
        let row = RowSource { schema: &self.schema, alias, profile: self.profile };
        payload_sql::payload_expression(row, table.columns())
    }

    /// The table of that number.
    pub fn table_no(&self, table_no: i32) -> Option<&CatalogTable> {
        self.by_no.get(&table_no).map(|&i| &self.tables[i])
    }
}

impl CatalogTable {
    pub fn name(&self) -> &Ident {
        &self.spec.name
    }

    pub fn table_no(&self) -> i32 {
        self.spec.table_no
    }

    pub fn key(&self) -> &SyncKey {
        &self.spec.key
    }

    /// As declared, without the hidden scope column.
    pub fn columns(&self) -> &[ColumnSpec] {
        &self.spec.columns
    }

    pub fn column(&self, name: &str) -> Option<&ColumnSpec> {
        self.spec.column(name)
    }
}

/// For every table its place in an order where parents stand before their children. Where a cycle leaves no such
/// order, the table with the lowest number goes first: constraints are deferred, so any order is correct.
fn ranks(tables: &[TableSpec]) -> Vec<usize> {
    let mut ranks = vec![0; tables.len()];
    let mut placed: HashSet<&str> = HashSet::with_capacity(tables.len());
    let mut waiting: Vec<usize> = (0..tables.len()).collect();
    for rank in 0..tables.len() {
        let free = |i: &usize| {
            tables[*i]
                .foreign_keys
                .iter()
                .all(|key| key.parent == tables[*i].name || placed.contains(key.parent.as_str()))
        };
        let next = waiting.remove(waiting.iter().position(free).unwrap_or(0));
        ranks[next] = rank;
        placed.insert(tables[next].name.as_str());
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::spec::{ColumnType, ForeignKeyAction, ForeignKeySpec, KeyKind};

    fn table(name: &str, parents: &[&str]) -> TableSpec {
        let ident = |name: &str| Ident::parse(name).unwrap();
        TableSpec {
            name: ident(name),
            table_no: 0,
            key: SyncKey { column: ident("id"), kind: KeyKind::Text },
            columns: vec![ColumnSpec {
                name: ident("id"),
                ty: ColumnType::Text,
                nullable: false,
                default: None,
            }],
            uniques: vec![],
            indexes: vec![],
            foreign_keys: parents
                .iter()
                .map(|parent| ForeignKeySpec {
                    column: ident(&format!("{parent}_id")),
                    parent: ident(parent),
                    on_delete: ForeignKeyAction::NoAction,
                    on_update: ForeignKeyAction::NoAction,
                })
                .collect(),
            checks: vec![],
        }
    }

    #[test]
    fn parents_rank_before_their_children() {
        let tables = [table("c", &["b", "c"]), table("b", &["a"]), table("a", &[])];
        assert_eq!(ranks(&tables), [2, 1, 0]);
    }

    #[test]
    fn a_cycle_is_ranked_too() {
        let tables = [table("a", &["b"]), table("b", &["a"]), table("root", &[])];
        assert_eq!(ranks(&tables), [1, 2, 0]);
    }
}
