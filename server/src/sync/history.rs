//! Scopes and their bundles as people see them: lists by key, one scope with its counts, one bundle's rows.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use sqlx::FromRow;
use time::OffsetDateTime;

use super::{
    Engine,
    device::{list::Page, verdict::SILENT_AFTER},
};
use crate::{
    ids::{BundleSeq, ScopeId},
    ops::database::in_schema,
    tables::catalog::AppCatalog,
};

/// What an app holds, in numbers. Each is counted up to [`AppCounts::COUNTED`] and one more, which stands for any number
/// beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct AppCounts {
    pub scopes: i64,
    pub devices: i64,
    /// Devices that called within the last 24 hours.
    pub active_devices: i64,
    /// Those whose last request of some kind was refused, and that within a week.
    pub refused_devices: i64,
    /// Devices that have not called for a week.
    pub silent_devices: i64,
    pub open_conflicts: i64,
    pub open_rejected_writes: i64,
    pub last_commit_at: Option<OffsetDateTime>,
}

/// A scope (by default: an end user) in a list.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Scope {
    pub scope_id: String,
    /// `uninitialized`, `initializing` or `initialized`.
    pub state: String,
    pub bundle_seq: BundleSeq,
    /// Bundles up to this one are pruned.
    pub floor_seq: BundleSeq,
    pub created_at: OffsetDateTime,
    pub last_commit_at: Option<OffsetDateTime>,
    /// When everything of it was erased.
    pub erased_at: Option<OffsetDateTime>,
    /// Both are counted up to [`Scope::COUNTED`] and one more, which stands for any number beyond.
    pub device_count: i64,
    pub open_conflicts: i64,
}

impl AppCounts {
    pub const COUNTED: i64 = 10_000;
}

impl Scope {
    pub const COUNTED: i64 = 1_000;
}

/// A bundle without its rows.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Bundle {
    pub bundle_seq: BundleSeq,
    pub source_id: String,
    pub source_bundle_id: i64,
    pub row_count: i32,
    pub byte_count: i64,
    pub bundle_hash: String,
    /// As the device announced it; None for the server's writers and where the profile has none.
    pub request_hash: Option<String>,
    pub schema_version: i32,
    /// The end user who pushed it; None for the server's writers.
    pub user_id: Option<String>,
    /// The account or key behind a server's writer.
    pub written_by: Option<String>,
    pub committed_at: OffsetDateTime,
}

/// A row of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleRow {
    /// From 0, in the order of the bundle.
    pub ordinal: i64,
    pub table: String,
    pub key: String,
    /// `INSERT`, `UPDATE` or `DELETE`.
    pub op: String,
    /// The version that the row had before; None: there was none, or it is before what is kept.
    pub prior_version: Option<i64>,
    /// The row after the change, by column; None for DELETE.
    pub payload: Option<BTreeMap<String, Cell>>,
}

/// A value of a row as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    Null,
    Text(String),
    /// A number, `true` or `false`, as it is written.
    Literal(String),
}

macro_rules! scope_columns {
    () => {
        "s.scope_id, s.state, s.bundle_seq, s.floor_seq, s.created_at, s.last_commit_at, s.erased_at,
        (
            select count(*)
            from (select from {schema}._sync_device d where d.scope_id = s.scope_id limit 1001) d
        ) as device_count,
        (
            select count(*)
            from (
                select from {schema}._sync_conflict c where c.scope_id = s.scope_id and c.outcome is null limit 1001
            ) c
        ) as open_conflicts"
    };
}

