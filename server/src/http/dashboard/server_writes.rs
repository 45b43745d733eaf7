//! Writes to an app's rows from the dashboard: looked at first, then done exactly so, and audited.
//!
//! A page that wants rows written builds them and a [`WriteForm`]; [`preview`] answers with what they would do, and
//! [`write()`] does it when the person has confirmed. Both are for developers and up.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use syncline_web::{
    pages::{
        errors::WayOut,
        write_preview::{
            ChangedColumn, Confirm, PreviewRow, Previewed, RefusedPlace, RowChoices, TableChanges,
            WritePreview, WritePreviewPage, WriteRefused,
        },
    },
    shell::{Area, Notice},
};

use super::{
    history::{op, value},
    rejected_writes::rule,
    show_as,
};
use crate::{
    control::{
        ControlPlane,
        audit::{Action, AppAction},
    },
    http::{extract::member::AppDeveloper, page_error::PageError},
    ids::{ScopeId, SourceId},
    sync::{
        Engine,
        history::compare::ComparedColumn,
        server_write::{
            ServerRow, ServerWriteError, ServerWriter, WrittenBundle,
            preview::{PreviewToken, PreviewedRow, PreviewedWrite},
        },
    },
    tables::catalog::AppCatalog,
};

/// Rows that somebody wants written, and the words around them.
#[derive(Debug, Clone)]
pub(super) struct WriteForm {
    pub(super) area: Area,
    pub(super) scope: ScopeId,
    pub(super) rows: Vec<ServerRow>,
    /// `Restore version 12`.
    pub(super) title: String,
    pub(super) lede: String,
    /// What the person should know besides what the preview shows.
    pub(super) remarks: Vec<String>,
    /// Rows that are left out unless the person chooses them.
    pub(super) choices: Option<RowChoices>,
    /// Where the person comes from, and gets back to on `Cancel`.
    pub(super) back: WayOut,
    /// Where the form posts to that writes, what its button says, and its fields besides the preview's token.
    pub(super) action: String,
    pub(super) label: String,
    pub(super) fields: Vec<(String, String)>,
}

/// What is noted in the audit log when it has been written.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) action: Action,
    pub(super) detail: serde_json::Value,
}

/// Show what the rows would do, or why they cannot be written.
pub(super) async fn preview(
    developer: &AppDeveloper,
    engine: &Engine,
    form: WriteForm,
) -> Result<Response, PageError> {
    shown(developer, engine, form, false).await
}

/// What came of a write that was confirmed.
pub(super) enum Outcome {
    Written(WrittenBundle),
    /// Nothing was written: what it would do now, or why it cannot be done.
    Answer(Response),
}

/// Write the rows, if they still do what the preview with that token has shown, and go to the bundle; else show what
/// they would do now.
pub(super) async fn write(
    developer: &AppDeveloper,
    desk: (&Engine, &ControlPlane),
    form: WriteForm,
    token: &str,
    noted: Noted,
) -> Result<Response, PageError> {
    let (area, scope) = (form.area, form.scope.clone());
    match write_only(developer, desk, form, token, noted).await? {
        Outcome::Written(written) => go_to_bundle(developer, area, &scope, &written).await,
        Outcome::Answer(answer) => Ok(answer),
    }
}

/// As [`write()`], for a caller who has something to do before the person goes on.
pub(super) async fn write_only(
    developer: &AppDeveloper,
    (engine, control): (&Engine, &ControlPlane),
    mut form: WriteForm,
    token: &str,
    noted: Noted,
) -> Result<Outcome, PageError> {
    let Ok(token) = token.parse::<PreviewToken>() else {
        return preview(developer, engine, form).await.map(Outcome::Answer);
    };
    let catalog = &developer.live().catalog;
    let rows = form.rows.clone();
    let written = match engine.write_as_previewed(catalog, &form.scope, &writer(developer), rows, token).await
    {
        Ok(written) => written,
        Err(ServerWriteError::PreviewOutdated | ServerWriteError::Conflict(_)) => {
            // What the token stood for is past; the person decides anew, about the rows as they are.
            form.rows.iter_mut().for_each(|row| row.base_row_version = None);
            return shown(developer, engine, form, true).await.map(Outcome::Answer);
        }
        Err(error) => return refused_page(developer, form, error).map(Outcome::Answer),
    };
    let mut detail = noted.detail;
    detail["scope"] = form.scope.as_str().into();
    detail["bundle_seq"] = written.bundle_seq.0.into();
    detail["rows"] = written.row_count.into();
    let subject = format!("{}/{}", form.scope, written.bundle_seq);
    let label = format!("bundle {} of {}", written.bundle_seq, form.scope);
    let action = AppAction { action: noted.action, subject, subject_label: &label, detail };
    control.record_app_action(&developer.actor(), developer.app(), action).await?;
    Ok(Outcome::Written(written))
}

/// To the page of the bundle that has just been written.
pub(super) async fn go_to_bundle(
    developer: &AppDeveloper,
    area: Area,
    scope: &ScopeId,
    written: &WrittenBundle,
) -> Result<Response, PageError> {
    let said = format!("Done, as bundle {}. Devices receive it when they sync next.", written.bundle_seq);
    developer.notify(Notice::Done(said)).await?;
    let address = developer.shell(area).links().bundle(scope.as_str(), &written.bundle_seq.0);
    Ok(Redirect::to(&address).into_response())
}

/// The account that is signed in, as the writer of a bundle.
pub(super) fn writer(developer: &AppDeveloper) -> ServerWriter {
    ServerWriter { source: SourceId::server("dashboard"), written_by: developer.account().email.to_string() }
}

