//! The inbox of refused writes: the list, and one failure with its rows.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::json;
use syncline_web::{
    links::with_query,
    pages::rejected_writes::{
        KeptWrites, Obstacle, RefusedRow as ShownRow, RejectedWriteFacts, RejectedWriteFilter as ShownFilter,
        RejectedWritePage, RejectedWriteRow, RejectedWriteRows, RejectedWritesPage, WriteState,
    },
    shell::{Area, Notice},
};

use super::{
    history::{op, value},
    place::{cursor_text, read_cursor},
    show,
};
use crate::{
    control::{
        ControlPlane,
        audit::{Action, AppAction},
    },
    http::{
        error::ApiError,
        extract::{
            form::Posted,
            input::{ApiPath, ApiQuery, Input},
            member::{AppDeveloper, AppViewer},
            visitor::is_htmx,
        },
        page_error::PageError,
    },
    ids::{RejectedWriteId, ScopeId},
    sync::{
        Engine,
        device::list::Page,
        ledger_bounds::{KEPT_FOR, KEPT_PER_APP},
        rejected_write::{
            KEPT_PER_SCOPE, KEPT_ROW_BYTES,
            in_the_way::InTheWay,
            inbox::{
                RefusedRow, RejectedWrite, RejectedWriteCursor, RejectedWriteFilter, RejectedWriteState,
            },
        },
    },
    tables::{ConstraintInfo, catalog::AppCatalog, ident::Ident},
};

/// Failures of one page.
const PAGE: i64 = 50;

/// The state that a failure is put into.
#[derive(Debug, Default, Deserialize)]
pub struct StateForm {
    #[serde(default)]
    state: String,
}

/// Which failures, from where on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RejectedQuery {
    state: String,
    scope: String,
    after: String,
}

impl Input for RejectedQuery {}

/// The part of the path that names a failure.
#[derive(Debug, Deserialize)]
pub struct RejectedPath {
    write: String,
}

pub async fn list(
    viewer: AppViewer,
    State(engine): State<Engine>,
    headers: HeaderMap,
    ApiQuery(query): ApiQuery<RejectedQuery>,
) -> Result<Response, PageError> {
    let shell = viewer.shell(Area::RejectedWrites);
    let after: Option<RejectedWriteCursor> = read_cursor(&query.after);
    let page = match filter(&query) {
        Some(filter) => engine.rejected_writes(&viewer.live().catalog, &filter, after, PAGE).await?,
        None => Page { items: Vec::new(), next: None },
    };
    let next = page.next.map(|cursor| {
        let values =
            [("state", query.state.as_str()), ("scope", &query.scope), ("after", &cursor_text(&cursor))];
        with_query(&shell.links().rejected_writes(), &values)
    });
    let rows =
        RejectedWriteRows { shell: shell.clone(), writes: page.items.into_iter().map(row).collect(), next };
    if is_htmx(&headers) {
        return show(&rows);
    }
    let filter = ShownFilter { state: query.state, scope: query.scope };
    let kept = KeptWrites {
        days: KEPT_FOR.whole_days(),
        of_app: KEPT_PER_APP,
        of_user: KEPT_PER_SCOPE,
        row_bytes: KEPT_ROW_BYTES as i64,
    };
    show(&RejectedWritesPage { shell, filter, rows, kept, is_continued: after.is_some() })
}

/// What the query asks for; None when nothing can match it.
fn filter(query: &RejectedQuery) -> Option<RejectedWriteFilter> {
    let scope = match query.scope.as_str() {
        "" => None,
        scope => Some(ScopeId::parse(scope).ok()?),
    };
    let state = match query.state.as_str() {
        "" => None,
        "open" => Some(RejectedWriteState::Open),
        "resolved" => Some(RejectedWriteState::Resolved),
        "ignored" => Some(RejectedWriteState::Ignored),
        _ => return None,
    };
    Some(RejectedWriteFilter { scope, state })
}

pub async fn detail(
    viewer: AppViewer,
    State(engine): State<Engine>,
    ApiPath(path): ApiPath<RejectedPath>,
) -> Result<Response, PageError> {
    let id: RejectedWriteId = path.write.parse().map_err(|_| PageError::NotFound)?;
    let detail = engine.rejected_write(&viewer.live().catalog, id).await?.ok_or(PageError::NotFound)?;
    let catalog = &viewer.live().catalog;
    let in_the_way = engine.rows_in_the_way(catalog, &detail).await?;
    let write = &detail.write;
    let facts = RejectedWriteFacts {
        user: write.user.clone(),
        first_at: write.first_at,
        constraint: write.constraint_name.clone(),
        column: write.column_name.clone(),
        source_bundle_id: write.source_bundle_id,
        row_count: write.row_count,
        state_at: write.state_at,
        state_by: write.state_by.clone(),
        rule: rule(catalog, write.table_name.as_deref(), write.constraint_name.as_deref()),
    };
    show(&RejectedWritePage {
        shell: viewer.shell(Area::RejectedWrites),
        facts,
        advice: advice(write, !in_the_way.is_empty()).to_owned(),
        in_the_way: in_the_way.into_iter().map(obstacle).collect(),
        rows: detail.rows.into_iter().map(refused_row).collect(),
        row_bytes: KEPT_ROW_BYTES as i64,
        write: row(detail.write),
    })
}

