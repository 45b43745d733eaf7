//! `sync/snapshot-sessions`: create, read in chunks, give up.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::served;
use crate::{
    clock::Clock,
    http::{
        error::{ApiError, ErrorBody},
        extract::{
            end_user::EndUserActor,
            input::{ApiPath, ApiQuery, Input, OptionalJson},
        },
    },
    ids::SourceId,
    sync::{
        Engine,
        snapshot::{
            chunk::ChunkRequest,
            session::{SessionRefused, SourceReplacement},
        },
    },
};

/// What a device asks for together with its snapshot.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotRequest {
    /// Retire the device's source and reserve a new one in its place.
    source_replacement: Option<ReplacementRequest>,
}

/// A source rotation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplacementRequest {
    /// The source of the `Oversync-Source-ID` header.
    previous_source_id: String,
    /// One that nobody has used.
    new_source_id: String,
    /// `history_pruned`, `source_sequence_out_of_order`, `source_sequence_changed` or `source_retired`.
    #[schema(example = "history_pruned")]
    reason: String,
}

impl Input for SnapshotRequest {
    const INVALID: &'static str = "snapshot_session_invalid";
}

/// A snapshot, ready to be read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SnapshotResponse {
    snapshot_id: Uuid,
    /// The snapshot is the scope as it was after this bundle.
    snapshot_bundle_seq: i64,
    row_count: i64,
    /// Bytes of all rows as they are sent, without what is between them.
    byte_count: i64,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

/// Begin to read a snapshot
///
/// Every live row of the scope, frozen at one bundle: for a device that is new, or that has fallen behind what is kept.
#[utoipa::path(
    post,
    path = "/t/{tenant}/{app}/sync/snapshot-sessions",
    tag = "Sync",
    operation_id = "create_snapshot_session",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
        ("Oversync-Source-ID" = String, Header, description = "The device's source id"),
    ),
    request_body = Option<SnapshotRequest>,
    responses(
        (status = 200, description = "A session", body = SnapshotResponse),
        (status = 400, description = "`snapshot_session_invalid`, `invalid_request`", body = ErrorBody),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
        (status = 409, description = "`scope_uninitialized`, `scope_initializing`, `source_retired`, \
            `source_replacement_invalid`, or `snapshot_session_limit_exceeded` with `dimension`, `actual` and `limit`",
            body = ErrorBody),
        (status = 429, description = "`snapshot_build_capacity`, with Retry-After", body = ErrorBody),
    ),
    security(("user_token" = []))
)]
pub(crate) async fn create(
    actor: EndUserActor,
    State(engine): State<Engine>,
    State(clock): State<Clock>,
    OptionalJson(request): OptionalJson<SnapshotRequest>,
) -> Result<Json<SnapshotResponse>, ApiError> {
    let replacement = request.and_then(|request| request.source_replacement);
    let replacement = replacement.map(ReplacementRequest::check).transpose()?;
    let caller = actor.caller();
    let session = engine.create_snapshot(&caller, replacement.as_ref()).await?;
    // A device that rotates reads on under its new source.
    if replacement.is_none() && session.row_count > 0 {
        engine.facts().began_snapshot(&caller, clock.now());
    }
    Ok(Json(SnapshotResponse {
        snapshot_id: session.snapshot_id,
        snapshot_bundle_seq: session.bundle_seq.0,
        row_count: session.row_count,
        byte_count: session.byte_count,
        expires_at: session.expires_at,
    }))
}

impl ReplacementRequest {
    fn check(self) -> Result<SourceReplacement, ApiError> {
        let source = |name: &str, text: &str| {
            SourceId::parse_device(text).map_err(|reason| {
                ApiError::bad_request("snapshot_session_invalid", format!("{name} is not right: {reason}."))
            })
        };
        Ok(SourceReplacement {
            previous: source("previous_source_id", &self.previous_source_id)?,
            new: source("new_source_id", &self.new_source_id)?,
            reason: self.reason,
        })
    }
}

/// The session in the path.
#[derive(Debug, Deserialize)]
pub(crate) struct SnapshotPath {
    snapshot_id: String,
}

impl SnapshotPath {
    /// What is no id names no session.
    fn id(&self) -> Result<Uuid, SessionRefused> {
        Uuid::try_parse(&self.snapshot_id).map_err(|_| SessionRefused::NotFound)
    }
}

