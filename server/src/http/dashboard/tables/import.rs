//! Rows from a CSV file: what they would do, and then exactly that, as bundles of their users.
//!
//! The dry run compares every line with the row that is there and has the database try the writes. What it has shown is
//! named by a digest; the import compares again, and writes only if the digest is the same. Every row is written on the
//! version that it was compared with, so that nothing that happens in between is overwritten.

use std::collections::{BTreeMap, HashMap};

use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::json;
use sha2::{Digest, Sha256};
use syncline_web::{
    links::read_segment,
    pages::table_import::{
        DryRun, ImportForm, ImportInput, ImportLine, ImportOutcome, ImportPage, ImportReport, WrittenPart,
    },
    shell::Area,
};

use super::{
    TablePath,
    import_file::{self, ImportFile, Line, Problems},
    row_form,
};
use crate::{
    control::{
        ControlPlane,
        audit::{Action, AppAction},
    },
    http::{
        dashboard::{server_writes::writer, show_as},
        extract::{form::Posted, input::ApiPath, member::AppDeveloper},
        page_error::PageError,
    },
    ids::ScopeId,
    ops::database::Databases,
    sync::{
        Engine,
        keys::RowOp,
        server_write::{ServerRow, ServerWriteError},
    },
    tables::{
        catalog::{AppCatalog, CatalogTable},
        inspect::{self, BrowsedRow},
    },
};

/// Bytes of the form: the file, written as forms are, is up to three times as long.
const MAX_FORM: usize = 12 * 1024 * 1024;
/// Bytes of the file.
const MAX_FILE: usize = 4 * 1024 * 1024;
/// Rows of one bundle, which is all or nothing; the page names the number.
const BUNDLE_ROWS: usize = 5_000;
/// Keys that are looked up at once.
const LOOKED_UP: usize = 500;
/// Users for whom a dry run tries the writes.
const TRIED_SCOPES: usize = 25;
/// Lines that are shown.
const SHOWN_LINES: usize = 100;

/// What a file would do.
struct Plan {
    run: DryRun,
    /// Rows to write, with the lines they come from.
    writes: BTreeMap<ScopeId, Vec<(i64, ServerRow)>>,
}

pub async fn page(developer: AppDeveloper, ApiPath(path): ApiPath<TablePath>) -> Result<Response, PageError> {
    let table = table_of(&developer, &path)?;
    answer(&developer, table, ImportForm::default(), ImportOutcome::None, StatusCode::OK)
}

/// Say what the file would do.
pub async fn dry_run(
    developer: AppDeveloper,
    State(engine): State<Engine>,
    State(databases): State<Databases>,
    ApiPath(path): ApiPath<TablePath>,
    Posted(input): Posted<ImportInput, MAX_FORM>,
) -> Result<Response, PageError> {
    let table = table_of(&developer, &path)?;
    let plan = match plan(&developer, &engine, &databases, table, &input).await? {
        Ok(plan) => plan,
        Err(form) => {
            return answer(&developer, table, *form, ImportOutcome::None, StatusCode::UNPROCESSABLE_ENTITY);
        }
    };
    let status = if plan.run.problem_count > 0 { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    answer(&developer, table, ImportForm::from(&input), ImportOutcome::DryRun(plan.run), status)
}

/// Do what the dry run has shown.
pub async fn apply(
    developer: AppDeveloper,
    State(engine): State<Engine>,
    State(databases): State<Databases>,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<TablePath>,
    Posted(input): Posted<ImportInput, MAX_FORM>,
) -> Result<Response, PageError> {
    let table = table_of(&developer, &path)?;
    let plan = match plan(&developer, &engine, &databases, table, &input).await? {
        Ok(plan) => plan,
        Err(form) => {
            return answer(&developer, table, *form, ImportOutcome::None, StatusCode::UNPROCESSABLE_ENTITY);
        }
    };
    if plan.run.problem_count > 0 || plan.run.seen != input.seen {
        let run = DryRun { is_renewed: plan.run.seen != input.seen, ..plan.run };
        return answer(
            &developer,
            table,
            ImportForm::from(&input),
            ImportOutcome::DryRun(run),
            StatusCode::CONFLICT,
        );
    }
    let report = write(&developer, &engine, plan.writes).await?;
    let bundles: Vec<_> = report
        .bundles
        .iter()
        .take(100)
        .map(|part| json!({ "scope": part.scope, "bundle_seq": part.seq }))
        .collect();
    let detail = json!({
        "table": table.name().as_str(), "rows": report.rows, "bundle_count": report.bundles.len(), "bundles": bundles,
        "complete": report.stopped.is_none(),
    });
    let (subject, subject_label) = (table.name().to_string(), table.name().as_str());
    let done = AppAction { action: Action::RowsImported, subject, subject_label, detail };
    control.record_app_action(&developer.actor(), developer.app(), done).await?;
    let status = if report.stopped.is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
    let form = if report.stopped.is_some() { ImportForm::from(&input) } else { ImportForm::default() };
    answer(&developer, table, form, ImportOutcome::Done(report), status)
}

fn table_of<'a>(developer: &'a AppDeveloper, path: &TablePath) -> Result<&'a CatalogTable, PageError> {
    developer.live().catalog.table(read_segment(&path.table)).ok_or(PageError::NotFound)
}

