//! `sync/push-sessions`: create, upload chunks, commit, give up.

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    http::{
        error::{ApiError, ErrorBody, Refused},
        extract::{
            end_user::EndUserActor,
            input::{ApiJson, ApiPath, Input},
            large_body::large_json_bytes,
        },
    },
    sync::{
        Engine,
        conflict::PushConflict,
        keys::is_canonical_uuid,
        push::{CommitError, CommittedPush, CreatedPush, NewPush},
    },
};

/// An announcement of a push.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CreateRequest {
    /// One more than the device's last committed bundle; any for its first in the scope.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    source_bundle_id: i64,
    #[schema(minimum = 1)]
    planned_row_count: i64,
    /// SHA-256 over the rows, 64 lowercase hex digits. May be absent in wire profile `numbers`.
    canonical_request_hash: Option<String>,
    /// From `connect`, for the push that fills an empty scope.
    #[schema(format = "uuid")]
    initialization_id: Option<String>,
}

impl Input for CreateRequest {
    const INVALID: &'static str = "push_session_invalid";
}

/// The answer to an announcement.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum CreateResponse {
    /// Upload rows now.
    Staging {
        push_id: Uuid,
        planned_row_count: i64,
        next_expected_row_ordinal: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        canonical_request_hash: Option<String>,
    },
    /// It was committed before, and the answer got lost.
    AlreadyCommitted(CommitResponse),
}

/// Where a push stands after a chunk.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChunkResponse {
    push_id: Uuid,
    next_expected_row_ordinal: i64,
}

/// The bundle that a push has become.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CommitResponse {
    bundle_seq: i64,
    source_id: String,
    source_bundle_id: i64,
    /// Rows of the bundle: what the push did, cascades and triggers included. A row that came and went within it is not
    /// there: a device that uploaded one removes it locally.
    row_count: i32,
    bundle_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    canonical_request_hash: Option<String>,
}

/// The push in the path.
#[derive(Debug, Deserialize)]
pub(crate) struct PushPath {
    push_id: String,
}

/// Announce a push
#[utoipa::path(
    post,
    path = "/t/{tenant}/{app}/sync/push-sessions",
    tag = "Sync",
    operation_id = "create_push",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
        ("Oversync-Source-ID" = String, Header, description = "The device's source id"),
    ),
    request_body = CreateRequest,
    responses(
        (status = 200, description = "The push has begun, or was committed before", body = CreateResponse),
        (status = 400, description = "`push_session_invalid`", body = ErrorBody),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
        (status = 409, description = "`scope_uninitialized`, `initialization_stale`, `history_pruned`, \
            `source_sequence_out_of_order` or `source_retired`", body = ErrorBody),
        (status = 410, description = "`initialization_expired`", body = ErrorBody),
    ),
    security(("user_token" = []))
)]
pub(crate) async fn create(
    actor: EndUserActor,
    State(engine): State<Engine>,
    ApiJson(request): ApiJson<CreateRequest>,
) -> Result<Json<CreateResponse>, ApiError> {
    let initialization_id = match request.initialization_id.as_deref() {
        None => None,
        Some(text) => Some(canonical_uuid(text).ok_or_else(|| {
            ApiError::bad_request(
                "push_session_invalid",
                "initialization_id must be a UUID in lowercase with dashes.",
            )
        })?),
    };
    let new = NewPush {
        source_bundle_id: request.source_bundle_id,
        planned_row_count: request.planned_row_count,
        request_hash: request.canonical_request_hash.clone(),
        initialization_id,
    };
    let response = match engine.create_push(&actor.caller(), new).await? {
        CreatedPush::AlreadyCommitted(committed) => CreateResponse::AlreadyCommitted(committed.into()),
        CreatedPush::Staging { push_id } => CreateResponse::Staging {
            push_id,
            planned_row_count: request.planned_row_count,
            next_expected_row_ordinal: 0,
            canonical_request_hash: request.canonical_request_hash,
        },
    };
    Ok(Json(response))
}

/// Upload the next rows of a push
#[utoipa::path(
    post,
    path = "/t/{tenant}/{app}/sync/push-sessions/{push_id}/chunks",
    tag = "Sync",
    operation_id = "upload_push_chunk",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
        ("push_id" = Uuid, Path, description = "The push"),
        ("Oversync-Source-ID" = String, Header, description = "The device's source id"),
    ),
    request_body(description = "`{\"start_row_ordinal\":0,\"rows\":[…]}`", content_type = "application/json"),
    responses(
        (status = 200, description = "The rows are kept until the commit", body = ChunkResponse),
        (status = 400, description = "`push_chunk_invalid`: names row, table and column", body = ErrorBody),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
        (status = 403, description = "`push_session_forbidden`", body = ErrorBody),
        (status = 404, description = "`push_session_not_found`", body = ErrorBody),
        (status = 409, description = "`push_chunk_out_of_order`", body = ErrorBody),
        (status = 408, description = "`request_timeout`: a large body came too slowly", body = ErrorBody),
        (status = 410, description = "`push_session_expired`", body = ErrorBody),
        (status = 413, description = "`request_too_large`", body = ErrorBody),
    ),
    security(("user_token" = []))
)]
pub(crate) async fn stage(
    actor: EndUserActor,
    State(engine): State<Engine>,
    ApiPath(path): ApiPath<PushPath>,
    request: Request,
) -> Result<Json<ChunkResponse>, ApiError> {
    let push_id = path.push_id()?;
    let caller = actor.caller();
    let most = engine.limits().max_bytes_per_push_chunk();
    let room = |bytes| engine.chunk_room().enter(caller.app.app, bytes);
    let (body, _place) = large_json_bytes(request, most, room, "push_chunk_invalid").await?;
    let staged = engine.stage_chunk(&caller, push_id, body).await?;
    Ok(Json(ChunkResponse { push_id, next_expected_row_ordinal: staged.next_expected_row_ordinal }))
}

