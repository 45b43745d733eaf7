//! Erasing scopes: what the control plane has written down, done by the sync engine.
//!
//! Whoever asks has it done at once, in a task beside the request; the job finds what was interrupted, what is due later
//! and what has to be looked at once more.

use std::time::Duration;

use crate::{
    app::Syncline,
    control::{
        apps::App,
        erasures::{DueErasure, Erasure, ErasureKind},
    },
    directory::DirectoryError,
    ids::ScopeId,
    sync::erase::{EraseError, Leaves},
    tables::{catalog::AppCatalog, ident::Ident},
};

/// Erasures that the job takes on at a time.
const AT_ONCE: i64 = 20;

/// Why an erasure has not come to its end. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    #[error(transparent)]
    Erase(#[from] EraseError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("the erasure could not be looked up")]
    Database(#[from] sqlx::Error),
}

/// Do what is due. A job calls it.
///
/// # Errors
/// The last one that failed; the others are done all the same.
pub async fn run_due(server: &Syncline) -> Result<(), ErasureError> {
    let mut outcome = Ok(());
    for DueErasure { app, erasure } in server.control.claim_due_erasures(AT_ONCE).await? {
        if let Err(error) = step(server, &app, &erasure).await {
            tracing::warn!(app.id = %app.app_id, error.cause = %error, "a scope could not be erased; it is tried again");
            outcome = Err(error);
        }
    }
    outcome
}

/// Erase a scope that has been written down, now. Answers whether that was done within `patience`; if not, it goes on.
pub async fn run_now(
    server: &Syncline,
    app: &App,
    erasure: Erasure,
    patience: Duration,
) -> Result<bool, ErasureError> {
    server.control.claim_erasure(app.app_id, &erasure.scope_id).await?;
    let (task_server, app) = (server.clone(), app.clone());
    let closing = server.lifecycle.closing();
    let task = server.lifecycle.spawn(async move {
        tokio::select! {
            // Another node goes on, or this one when it comes back.
            () = closing.cancelled() => Ok(false),
            done = step(&task_server, &app, &erasure) => done.map(|()| true),
        }
    });
    match tokio::time::timeout(patience, task).await {
        Ok(outcome) => outcome.expect("BUG: an erasure panicked"),
        Err(_) => Ok(false),
    }
}

/// As [`run_now`], for a user that somebody wants erased.
pub async fn run_user_now(
    server: &Syncline,
    app: &App,
    scope: &ScopeId,
    by: String,
    patience: Duration,
) -> Result<bool, ErasureError> {
    let erasure = Erasure {
        scope_id: scope.clone(),
        kind: ErasureKind::User,
        requested_by: by,
        due_at: server.clock.now(),
        erased_at: None,
    };
    run_now(server, app, erasure, patience).await
}

async fn step(server: &Syncline, app: &App, erasure: &Erasure) -> Result<(), ErasureError> {
    let logical_schema =
        Ident::parse(&app.logical_schema).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let catalog = AppCatalog::load(&server.databases.apps, app.app_id, app.profile, &logical_schema).await?;
    let leaves = match erasure.kind {
        ErasureKind::User => Leaves::Number,
        ErasureKind::Simulation => Leaves::Nothing,
    };
    let scope = &erasure.scope_id;
    if let Some(erased_at) = erasure.erased_at {
        server.engine.sweep_erased(&catalog, scope, leaves, erased_at).await?;
        return Ok(server.control.forget_erasure(app.app_id, scope).await?);
    }
    server.engine.erase_scope(&catalog, scope, leaves, &erasure.requested_by).await?;
    Ok(server.control.erased(app.app_id, scope).await?)
}
