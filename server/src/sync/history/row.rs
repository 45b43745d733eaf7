//! The history of one row: every version that is retained, the newest first, and the way back to one of them.
//!
//! `_sync_row` knows the bundle that touched the row last, and each bundle, per row, the one before
//! (`_sync_bundle_rows.prior_versions`): the walk goes backwards from bundle to bundle and needs no index of its own.

use sqlx::FromRow;
use time::OffsetDateTime;

use super::{
    Cell,
    compare::{ComparedColumn, RowImage, compare},
};
use crate::{
    ids::{BundleSeq, ScopeId},
    ops::database::in_schema,
    sync::{Engine, keys::RowOp, server_write::ServerRow},
    tables::catalog::{AppCatalog, CatalogTable},
};

/// A row as it is in the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct RowState {
    /// The bundle that touched it last.
    pub row_version: BundleSeq,
    pub deleted: bool,
}

/// Versions of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowHistory {
    pub state: RowState,
    /// The newest first.
    pub versions: Vec<RowVersion>,
    /// The version that the next page begins with.
    pub next: Option<BundleSeq>,
    /// The version before the last one shown has been pruned.
    pub is_pruned: bool,
}

/// A row after one bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowVersion {
    pub version: BundleSeq,
    pub op: RowOp,
    pub source_id: String,
    /// The end user who pushed it; None for the server's writers.
    pub user_id: Option<String>,
    /// The account or key behind a server's writer.
    pub written_by: Option<String>,
    pub committed_at: OffsetDateTime,
    /// What it changed of the version before, whole if there is none. Empty if the row is too large to be shown.
    pub columns: Vec<ComparedColumn>,
    pub too_large: Option<i64>,
}

/// A version is shown with its payload up to this many bytes.
const SHOWN_BYTES: i64 = 64 * 1024;
/// And restored up to this many: more than PostgreSQL holds in a field.
const ANY_BYTES: i64 = i64::MAX;

#[derive(Debug, FromRow)]
struct Step {
    version: BundleSeq,
    prior: BundleSeq,
    #[sqlx(try_from = "String")]
    op: RowOp,
    line: Option<String>,
    line_bytes: i64,
    source_id: String,
    user_id: Option<String>,
    written_by: Option<String>,
    committed_at: OffsetDateTime,
}

const STATE: &str = "select r.row_version, r.deleted
    from {schema}._sync_row r
    where r.scope_id = $1 and r.table_no = $2 and r.key = $3";

/// `$4` is the version to begin with. What a line of a bundle begins with occurs nowhere else in it, as quotes within
/// strings are escaped; looking for it in the whole text first saves splitting the segments that do not have it.
const WALK: &str = r#"
with recursive head as materialized (
    select t.row_head || to_json($3::text)::text || '},"op":"' as text
    from {schema}._sync_table t
    where t.table_no = $2
),
walk as (
    select 0 as step, 0::bigint as version, $4::bigint as prior, null::text as line
    union all
    select w.step + 1, w.prior, f.prior, f.line
    from walk w
    cross join lateral (
        select l.line, l.prior
        from {schema}._sync_bundle_rows s
        cross join head h
        cross join lateral unnest(string_to_array(s.body, E',\n'), s.prior_versions) as l (line, prior)
        where s.scope_id = $1 and s.bundle_seq = w.prior and strpos(s.body, h.text) > 0 and starts_with(l.line, h.text)
        limit 1
    ) f
    where w.step < $5 and w.prior > 0
)
select w.version, w.prior, split_part(substr(w.line, length(h.text) + 1), '"', 1) as op,
    case when octet_length(w.line) <= $6 then w.line end as line, octet_length(w.line)::bigint as line_bytes,
    b.source_id, b.user_id, b.written_by, b.committed_at
from walk w
cross join head h
join {schema}._sync_bundle b on b.scope_id = $1 and b.bundle_seq = w.version
where w.step > 0
order by w.step"#;

/// A row of the scope that the walk is about.
#[derive(Debug, Clone, Copy)]
pub struct RowAddress<'a> {
    pub scope: &'a ScopeId,
    pub table: &'a CatalogTable,
    pub key: &'a str,
}

