//! `GET sync/committed-bundles/{bundle_seq}/rows`.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::{
    http::{
        error::{ApiError, ErrorBody},
        extract::{
            end_user::EndUserActor,
            input::{ApiPath, ApiQuery, Input},
        },
    },
    sync::{
        Engine,
        bundle::{CommittedRows, CommittedRowsError, CommittedRowsQuery},
    },
    tables::spec::WireProfile,
};

/// What stands for the request hash of a bundle that no device announced, in profile `strings`.
const NO_REQUEST_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Which rows of the bundle.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RowsQuery {
    /// The ordinal of the last row that the device has. None: start at the beginning.
    #[param(minimum = 0)]
    after_row_ordinal: Option<i64>,
    /// 1000 unless given; at most 5000.
    #[param(minimum = 1)]
    max_rows: Option<i64>,
}

impl Input for RowsQuery {
    const INVALID: &'static str = "committed_bundle_chunk_invalid";
}

/// The bundle in the path.
#[derive(Debug, Deserialize)]
pub(crate) struct BundlePath {
    bundle_seq: String,
}

/// Read the rows of a committed bundle
///
/// What a push has become, with everything that cascades, defaults and triggers did.
#[utoipa::path(
    get,
    path = "/t/{tenant}/{app}/sync/committed-bundles/{bundle_seq}/rows",
    tag = "Sync",
    operation_id = "committed_bundle_rows",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
        ("bundle_seq" = i64, Path, description = "The bundle"),
        ("Oversync-Source-ID" = String, Header, description = "The device's source id"),
        RowsQuery,
    ),
    responses(
        (status = 200, description = "Rows in order, from the one after the cursor", content_type = "application/json"),
        (status = 400, description = "`committed_bundle_chunk_invalid`", body = ErrorBody),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
        (status = 404, description = "`committed_bundle_not_found`", body = ErrorBody),
        (status = 409, description = "`history_pruned`", body = ErrorBody),
    ),
    security(("user_token" = []))
)]
pub(crate) async fn committed_rows(
    actor: EndUserActor,
    State(engine): State<Engine>,
    ApiPath(path): ApiPath<BundlePath>,
    ApiQuery(query): ApiQuery<RowsQuery>,
) -> Result<Response, ApiError> {
    let caller = actor.caller();
    let query = CommittedRowsQuery {
        bundle_seq: path.bundle_seq.parse().map_err(|_| CommittedRowsError::BundleSeq)?,
        after_row_ordinal: query.after_row_ordinal,
        max_rows: query.max_rows,
    };
    let page = engine.committed_rows(&caller, &query).await?;
    let body = render(&page, caller.app.profile);
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// The rows are JSON already: they are put into the answer as they are.
fn render(page: &CommittedRows, profile: WireProfile) -> String {
    #[derive(Serialize)]
    struct Head<'a> {
        bundle_seq: i64,
        source_id: &'a str,
        source_bundle_id: i64,
        row_count: i64,
        bundle_hash: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        canonical_request_hash: Option<&'a str>,
        next_row_ordinal: i64,
        has_more: bool,
    }
    let head = Head {
        bundle_seq: page.bundle_seq.0,
        source_id: &page.source,
        source_bundle_id: page.source_bundle_id,
        row_count: page.row_count,
        bundle_hash: &page.bundle_hash,
        canonical_request_hash: match (profile, page.request_hash.as_deref()) {
            (WireProfile::Strings, None) => Some(NO_REQUEST_HASH),
            (_, hash) => hash,
        },
        next_row_ordinal: page.next_row_ordinal,
        has_more: page.has_more,
    };
    let head = serde_json::to_string(&head).expect("BUG: texts and numbers are always JSON");
    let mut body = String::with_capacity(head.len() + page.rows.len() + 16);
    body.push_str(head.strip_suffix('}').expect("BUG: an object ends with a brace"));
    body.push_str(",\"rows\":[");
    body.push_str(&page.rows);
    body.push_str("]}");
    body
}
