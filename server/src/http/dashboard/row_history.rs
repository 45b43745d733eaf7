//! The history of one row, and a version of it restored as an ordinary bundle.

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Deserialize;
use serde_json::json;
use syncline_web::{
    links::{read_segment, with_query},
    pages::{
        errors::WayOut,
        row_history::{RowHistoryPage, RowPlace, RowVersion as ShownVersion, RowVersions},
    },
    shell::Area,
};

use super::{
    history::op,
    place::{scope_in_path, writer},
    server_writes::{self, Noted, WriteForm},
    show,
};
use crate::{
    control::{ControlPlane, audit::Action},
    http::{
        extract::{
            form::Posted,
            input::{ApiPath, ApiQuery, Input},
            member::{AppDeveloper, AppViewer},
            visitor::is_htmx,
        },
        page_error::PageError,
    },
    ids::{BundleSeq, ScopeId},
    sync::{
        Engine,
        history::row::{RowAddress, RowHistory, RowVersion, restoring},
    },
    tables::catalog::{AppCatalog, CatalogTable},
};

/// Versions of one page.
const PAGE: i64 = 20;

/// The parts of the path that name a row.
#[derive(Debug, Deserialize)]
pub struct RowPath {
    scope: String,
    table: String,
    /// Its key.
    row: String,
}

/// From which version on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct VersionsQuery {
    from: Option<i64>,
}

impl Input for VersionsQuery {}

/// Which version is to be restored, and on the second time what was looked at.
#[derive(Debug, Deserialize)]
pub struct RestoreForm {
    version: i64,
    #[serde(default)]
    preview: String,
}

/// A row that a path names, in the app's catalog.
struct NamedRow<'a> {
    scope: ScopeId,
    table: &'a CatalogTable,
    key: &'a str,
}

impl<'a> NamedRow<'a> {
    fn find(catalog: &'a AppCatalog, path: &'a RowPath) -> Result<Self, PageError> {
        let key = read_segment(&path.row);
        let table = catalog.table(read_segment(&path.table)).ok_or(PageError::NotFound)?;
        if key.contains('\0') {
            return Err(PageError::NotFound);
        }
        Ok(Self { scope: scope_in_path(&path.scope)?, table, key })
    }

    fn address(&self) -> RowAddress<'_> {
        RowAddress { scope: &self.scope, table: self.table, key: self.key }
    }

    fn place(&self) -> RowPlace {
        RowPlace {
            scope: self.scope.as_str().to_owned(),
            table: self.table.name().to_string(),
            key: self.key.to_owned(),
        }
    }
}

pub async fn page(
    viewer: AppViewer,
    State(engine): State<Engine>,
    headers: HeaderMap,
    ApiPath(path): ApiPath<RowPath>,
    ApiQuery(query): ApiQuery<VersionsQuery>,
) -> Result<Response, PageError> {
    let catalog = &viewer.live().catalog;
    let row = NamedRow::find(catalog, &path)?;
    let from = query.from.filter(|from| *from > 0).map(BundleSeq);
    let history = engine.row_history(catalog, row.address(), from, PAGE).await?.ok_or(PageError::NotFound)?;
    let shell = viewer.shell(Area::History);
    let next = history.next.map(|next| {
        let place = row.place();
        let address = shell.links().row_history(&place.scope, &place.table, &place.key);
        with_query(&address, &[("from", &next.to_string())])
    });
    let RowHistory { state, versions, is_pruned, .. } = history;
    let versions = RowVersions {
        shell: shell.clone(),
        row: row.place(),
        versions: versions.into_iter().map(|it| version(it, state.row_version)).collect(),
        next,
        is_pruned,
    };
    if is_htmx(&headers) {
        return show(&versions);
    }
    show(&RowHistoryPage {
        shell,
        row: row.place(),
        current: state.row_version.0,
        is_deleted: state.deleted,
        versions,
        is_continued: from.is_some(),
    })
}

fn version(version: RowVersion, current: BundleSeq) -> ShownVersion {
    ShownVersion {
        is_current: version.version == current,
        version: version.version.0,
        op: op(version.op),
        writer: writer(version.source_id, version.written_by),
        user: version.user_id,
        committed_at: version.committed_at,
        columns: version.columns.into_iter().map(server_writes::column).collect(),
        too_large: version.too_large,
    }
}

pub async fn preview_restore(
    developer: AppDeveloper,
    State(engine): State<Engine>,
    ApiPath(path): ApiPath<RowPath>,
    Posted(form): Posted<RestoreForm>,
) -> Result<Response, PageError> {
    let write = restore_form(&developer, &engine, &path, form.version).await?;
    server_writes::preview(&developer, &engine, write).await
}

pub async fn restore(
    developer: AppDeveloper,
    State(engine): State<Engine>,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<RowPath>,
    Posted(form): Posted<RestoreForm>,
) -> Result<Response, PageError> {
    let write = restore_form(&developer, &engine, &path, form.version).await?;
    let detail = json!({ "table": write.rows[0].table, "key": write.rows[0].key, "version": form.version });
    let noted = Noted { action: Action::RowRestored, detail };
    server_writes::write(&developer, (&engine, &control), write, &form.preview, noted).await
}

/// The row as it was after that version; not found where that is not retained, or there was no row.
async fn restore_form(
    developer: &AppDeveloper,
    engine: &Engine,
    path: &RowPath,
    version: i64,
) -> Result<WriteForm, PageError> {
    let catalog = &developer.live().catalog;
    let row = NamedRow::find(catalog, path)?;
    let image = engine.row_image(catalog, row.address(), BundleSeq(version)).await?;
    let image = image.ok_or(PageError::NotFound)?;
    let state = engine.row_state(catalog, row.address()).await?;
    let (restored, lost) = restoring(row.address(), state, &image);
    let shell = developer.shell(Area::History);
    let place = row.place();
    let links = shell.links();
    Ok(WriteForm {
        area: Area::History,
        title: format!("Restore version {version} of {} {}", place.table, place.key),
        lede: format!(
            "The row becomes what it was after bundle {version}, as a new bundle. Everything since stays in its history."
        ),
        remarks: lost_columns(&lost),
        choices: None,
        back: WayOut {
            label: "History of the row".to_owned(),
            href: links.row_history(&place.scope, &place.table, &place.key),
        },
        action: links.restore_row(&place.scope, &place.table, &place.key),
        label: format!("Restore version {version}"),
        fields: vec![("version".to_owned(), version.to_string())],
        rows: vec![restored],
        scope: row.scope.clone(),
    })
}

fn lost_columns(lost: &[String]) -> Vec<String> {
    match lost {
        [] => Vec::new(),
        lost => vec![format!(
            "The table no longer has {}; what that version had there is left out.",
            lost.join(", ")
        )],
    }
}
