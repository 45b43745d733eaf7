//! A conflict settled by hand: the device's version written over the server's row, or a row made of both.

use std::collections::HashMap;

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::json;
use syncline_web::{
    pages::errors::WayOut,
    shell::{Area, Notice},
};

use super::{
    conflicts::ConflictPath,
    server_writes::{self, Noted, Outcome, WriteForm},
};
use crate::{
    control::{ControlPlane, audit::Action},
    http::{
        extract::{form::Posted, input::ApiPath, member::AppDeveloper},
        page_error::PageError,
    },
    ids::ConflictId,
    sync::{
        Engine,
        conflict::{
            by_hand::{SettleError, Settlement, SettlingWrite, Side},
            ledger::ConflictDetail,
        },
    },
};

/// What was chosen: `how` is `device` or `merge`; a merge has a field `column-{name}` for each column that is taken
/// from a side.
#[derive(Debug, Default, Deserialize)]
pub struct SettleForm {
    #[serde(default)]
    how: String,
    #[serde(default)]
    preview: String,
    #[serde(flatten)]
    fields: HashMap<String, String>,
}

/// What the names of a merge's fields begin with.
const COLUMN: &str = "column-";

pub async fn preview(
    developer: AppDeveloper,
    State(engine): State<Engine>,
    ApiPath(path): ApiPath<ConflictPath>,
    Posted(form): Posted<SettleForm>,
) -> Result<Response, PageError> {
    let (_, detail) = find(&developer, &engine, &path).await?;
    match settle_form(&developer, &engine, &detail, &form).await? {
        Ok(write) => server_writes::preview(&developer, &engine, write).await,
        Err(answer) => Ok(answer),
    }
}

pub async fn settle(
    developer: AppDeveloper,
    State(engine): State<Engine>,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<ConflictPath>,
    Posted(form): Posted<SettleForm>,
) -> Result<Response, PageError> {
    let (id, detail) = find(&developer, &engine, &path).await?;
    let write = match settle_form(&developer, &engine, &detail, &form).await? {
        Ok(write) => write,
        Err(answer) => return Ok(answer),
    };
    let (area, scope) = (write.area, write.scope.clone());
    let noted = Noted {
        action: Action::ConflictSettled,
        detail: json!({
            "conflict": id.to_string(),
            "how": form.how,
            "table": detail.conflict.table_name,
            "key": detail.conflict.key,
        }),
    };
    let desk = (&engine, &control);
    match server_writes::write_only(&developer, desk, write, &form.preview, noted).await? {
        Outcome::Answer(answer) => Ok(answer),
        Outcome::Written(written) => {
            let by = &developer.account().email;
            let catalog = &developer.live().catalog;
            engine.settle_conflict_by_hand(catalog, id, written.bundle_seq, by).await?;
            server_writes::go_to_bundle(&developer, area, &scope, &written).await
        }
    }
}

async fn find(
    developer: &AppDeveloper,
    engine: &Engine,
    path: &ConflictPath,
) -> Result<(ConflictId, ConflictDetail), PageError> {
    let id: ConflictId = path.conflict.parse().map_err(|_| PageError::NotFound)?;
    let detail = engine.conflict(&developer.live().catalog, id).await?.ok_or(PageError::NotFound)?;
    Ok((id, detail))
}

impl SettleForm {
    fn settlement(&self) -> Settlement {
        if self.how == "device" {
            return Settlement::DeviceVersion;
        }
        let sides = self.fields.iter().filter_map(|(name, side)| {
            let side = match side.as_str() {
                "base" => Side::Base,
                "device" => Side::Device,
                "server" => Side::Server,
                _ => return None,
            };
            Some((name.strip_prefix(COLUMN)?.to_owned(), side))
        });
        Settlement::Columns(sides.collect())
    }

    /// The same choice, for the form that confirms it.
    fn repeated(&self) -> Vec<(String, String)> {
        let columns = self.fields.iter().filter(|(name, _)| name.starts_with(COLUMN));
        let mut fields: Vec<_> = columns.map(|(name, side)| (name.clone(), side.clone())).collect();
        fields.sort_unstable();
        fields.push(("how".to_owned(), self.how.clone()));
        fields
    }
}

/// What is to be written, or the answer that says why there is nothing.
async fn settle_form(
    developer: &AppDeveloper,
    engine: &Engine,
    detail: &ConflictDetail,
    form: &SettleForm,
) -> Result<Result<WriteForm, Response>, PageError> {
    let shell = developer.shell(Area::Conflicts);
    let id = detail.conflict.id.to_string();
    let back = shell.links().conflict(&id);
    let settlement = form.settlement();
    let write = match engine.settling_write(&developer.live().catalog, detail, &settlement).await {
        Ok(write) => write,
        Err(SettleError::Database(error)) => return Err(error.into()),
        Err(error) => {
            developer.notify(Notice::Failed(said(&error).to_owned())).await?;
            return Ok(Err(Redirect::to(&back).into_response()));
        }
    };
    let (title, label) = match settlement {
        Settlement::DeviceVersion => ("Apply the device’s version", "Apply the device’s version"),
        Settlement::Columns(_) => ("Merge by column", "Write the merged row"),
    };
    Ok(Ok(WriteForm {
        area: Area::Conflicts,
        title: title.to_owned(),
        lede: format!(
            "Row {} of {} is written as a new bundle, and the conflict counts as settled by it.",
            detail.conflict.key, detail.conflict.table_name
        ),
        remarks: remarks(detail, &write),
        choices: None,
        back: WayOut { label: "The conflict".to_owned(), href: back },
        action: shell.links().settle_conflict(&id),
        label: label.to_owned(),
        fields: form.repeated(),
        scope: write.scope,
        rows: vec![write.row],
    }))
}

fn said(error: &SettleError) -> &'static str {
    match error {
        SettleError::NoTable => "The app has no such table any more, so nothing can be written to it.",
        SettleError::NothingChosen => "Choose at least one column to take from a side.",
        SettleError::DeletedAlready => {
            "The row is deleted already, as the device wanted. Nothing is to be done."
        }
        SettleError::Database(_) => "The row could not be read.",
    }
}

/// That the row is not what the conflict was about any more.
fn remarks(detail: &ConflictDetail, write: &SettlingWrite) -> Vec<String> {
    match write.now {
        Some(now) if now.row_version.0 != detail.server_row_version => vec![format!(
            "The row has been written since the conflict: bundle {} {} it. The preview starts from there.",
            now.row_version,
            if now.deleted { "deleted" } else { "changed" }
        )],
        _ => Vec::new(),
    }
}