async fn shown(
    developer: &AppDeveloper,
    engine: &Engine,
    form: WriteForm,
    is_renewed: bool,
) -> Result<Response, PageError> {
    let status = if is_renewed { StatusCode::CONFLICT } else { StatusCode::OK };
    match engine.preview_write(&developer.live().catalog, &form.scope, &form.rows).await {
        Ok(previewed) => {
            let shown = preview_of(&form, previewed, is_renewed);
            page(developer, form, status, Previewed::Ready(shown))
        }
        Err(error) => refused_page(developer, form, error),
    }
}

fn refused_page(
    developer: &AppDeveloper,
    form: WriteForm,
    error: ServerWriteError,
) -> Result<Response, PageError> {
    let (status, refused) = refused(&form, &developer.live().catalog, error)?;
    page(developer, form, status, Previewed::Refused(refused))
}

fn page(
    developer: &AppDeveloper,
    form: WriteForm,
    status: StatusCode,
    outcome: Previewed,
) -> Result<Response, PageError> {
    let WriteForm { area, title, lede, back, choices, .. } = form;
    show_as(status, &WritePreviewPage { shell: developer.shell(area), title, back, lede, choices, outcome })
}

/// What a write would do, as the page shows it.
fn preview_of(form: &WriteForm, previewed: PreviewedWrite, is_renewed: bool) -> WritePreview {
    let mut fields = form.fields.clone();
    fields.push((Confirm::TOKEN.to_owned(), previewed.token.to_string()));
    let tables = previewed.tables.into_iter().map(|table| TableChanges {
        table: table.table,
        inserted: table.inserted,
        updated: table.updated,
        deleted: table.deleted,
    });
    WritePreview {
        scope: form.scope.as_str().to_owned(),
        bundle_seq: previewed.bundle_seq.0,
        devices: previewed.devices,
        tables: tables.collect(),
        rows: previewed.rows.into_iter().map(row).collect(),
        is_renewed,
        remarks: form.remarks.clone(),
        confirm: Confirm {
            action: form.action.clone(),
            label: form.label.clone(),
            fields,
            cancel: form.back.href.clone(),
        },
    }
}

fn row(row: PreviewedRow) -> PreviewRow {
    PreviewRow {
        table: row.table,
        key: row.key,
        op: op(row.op),
        version: (row.row_version > 0).then_some(row.row_version),
        is_consequence: !row.is_asked_for,
        columns: row.columns.into_iter().map(column).collect(),
        too_large: row.too_large,
    }
}

/// A column before and after.
pub(super) fn column(column: ComparedColumn) -> ChangedColumn {
    ChangedColumn {
        name: column.name,
        is_key: column.is_key,
        before: column.before.map(value),
        after: column.after.map(value),
        changed: column.changed,
    }
}

/// Why nothing can be written, in words, with the status that says whose turn it is.
fn refused(
    form: &WriteForm,
    catalog: &AppCatalog,
    error: ServerWriteError,
) -> Result<(StatusCode, WriteRefused), PageError> {
    let say = |status, title: &str, sentence: String| {
        let ways_out = vec![WayOut { label: "Go back".to_owned(), href: form.back.href.clone() }];
        Ok((status, WriteRefused { title: title.to_owned(), sentence, place: None, ways_out }))
    };
    let (unprocessable, conflict) = (StatusCode::UNPROCESSABLE_ENTITY, StatusCode::CONFLICT);
    match error {
        ServerWriteError::Empty => {
            say(unprocessable, "There is nothing to write", "Choose at least one row.".into())
        }
        ServerWriteError::TooManyRows { max } => say(
            unprocessable,
            "Too many rows at once",
            format!("One bundle holds at most {max} rows. Choose fewer and do the rest afterwards."),
        ),
        ServerWriteError::Row(row) => {
            let (status, mut refused) =
                say(unprocessable, "A value does not fit", format!("Here {}.", row.reason))?;
            let key = form.rows.get(row.place).map(|row| row.key.clone());
            refused.place = row.table.clone().map(|table| RefusedPlace {
                table,
                key,
                columns: row.column.clone(),
                constraint: None,
            });
            Ok((status, refused))
        }
        ServerWriteError::ScopeInitializing => say(
            conflict,
            "A device is filling this user’s data",
            "Its first upload has not ended yet. Try again when it has, or in a quarter of an hour.".into(),
        ),
        ServerWriteError::Conflict(met) => say(conflict, "The row is not as it was", met.sentence()),
        ServerWriteError::Constraint(refusal) => {
            let said = refusal.trigger_message.as_ref().map(|said| format!(" It said: {said}"));
            let mut sentence = format!("Written like this, {}.{}", refusal.kind, said.unwrap_or_default());
            if let Some(rule) = rule(catalog, refusal.table.as_deref(), refusal.constraint.as_deref()) {
                sentence = format!("{sentence} {rule}");
            }
            let (status, mut refused) = say(unprocessable, "The table’s rules refuse this", sentence)?;
            refused.place = refusal.table.clone().map(|table| RefusedPlace {
                table,
                key: None,
                columns: refusal.column.clone(),
                constraint: refusal.constraint.clone(),
            });
            Ok((status, refused))
        }
        ServerWriteError::NoEffect => {
            say(conflict, "Nothing would change", "The rows are like this already.".into())
        }
        ServerWriteError::PreviewOutdated => {
            say(conflict, "The rows have changed meanwhile", "Look at them again.".into())
        }
        ServerWriteError::Busy => say(
            StatusCode::SERVICE_UNAVAILABLE,
            "Other writes are in the way",
            "Devices of this user are writing just now. Try again in a moment.".into(),
        ),
        ServerWriteError::Database(error) => Err(error.into()),
    }
}