/// Which rows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChunkQuery {
    /// `next_row_ordinal` of the last chunk; 0, the default, for the first.
    #[param(minimum = 0)]
    after_row_ordinal: Option<i64>,
    /// 1000 unless given; more than 5000 is taken for 5000.
    #[param(minimum = 1)]
    max_rows: Option<i64>,
    /// 4194304 unless given; more than 16777216 is taken for that.
    #[param(minimum = 1)]
    max_bytes: Option<i64>,
}

impl Input for ChunkQuery {
    const INVALID: &'static str = "snapshot_chunk_invalid";
}

/// Read a chunk of a snapshot
///
/// Rows in the order of table and key. The chunk ends at `max_rows` rows or before `max_bytes` bytes are exceeded.
#[utoipa::path(
    get,
    path = "/t/{tenant}/{app}/sync/snapshot-sessions/{snapshot_id}",
    tag = "Sync",
    operation_id = "snapshot_chunk",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
        ("snapshot_id" = Uuid, Path, description = "The session"),
        ("Oversync-Source-ID" = String, Header, description = "The device's source id"),
        ChunkQuery,
    ),
    responses(
        (status = 200, description = "`{\"snapshot_id\",\"snapshot_bundle_seq\",\"rows\",\"next_row_ordinal\",\
            \"has_more\",\"byte_count\"}`", content_type = "application/json"),
        (status = 400, description = "`snapshot_chunk_invalid`, or `snapshot_chunk_too_small` with `required_byte_count`",
            body = ErrorBody),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
        (status = 403, description = "`snapshot_session_forbidden`", body = ErrorBody),
        (status = 404, description = "`snapshot_session_not_found`", body = ErrorBody),
        (status = 410, description = "`snapshot_session_expired`", body = ErrorBody),
        (status = 429, description = "`snapshot_chunk_capacity`, with Retry-After", body = ErrorBody),
    ),
    security(("user_token" = []))
)]
pub(crate) async fn chunk(
    actor: EndUserActor,
    State(engine): State<Engine>,
    State(clock): State<Clock>,
    ApiPath(path): ApiPath<SnapshotPath>,
    ApiQuery(query): ApiQuery<ChunkQuery>,
) -> Result<Response, ApiError> {
    let request = query.check()?;
    let caller = actor.caller();
    let chunk = engine.snapshot_chunk(&caller, path.id()?, request).await?;
    engine.facts().served_snapshot(&caller, clock.now(), chunk.bundle_seq, chunk.is_last);
    Ok(served::json(chunk.body))
}

impl ChunkQuery {
    fn check(self) -> Result<ChunkRequest, ApiError> {
        let least = |name: &str, value: Option<i64>, least: i64| match value {
            Some(value) if value < least => Err(ApiError::bad_request(
                Self::INVALID,
                format!("{name} must be a whole number from {least} on."),
            )),
            value => Ok(value),
        };
        Ok(ChunkRequest {
            after: least("after_row_ordinal", self.after_row_ordinal, 0)?.unwrap_or(0),
            max_rows: least("max_rows", self.max_rows, 1)?,
            max_bytes: least("max_bytes", self.max_bytes, 1)?,
        })
    }
}

/// Give a snapshot up
#[utoipa::path(
    delete,
    path = "/t/{tenant}/{app}/sync/snapshot-sessions/{snapshot_id}",
    tag = "Sync",
    operation_id = "delete_snapshot_session",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
        ("snapshot_id" = Uuid, Path, description = "The session"),
        ("Oversync-Source-ID" = String, Header, description = "The device's source id"),
    ),
    responses(
        (status = 204, description = "It has ended"),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
        (status = 403, description = "`snapshot_session_forbidden`", body = ErrorBody),
        (status = 404, description = "`snapshot_session_not_found`", body = ErrorBody),
        (status = 410, description = "`snapshot_session_expired`", body = ErrorBody),
    ),
    security(("user_token" = []))
)]
pub(crate) async fn delete(
    actor: EndUserActor,
    State(engine): State<Engine>,
    ApiPath(path): ApiPath<SnapshotPath>,
) -> Result<StatusCode, ApiError> {
    let caller = actor.caller();
    engine.delete_snapshot(&caller, path.id()?).await?;
    engine.facts().left_snapshot(&caller);
    Ok(StatusCode::NO_CONTENT)
}