impl Engine {
    /// The retained versions of a row from `from` on, the newest first; None if there never was such a row.
    pub async fn row_history(
        &self,
        app: &AppCatalog,
        row: RowAddress<'_>,
        from: Option<BundleSeq>,
        limit: i64,
    ) -> Result<Option<RowHistory>, sqlx::Error> {
        let Some(state) = self.row_state(app, row).await? else { return Ok(None) };
        // One more than is shown: the last one's changes are told against it.
        let steps = self.walk(app, row, from.unwrap_or(state.row_version), (limit + 1, SHOWN_BYTES)).await?;
        let shown = usize::try_from(limit).unwrap_or_default().min(steps.len());
        let versions = (0..shown).map(|i| version(row.table, &steps[i], steps.get(i + 1))).collect();
        let is_pruned =
            steps.len() == shown && steps.last().map_or(state.row_version, |last| last.prior) > BundleSeq(0);
        let next = steps.get(shown).map(|step| step.version);
        Ok(Some(RowHistory { state, versions, next, is_pruned }))
    }

    /// Where a row stands; None if there never was one.
    pub async fn row_state(
        &self,
        app: &AppCatalog,
        row: RowAddress<'_>,
    ) -> Result<Option<RowState>, sqlx::Error> {
        let query = sqlx::query_as(in_schema(&app.schema, STATE))
            .bind(row.scope)
            .bind(row.table.table_no())
            .bind(row.key);
        self.apps.optional(&app.schema, query).await
    }

    /// The row after that version: None where that is not retained, or the version deleted it.
    pub async fn row_image(
        &self,
        app: &AppCatalog,
        row: RowAddress<'_>,
        version: BundleSeq,
    ) -> Result<Option<RowImage>, sqlx::Error> {
        let steps = self.walk(app, row, version, (1, ANY_BYTES)).await?;
        Ok(steps.first().and_then(|step| image(step.line.as_deref()?)))
    }

    async fn walk(
        &self,
        app: &AppCatalog,
        row: RowAddress<'_>,
        from: BundleSeq,
        (steps, max_bytes): (i64, i64),
    ) -> Result<Vec<Step>, sqlx::Error> {
        let query = sqlx::query_as(in_schema(&app.schema, WALK))
            .bind(row.scope)
            .bind(row.table.table_no())
            .bind(row.key)
            .bind(from)
            .bind(steps)
            .bind(max_bytes);
        self.apps.all(&app.schema, query).await
    }
}

fn version(table: &CatalogTable, step: &Step, before: Option<&Step>) -> RowVersion {
    let image_of = |step: &Step| step.line.as_deref().and_then(image);
    let too_large = [Some(step), before]
        .into_iter()
        .flatten()
        .find(|step| step.line.is_none())
        .map(|step| step.line_bytes);
    let after = image_of(step);
    let before = before.and_then(image_of);
    RowVersion {
        version: step.version,
        op: step.op,
        source_id: step.source_id.clone(),
        user_id: step.user_id.clone(),
        written_by: step.written_by.clone(),
        committed_at: step.committed_at,
        columns: match too_large {
            Some(_) => Vec::new(),
            None => compare(Some(table), before.as_ref(), after.as_ref()),
        },
        too_large,
    }
}

/// The row in a line of a bundle; None for a deletion.
pub(super) fn image(line: &str) -> Option<RowImage> {
    #[derive(serde::Deserialize)]
    struct Served {
        payload: Option<RowImage>,
    }
    serde_json::from_str::<Served>(line).ok()?.payload
}

/// What makes a row, which stands so now, what `image` says; and the columns that the table has no more.
pub fn restoring(row: RowAddress<'_>, state: Option<RowState>, image: &RowImage) -> (ServerRow, Vec<String>) {
    let key = row.table.key().column.as_str();
    let (mut values, mut lost) = (Vec::new(), Vec::new());
    for (name, cell) in &image.0 {
        match row.table.column(name) {
            Some(_) if name == key => {}
            Some(_) => values.push((name.clone(), sql_text(cell))),
            None => lost.push(name.clone()),
        }
    }
    let is_live = state.is_some_and(|state| !state.deleted);
    let restoring = ServerRow {
        table: row.table.name().to_string(),
        key: row.key.to_owned(),
        op: if is_live { RowOp::Update } else { RowOp::Insert },
        values,
        base_row_version: None,
    };
    (restoring, lost)
}

/// A value as [`ServerRow`] takes it; None for NULL.
pub(in crate::sync) fn sql_text(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Null => None,
        Cell::Text(text) => Some(text.clone()),
        Cell::Literal(literal) => Some(match literal.as_str() {
            "true" => "1".to_owned(),
            "false" => "0".to_owned(),
            number => number.to_owned(),
        }),
    }
}