/// Commit a push
///
/// The rows become one bundle, all of them or none.
#[utoipa::path(
    post,
    path = "/t/{tenant}/{app}/sync/push-sessions/{push_id}/commit",
    tag = "Sync",
    operation_id = "commit_push",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
        ("push_id" = Uuid, Path, description = "The push"),
        ("Oversync-Source-ID" = String, Header, description = "The device's source id"),
    ),
    responses(
        (status = 200, description = "The push is a bundle now", body = CommitResponse),
        (status = 400, description = "`push_commit_invalid`: names table, column and constraint", body = ErrorBody),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
        (status = 403, description = "`push_session_forbidden`", body = ErrorBody),
        (status = 404, description = "`push_session_not_found`", body = ErrorBody),
        (status = 409, description = "`push_conflict` with the server's row in `conflict`; \
            `source_sequence_changed`; `source_retired`", body = ErrorBody),
        (status = 410, description = "`push_session_expired`, `initialization_expired`", body = ErrorBody),
        (status = 503, description = "`service_unavailable`, with Retry-After", body = ErrorBody),
    ),
    security(("user_token" = []))
)]
pub(crate) async fn commit(
    actor: EndUserActor,
    State(engine): State<Engine>,
    ApiPath(path): ApiPath<PushPath>,
) -> Result<Json<CommitResponse>, Response> {
    let push_id = path.push_id().map_err(IntoResponse::into_response)?;
    match engine.commit_push(&actor.caller(), push_id).await {
        Ok(committed) => Ok(Json(committed.into())),
        Err(CommitError::Conflict(conflict)) => Err(conflict_response(&conflict)),
        Err(error) => Err(ApiError::from(error).into_response()),
    }
}

/// Give up a push
#[utoipa::path(
    delete,
    path = "/t/{tenant}/{app}/sync/push-sessions/{push_id}",
    tag = "Sync",
    operation_id = "delete_push",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
        ("push_id" = Uuid, Path, description = "The push"),
        ("Oversync-Source-ID" = String, Header, description = "The device's source id"),
    ),
    responses(
        (status = 204, description = "The push is forgotten"),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
        (status = 403, description = "`push_session_forbidden`", body = ErrorBody),
        (status = 404, description = "`push_session_not_found`", body = ErrorBody),
        (status = 410, description = "`push_session_expired`", body = ErrorBody),
    ),
    security(("user_token" = []))
)]
pub(crate) async fn delete(
    actor: EndUserActor,
    State(engine): State<Engine>,
    ApiPath(path): ApiPath<PushPath>,
) -> Result<StatusCode, ApiError> {
    engine.delete_push(&actor.caller(), path.push_id()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl PushPath {
    /// What is no id names no push.
    fn push_id(&self) -> Result<Uuid, ApiError> {
        canonical_uuid(&self.push_id).ok_or_else(|| crate::sync::push::PushRefused::NotFound.into())
    }
}

fn canonical_uuid(text: &str) -> Option<Uuid> {
    is_canonical_uuid(text).then(|| Uuid::try_parse(text).ok()).flatten()
}

impl From<CommittedPush> for CommitResponse {
    fn from(committed: CommittedPush) -> Self {
        Self {
            bundle_seq: committed.bundle_seq.0,
            source_id: committed.source.to_string(),
            source_bundle_id: committed.source_bundle_id,
            row_count: committed.row_count,
            bundle_hash: committed.bundle_hash,
            canonical_request_hash: committed.request_hash,
        }
    }
}

/// 409 `push_conflict`. Not an [`ApiError`]: the server's row is passed on as the text it is, so that no number in it
/// loses a digit.
fn conflict_response(conflict: &PushConflict) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        error: &'static str,
        message: String,
        conflict: Conflict<'a>,
    }
    #[derive(Serialize)]
    struct Conflict<'a> {
        schema: &'a str,
        table: &'a str,
        key: std::collections::BTreeMap<&'a str, &'a str>,
        op: &'static str,
        base_row_version: i64,
        server_row_version: i64,
        server_row_deleted: bool,
        server_row: Option<&'a RawValue>,
    }
    let server_row = conflict.server_row.as_deref();
    let body = Body {
        error: "push_conflict",
        message: conflict.sentence(),
        conflict: Conflict {
            schema: &conflict.schema,
            table: &conflict.table,
            key: [(conflict.key_column.as_str(), conflict.key.as_str())].into(),
            op: conflict.op.as_str(),
            base_row_version: conflict.base_row_version,
            server_row_version: conflict.server_row_version,
            server_row_deleted: conflict.server_row_deleted,
            server_row: server_row
                .map(|row| serde_json::from_str(row).expect("BUG: a rendered row is no JSON")),
        },
    };
    let subject = Some(format!("table \"{}\", key \"{}\"", conflict.table, conflict.key));
    let refused = Refused { code: body.error, message: body.message.clone(), subject };
    let mut response = (StatusCode::CONFLICT, Json(body)).into_response();
    response.extensions_mut().insert(refused);
    response
}