fn answer(
    developer: &AppDeveloper,
    table: &CatalogTable,
    form: ImportForm,
    outcome: ImportOutcome,
    status: StatusCode,
) -> Result<Response, PageError> {
    show_as(
        status,
        &ImportPage {
            shell: developer.shell(Area::Tables),
            table: table.name().to_string(),
            key_column: table.key().column.to_string(),
            columns: table.columns().iter().map(|column| column.name.to_string()).collect(),
            form,
            outcome,
        },
    )
}

/// Compare the file with what is there; or the form with what is wrong in it.
async fn plan(
    developer: &AppDeveloper,
    engine: &Engine,
    databases: &Databases,
    table: &CatalogTable,
    input: &ImportInput,
) -> Result<Result<Plan, Box<ImportForm>>, PageError> {
    let mut form = ImportForm::from(input);
    let scope = match ScopeId::parse(&input.scope) {
        _ if input.scope.is_empty() => None,
        Ok(scope) => Some(scope),
        Err(invalid) => {
            form.scope.reject(format!("This is no user’s id: {invalid}."));
            return Ok(Err(Box::new(form)));
        }
    };
    // Browsers send every line of a form with a carriage return; those of the file cannot be told from these.
    let text = input.csv.replace("\r\n", "\n");
    if text.len() > MAX_FILE {
        form.csv = "".into();
        form.csv.reject("The file is larger than 4 MB. Split it.");
        return Ok(Err(Box::new(form)));
    }
    let file = import_file::read(table, &text, scope.as_ref(), input.literal.0);
    let catalog = &developer.live().catalog;
    let mut plan = compare(databases, catalog, table, file, &text).await?;
    if plan.run.problem_count == 0 {
        try_out(engine, catalog, &mut plan).await?;
    }
    Ok(Ok(plan))
}

async fn compare(
    databases: &Databases,
    catalog: &AppCatalog,
    table: &CatalogTable,
    file: ImportFile,
    text: &str,
) -> Result<Plan, PageError> {
    let ImportFile { rows, mut problems } = file;
    let mut digest = Sha256::new();
    digest.update(text.as_bytes());
    let mut run = DryRun::default();
    let mut writes: BTreeMap<ScopeId, Vec<(i64, ServerRow)>> = BTreeMap::new();
    for (scope, lines) in rows {
        for lines in lines.chunks(LOOKED_UP) {
            let keys: Vec<&str> = lines.iter().map(|line| line.key.as_str()).collect();
            let mut tx = databases.apps.begin(&catalog.schema).await?;
            let found = inspect::rows_of_keys(&mut tx, catalog, table, &scope, &keys).await?;
            tx.commit().await?;
            let found: HashMap<&str, &BrowsedRow> = found.iter().map(|row| (row.key.as_str(), row)).collect();
            for line in lines {
                let now = found.get(line.key.as_str()).copied();
                digest.update(format!("{} {:?};", line.line, now.map(|row| row.row_version)));
                let Some(row) = compare_line(table, line, now, &mut run, &mut problems) else { continue };
                if run.lines.len() < SHOWN_LINES {
                    run.lines.push(ImportLine {
                        line: line.line,
                        scope: scope.as_str().to_owned(),
                        key: row.key.clone(),
                        is_insert: row.op == RowOp::Insert,
                        columns: row.values.iter().map(|(name, _)| name.clone()).collect(),
                    });
                }
                writes.entry(scope.clone()).or_default().push((line.line, row));
            }
        }
    }
    run.scopes = writes.len() as i64;
    run.seen = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    run.problems = problems.first;
    run.problem_count = problems.count;
    Ok(Plan { run, writes })
}