/// Each count reads the beginning of an index. `$1` is a day ago, `$2` the time since when a device has to have called not
/// to be silent, `$3` where counting ends.
const COUNTS: &str = "select
    (select count(*) from (select from {schema}._sync_scope s order by s.scope_id limit $3) s) as scopes,
    (select count(*) from (select from {schema}._sync_device d order by d.last_seen_at desc limit $3) d) as devices,
    (
        select count(*)
        from (
            select from {schema}._sync_device d where d.last_seen_at > $1 order by d.last_seen_at desc limit $3
        ) d
    ) as active_devices,
    (
        select count(*)
        from (select from {schema}._sync_device d where d.last_seen_at <= $2 order by d.last_seen_at limit $3) d
    ) as silent_devices,
    (
        select count(*)
        from (
            select from {schema}._sync_device d
            where d.last_error_at > $2
            order by d.last_error_at desc
            limit $3
        ) d
    ) as refused_devices,
    (
        select count(*)
        from (
            select from {schema}._sync_conflict c
            where c.outcome is null
            order by c.scope_id, c.source_id
            limit $3
        ) c
    ) as open_conflicts,
    (
        select count(*)
        from (
            select from {schema}._sync_rejected_write w
            where w.state = 'open'
            order by w.last_at desc, w.rejected_id desc
            limit $3
        ) w
    ) as open_rejected_writes,
    (
        select b.committed_at from {schema}._sync_bundle b order by b.committed_at desc limit 1
    ) as last_commit_at";

const SCOPES: &str = concat!(
    "select ",
    scope_columns!(),
    " from {schema}._sync_scope s
    where s.scope_id > coalesce($1, '')
        -- What begins with a text lies between it and it with the greatest character behind it.
        and s.scope_id >= coalesce($3, '') and s.scope_id <= coalesce($3, '') || chr(1114111)
    order by s.scope_id
    limit $2"
);

const SCOPE: &str =
    concat!("select ", scope_columns!(), " from {schema}._sync_scope s where s.scope_id = $1");

macro_rules! bundle_columns {
    () => {
        "b.bundle_seq, b.source_id, b.source_bundle_id, b.row_count, b.byte_count, b.bundle_hash, b.request_hash,
        b.schema_version, b.user_id, b.written_by, b.committed_at"
    };
}

macro_rules! bundle_query {
    ($rest:literal) => {
        concat!("select ", bundle_columns!(), " from {schema}._sync_bundle b ", $rest)
    };
}

pub mod compare;
pub mod recent;
pub mod row;
pub mod undo;

const BUNDLES: &str = bundle_query!(
    "where b.scope_id = $1 and b.bundle_seq < coalesce($2, 9223372036854775807)
    order by b.bundle_seq desc
    limit $3"
);

const BUNDLE: &str = bundle_query!("where b.scope_id = $1 and b.bundle_seq = $2");

/// The segments that hold rows `$3 ..= $4`.
const SEGMENTS: &str = "select r.first_ordinal, r.body, r.prior_versions
    from {schema}._sync_bundle_rows r
    where r.scope_id = $1 and r.bundle_seq = $2 and r.first_ordinal <= $4 and r.first_ordinal + r.row_count > $3
    order by r.first_ordinal";

impl Engine {
    /// What an app holds, in numbers.
    pub async fn counts(&self, app: &AppCatalog) -> Result<AppCounts, sqlx::Error> {
        let now = self.clock.now();
        let query = sqlx::query_as(in_schema(&app.schema, COUNTS))
            .bind(now - time::Duration::days(1))
            .bind(now - SILENT_AFTER)
            .bind(AppCounts::COUNTED + 1);
        self.apps.one(&app.schema, query).await
    }

