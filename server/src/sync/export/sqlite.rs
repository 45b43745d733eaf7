//! The rows of a scope as a SQLite database: the tables as a device has them, with their keys and foreign keys.
//!
//! The file is written by a thread of its own, page by page, and is nowhere to be found once it is open for reading.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rusqlite::{Connection, types::Value as Sqlite};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::ExportedRow;
use crate::{
    ids::ScopeId,
    sync::{Engine, history::Cell},
    tables::{
        catalog::{AppCatalog, CatalogTable},
        ident::Ident,
        spec::{ColumnSpec, ColumnType, ForeignKeyAction},
    },
};

/// Pages that wait for the writer.
const WAITING: usize = 2;
/// Bytes of a file, in pages of 4 KiB: 2 GiB.
const MAX_PAGES: u32 = 512 * 1024;
/// Files of exports that were cut off are removed after this time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum SqliteExportError {
    #[error("the user has more rows than fit into a file of 2 GiB")]
    TooLarge,
    #[error("the rows could not be read")]
    Database(#[from] sqlx::Error),
    #[error("the file could not be written")]
    File(#[from] std::io::Error),
    #[error("the file could not be written")]
    Sqlite(#[source] rusqlite::Error),
    #[error("a row is not as its columns are")]
    Row(#[from] serde_json::Error),
}

impl From<rusqlite::Error> for SqliteExportError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::TooLarge,
            _ => Self::Sqlite(error),
        }
    }
}

/// Removes the file when it goes, if it is still there.
struct TemporaryFile(PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // What cannot be removed now is removed by a later export.
        let _ = fs::remove_file(&self.0);
    }
}

