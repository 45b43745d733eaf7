//! A table's rows as a file: as many as there are, in a bounded piece of memory.
//!
//! A file is made of parts, each of which goes on behind the last row of the one before, so that no connection is held
//! while a slow reader reads. Rows that change meanwhile are in it as they were when their part was read.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde_json::{json, value::RawValue};
use syncline_web::links::read_segment;

use super::{TablePath, csv_cell, filters::RowsQuery};
use crate::{
    control::{
        ControlPlane,
        audit::{Action, AppAction},
    },
    http::{
        error::ApiError,
        extract::{
            input::{ApiPath, ApiQuery},
            member::AppViewer,
        },
        page_error::PageError,
    },
    ids::ScopeId,
    ops::database::{AppPool, Databases},
    sync::history::Cell,
    tables::{
        browse::{self, BrowseError, FileRow, Wanted},
        catalog::{AppCatalog, CatalogTable},
        filter::Filter,
        inspect::RowCursor,
    },
};

/// The columns of a CSV file that are none of the table's. Names that begin like this are reserved.
pub(super) const SCOPE_HEADER: &str = "_sync_scope";
pub(super) const VERSION_HEADER: &str = "_sync_version";

#[derive(Debug, Clone, Copy)]
enum Format {
    Csv,
    Ndjson,
}

/// What a file is made of, and how far it is.
struct Export {
    apps: AppPool,
    catalog: Arc<AppCatalog>,
    table: String,
    format: Format,
    scope: Option<ScopeId>,
    filters: Vec<Filter>,
    after: Option<RowCursor>,
}

pub async fn csv(
    viewer: AppViewer,
    State(control): State<ControlPlane>,
    State(databases): State<Databases>,
    ApiPath(path): ApiPath<TablePath>,
    ApiQuery(query): ApiQuery<RowsQuery>,
) -> Result<Response, PageError> {
    export(&viewer, (&control, &databases), Format::Csv, &path, &query).await
}

/// One JSON object a line: `{"scope": …, "row_version": …, "row": …}`, the row exactly as devices get it.
pub async fn ndjson(
    viewer: AppViewer,
    State(control): State<ControlPlane>,
    State(databases): State<Databases>,
    ApiPath(path): ApiPath<TablePath>,
    ApiQuery(query): ApiQuery<RowsQuery>,
) -> Result<Response, PageError> {
    export(&viewer, (&control, &databases), Format::Ndjson, &path, &query).await
}

async fn export(
    viewer: &AppViewer,
    (control, databases): (&ControlPlane, &Databases),
    format: Format,
    path: &TablePath,
    query: &RowsQuery,
) -> Result<Response, PageError> {
    let catalog = Arc::clone(&viewer.live().catalog);
    let table = catalog.table(read_segment(&path.table)).ok_or(PageError::NotFound)?;
    let reading = query.read(table, "");
    if !reading.is_right {
        return Err(ApiError::invalid_request(
            "A condition of the address makes no sense: filter the table first, then export.",
        )
        .into());
    }
    let mut export = Export {
        apps: databases.apps.clone(),
        table: table.name().to_string(),
        format,
        scope: reading.scope,
        filters: reading.filters,
        after: None,
        catalog: Arc::clone(&catalog),
    };
    let mut first = export.head()?;
    let begun = export.part().await.map_err(too_slow)?;
    let is_whole = begun.is_none();
    first.extend_from_slice(&begun.unwrap_or_default());
    let detail = json!({
        "table": export.table, "format": format.extension(), "scope": export.scope, "filtered": !export.filters.is_empty(),
    });
    let done = AppAction {
        action: Action::RowsExported,
        subject: export.table.clone(),
        subject_label: &export.table,
        detail,
    };
    control.record_app_action(&viewer.actor(), viewer.app(), done).await?;
    let disposition = content_disposition(&export.table, format.extension());
    let rest = if is_whole { stream::empty().right_stream() } else { export.rest().left_stream() };
    let parts = stream::once(async move { Ok(Bytes::from(first)) }).chain(rest);
    let headers = [
        (header::CONTENT_TYPE, format.content_type().to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, Body::from_stream(parts)).into_response())
}

