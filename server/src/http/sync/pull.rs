//! `GET sync/pull`.

use axum::{extract::State, response::Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::served;
use crate::{
    clock::Clock,
    http::{
        error::{ApiError, ErrorBody},
        extract::{
            end_user::EndUserActor,
            input::{ApiQuery, Input},
        },
    },
    ids::BundleSeq,
    sync::{Engine, pull::PullRequest},
};

/// From where, how much, and up to where.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PullQuery {
    /// The last bundle that the device has; 0, the default, for none.
    #[param(minimum = 0)]
    after_bundle_seq: Option<i64>,
    /// 1000 unless given; more than 5000 is taken for 5000.
    #[param(minimum = 1)]
    max_bundles: Option<i64>,
    /// `stable_bundle_seq` of the first answer, in the requests that follow it.
    #[param(minimum = 0)]
    target_bundle_seq: Option<i64>,
}

impl Input for PullQuery {}

/// Download committed bundles
///
/// Whole bundles in their order, after the checkpoint and up to a ceiling: the first answer freezes it as
/// `stable_bundle_seq`, and the requests that follow send it back as `target_bundle_seq`, until `has_more` is false.
/// A device gets its own bundles too.
#[utoipa::path(
    get,
    path = "/t/{tenant}/{app}/sync/pull",
    tag = "Sync",
    operation_id = "pull",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
        ("Oversync-Source-ID" = String, Header, description = "The device's source id"),
        PullQuery,
    ),
    responses(
        (status = 200, description = "`{\"stable_bundle_seq\",\"bundles\":[{\"bundle_seq\",\"source_id\",\
            \"source_bundle_id\",\"rows\"}],\"has_more\"}`", content_type = "application/json"),
        (status = 400, description = "`invalid_request`", body = ErrorBody,
            example = json!(invalid("max_bundles", 1).body())),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
        (status = 409, description = "`scope_uninitialized`, `scope_initializing`, `history_pruned` or `checkpoint_ahead`",
            body = ErrorBody),
    ),
    security(("user_token" = []))
)]
pub(crate) async fn pull(
    actor: EndUserActor,
    State(engine): State<Engine>,
    State(clock): State<Clock>,
    ApiQuery(query): ApiQuery<PullQuery>,
) -> Result<Response, ApiError> {
    let (caller, request) = (actor.caller(), query.check()?);
    let page = engine.pull(&caller, request).await?;
    engine.facts().pulled(&caller, clock.now(), request.after, page.last);
    Ok(served::json(page.body))
}

impl PullQuery {
    fn check(self) -> Result<PullRequest, ApiError> {
        let after = self.after_bundle_seq.unwrap_or(0);
        if after < 0 {
            return Err(invalid("after_bundle_seq", 0));
        }
        if self.max_bundles.is_some_and(|max| max < 1) {
            return Err(invalid("max_bundles", 1));
        }
        // Clients that have no ceiling yet may send 0 for it.
        let target = self.target_bundle_seq.filter(|target| *target != 0);
        if target.is_some_and(|target| target < 0) {
            return Err(invalid("target_bundle_seq", 0));
        }
        if target.is_some_and(|target| target < after) {
            return Err(ApiError::invalid_request("target_bundle_seq must not be below after_bundle_seq."));
        }
        Ok(PullRequest {
            after: BundleSeq(after),
            max_bundles: self.max_bundles,
            target: target.map(BundleSeq),
        })
    }
}

pub(super) fn invalid(name: &str, least: i64) -> ApiError {
    ApiError::invalid_request(format!("{name} must be a whole number from {least} on."))
}
