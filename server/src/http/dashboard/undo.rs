//! A bundle taken back, as an ordinary bundle. Rows that later bundles have touched are left out unless the person
//! says otherwise of each.

use std::collections::HashMap;

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::json;
use syncline_web::{
    pages::{
        errors::WayOut,
        write_preview::{ChosenRow, RowChoices},
    },
    shell::{Area, Notice},
};

use super::{
    place::scope_in_path,
    server_writes::{self, Noted, WriteForm},
};
use crate::{
    control::{ControlPlane, audit::Action},
    http::{
        extract::{form::Posted, input::ApiPath, member::AppDeveloper},
        page_error::PageError,
    },
    ids::{BundleSeq, ScopeId},
    sync::{
        Engine,
        history::undo::{self, UndoError, UndoPlan, UndoneState},
    },
};

/// The parts of the path that name a bundle.
#[derive(Debug, Deserialize)]
pub struct BundlePath {
    scope: String,
    seq: i64,
}

/// Which of the rows that were touched later are to be overwritten: a field `overwrite-{place}` each.
#[derive(Debug, Default, Deserialize)]
pub struct UndoForm {
    #[serde(default)]
    preview: String,
    #[serde(flatten)]
    fields: HashMap<String, String>,
}

/// Rows to choose from that are listed; of a bundle with more the others are left out.
const LISTED: usize = 200;

pub async fn preview(
    developer: AppDeveloper,
    State(engine): State<Engine>,
    ApiPath(path): ApiPath<BundlePath>,
    Posted(form): Posted<UndoForm>,
) -> Result<Response, PageError> {
    match undo_form(&developer, &engine, &path, &form).await? {
        Ok(write) => server_writes::preview(&developer, &engine, write).await,
        Err(answer) => Ok(answer),
    }
}

pub async fn undo(
    developer: AppDeveloper,
    State(engine): State<Engine>,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<BundlePath>,
    Posted(form): Posted<UndoForm>,
) -> Result<Response, PageError> {
    match undo_form(&developer, &engine, &path, &form).await? {
        Ok(write) => {
            let noted = Noted { action: Action::BundleUndone, detail: json!({ "undone_bundle": path.seq }) };
            server_writes::write(&developer, (&engine, &control), write, &form.preview, noted).await
        }
        Err(answer) => Ok(answer),
    }
}

impl UndoForm {
    fn overwrites(&self, ordinal: usize) -> bool {
        self.fields.contains_key(&field_of(ordinal))
    }
}

fn field_of(ordinal: usize) -> String {
    format!("overwrite-{ordinal}")
}

/// What is to be written, or the answer that says why the bundle cannot be taken back.
async fn undo_form(
    developer: &AppDeveloper,
    engine: &Engine,
    path: &BundlePath,
    form: &UndoForm,
) -> Result<Result<WriteForm, Response>, PageError> {
    let (scope, seq) = (scope_in_path(&path.scope)?, BundleSeq(path.seq));
    let shell = developer.shell(Area::History);
    let bundle = shell.links().bundle(scope.as_str(), &seq.0);
    let catalog = &developer.live().catalog;
    let plan = match engine.undo_plan(catalog, &scope, seq).await {
        Ok(plan) => plan,
        Err(UndoError::NotFound) => return Err(PageError::NotFound),
        Err(UndoError::Database(error)) => return Err(error.into()),
        Err(UndoError::TooLarge { rows, .. }) => {
            let said = format!(
                "Bundle {seq} has {rows} rows. Bundles of more than {} rows or {} MiB cannot be undone here; restore \
                 single rows from their history.",
                undo::MAX_ROWS,
                undo::MAX_BYTES / 1024 / 1024
            );
            developer.notify(Notice::Failed(said)).await?;
            return Ok(Err(Redirect::to(&bundle).into_response()));
        }
    };
    let rows = plan.writes(catalog, |ordinal| form.overwrites(ordinal));
    let chosen = plan.rows.iter().filter(|row| form.overwrites(row.ordinal)).map(|row| field_of(row.ordinal));
    Ok(Ok(WriteForm {
        area: Area::History,
        title: format!("Undo bundle {seq}"),
        lede: "Every row that the bundle touched becomes what it was before, as a new bundle.".to_owned(),
        remarks: remarks(&plan),
        choices: choices(&plan, form, shell.links().undo_bundle_preview(scope.as_str(), &seq.0), &scope),
        back: WayOut { label: format!("Bundle {seq}"), href: bundle },
        action: shell.links().undo_bundle(scope.as_str(), &seq.0),
        label: format!("Undo bundle {seq}"),
        fields: chosen.map(|name| (name, "1".to_owned())).collect(),
        rows,
        scope,
    }))
}

/// The rows that a later bundle has touched, to choose from.
fn choices(plan: &UndoPlan, form: &UndoForm, action: String, scope: &ScopeId) -> Option<RowChoices> {
    let later = plan.rows.iter().filter_map(|row| match &row.state {
        UndoneState::TouchedLater { by, .. } => Some(ChosenRow {
            field: field_of(row.ordinal),
            table: row.table.clone(),
            key: row.key.clone(),
            touched_by: by.0,
            is_chosen: form.overwrites(row.ordinal),
        }),
        _ => None,
    });
    let (rows, rest): (Vec<_>, Vec<_>) = later.enumerate().partition(|(place, _)| *place < LISTED);
    (!rows.is_empty()).then(|| RowChoices {
        action,
        scope: scope.as_str().to_owned(),
        rows: rows.into_iter().map(|(_, row)| row).collect(),
        not_listed: rest.len(),
    })
}

/// What cannot be taken back, and what need not be.
fn remarks(plan: &UndoPlan) -> Vec<String> {
    let count = |is: fn(&UndoneState) -> bool| plan.rows.iter().filter(|row| is(&row.state)).count();
    let rows = |count: usize| if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
    let mut remarks = Vec::new();
    let lost = count(|state| matches!(state, UndoneState::NotRetained));
    if lost > 0 {
        let what = if lost == 1 { "it was" } else { "they were" };
        remarks.push(format!("{} left out: what {what} before is no longer retained.", rows(lost)));
    }
    let gone = count(|state| matches!(state, UndoneState::NoTable));
    if gone > 0 {
        remarks.push(format!("{} left out: the app has no such table any more.", rows(gone)));
    }
    let done = count(|state| matches!(state, UndoneState::NothingToDo));
    if done > 0 {
        remarks.push(format!("{} that the bundle inserted: deleted since, nothing to undo.", rows(done)));
    }
    remarks
}
