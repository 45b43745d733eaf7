//! What a write would do, found out by doing it and taking it back.
//!
//! The rows are written in a transaction of their own, under the scope's lock; what the triggers captured is what the
//! bundle would hold, cascades included. Then everything is rolled back: nobody is told, and no number is used up. The
//! [`PreviewToken`] that comes with it lets the same write be done later only if it still does the same.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    str::FromStr,
    time::Duration,
};

use sha2::{Digest, Sha256};
use sqlx::FromRow;

use super::{Failed, ScopeBusy, ServerRow, ServerWriteError, apply_rows, check, open};
use crate::{
    ids::{BundleSeq, ScopeId},
    ops::database::{AppTx, in_schema},
    sync::{
        Engine,
        history::compare::{ComparedColumn, RowImage, compare},
        keys::RowOp,
        live_rows, lowercase_hex,
        refusal::WriteFailure,
    },
    tables::catalog::AppCatalog,
};

/// Rows of a preview that are shown.
pub const SHOWN_ROWS: i64 = 200;
/// Bytes of one row, and of all rows together, that are shown.
const SHOWN_ROW_BYTES: i64 = 64 * 1024;
const SHOWN_BYTES: i64 = 2 * 1024 * 1024;

/// A preview gives way: it waits for its scope's turn no longer than this, and holds the lock for a few statements,
/// each of which has a bound.
const WAITS: Duration = Duration::from_secs(3);
const BOUNDS: &str = "set local lock_timeout = '2s'; set local statement_timeout = '5s'";

/// What a write would do, as one value: the same if and only if it touches the same rows, in the same way, from the
/// same versions. Values are not in it: a trigger may put the time into a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewToken(String);

/// What a write would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewedWrite {
    /// The number that the bundle would have now.
    pub bundle_seq: BundleSeq,
    /// Devices of the scope that would receive it.
    pub devices: i64,
    /// By the tables' numbers; only those that it touches.
    pub tables: Vec<PreviewedTable>,
    /// The first [`SHOWN_ROWS`], in the order of the bundle.
    pub rows: Vec<PreviewedRow>,
    pub token: PreviewToken,
}

/// How many rows of a table it would touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewedTable {
    pub table: String,
    pub inserted: i64,
    pub updated: i64,
    pub deleted: i64,
}

/// A row before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewedRow {
    pub table: String,
    pub key: String,
    pub op: RowOp,
    /// The version that it has now; 0: there never was such a row.
    pub row_version: i64,
    /// Whether the write names it; else a cascade or trigger touches it.
    pub is_asked_for: bool,
    /// In the order of the table's columns; empty if the row is too large to be shown.
    pub columns: Vec<ComparedColumn>,
    /// Why `columns` is empty: the bytes of the row.
    pub too_large: Option<i64>,
}

impl PreviewedWrite {
    pub fn row_count(&self) -> i64 {
        self.tables.iter().map(|table| table.inserted + table.updated + table.deleted).sum()
    }
}

impl fmt::Display for PreviewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text was made up, or cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the token of a preview")]
pub struct InvalidToken;

impl FromStr for PreviewToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 64 && text.bytes().all(is_digit)).then(|| Self(text.to_owned())).ok_or(InvalidToken)
    }
}

/// What the transaction in flight has done to a scope, in numbers.
#[derive(Debug)]
pub(super) struct Effects {
    groups: Vec<EffectGroup>,
    pub(super) token: PreviewToken,
}

#[derive(Debug, FromRow)]
struct EffectGroup {
    table_no: i32,
    #[sqlx(try_from = "String")]
    op: RowOp,
    rows: i64,
    hash: Vec<u8>,
}

#[derive(Debug, FromRow)]
struct EffectRow {
    table_no: i32,
    key: String,
    #[sqlx(try_from = "String")]
    op: RowOp,
    prior_version: i64,
    /// None: there is no row afterwards, or it is too large.
    payload: Option<String>,
    payload_bytes: i64,
}