fn too_slow(error: BrowseError) -> PageError {
    match error {
        BrowseError::Database(error) => error.into(),
        BrowseError::TooSlow => ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "rows_not_found_in_time",
            "The rows were not found in time. Name the user, or export the whole table.",
        )
        .into(),
        BrowseError::Value => {
            ApiError::invalid_request("PostgreSQL does not take a condition’s value.").into()
        }
    }
}

impl Format {
    const fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}

impl Export {
    fn table(&self) -> &CatalogTable {
        self.catalog.table(&self.table).expect("BUG: an export of a table that its catalog does not have")
    }

    /// What stands before the first row.
    fn head(&self) -> Result<Vec<u8>, ApiError> {
        match self.format {
            Format::Ndjson => Ok(Vec::new()),
            Format::Csv => {
                let names = self.table().columns().iter().map(|column| column.name.as_str());
                let names: Vec<_> = names.map(csv_cell::of_text).collect();
                let mut writer = csv::Writer::from_writer(Vec::new());
                let own = [SCOPE_HEADER, VERSION_HEADER];
                writer
                    .write_record(own.into_iter().chain(names.iter().map(AsRef::as_ref)))
                    .map_err(ApiError::internal)?;
                writer.into_inner().map_err(|error| ApiError::internal(error.to_string()))
            }
        }
    }

    /// The next part; None at the end.
    async fn part(&mut self) -> Result<Option<Vec<u8>>, BrowseError> {
        let wanted = Wanted { scope: self.scope.as_ref(), filters: &self.filters };
        let rows =
            browse::file_rows(&self.apps, &self.catalog, self.table(), wanted, self.after.as_ref()).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        let after = RowCursor { scope: last.scope.clone(), key: last.key.clone() };
        let part = match self.format {
            Format::Csv => self.csv_part(&rows),
            Format::Ndjson => ndjson_part(&rows),
        };
        self.after = Some(after);
        part.map(Some).map_err(|error| BrowseError::Database(sqlx::Error::Decode(error)))
    }

    fn csv_part(&self, rows: &[FileRow]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in rows {
            let cells: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&row.payload)?;
            writer.write_field(csv_cell::of_text(row.scope.as_str()).as_ref())?;
            writer.write_field(row.row_version.map(|version| version.to_string()).unwrap_or_default())?;
            for column in self.table().columns() {
                let cell = cells.get(column.name.as_str()).map(|raw| Cell::read(raw)).transpose()?;
                match cell {
                    Some(Cell::Text(text)) if csv_cell::is_free_text(column.ty) => {
                        writer.write_field(csv_cell::of_text(&text).as_ref())?;
                    }
                    Some(Cell::Text(text) | Cell::Literal(text)) => writer.write_field(text)?,
                    Some(Cell::Null) | None => writer.write_field("")?,
                }
            }
            writer.write_record(None::<&[u8]>)?;
        }
        Ok(writer.into_inner().map_err(|error| error.into_error())?)
    }

    /// Everything behind the part before.
    fn rest(self) -> impl Stream<Item = Result<Bytes, BrowseError>> {
        stream::try_unfold(self, |mut export| async move {
            match export.part().await {
                Ok(part) => Ok(part.map(|part| (Bytes::from(part), export))),
                Err(error) => {
                    // The reader sees the transfer break off; it has no other way to hear of it.
                    tracing::error!(app.id = %export.catalog.app, error.cause = %error, "an export ended before its end");
                    Err(error)
                }
            }
        })
    }
}

fn ndjson_part(rows: &[FileRow]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut part = String::new();
    for row in rows {
        let scope = serde_json::to_string(row.scope.as_str())?;
        let version = row.row_version.map_or_else(|| "null".to_owned(), |version| version.to_string());
        part.push_str(&format!("{{\"scope\":{scope},\"row_version\":{version},\"row\":{}}}\n", row.payload));
    }
    Ok(part.into_bytes())
}

/// The name of the file: the table's, and for what knows no other letters than those of ASCII, the like.
fn content_disposition(table: &str, extension: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    let plain: String = table.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut exact = String::new();
    for byte in table.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            exact.push(char::from(byte));
        } else {
            exact.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}.{extension}\"; filename*=UTF-8''{exact}.{extension}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_any_name_makes_a_file_name() {
        assert_eq!(
            content_disposition("a\"b/ü", "csv"),
            "attachment; filename=\"a_b__.csv\"; filename*=UTF-8''a%22b%2F%C3%BC.csv"
        );
    }
}