/// What a line does; None: nothing.
fn compare_line(
    table: &CatalogTable,
    line: &Line,
    now: Option<&BrowsedRow>,
    run: &mut DryRun,
    problems: &mut Problems,
) -> Option<ServerRow> {
    let row = |op, values, base_row_version| ServerRow {
        table: table.name().to_string(),
        key: line.key.clone(),
        op,
        values,
        base_row_version,
    };
    let Some(now) = now else {
        if let Some(version) = line.version {
            problems.add(
                Some(line.line),
                format!("The file has version {version} of this row, but it has been deleted since. Empty the version to insert it."),
            );
            return None;
        }
        run.inserts += 1;
        return Some(row(RowOp::Insert, line.values.clone(), None));
    };
    let cells = row_form::cells_of(now);
    let differs = |(name, value): &&(String, Option<String>)| {
        row_form::differs(table, cells.as_ref(), name, value.as_deref())
    };
    let values: Vec<_> = line.values.iter().filter(differs).cloned().collect();
    if values.is_empty() {
        run.unchanged += 1;
        return None;
    }
    if let (Some(version), Some(newer)) =
        (line.version, now.row_version.filter(|now| Some(*now) != line.version))
    {
        problems.add(
            Some(line.line),
            format!("The file has version {version} of this row, but it has been changed since, to version {newer}."),
        );
        return None;
    }
    run.updates += 1;
    Some(row(RowOp::Update, values, now.row_version))
}

/// Have the database try the writes of the first users, for the rules that only it knows.
async fn try_out(engine: &Engine, catalog: &AppCatalog, plan: &mut Plan) -> Result<(), PageError> {
    let mut problems = Problems::default();
    for (scope, rows) in plan.writes.iter().take(TRIED_SCOPES) {
        for rows in rows.chunks(BUNDLE_ROWS).take(1) {
            let (from, to) = span(rows);
            let rows: Vec<ServerRow> = rows.iter().map(|(_, row)| row.clone()).collect();
            match engine.preview_write(catalog, scope, &rows).await {
                Ok(_) | Err(ServerWriteError::NoEffect) => {}
                Err(error) => {
                    problems.add(None, format!("Lines {from} to {to}, user {scope}: {}", reason(error)?))
                }
            }
        }
    }
    let is_partly_tried =
        plan.writes.len() > TRIED_SCOPES || plan.writes.values().any(|rows| rows.len() > BUNDLE_ROWS);
    plan.run.tried_scopes = is_partly_tried.then_some(TRIED_SCOPES as i64);
    plan.run.problem_count += problems.count;
    plan.run.problems.extend(problems.first);
    Ok(())
}

/// Write everything, bundle by bundle; stop at the first that is refused.
async fn write(
    developer: &AppDeveloper,
    engine: &Engine,
    writes: BTreeMap<ScopeId, Vec<(i64, ServerRow)>>,
) -> Result<ImportReport, PageError> {
    let (catalog, writer) = (&developer.live().catalog, writer(developer));
    let mut report = ImportReport::default();
    for (scope, rows) in writes {
        for rows in rows.chunks(BUNDLE_ROWS) {
            let (from, to) = span(rows);
            let rows: Vec<ServerRow> = rows.iter().map(|(_, row)| row.clone()).collect();
            let count = rows.len() as i64;
            match engine.write(catalog, &scope, &writer, rows).await {
                Ok(written) => {
                    report.rows += count;
                    let (scope, seq) = (scope.as_str().to_owned(), written.bundle_seq.0);
                    report.bundles.push(WrittenPart { scope, seq, rows: count });
                }
                Err(ServerWriteError::NoEffect) => {}
                Err(error) => {
                    report.stopped = Some(format!(
                        "Lines {from} to {to} of user {scope} could not be written: {} What is listed below was written; \
                         nothing else was. Run the same file again to go on: lines that are written already change nothing.",
                        reason(error)?
                    ));
                    return Ok(report);
                }
            }
        }
    }
    Ok(report)
}

/// The first and the last line of some rows.
fn span(rows: &[(i64, ServerRow)]) -> (i64, i64) {
    let lines = || rows.iter().map(|(line, _)| *line);
    (lines().min().unwrap_or(0), lines().max().unwrap_or(0))
}

/// Why a write was refused, as a sentence.
fn reason(error: ServerWriteError) -> Result<String, PageError> {
    Ok(match error {
        ServerWriteError::Database(error) => return Err(error.into()),
        ServerWriteError::Constraint(refusal) => {
            let place = match (&refusal.column, &refusal.constraint) {
                (Some(columns), _) => format!(" ({columns})"),
                (None, Some(constraint)) => format!(" ({constraint})"),
                (None, None) => String::new(),
            };
            format!("{}{place}.", refusal.kind)
        }
        ServerWriteError::Conflict(conflict) => conflict.sentence(),
        ServerWriteError::ScopeInitializing => {
            "a device is filling this user’s data; try again later.".to_owned()
        }
        ServerWriteError::Busy => "other writes are in the way; try again.".to_owned(),
        other => format!("{other}."),
    })
}