/// The effects as `_sync_seal` folds them.
macro_rules! bundled {
    ($select:literal) => {
        concat!(
            "with folded as (
                select e.table_no, e.key, e.op as last_op, e.payload,
                    first_value(e.op) over of_row as first_op,
                    first_value(e.effect_no) over of_row as first_no,
                    lead(e.effect_no) over of_row is null as is_last
                from {schema}._sync_each_effect e
                where e.scope_id = $1
                window of_row as (partition by e.table_no, e.key order by e.effect_no)
            ),
            bundled as (
                select f.table_no, f.key, f.payload, f.first_no,
                    case when f.last_op = 'D' then 'DELETE' when f.first_op = 'I' then 'INSERT' else 'UPDATE' end as op,
                    coalesce((
                        select r.row_version
                        from {schema}._sync_row r
                        where r.scope_id = $1 and r.table_no = f.table_no and r.key = f.key
                    ), 0) as prior_version
                from folded f
                where f.is_last and not (f.first_op = 'I' and f.last_op = 'D')
            ) ",
            $select
        )
    };
}

/// Keys are of any text, so each goes into the hash with its length.
const GROUPS: &str = bundled!(
    "select b.table_no, b.op, count(*) as rows,
        sha256(convert_to(
            string_agg(b.prior_version || ' ' || octet_length(b.key) || ' ' || b.key, ',' order by b.key), 'UTF8'
        )) as hash
    from bundled b
    group by b.table_no, b.op
    order by b.table_no, b.op"
);

const ROWS: &str = bundled!(
    "select b.table_no, b.key, b.op, b.prior_version, coalesce(octet_length(b.payload), 0)::bigint as payload_bytes,
        case
            when octet_length(b.payload) <= $3 and sum(octet_length(b.payload)) over (order by b.first_no) <= $4
                then b.payload
        end as payload
    from bundled b
    order by b.first_no
    limit $2"
);

const SCOPE: &str = "select s.bundle_seq + 1, (
        select count(*)
        from {schema}._sync_device d
        left join {schema}._sync_source o on o.scope_id = d.scope_id and o.source_id = d.source_id
        where d.scope_id = s.scope_id and o.state is distinct from 'retired'
    )
    from {schema}._sync_scope s
    where s.scope_id = $1";

impl Engine {
    /// What [`Engine::write`] would do now, or why it would not. Changes nothing and tells nobody.
    pub async fn preview_write(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        rows: &[ServerRow],
    ) -> Result<PreviewedWrite, ServerWriteError> {
        check(app, rows, self.max_rows_of_write())?;
        let turn = tokio::time::timeout(WAITS, self.queues.turn(app.app, scope));
        let Ok(Ok(_turn)) = turn.await.map_err(|_| ScopeBusy) else { return Err(ServerWriteError::Busy) };
        match self.try_preview(app, scope, rows).await {
            Ok(previewed) => Ok(previewed),
            Err(Failed::TryAgain) => Err(ServerWriteError::Busy),
            Err(Failed::ForGood(error)) => Err(error),
        }
    }

    /// A transaction that is dropped is rolled back; where all went well that is waited for.
    async fn try_preview(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        rows: &[ServerRow],
    ) -> Result<PreviewedWrite, Failed> {
        let mut tx = self.apps.begin(&app.schema).await?;
        sqlx::raw_sql(BOUNDS).execute(&mut *tx).await?;
        open(&mut tx, app, scope, rows, self.clock.now()).await?;
        sqlx::raw_sql("savepoint unwritten").execute(&mut *tx).await?;
        apply_rows(&mut tx, app, scope, rows).await?;
        let effects = effects(&mut tx, app, scope).await?;
        if effects.groups.is_empty() {
            return Err(ServerWriteError::NoEffect.into());
        }
        let judge = |error| WriteFailure::judge(app, None, error);
        let (bundle_seq, devices) = sqlx::query_as(in_schema(&app.schema, SCOPE))
            .bind(scope)
            .fetch_one(&mut *tx)
            .await
            .map_err(judge)?;
        let afterwards: Vec<EffectRow> = sqlx::query_as(in_schema(&app.schema, ROWS))
            .bind(scope)
            .bind(SHOWN_ROWS)
            .bind(SHOWN_ROW_BYTES)
            .bind(SHOWN_BYTES)
            .fetch_all(&mut *tx)
            .await
            .map_err(judge)?;
        sqlx::raw_sql("rollback to savepoint unwritten").execute(&mut *tx).await?;
        let before = rows_before(&mut tx, app, scope, &afterwards).await.map_err(judge)?;
        tx.rollback().await?;
        Ok(PreviewedWrite {
            bundle_seq,
            devices,
            tables: effects.tables(app),
            rows: afterwards.into_iter().map(|row| row.beside(app, rows, &before)).collect(),
            token: effects.token,
        })
    }
}