impl Engine {
    /// Write the scope's rows into a SQLite file. It is open for reading, and goes when it is closed.
    pub async fn export_sqlite(
        &self,
        app: &Arc<AppCatalog>,
        scope: &ScopeId,
    ) -> Result<fs::File, SqliteExportError> {
        let (pages, waiting) = mpsc::channel(WAITING);
        let catalog = Arc::clone(app);
        let writer = tokio::task::spawn_blocking(move || write_file(&catalog, waiting));
        let mut reader = self.row_reader(app, scope);
        let read = loop {
            match reader.next().await {
                Ok(Some(page)) => {
                    // Nobody takes it any more: the writer has failed, and says why below.
                    if pages.send(page).await.is_err() {
                        break Ok(());
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        drop(pages);
        let written = writer.await.expect("BUG: the writer of an export panicked");
        read?;
        written
    }
}

fn write_file(
    app: &AppCatalog,
    mut pages: mpsc::Receiver<(usize, Vec<ExportedRow>)>,
) -> Result<fs::File, SqliteExportError> {
    let file = TemporaryFile(new_file()?);
    let mut connection = Connection::open(&file.0)?;
    connection.pragma_update(None, "journal_mode", "off")?;
    connection.pragma_update(None, "synchronous", "off")?;
    connection.pragma_update(None, "max_page_count", MAX_PAGES)?;
    connection.pragma_update(None, "foreign_keys", "off")?;
    for table in app.tables() {
        connection.execute(&create_table(table), [])?;
    }
    while let Some((place, rows)) = pages.blocking_recv() {
        let table = &app.tables()[place];
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare(&insert_into(table))?;
            for row in &rows {
                insert.execute(rusqlite::params_from_iter(values(table, &row.payload)?))?;
            }
        }
        transaction.commit()?;
    }
    connection.close().map_err(|(_, error)| error)?;
    Ok(fs::File::open(&file.0)?)
}

/// An empty file that nobody else may read, in a folder of ours.
fn new_file() -> Result<PathBuf, std::io::Error> {
    let folder = std::env::temp_dir().join(format!("syncline-exports-{}", nix::unistd::Uid::effective()));
    fs::DirBuilder::new().mode(0o700).recursive(true).create(&folder)?;
    remove_forgotten(&folder);
    let path = folder.join(format!("{}.sqlite", Uuid::new_v4()));
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok(path)
}

fn remove_forgotten(folder: &Path) {
    let Ok(files) = fs::read_dir(folder) else { return };
    for file in files.flatten() {
        let age = file.metadata().and_then(|facts| facts.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > FORGOTTEN_AFTER) {
            let _ = fs::remove_file(file.path());
        }
    }
}

/// The table in SQLite's words.
fn create_table(table: &CatalogTable) -> String {
    let mut lines: Vec<String> = table.columns().iter().map(|column| column_clause(table, column)).collect();
    for columns in &table.spec.uniques {
        let names: Vec<String> = columns.iter().map(Ident::quoted).collect();
        lines.push(format!("UNIQUE ({})", names.join(", ")));
    }
    format!("CREATE TABLE {} (\n  {}\n)", table.name().quoted(), lines.join(",\n  "))
}

fn column_clause(table: &CatalogTable, column: &ColumnSpec) -> String {
    let mut clause = format!("{} {}", column.name.quoted(), sqlite_type(column.ty));
    if column.name == table.key().column {
        clause.push_str(" PRIMARY KEY");
    }
    if !column.nullable {
        clause.push_str(" NOT NULL");
    }
    for key in table.spec.foreign_keys.iter().filter(|key| key.column == column.name) {
        let _ = write!(clause, " REFERENCES {}", key.parent.quoted());
        for (event, action) in [("DELETE", key.on_delete), ("UPDATE", key.on_update)] {
            if action != ForeignKeyAction::NoAction {
                let _ = write!(clause, " ON {event} {}", action.sql().to_uppercase());
            }
        }
        clause.push_str(" DEFERRABLE INITIALLY DEFERRED");
    }
    clause
}

fn sqlite_type(ty: ColumnType) -> String {
    let name = match ty {
        ColumnType::SmallInt | ColumnType::Integer | ColumnType::BigInt => "INTEGER",
        ColumnType::Real | ColumnType::Double => "REAL",
        ColumnType::Numeric { precision: Some(precision), scale } => {
            return format!("NUMERIC({precision},{scale})");
        }
        ColumnType::Numeric { .. } => "NUMERIC",
        ColumnType::Boolean => "BOOLEAN",
        ColumnType::Varchar { max } => return format!("VARCHAR({max})"),
        ColumnType::Uuid | ColumnType::Bytea => "BLOB",
        ColumnType::Text
        | ColumnType::Json
        | ColumnType::Jsonb
        | ColumnType::Timestamptz
        | ColumnType::Timestamp
        | ColumnType::Date
        | ColumnType::Time => "TEXT",
    };
    name.to_owned()
}

fn insert_into(table: &CatalogTable) -> String {
    let names: Vec<String> = table.columns().iter().map(|column| column.name.quoted()).collect();
    let places = vec!["?"; names.len()].join(", ");
    format!("INSERT INTO {} ({}) VALUES ({places})", table.name().quoted(), names.join(", "))
}

/// The values of a row as a device keeps them, in the order of the columns.
fn values(table: &CatalogTable, payload: &str) -> Result<Vec<Sqlite>, serde_json::Error> {
    let members: std::collections::HashMap<String, &RawValue> = serde_json::from_str(payload)?;
    let value = |column: &ColumnSpec| -> Result<Sqlite, serde_json::Error> {
        let Some(member) = members.get(column.name.as_str()) else { return Ok(Sqlite::Null) };
        Ok(match Cell::read(member)? {
            Cell::Null => Sqlite::Null,
            Cell::Text(text) | Cell::Literal(text) => stored(column.ty, text),
        })
    };
    table.columns().iter().map(value).collect()
}

/// What cannot be read as its type is kept as text: nothing is lost.
fn stored(ty: ColumnType, text: String) -> Sqlite {
    let read = match ty {
        ColumnType::SmallInt | ColumnType::Integer | ColumnType::BigInt => {
            text.parse().ok().map(Sqlite::Integer)
        }
        ColumnType::Real | ColumnType::Double => text.parse().ok().map(Sqlite::Real),
        ColumnType::Boolean => Some(Sqlite::Integer(i64::from(matches!(text.as_str(), "true" | "1")))),
        ColumnType::Uuid => Uuid::parse_str(&text).ok().map(|id| Sqlite::Blob(id.as_bytes().to_vec())),
        ColumnType::Bytea => STANDARD.decode(&text).ok().map(Sqlite::Blob),
        _ => None,
    };
    read.unwrap_or(Sqlite::Text(text))
}
