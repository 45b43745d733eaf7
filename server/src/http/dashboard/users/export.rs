//! Everything of a user, to be taken away.

use axum::{
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, stream};
use tokio::{io::AsyncReadExt as _, sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    app::Syncline,
    http::{
        dashboard::place::{ScopePath, scope_in_path},
        error::ApiError,
        extract::{input::ApiPath, member::AppDeveloper},
        page_error::PageError,
    },
    ids::ScopeId,
    sync::export::sqlite::SqliteExportError,
};

/// How long a SQLite file may take to be written.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10 * 60);
const READ_BYTES: usize = 128 * 1024;

/// Rows, history, devices and ledgers, a line of JSON each, while they are read.
pub async fn export_lines(
    developer: AppDeveloper,
    State(server): State<Syncline>,
    ApiPath(path): ApiPath<ScopePath>,
) -> Result<Response, PageError> {
    let scope = scope_in_path(&path.scope)?;
    let place = begin(&developer, &server, &scope, "ndjson").await?;
    let lines = server.engine.export_lines(&developer.live().catalog, &scope);
    let lines = lines.map(move |piece| {
        let _while_it_is_read = &place;
        piece
    });
    Ok(download(Body::from_stream(lines), "application/x-ndjson", &file_name(&scope, "ndjson")))
}

/// The rows, as a SQLite file with the app's tables.
pub async fn export_sqlite(
    developer: AppDeveloper,
    State(server): State<Syncline>,
    ApiPath(path): ApiPath<ScopePath>,
) -> Result<Response, PageError> {
    let scope = scope_in_path(&path.scope)?;
    let place = begin(&developer, &server, &scope, "sqlite").await?;
    let written = timeout(PATIENCE, server.engine.export_sqlite(&developer.live().catalog, &scope)).await;
    let file = match written {
        Ok(Ok(file)) => tokio::fs::File::from_std(file),
        Ok(Err(error)) => return Err(failed(error)),
        Err(_) => {
            return Err(ApiError::unavailable(
                "The file takes too long to write. Export the lines of JSON instead.",
            )
            .into());
        }
    };
    let pieces = stream::try_unfold((file, place), |(mut file, place)| async move {
        let mut piece = Vec::with_capacity(READ_BYTES);
        let read = (&mut file).take(READ_BYTES as u64).read_to_end(&mut piece).await?;
        Ok::<_, std::io::Error>((read > 0).then_some((piece, (file, place))))
    });
    Ok(download(Body::from_stream(pieces), "application/vnd.sqlite3", &file_name(&scope, "sqlite")))
}

/// A place, if the user exists; and the entry in the audit log.
async fn begin(
    developer: &AppDeveloper,
    server: &Syncline,
    scope: &ScopeId,
    format: &'static str,
) -> Result<OwnedSemaphorePermit, PageError> {
    server.engine.scope(&developer.live().catalog, scope).await?.ok_or(PageError::NotFound)?;
    let busy = || ApiError::unavailable("Several exports are running already. Try again in a minute.");
    let place = server.engine.export_place().ok_or_else(|| busy().retry_after(30))?;
    server.control.note_user_exported(&developer.actor(), developer.app(), scope, format).await?;
    Ok(place)
}

fn failed(error: SqliteExportError) -> PageError {
    match error {
        SqliteExportError::TooLarge => ApiError::bad_request(
            "export_too_large",
            "This user has more rows than fit into a file of 2 GiB. Export the lines of JSON instead.",
        )
        .into(),
        SqliteExportError::Database(error) => error.into(),
        other => ApiError::internal(other).into(),
    }
}

fn download(body: Body, content_type: &'static str, file_name: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{file_name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, body).into_response()
}

/// Letters and digits of the user's id: what every file system takes.
fn file_name(scope: &ScopeId, extension: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = scope.as_str().chars().map(plain).take(60).collect();
    let name = name.trim_matches('-');
    format!("{}.{extension}", if name.is_empty() { "user" } else { name })
}