/// What the transaction has done to the scope so far. Raises the first violated deferred constraint, as sealing would.
pub(super) async fn effects(
    tx: &mut AppTx,
    app: &AppCatalog,
    scope: &ScopeId,
) -> Result<Effects, WriteFailure> {
    let judge = |error| WriteFailure::judge(app, None, error);
    sqlx::raw_sql("set constraints all immediate").execute(&mut **tx).await.map_err(judge)?;
    let groups: Vec<EffectGroup> = sqlx::query_as(in_schema(&app.schema, GROUPS))
        .bind(scope)
        .fetch_all(&mut **tx)
        .await
        .map_err(judge)?;
    let mut hash = Sha256::new();
    for group in &groups {
        hash.update(group.table_no.to_be_bytes());
        hash.update(group.op.letter());
        hash.update(&group.hash);
    }
    Ok(Effects { groups, token: PreviewToken(lowercase_hex(&hash.finalize())) })
}

impl Effects {
    fn tables(&self, app: &AppCatalog) -> Vec<PreviewedTable> {
        let mut tables: BTreeMap<i32, PreviewedTable> = BTreeMap::new();
        for group in &self.groups {
            let table = tables.entry(group.table_no).or_insert_with(|| PreviewedTable {
                table: name_of(app, group.table_no),
                inserted: 0,
                updated: 0,
                deleted: 0,
            });
            match group.op {
                RowOp::Insert => table.inserted = group.rows,
                RowOp::Update => table.updated = group.rows,
                RowOp::Delete => table.deleted = group.rows,
            }
        }
        tables.into_values().collect()
    }
}

/// A row as it is without the write: its payload, or the bytes of one that is too large to be shown.
type Before = HashMap<(i32, String), Result<String, i64>>;

/// The rows that the write would change, as they are: read under the lock, behind the savepoint.
async fn rows_before(
    tx: &mut AppTx,
    app: &AppCatalog,
    scope: &ScopeId,
    afterwards: &[EffectRow],
) -> Result<Before, sqlx::Error> {
    let mut keys: BTreeMap<i32, Vec<&str>> = BTreeMap::new();
    for row in afterwards.iter().filter(|row| row.op != RowOp::Insert) {
        keys.entry(row.table_no).or_default().push(&row.key);
    }
    let mut before = Before::new();
    for (table_no, keys) in keys {
        let Some(table) = app.table_no(table_no) else { continue };
        let found = live_rows::by_keys(tx, app, table, scope, (keys, SHOWN_ROW_BYTES)).await?;
        before
            .extend(found.into_iter().map(|row| ((table_no, row.key), row.payload.ok_or(row.payload_bytes))));
    }
    Ok(before)
}

impl EffectRow {
    /// The row with what it was before.
    fn beside(self, app: &AppCatalog, asked: &[ServerRow], before: &Before) -> PreviewedRow {
        let table = app.table_no(self.table_no);
        let name = name_of(app, self.table_no);
        let before = before.get(&(self.table_no, self.key.clone()));
        let too_large = match (before, &self.payload) {
            (Some(Err(bytes)), _) => Some(*bytes),
            (_, None) if self.op != RowOp::Delete => Some(self.payload_bytes),
            _ => None,
        };
        let image = |payload: &str| RowImage::read(payload).unwrap_or_default();
        let before = before.and_then(|before| before.as_deref().ok()).map(image);
        let after = self.payload.as_deref().map(image);
        PreviewedRow {
            is_asked_for: asked.iter().any(|row| row.table == name && row.key == self.key),
            columns: match too_large {
                Some(_) => Vec::new(),
                None => compare(table, before.as_ref(), after.as_ref()),
            },
            table: name,
            key: self.key,
            op: self.op,
            row_version: self.prior_version,
            too_large,
        }
    }
}

fn name_of(app: &AppCatalog, table_no: i32) -> String {
    app.table_no(table_no).map(|table| table.name().to_string()).unwrap_or_default()
}
