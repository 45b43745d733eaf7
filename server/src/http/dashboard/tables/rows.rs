//! One row: looked at, inserted, edited, deleted. Every change is previewed, then written as a bundle that devices receive.

use std::collections::BTreeMap;

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use serde_json::json;
use syncline_web::{
    links::read_segment,
    pages::{
        errors::WayOut,
        table_rows::{ConflictColumn, RowConflictPage, RowFacts, RowForm, RowPage},
        values::Value,
    },
    shell::Area,
};

use super::{TablePath, cells, row_form};
use crate::{
    control::{ControlPlane, audit::Action},
    http::{
        dashboard::{
            history::value,
            server_writes::{self, Noted, WriteForm},
            show, show_as,
        },
        error::ApiError,
        extract::{
            form::Posted,
            input::{ApiPath, ApiQuery, Input},
            member::{AppDeveloper, AppViewer},
        },
        page_error::PageError,
    },
    ids::ScopeId,
    ops::database::Databases,
    sync::{Engine, history::Cell, keys::RowOp, server_write::ServerRow},
    tables::{
        catalog::{AppCatalog, CatalogTable},
        inspect::{self, BrowsedRow},
    },
};

/// Which row.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RowQuery {
    scope: String,
    key: String,
}

impl Input for RowQuery {}

/// The form of a row as it was posted.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Vec<(String, String)>")]
pub struct RowInput {
    pub(super) op: String,
    pub(super) scope: String,
    pub(super) key: String,
    pub(super) base: String,
    preview: String,
    /// By column: `value`, `null` or `default`.
    pub(super) states: BTreeMap<String, String>,
    pub(super) values: BTreeMap<String, String>,
}

impl From<Vec<(String, String)>> for RowInput {
    fn from(fields: Vec<(String, String)>) -> Self {
        let mut input = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "op" => input.op = value,
                "scope" => input.scope = value,
                "key" => input.key = value,
                "base" => input.base = value,
                "preview" => input.preview = value,
                _ => {
                    if let Some(column) = name.strip_prefix("state.") {
                        input.states.insert(column.to_owned(), value);
                    } else if let Some(column) = name.strip_prefix("value.") {
                        input.values.insert(column.to_owned(), value);
                    }
                }
            }
        }
        input
    }
}

pub async fn page(
    viewer: AppViewer,
    State(databases): State<Databases>,
    ApiPath(path): ApiPath<TablePath>,
    ApiQuery(query): ApiQuery<RowQuery>,
) -> Result<Response, PageError> {
    let catalog = &viewer.live().catalog;
    let table = table_of(catalog, &path)?;
    if query.scope.is_empty() {
        return Err(ApiError::invalid_request("The address names no row: open one from the table.").into());
    }
    let scope = ScopeId::parse(&query.scope).map_err(|_| PageError::NotFound)?;
    let row = find(&databases, catalog, table, &scope, &query.key).await?.ok_or(PageError::NotFound)?;
    let form = row_form::of_row(table, &row)?;
    show(&row_page(&viewer, table, Some(&row), form))
}

/// An empty form.
pub async fn new(
    developer: AppDeveloper,
    ApiPath(path): ApiPath<TablePath>,
    ApiQuery(query): ApiQuery<RowQuery>,
) -> Result<Response, PageError> {
    let table = table_of(&developer.live().catalog, &path)?;
    let form = row_form::empty(table, &query.scope);
    show(&row_page(&developer, table, None, form))
}

/// Say what is wrong with the form, or show what it would do.
pub async fn preview(
    developer: AppDeveloper,
    State(engine): State<Engine>,
    State(databases): State<Databases>,
    ApiPath(path): ApiPath<TablePath>,
    Posted(input): Posted<RowInput>,
) -> Result<Response, PageError> {
    let catalog = &developer.live().catalog;
    let table = table_of(catalog, &path)?;
    let Some(op) = RowOp::parse(&input.op) else { return Err(super::stale_form()) };
    let scope = ScopeId::parse(&input.scope).ok();
    let now = match &scope {
        Some(scope) if op != RowOp::Insert => find(&databases, catalog, table, scope, &input.key).await?,
        _ => None,
    };
    if op != RowOp::Insert && now.as_ref().and_then(|row| row.row_version) != input.base.parse().ok() {
        return conflict(&developer, table, &input, now.as_ref());
    }
    let change = match row_form::read(table, &input, op, now.as_ref()) {
        Ok(change) => change,
        Err(form) => return refused(&developer, table, now.as_ref(), *form),
    };
    let form = write_form(&developer, table, change);
    server_writes::preview(&developer, &engine, form).await
}