    /// The scopes of an app by their ids, those that begin with `prefix` if one is given.
    pub async fn scopes(
        &self,
        app: &AppCatalog,
        prefix: Option<&str>,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Page<Scope, String>, sqlx::Error> {
        let scopes = self
            .apps
            .all(
                &app.schema,
                sqlx::query_as(in_schema(&app.schema, SCOPES)).bind(after).bind(limit + 1).bind(prefix),
            )
            .await?;
        Ok(Page::of(scopes, limit, |scope: &Scope| scope.scope_id.clone()))
    }

    /// One scope; None if there is none of that id.
    pub async fn scope(&self, app: &AppCatalog, scope: &ScopeId) -> Result<Option<Scope>, sqlx::Error> {
        self.apps.optional(&app.schema, sqlx::query_as(in_schema(&app.schema, SCOPE)).bind(scope)).await
    }

    /// The retained bundles of a scope, the latest first, below `before` if it is given.
    pub async fn bundles(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        before: Option<BundleSeq>,
        limit: i64,
    ) -> Result<Page<Bundle, BundleSeq>, sqlx::Error> {
        let bundles = self
            .apps
            .all(
                &app.schema,
                sqlx::query_as(in_schema(&app.schema, BUNDLES)).bind(scope).bind(before).bind(limit + 1),
            )
            .await?;
        Ok(Page::of(bundles, limit, |bundle: &Bundle| bundle.bundle_seq))
    }

    /// One bundle; None if there is none of that number (any more).
    pub async fn bundle(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        seq: BundleSeq,
    ) -> Result<Option<Bundle>, sqlx::Error> {
        self.apps
            .optional(&app.schema, sqlx::query_as(in_schema(&app.schema, BUNDLE)).bind(scope).bind(seq))
            .await
    }

    /// The rows of a bundle from ordinal `first` on.
    pub async fn bundle_rows(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        seq: BundleSeq,
        first: i64,
        limit: i64,
    ) -> Result<Page<BundleRow, i64>, sqlx::Error> {
        let segments: Vec<(i32, String, Vec<i64>)> = self
            .apps
            .all(
                &app.schema,
                sqlx::query_as(in_schema(&app.schema, SEGMENTS))
                    .bind(scope)
                    .bind(seq)
                    .bind(first)
                    .bind(first + limit),
            )
            .await?;
        let mut rows = Vec::new();
        for (first_ordinal, body, prior_versions) in &segments {
            let lines = body.split(",\n").zip(prior_versions).zip(i64::from(*first_ordinal)..);
            for ((line, prior), ordinal) in lines {
                if (first..=first + limit).contains(&ordinal) {
                    let row =
                        read_row(line, ordinal, *prior).map_err(|error| sqlx::Error::Decode(error.into()))?;
                    rows.push(row);
                }
            }
        }
        Ok(Page::of(rows, limit, |row: &BundleRow| row.ordinal + 1))
    }
}

/// A served row, read again.
fn read_row(line: &str, ordinal: i64, prior: i64) -> Result<BundleRow, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Served {
        table: String,
        key: BTreeMap<String, String>,
        op: String,
        payload: Option<BTreeMap<String, Box<RawValue>>>,
    }
    let served: Served = serde_json::from_str(line)?;
    let cells = |payload: BTreeMap<String, Box<RawValue>>| {
        payload.into_iter().map(|(column, value)| Ok((column, Cell::read(&value)?))).collect()
    };
    Ok(BundleRow {
        ordinal,
        table: served.table,
        key: served.key.into_values().next().unwrap_or_default(),
        op: served.op,
        prior_version: (prior > 0).then_some(prior),
        payload: served.payload.map(cells).transpose()?,
    })
}

impl Cell {
    /// From a value of a served row.
    pub fn read(value: &RawValue) -> Result<Self, serde_json::Error> {
        Ok(match value.get() {
            "null" => Self::Null,
            text if text.starts_with('"') => Self::Text(serde_json::from_str(text)?),
            literal => Self::Literal(literal.to_owned()),
        })
    }

    /// The value as it is written; empty for NULL.
    pub fn into_text(self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Text(text) | Self::Literal(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_served_row_is_read_without_loss() {
        let line = r#"{"schema":"main","table":"n","key":{"id":"a\"b"},"op":"UPDATE","row_version":7,
            "payload":{"big":9007199254740993,"flag":true,"gone":null,"title":"é\n"}}"#;
        let row = read_row(line, 3, 5).unwrap();
        assert_eq!((row.key.as_str(), row.op.as_str(), row.prior_version), ("a\"b", "UPDATE", Some(5)));
        let payload = row.payload.unwrap();
        assert_eq!(payload["big"], Cell::Literal("9007199254740993".to_owned()));
        assert_eq!(payload["flag"], Cell::Literal("true".to_owned()));
        assert_eq!(payload["gone"], Cell::Null);
        assert_eq!(payload["title"], Cell::Text("é\n".to_owned()));
    }
}