pub async fn change_state(
    developer: AppDeveloper,
    State(engine): State<Engine>,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<RejectedPath>,
    Posted(form): Posted<StateForm>,
) -> Result<Response, PageError> {
    let id: RejectedWriteId = path.write.parse().map_err(|_| PageError::NotFound)?;
    let catalog = &developer.live().catalog;
    let detail = engine.rejected_write(catalog, id).await?.ok_or(PageError::NotFound)?;
    let (state, said) = match form.state.as_str() {
        "open" => (RejectedWriteState::Open, "The failure is open again."),
        "resolved" => (
            RejectedWriteState::Resolved,
            "Resolved. If the device fails in the same way again, it is open again.",
        ),
        "ignored" => {
            (RejectedWriteState::Ignored, "Ignored. It stays out of sight, even if the device fails again.")
        }
        _ => return Err(ApiError::invalid_request("The state must be open, resolved or ignored.").into()),
    };
    if engine.set_rejected_write_state(catalog, &detail, state, &developer.account().email).await? {
        let action = AppAction {
            action: Action::RejectedWriteStateChanged,
            subject: id.to_string(),
            subject_label: &detail.write.code,
            detail: json!({ "state": form.state, "scope": detail.write.scope, "device": detail.write.source }),
        };
        control.record_app_action(&developer.actor(), developer.app(), action).await?;
    }
    developer.notify(Notice::Done(said.to_owned())).await?;
    let address = developer.shell(Area::RejectedWrites).links().rejected_write(&path.write);
    Ok(Redirect::to(&address).into_response())
}

/// What the constraint demands, in words.
pub(super) fn rule(catalog: &AppCatalog, table: Option<&str>, constraint: Option<&str>) -> Option<String> {
    let table = catalog.table(table?)?;
    let list = |columns: &[Ident]| columns.iter().map(Ident::as_str).collect::<Vec<_>>().join(", ");
    Some(match table.spec.constraint(constraint?)? {
        ConstraintInfo::PrimaryKey { column } => {
            format!("Each row of {} has its own {column}.", table.name())
        }
        ConstraintInfo::Unique { columns } => {
            format!("No two rows of a user in {} may have the same {}.", table.name(), list(&columns))
        }
        ConstraintInfo::ForeignKey { column, parent } => {
            format!("{column} of {} must name a row of {parent} that is there, or be NULL.", table.name())
        }
        ConstraintInfo::Check { rule, .. } => format!("Each row of {} must have {rule}.", table.name()),
        ConstraintInfo::Range { column } => {
            format!("{column} of {} must be a finite number, or a date in the years 1 to 9999.", table.name())
        }
    })
}

fn obstacle(row: InTheWay) -> Obstacle {
    let (table, key, said, can_be_restored) = match row {
        InTheWay::Holder { table, key } => (table, key, "has the value already".to_owned(), false),
        InTheWay::Child { table, key } => {
            (table, key, "still refers to what the device deletes".to_owned(), false)
        }
        InTheWay::ParentDeleted { table, key, by } => {
            (table, key, format!("is referred to, but bundle {by} deleted it"), true)
        }
        InTheWay::ParentMissing { table, key } => {
            (table, key, "is referred to, but was never uploaded".to_owned(), false)
        }
    };
    let has_history = !said.ends_with("never uploaded");
    Obstacle { table, key, said, can_be_restored, has_history }
}

/// What helps.
fn advice(write: &RejectedWrite, is_found: bool) -> &'static str {
    match write.state {
        RejectedWriteState::Resolved => {
            "Nothing is to be done. If the device fails in the same way again, it is open again."
        }
        RejectedWriteState::Ignored => "Somebody chose to ignore it. The device may still be blocked.",
        RejectedWriteState::Open if is_found => {
            "Change, delete or restore the row named below; the device tries again when it syncs next. Until it gets \
             through, it downloads nothing."
        }
        RejectedWriteState::Open if write.constraint_name.is_some() => {
            "Change or delete the row that is in the way, or let the user change theirs. The device tries again when it \
             syncs next; until it gets through, it downloads nothing."
        }
        RejectedWriteState::Open => {
            "Ship an app version that sends what the table accepts, or let the user change the row. The device tries \
             again when it syncs next; until it gets through, it downloads nothing."
        }
    }
}

/// A failure as lists show it.
pub(super) fn row(write: RejectedWrite) -> RejectedWriteRow {
    RejectedWriteRow {
        id: write.id.to_string(),
        last_at: write.last_at,
        code: write.code,
        message: write.message,
        table: write.table_name,
        scope: write.scope,
        source: write.source,
        attempts: write.attempts,
        state: match write.state {
            RejectedWriteState::Open => WriteState::Open,
            RejectedWriteState::Resolved => WriteState::Resolved,
            RejectedWriteState::Ignored => WriteState::Ignored,
        },
    }
}

fn refused_row(row: RefusedRow) -> ShownRow {
    ShownRow {
        table: row.table,
        key: row.key,
        op: row.op.map(op),
        values: row.payload.into_iter().map(|(column, cell)| (column, value(cell))).collect(),
    }
}