/// Do what was shown.
pub async fn write(
    developer: AppDeveloper,
    State(engine): State<Engine>,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<TablePath>,
    Posted(input): Posted<RowInput>,
) -> Result<Response, PageError> {
    let table = table_of(&developer.live().catalog, &path)?;
    let Some(op) = RowOp::parse(&input.op) else { return Err(super::stale_form()) };
    // The preview's form names the columns that change and no others. Its token stands for the versions that they were
    // compared with.
    let mut change = match row_form::read(table, &input, op, None) {
        Ok(change) => change,
        Err(form) => return refused(&developer, table, None, *form),
    };
    change.row.base_row_version = None;
    let noted = Noted {
        action: Action::RowsWritten,
        detail: json!({ "table": table.name().as_str(), "op": op.as_str(), "keys": 1 }),
    };
    let form = write_form(&developer, table, change);
    server_writes::write(&developer, (&engine, &control), form, &input.preview, noted).await
}

fn table_of<'a>(catalog: &'a AppCatalog, path: &TablePath) -> Result<&'a CatalogTable, PageError> {
    catalog.table(read_segment(&path.table)).ok_or(PageError::NotFound)
}

async fn find(
    databases: &Databases,
    catalog: &AppCatalog,
    table: &CatalogTable,
    scope: &ScopeId,
    key: &str,
) -> Result<Option<BrowsedRow>, PageError> {
    let mut tx = databases.apps.begin(&catalog.schema).await?;
    let row = inspect::row(&mut tx, catalog, table, scope, key).await?;
    tx.commit().await?;
    Ok(row)
}

fn row_page(viewer: &AppViewer, table: &CatalogTable, row: Option<&BrowsedRow>, form: RowForm) -> RowPage {
    RowPage {
        shell: viewer.shell(Area::Tables),
        table: table.name().to_string(),
        row: row.map(|row| RowFacts {
            scope: row.scope.as_str().to_owned(),
            key: row.key.clone(),
            version: row.row_version,
            too_large: row.payload.is_none().then_some(row.payload_bytes.into()),
        }),
        form,
    }
}

fn refused(
    developer: &AppDeveloper,
    table: &CatalogTable,
    row: Option<&BrowsedRow>,
    form: RowForm,
) -> Result<Response, PageError> {
    show_as(StatusCode::UNPROCESSABLE_ENTITY, &row_page(developer, table, row, form))
}

fn write_form(developer: &AppDeveloper, table: &CatalogTable, change: row_form::Change) -> WriteForm {
    let row_form::Change { scope, row, fields } = change;
    let links = developer.shell(Area::Tables).links().clone();
    let (name, key) = (table.name().as_str(), row.key.clone());
    let (title, label) = match row.op {
        RowOp::Insert => (format!("Insert a row into {name}"), "Insert the row"),
        RowOp::Update => (format!("Change a row of {name}"), "Change the row"),
        RowOp::Delete => (format!("Delete a row of {name}"), "Delete the row"),
    };
    let back = match row.op {
        RowOp::Insert => WayOut { label: name.to_owned(), href: links.table(name) },
        _ => WayOut { label: key.clone(), href: links.row(name, scope.as_str(), &key) },
    };
    WriteForm {
        area: Area::Tables,
        scope,
        rows: vec![row],
        title,
        lede: "This is what devices will receive. Nothing has been written yet.".to_owned(),
        remarks: Vec::new(),
        choices: None,
        back,
        action: links.row_write(name),
        label: label.to_owned(),
        fields,
    }
}

/// Both versions, and ways to go on.
fn conflict(
    developer: &AppDeveloper,
    table: &CatalogTable,
    input: &RowInput,
    now: Option<&BrowsedRow>,
) -> Result<Response, PageError> {
    let cells = match now.and_then(|row| row.payload.as_deref()) {
        Some(payload) => cells(payload)?,
        None => BTreeMap::new(),
    };
    let version = now.and_then(|row| row.row_version);
    let mut columns = Vec::new();
    for column in table.columns().iter().filter(|column| column.name != table.key().column) {
        let name = column.name.as_str();
        let yours = row_form::typed_value(input, column);
        let yours = yours.map(|text| text.as_deref().map_or(Value::Null, Value::text));
        let now = cells.get(name).cloned().map(|cell: Cell| value(cell));
        columns.push(ConflictColumn { name: name.to_owned(), yours, now });
    }
    let mut fields: Vec<(String, String)> = vec![
        ("op".to_owned(), input.op.clone()),
        ("scope".to_owned(), input.scope.clone()),
        ("key".to_owned(), input.key.clone()),
        ("base".to_owned(), version.map(|version| version.to_string()).unwrap_or_default()),
    ];
    fields.extend(input.states.iter().map(|(name, state)| (format!("state.{name}"), state.clone())));
    fields.extend(input.values.iter().map(|(name, value)| (format!("value.{name}"), value.clone())));
    show_as(
        StatusCode::CONFLICT,
        &RowConflictPage {
            shell: developer.shell(Area::Tables),
            table: table.name().to_string(),
            scope: input.scope.clone(),
            key: input.key.clone(),
            base: input.base.clone(),
            version,
            columns: if input.op == RowOp::Delete.as_str() { Vec::new() } else { columns },
            fields,
        },
    )
}

/// What is to be written, if nothing is wrong with it.
impl row_form::Change {
    pub(super) fn new(scope: ScopeId, row: ServerRow, fields: Vec<(String, String)>) -> Self {
        Self { scope, row, fields }
    }
}
